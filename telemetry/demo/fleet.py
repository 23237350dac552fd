"""The demo's fleet: clients, two real Envoy PoPs, a real Envoy balancer, a gateway and an API, all on loopback.

::

    load (SDK) -> Envoy edge fra, Envoy edge iad -> Envoy balancer -> gateway (SDK) -> API (SDK)
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from telemetry.demo import envoy
from telemetry.demo.envoy import Address, EnvoySettings, Upstream
from telemetry.demo.incident import IncidentTimes
from telemetry.demo.ledger import Sent, read_ledger
from telemetry.demo.processes import LOOPBACK, Processes, Program, free_addresses, reserve
from telemetry.demo.settings import CORE_POP, CORE_REGION, ENVIRONMENT, REGIONS, DemoSettings
from telemetry.errors import ConfigurationError
from telemetry.vocabulary import ENVIRONMENT as ENVIRONMENT_ATTRIBUTE
from telemetry.vocabulary import REGION, Tier

_READY_SECONDS: Final = 20.0
_DRAIN_SECONDS: Final = 17.0
"""Longer than a client's timeout and its flush: every request gets its answer before the load generator ends."""
_ENVOY_FLUSH_MS: Final = 500
_SPAN_DELAY_MS: Final = 500
_LOAD: Final = "load generator"


def _now() -> datetime:
    return datetime.now(UTC)


class DemoFleet:
    """Starts, breaks, mends and stops the fleet. For one thread; the two incident methods may be called from another.

    Args:
        settings: what to do.
        otlp_grpc_endpoint: where all of it sends its spans: ``host:port``, with or without ``http://``.
        directory: for configurations, logs and the ledger; made if it is not there.
        clock: the time of day, timezone-aware.
    """

    def __init__(
        self,
        settings: DemoSettings,
        otlp_grpc_endpoint: str,
        directory: Path,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._settings = settings
        self._collector = Address.parse(otlp_grpc_endpoint)
        self._directory = directory.resolve()
        self._clock = clock
        self._ledger = self._directory / "sent.jsonl"
        self._processes = Processes()
        self._cleanup = ExitStack()
        self._edges: dict[str, Address] = {}
        self._inside: dict[str, Address] = {}
        self._dead: Address | None = None
        self._incident: IncidentTimes | None = None

    @property
    def incident(self) -> IncidentTimes | None:
        """The incident so far; None before it begins."""
        return self._incident

    def start(self) -> None:
        """Start everything; returns once all of it is ready and requests flow.

        Raises:
            ConfigurationError: Envoy is missing, a child cannot run, or the directory cannot be written.
            UnavailableError: something took too long to get ready.
        """
        binary = envoy.find_envoy()
        try:
            for folder in (self._config, self._logs):
                folder.mkdir(parents=True, exist_ok=True)
            for old in (self._ledger, *self._logs.glob("*.log")):
                old.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the demo cannot write into {self._directory}: {error.strerror}; choose another data directory"
            ) from error
        try:
            self._choose_addresses()
            self._start_servers(binary)
            self._processes.wait_ready(_READY_SECONDS)
            self._processes.start(self._load())
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Look after the children.

        Raises:
            ConfigurationError: one has ended; the message has the end of its log.
        """
        self._processes.check()

    def pids(self) -> list[int]:
        """The process ids of the children."""
        return list(self._processes.pids().values())

    def begin_incident(self) -> IncidentTimes:
        """Let part of one PoP's upstream connections fail: its edge is given a dead port beside the balancer."""
        if self._dead is None:
            # Held to the end: nothing else may come to listen there.
            self._dead = Address(LOOPBACK, self._cleanup.enter_context(reserve()).getsockname()[1])
        failing = round(100 * self._settings.incident_share)
        alive = Upstream(self._inside["balancer"], 100 - failing)
        self._write_endpoints(self._settings.incident_pop, [alive, Upstream(self._dead, failing)])
        self._incident = IncidentTimes(self._settings.incident_pop, Tier.EDGE.value, self._clock())
        return self._incident

    def end_incident(self) -> IncidentTimes:
        """Mend what :meth:`begin_incident` broke.

        Raises:
            ValueError: there is no incident.
        """
        if self._incident is None:
            raise ValueError("no incident has begun")
        self._write_endpoints(self._settings.incident_pop, [Upstream(self._inside["balancer"])])
        self._incident = replace(self._incident, end=self._clock())
        return self._incident

    def stop_load(self) -> None:
        """Send no more requests; returns when the last is answered and every span has left the fleet."""
        self._processes.stop(_LOAD, _DRAIN_SECONDS)
        time.sleep(2 * max(_ENVOY_FLUSH_MS, _SPAN_DELAY_MS) / 1000)  # the others send theirs by timer

    def stop(self) -> None:
        """Stop everything, in bounded time. Does nothing the second time."""
        self._processes.close()
        self._cleanup.close()

    def sent(self) -> Iterator[Sent]:
        """What the load generator has sent so far."""
        return read_ledger(self._ledger)

    def describe(self) -> list[str]:
        """What runs where, a line each."""
        edges = ", ".join(f"{pop} http://{address}" for pop, address in self._edges.items())
        inside = ", ".join(f"{name} http://{address}" for name, address in self._inside.items())
        return [
            f"edge PoPs (Envoy): {edges}",
            f"behind them: {inside}",
            f"load: {self._settings.rate:g} requests/s, listed in {self._ledger}",
            f"logs and configurations: {self._directory}",
        ]

    @property
    def _config(self) -> Path:
        return self._directory / "config"

    @property
    def _logs(self) -> Path:
        return self._directory / "logs"

    def _choose_addresses(self) -> None:
        inside = ("balancer", "gateway", "api")
        addresses = free_addresses(len(self._settings.pops) + len(inside))
        self._edges = dict(zip(self._settings.pops, addresses, strict=False))
        self._inside = dict(zip(inside, addresses[len(self._settings.pops) :], strict=True))

    def _start_servers(self, binary: Path) -> None:
        seed = str(self._settings.seed)
        address = self._inside["api"]
        self._processes.start(self._service("api", ["--port", str(address.port), "--seed", seed], address))
        gateway = self._inside["gateway"]
        arguments = ["--port", str(gateway.port), "--api", f"http://{address}", "--rate", str(self._settings.rate)]
        self._processes.start(self._service("gateway", arguments, gateway))
        for pop, listen in self._edges.items():
            self._processes.start(self._envoy(binary, Tier.EDGE, pop, listen, "balancer"))
        self._processes.start(self._envoy(binary, Tier.BALANCER, CORE_POP, self._inside["balancer"], "gateway"))

    def _envoy(self, binary: Path, tier: Tier, pop: str, listen: Address, upstream: str) -> Program:
        folder = self._endpoints_file(pop).parent
        folder.mkdir(exist_ok=True)
        settings = EnvoySettings(
            service="edge-proxy" if tier is Tier.EDGE else "load-balancer",
            tier=tier.value,
            pop=pop,
            region=CORE_REGION if pop == CORE_POP else REGIONS.get(pop, pop),
            environment=ENVIRONMENT,
            listen=listen,
            collector=self._collector,
            endpoints_file=self._endpoints_file(pop),
            flush_interval_ms=_ENVOY_FLUSH_MS,
        )
        name = f"{tier.value}-{pop}"
        self._write_endpoints(pop, [Upstream(self._inside[upstream])])
        config = self._config / f"{name}.json"
        config.write_text(envoy.configuration(settings))
        log = self._logs / f"{name}.log"
        return Program(name, envoy.envoy_command(binary, config, log), log, ready=(listen,))

    def _service(self, module: str, arguments: Sequence[str], listen: Address) -> Program:
        command = [sys.executable, "-m", f"telemetry.demo.{module}", "--pop", CORE_POP, *arguments]
        return Program(module, command, self._logs / f"{module}.log", (listen,), self._environment(CORE_REGION))

    def _load(self) -> Program:
        edges = [argument for pop, address in self._edges.items() for argument in ("--edge", f"{pop}=http://{address}")]
        command = [
            *(sys.executable, "-m", "telemetry.demo.load", *edges),
            *("--ledger", str(self._ledger)),
            *("--rate", str(self._settings.rate)),
            *("--seed", str(self._settings.seed)),
        ]
        return Program(_LOAD, command, self._logs / "load.log", environment=self._environment(None))

    def _environment(self, region: str | None) -> Mapping[str, str]:
        """The SDK's settings, as standard variables; the user's own and proxies are left out, for this is loopback."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("OTEL_") and not name.lower().endswith("_proxy")
        }
        resource = {ENVIRONMENT_ATTRIBUTE[0]: ENVIRONMENT, **({REGION[0]: region} if region else {})}
        return {
            **inherited,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{self._collector}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_BSP_SCHEDULE_DELAY": str(_SPAN_DELAY_MS),
            "OTEL_BSP_MAX_QUEUE_SIZE": "16384",
            "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in resource.items()),
            "PYTHONUNBUFFERED": "1",
        }

    def _endpoints_file(self, pop: str) -> Path:
        return self._config / f"endpoints-{pop}" / "endpoints.json"

    def _write_endpoints(self, pop: str, upstreams: Sequence[Upstream]) -> None:
        envoy.write_endpoints(self._endpoints_file(pop), upstreams)
