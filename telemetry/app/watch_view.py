"""What ``edgepath watch`` tells of itself over HTTP: metrics, probes, and where it stands for the other watchers."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from alerts.peer_http import PATH, standing_as_json
from alerts.peers import Stage
from alerts.watch import Watcher
from telemetry.observe.server import ObserveServer, Page
from telemetry.redaction import redact_text

_STALLED_SECONDS: Final = 300.0
"""An evaluation that waits for a ClickHouse that hangs may take minutes; a restart would not mend that."""


class _Metrics(Collector):
    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        work = self._watcher.work
        yield CounterMetricFamily("edgepath_watch_evaluations", "Evaluations that began.", work.evaluations)
        yield CounterMetricFamily("edgepath_watch_evaluation_failures", "Evaluations that failed.", work.failures)
        yield GaugeMetricFamily(
            "edgepath_watch_last_evaluation_timestamp_seconds",
            "When the last one that went well began.",
            work.evaluated or 0,
        )
        opened = GaugeMetricFamily("edgepath_watch_open_incidents", "Incidents that are open.", labels=["severity"])
        events = self._watcher.open_events()
        for severity in ("page", "ticket"):
            opened.add_metric([severity], sum(event.severity == severity for event in events))
        yield opened
        deliveries = CounterMetricFamily(
            "edgepath_watch_deliveries",
            "Pages, their updates and their ends that a receiver took, or refused for good or did not take in time.",
            labels=["receiver", "result"],
        )
        for (receiver, taken), count in self._watcher.deliveries().items():
            deliveries.add_metric([receiver, "delivered" if taken else "lost"], count)
        yield deliveries
        stage = self._watcher.standing(0).stage
        yield GaugeMetricFamily(
            "edgepath_watch_outage_told",
            "1 while the page is open that it sent of ClickHouse being away.",
            stage is Stage.TOLD,
        )


@contextlib.contextmanager
def observed(
    address: tuple[str, int] | None, watcher: Watcher, fresh_seconds: float, clock: Callable[[], float] = time.time
) -> Iterator[str]:
    """While inside, answer at an address; gives the URL, empty without one.

    Args:
        address: (host, port); None: nowhere.
        watcher: of whom is told.
        fresh_seconds: it is ready if it evaluated in the last so many seconds.
        clock: seconds since the epoch.

    Raises:
        ConfigurationError: the address cannot be used.
    """
    if address is None:
        yield ""
        return
    registry = CollectorRegistry()
    registry.register(_Metrics(watcher))
    server = ObserveServer(*address, registry, _pages(watcher, fresh_seconds, clock))
    server.start()
    try:
        yield server.url
    finally:
        server.stop()


def _pages(watcher: Watcher, fresh_seconds: float, clock: Callable[[], float]) -> dict[str, Page]:
    started = clock()

    def alive() -> tuple[bool, Mapping[str, Any]]:
        age = clock() - (watcher.work.begun or started)
        return _judged(age <= _STALLED_SECONDS, f"no evaluation has begun for {age:.0f} s")

    def ready() -> tuple[bool, Mapping[str, Any]]:
        work = watcher.work
        of = f": {redact_text(work.why)}" if work.why else ""
        if work.evaluated is None:
            return _judged(well=False, why=f"no SLO was evaluated yet{of}")
        age = clock() - work.evaluated
        return _judged(age <= fresh_seconds, f"no SLO has been evaluated for {age:.0f} s{of}")

    def peer() -> tuple[bool, Mapping[str, Any]]:
        return True, standing_as_json(watcher.standing(clock()))

    return {"/healthz": alive, "/readyz": ready, PATH: peer}


def _judged(well: bool, why: str) -> tuple[bool, Mapping[str, Any]]:
    return well, {"reasons": [] if well else [why]}
