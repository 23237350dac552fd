"""``edgepath consume`` as a process of its own, and what it takes: CPU and memory, as the kernel tells them."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

from alerts import policies, sli_views, slos
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.base import Store
from telemetry.store.server import ServerStore
from tests.bench.load import Load, produce
from tests.bench.servers import Servers
from tests.bench.workload import SPANS_A_TRACE
from tests.real.parts.processes import Process

SESSION_SECONDS: Final = 120
"""Session timeout: a consumer that is stopped while the load is written must keep its partitions."""
_STORE_SECONDS: Final = 180.0
_POLL_SECONDS: Final = 0.05
_EDGEPATH: Final = Path(sys.executable).with_name("edgepath")
_TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, all threads, from ``/proc/PID/stat``; 0 for pid 0."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def memory_mib(pid: int, what: str = "VmHWM") -> float:
    """``VmHWM``, the most that it has had resident, or ``VmRSS``, what it has now."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{what}:")) / 1024


@dataclass(frozen=True)
class Took:
    """What it took to consume a backlog.

    Attributes:
        spans: how many.
        wall: seconds.
        consumer, server, broker: CPU seconds of all consumers, of ClickHouse and of Kafka; 0 where it is not known.
    """

    spans: int
    wall: float
    consumer: float
    server: float
    broker: float

    def __add__(self, other: "Took") -> "Took":
        """Both together."""
        return Took(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


class Setup:
    """A topic, a database and consumers that wait for load.

    Attributes:
        topic: its name.
        partitions: it has so many.
        store: the database.
        consumers: the processes.
        traces: how many were written so far.
    """

    def __init__(self, servers: Servers, url: str, topic: str, partitions: int, consumers: Sequence[Process]) -> None:
        self.servers = servers
        self.topic = topic
        self.partitions = partitions
        self.store = ServerStore(ServerAddress.parse(url))
        self.consumers = consumers
        self.traces = 0

    def write(self, load: Load, copies: int, codec: str | None = None) -> int:
        """Write load; returns how many spans."""
        self.traces += copies * load.traces
        return produce(self.servers.kafka, self.topic, load, copies=copies, partitions=self.partitions, codec=codec)

    def consume(self, load: Load, copies: int, codec: str | None = None) -> Took:
        """Write a backlog while the consumers are stopped, let them go, and see what it takes until all of it is stored.

        Raises:
            AssertionError: not everything is stored in time, or something else is.
        """
        for consumer in self.consumers:
            consumer.send(signal.SIGSTOP)
        begun = time.monotonic()
        spans = self.write(load, copies, codec)
        if time.monotonic() - begun > SESSION_SECONDS / 2:
            raise AssertionError("writing the load took longer than consumers may be silent")
        before = self._used()
        begun = time.monotonic()
        for consumer in self.consumers:
            consumer.send(signal.SIGCONT)
        self.wait()
        wall = time.monotonic() - begun
        after = self._used()
        self.check()
        return Took(spans, wall, *(b - a for a, b in zip(before, after, strict=True)))

    def wait(self) -> None:
        """Until there are as many paths as traces were written, in the roll-ups too."""
        deadline = time.monotonic() + _STORE_SECONDS
        for sql in ("SELECT count() FROM request_paths", "SELECT sum(paths) FROM path_1m"):
            while (have := self.store.query(sql).scalar() or 0) < self.traces:
                for consumer in self.consumers:
                    if not consumer.running():
                        raise AssertionError(f"the consumer ended: {consumer.tail()}")
                if time.monotonic() > deadline:
                    raise AssertionError(f"{have} of {self.traces} paths were stored in {_STORE_SECONDS:.0f} s")
                time.sleep(_POLL_SECONDS)

    def check(self) -> None:
        """Every trace is there, once, whole."""
        sql = "SELECT count(), uniqExact(trace_id), sum(spans), countIf(complete), min(sign) FROM request_paths"
        found = self.store.query(sql).rows[0]
        wanted = (self.traces, self.traces, self.traces * SPANS_A_TRACE, self.traces, 1)
        if found != wanted:
            raise AssertionError(f"paths, traces, spans, complete, sign: {found}, not {wanted}")
        counted = self.store.query("SELECT sum(paths) FROM path_1m").scalar()
        if counted != self.traces:
            raise AssertionError(f"path_1m counts {counted} paths, not {self.traces}")

    def _used(self) -> tuple[float, float, float]:
        return (
            sum(cpu_seconds(consumer.pid) for consumer in self.consumers),
            cpu_seconds(self.servers.clickhouse_pid),
            cpu_seconds(self.servers.kafka_pid),
        )


@contextlib.contextmanager
def consuming(
    servers: Servers,
    folder: Path,
    load: Load,
    *,
    partitions: int,
    consumers: int = 1,
    arguments: Sequence[str] = (),
    before: Callable[[Store, str], int] | None = None,
) -> Iterator[Setup]:
    """Consumers that have consumed: their imports, their compiled code and the taking over of partitions are behind them.

    Args:
        servers: that run.
        folder: for logs.
        load: for the warm-up; some copies of it are written.
        partitions: of the topic.
        consumers: how many processes.
        arguments: more of them for ``edgepath consume``.
        before: fills the tables of that store, for that topic, before a consumer starts; returns how many paths.
    """
    with contextlib.ExitStack() as parts:
        url = parts.enter_context(servers.database())
        topic = servers.topic(partitions)
        with contextlib.closing(ServerStore(ServerAddress.parse(url))) as store:
            with_slos(store)
            there = before(store, topic) if before else 0
        started = []
        for nth in range(consumers):
            process = start(servers, url, topic, folder / f"{topic}-{nth}.log", arguments)
            parts.callback(_end, process)
            started.append(process)
        setup = Setup(servers, url, topic, partitions, started)
        parts.callback(setup.store.close)
        setup.traces = there
        for process in started:
            process.wait_ready(lambda process=process: "Ctrl-C" in process.tail(), 60)  # type: ignore[misc]
        setup.write(load, partitions if load.name == "batch" else 1)
        setup.wait()
        yield setup
        for process in started:
            process.stop(30)
            if process.code:
                raise AssertionError(f"the consumer ended with {process.code}: {process.tail()}")


def start(servers: Servers, url: str, topic: str, log: Path, arguments: Sequence[str] = ()) -> Process:
    """One consumer. The URL, with its password, is not on its command line."""
    return Process(
        "edgepath consume",
        [
            *(_EDGEPATH, "consume", "--kafka", servers.kafka, "--topic", topic, "--group", topic),
            *("--session-timeout", str(SESSION_SECONDS), *arguments),
        ],
        log,
        env={"EDGEPATH_CLICKHOUSE": url, "PYTHONUNBUFFERED": "1"},
    )


def with_slos(store: Store) -> None:
    """The schema, and the views that count the shipped SLOs."""
    schema.apply(store)
    sli_views.sync(store, slos.load(), policies.load().resolution_seconds, time.time())


def _end(process: Process) -> None:
    process.send(signal.SIGCONT)
    process.stop(30)
