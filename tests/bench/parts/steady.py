"""``edgepath consume`` under a steady load: how long a path takes from its end to being queryable, and memory over time."""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telemetry.engine.settings import EngineSettings
from tests.bench import servers
from tests.bench.consuming import Setup, consuming, cpu_seconds, memory_mib
from tests.bench.load import Load, producer
from tests.bench.measure import Series
from tests.bench.workload import SPANS_A_TRACE

_TICK_SECONDS = 0.1
_LOOK_SECONDS = 0.1
_PARTITIONS = 4
_FRESH_SPANS, _FRESH_SECONDS = 10_000, 40
_FLAT_SPANS, _FLAT_SECONDS = 20_000, 600
_SETTLED_SECONDS = 120
"""Until then memory may grow: arenas and caches find their size."""


def fresh(folder: Path) -> dict[str, Series]:
    """10,000 spans a second in keyed messages, each written as soon as its trace has ended.

    A block counts as queryable when a look at ``request_paths`` every 0.1 s shows it; a trace's time is that of its block.
    """
    with consuming(servers.of(folder), folder, Load("keyed", 500, seed=1), partitions=_PARTITIONS) as setup:
        before = setup.traces
        # A read that is under way while a block comes in tells of it later, never earlier.
        seen: dict[tuple[int, int], float] = {}
        with _flowing(setup, _FRESH_SPANS) as flow:
            begun, used = time.monotonic(), cpu_seconds(setup.consumers[0].pid)
            while time.monotonic() - begun < _FRESH_SECONDS:
                _look(setup, seen)
                time.sleep(_LOOK_SECONDS)
            used = cpu_seconds(setup.consumers[0].pid) - used
            rate = flow.sent * SPANS_A_TRACE / (time.monotonic() - begun)
        setup.traces += flow.sent
        while (setup.store.query("SELECT count() FROM request_paths").scalar() or 0) < setup.traces:
            _look(setup, seen)
            time.sleep(_LOOK_SECONDS)
        _look(setup, seen)
        setup.check()
        ages = _ages(setup, seen, before)
    settings = EngineSettings()
    return {
        "consumer.freshness_p50_seconds": Series("s", (float(np.quantile(ages, 0.5)),)),
        "consumer.freshness_p99_seconds": Series("s", (float(np.quantile(ages, 0.99)),)),
        "consumer.freshness.grace_seconds": Series("s", (settings.grace_ms / 1000,)),
        "consumer.freshness.complete_grace_seconds": Series("s", (settings.complete_grace_ms / 1000,)),
        "consumer.freshness.spans_per_second": Series("spans/s", (rate,)),
        "consumer.freshness.spans_per_cpu_second": Series("spans/CPU s", (flow.sent * SPANS_A_TRACE / used,)),
    }


def flat(folder: Path) -> dict[str, Series]:
    """Ten minutes of 20,000 spans a second: the memory that is resident after two, and at the end."""
    with consuming(servers.of(folder), folder, Load("keyed", 500, seed=1), partitions=_PARTITIONS) as setup:
        pid, resident = setup.consumers[0].pid, list[float]()
        with _flowing(setup, _FLAT_SPANS) as flow:
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < _FLAT_SECONDS:
                if passed >= _SETTLED_SECONDS:
                    resident.append(memory_mib(pid, "VmRSS"))
                time.sleep(1.0)
        setup.traces += flow.sent
        setup.wait()
        setup.check()
        fifth = len(resident) // 5
        first, last = (float(np.median(part)) for part in (resident[:fifth], resident[-fifth:]))
        return {
            "consumer.flat.rss_mb": Series("MiB", (max(resident),)),
            "consumer.flat.rss_growth_mb": Series("MiB", (last - first,)),
            "consumer.flat.spans_per_second": Series("spans/s", (flow.sent * SPANS_A_TRACE / _FLAT_SECONDS,)),
        }


class _Flow:
    """What a thread writes, until it is told to end.

    Attributes:
        sent: traces.
    """

    def __init__(self, setup: Setup, spans_a_second: int) -> None:
        self._setup = setup
        self._load = Load("keyed", round(spans_a_second / SPANS_A_TRACE * _TICK_SECONDS), seed=2)
        self._ended = threading.Event()
        self._failed: list[Exception] = []
        self._thread = threading.Thread(target=self._run, name="load")
        self.sent = 0

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Raises what went wrong in the thread."""
        self._ended.set()
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        sink: Any = producer(self._setup.servers.kafka)
        tick_ns, due = round(_TICK_SECONDS * 1e9), time.time_ns()
        try:
            while not self._ended.is_set():
                due += tick_ns
                time.sleep(max(0.0, (due - time.time_ns()) / 1e9))
                for partition, key, value in self._load.messages(1, self._setup.partitions, due, just_ended=tick_ns):
                    sink.send(self._setup.topic, value=value, key=key, partition=partition)
                self.sent += self._load.traces
            sink.flush(timeout=60)
        except Exception as error:  # noqa: BLE001 - whatever it is, end() raises it in the thread that measures
            self._failed.append(error)
        finally:
            sink.close(timeout=60)


@contextlib.contextmanager
def _flowing(setup: Setup, spans_a_second: int) -> Iterator[_Flow]:
    flow = _Flow(setup, spans_a_second)
    flow.start()
    try:
        yield flow
    finally:
        flow.end()


def _look(setup: Setup, seen: dict[tuple[int, int], float]) -> None:
    """Note when blocks are there. The time is taken after the answer."""
    rows = setup.store.query("SELECT partition, max(block) FROM request_paths GROUP BY partition").rows
    now = time.time()
    for partition, newest in rows:
        number = int(newest)
        while number > 0 and (partition, number) not in seen:
            seen[partition, number] = now
            number -= 1


def _ages(setup: Setup, seen: dict[tuple[int, int], float], before: int) -> NDArray[np.float64]:
    """Seconds from each path's end until its block was seen, without the first ``before`` paths: the warm-up's."""
    rows = setup.store.query(
        "SELECT partition, block, (toUnixTimestamp64Nano(start) + total_ns) / 1e9 AS ended FROM request_paths ORDER BY stored"
    ).rows
    return np.array([seen[partition, int(block)] - ended for partition, block, ended in rows[before:]])
