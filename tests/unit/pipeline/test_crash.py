"""kill -9 in the midst of everything, the same data directory again: nothing acknowledged is lost, nothing is doubled."""

import json
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Journal -> pipeline -> embedded store in one process, for spans and for metrics, as `edgepath up` has them. One thread sends
# requests, each with a trace of its own and a gauge, and prints its number once both were acknowledged.
PROCESS = """
import json, sys, threading, time
from pathlib import Path
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.journal import Journal
from telemetry.pipeline.metrics import MetricPipeline
from telemetry.pipeline.pipeline import Pipeline
from telemetry.pipeline.settings import MetricPipelineSettings, PipelineSettings
from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.support.metric_messages import point, request
from tests.support.otlp_messages import message_of
from tests.support.trace_builder import healthy
import dataclasses

data, first, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
chdb = ChdbEngine(data / "clickhouse", "edgepath")
store = EmbeddedStore(chdb)
schema.apply(store)
journal = Journal(data)
journal.open()
settings = PipelineSettings(EngineSettings(complete_grace_ms=50, grace_ms=400), flush_seconds=0.05, poll_seconds=0.01)
pipeline = Pipeline(journal, store, settings, topic="journal")
metrics_journal = Journal(data / "metrics")
metrics_journal.open()
metrics = MetricPipeline(metrics_journal, store, MetricPipelineSettings(flush_seconds=0.03, poll_seconds=0.01), topic="metrics")

def gauge(number):
    message, made = request()
    point(made, "number", "gauge", as_int=number, time=time.time_ns())
    return message.SerializeToString()

def send():
    for number in range(first, first + 100_000):
        spans = [dataclasses.replace(s, trace_id=number.to_bytes(16)) for s in healthy().spans]
        journal.accept(message_of(spans[:5]).SerializeToString())
        journal.accept(message_of(spans[5:]).SerializeToString())
        metrics_journal.accept(gauge(number))
        print(number, flush=True)
        time.sleep(0.002)

if mode == "send":
    threading.Thread(target=send, daemon=True).start()
    threading.Thread(target=metrics.run, args=(threading.Event(),), daemon=True).start()
    pipeline.run(threading.Event())
drained = pipeline.drain(60) and metrics.drain(60)
trace = "reinterpretAsUInt32(reverse(trace_id))"
print(json.dumps({
    "drained": drained,
    "traces": store.query(f"SELECT {trace} AS t FROM request_paths FINAL WHERE sign = 1 ORDER BY t").rows,
    "broken": store.query("SELECT count() FROM request_paths FINAL WHERE sign = 1 AND (spans != 8 OR NOT complete)").scalar(),
    "late": store.query("SELECT count() FROM late_spans").scalar(),
    "requests": store.query("SELECT sum(requests) FROM path_1m").scalar(),
    "points": [value for value, in store.query("SELECT toUInt32(value) FROM metric_points ORDER BY value").rows],
    "waiting": journal.lag() + metrics_journal.lag(),
}))
pipeline.close(); metrics.close(); journal.close(); metrics_journal.close(); store.close()
"""


def start(data: Path, first: int, mode: str) -> "subprocess.Popen[str]":
    """The process."""
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(data), str(first), mode],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        text=True,
    )


def killed_after(data: Path, first: int, requests: int) -> list[int]:
    """The numbers that were acknowledged until the process was killed."""
    with start(data, first, "send") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(requests)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    return [int(line) for line in lines if line.endswith("\n")]


@pytest.mark.timeout(240)
def test_what_was_acknowledged_is_stored_once(tmp_path: Path) -> None:
    """Killed three times; then a process that only finishes what is there."""
    chance = random.Random(11)
    acknowledged: set[int] = set()
    for turn in range(3):
        acknowledged |= set(killed_after(tmp_path, 1 + turn * 1_000_000, chance.randint(100, 500)))
    with start(tmp_path, 0, "finish") as process:
        output, _ = process.communicate(timeout=120)
    told: dict[str, Any] = json.loads(output)
    traces = [number for (number,) in told["traces"]]
    assert told["drained"]
    assert len(traces) == len(set(traces)), "doubled"
    assert acknowledged <= set(traces), "lost"
    points = told["points"]
    assert len(points) == len(set(points)), "doubled"
    assert acknowledged <= set(points), "lost"
    assert len(points) - len(acknowledged) <= 3
    assert len(traces) - len(acknowledged) <= 3  # written, but killed before it could be said
    assert told["requests"] == len(traces)
    assert (told["waiting"], told["late"]) == (0, 0)
    assert told["broken"] <= 3  # of which only the first half was sent
