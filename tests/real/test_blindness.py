"""No traffic, no telemetry and a pipeline that lags are three alerts, told apart on real parts.

OTLP -> `edgepath receive` -> Kafka -> `edgepath consume` -> ClickHouse -> `edgepath watch`. What happened lies some minutes
back, by the times in spans and points, so that nobody has to wait for them.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from kafka import KafkaProducer

from alerts import policies, slos
from alerts.edge_counters import EdgeCounters
from alerts.notify import CallbackNotifier
from alerts.page import PageEvent
from alerts.watch import Watcher
from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.domain.spans import Span
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from telemetry.vocabulary import SERVER_DURATION, SpanKind
from tests.real.parts.processes import Process
from tests.support import otlp
from tests.support.metric_messages import point, request
from tests.support.waiting import wait_until

EDGEPATH = Path(sys.executable).with_name("edgepath")
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
PATHS = 120
"""Of each PoP."""


@contextlib.contextmanager
def running(name: str, folder: Path, *arguments: str, **variables: str) -> Iterator[Process]:
    """An ``edgepath`` command that is ready."""
    log = folder / f"{name}-{uuid.uuid4().hex[:4]}.log"
    env: Mapping[str, str] = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
    process = Process(name, [EDGEPATH, name, *arguments], log, env)
    try:
        process.wait_ready(lambda: "Ctrl-C stops" in process.tail(), 120)
        yield process
    finally:
        process.kill()


def requests(pop: str, times: Iterable[float]) -> list[Span]:
    """A request that ended at the edge of a PoP, at each of these times."""
    return [
        Span(
            trace_id=uuid.uuid4().bytes,
            span_id=1,
            parent_id=0,
            kind=SpanKind.SERVER,
            component=f"edge-{pop}",
            tier="edge",
            pop=pop,
            environment="prod",
            method="GET",
            route="/v1",
            start_ns=int(at * 1e9),
            duration_ns=1_000_000,
            status=429,
        )
        for at in times
    ]


def counted(pop: str, now: float, each_minute: int) -> bytes:
    """What the edge of a PoP has counted in the last quarter of an hour, as the SDK sends it."""
    resource = {
        "service.name": f"edge-{pop}", "edgepath.tier": "edge", "edgepath.pop": pop, "deployment.environment.name": "prod",
    }  # fmt: skip
    message, metrics = request(resource)
    for minute in range(15, -1, -1):
        at = int((now - 60 * minute) * 1e9)
        count = 10_000 + each_minute * (15 - minute)
        point(
            metrics, SERVER_DURATION, "exponential_histogram",
            time=at, start=int((now - 86_400) * 1e9), count=count, sum=1.0, zero_count=count,
        )  # fmt: skip
    return bytes(message.SerializeToString())


def watch(clickhouse_url: str, folder: Path) -> str:
    """What ``edgepath watch`` says of now, without a memory."""
    done = subprocess.run(
        [EDGEPATH, "watch", "--once", "--own-state", "--state", folder / f"{uuid.uuid4().hex}.json"],
        env={**os.environ, "EDGEPATH_CLICKHOUSE": clickhouse_url}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def causes_at(store: ServerStore, now: float) -> list[tuple[str, str, str]]:
    """(severity, cause, PoP) of what a watcher like the command's alerts about at a time; SLOs have nothing counted yet."""
    told: list[PageEvent] = []
    watcher = Watcher(
        store, slos.load(), policies.load("workbook"), [CallbackNotifier(told.append)],
        sync_views=False, blindness=True, counters=EdgeCounters(store),
    )  # fmt: skip
    watcher.evaluate(now)
    watcher.close()
    return sorted((event.severity, event.cause, event.pop) for event in told if event.cause != "empty")


@pytest.mark.timeout(300)
def test_three_alerts_told_apart(kafka_broker: KafkaBroker, clickhouse_url: str, tmp_path: Path) -> None:
    """By the edge's own counters, and by how fresh what is stored is."""
    name = uuid.uuid4().hex[:8]
    spans, metrics = f"spans-{name}", f"metrics-{name}"
    kafka = ("--kafka", kafka_broker.bootstrap, "--topic", spans, "--metrics-topic", metrics)
    consumer = (*kafka, "--group", name, "--grace", "1", "--complete-grace", "0.5", "--session-timeout", "2")
    now = time.time()
    before = [now - 1500 + 5 * number for number in range(PATHS)]
    with contextlib.ExitStack() as parts, contextlib.closing(ServerStore(ServerAddress.parse(clickhouse_url))) as store:
        receiving = parts.enter_context(
            running("receive", tmp_path, *kafka, "--partitions", "2", "--grpc-port", "0", "--http-port", "0")
        )
        port = re.search(r"gRPC 127\.0\.0\.1:(\d+)", receiving.tail())
        assert port is not None
        channel = parts.enter_context(grpc.insecure_channel(f"127.0.0.1:{port[1]}"))
        with running("consume", tmp_path, *consumer, EDGEPATH_CLICKHOUSE=clickhouse_url):
            # fra serves on without spans, ams has no traffic any more, of gru nobody knows, iad is well.
            for pop in ("fra", "ams", "gru", "iad"):
                lately = [now - 60] * 20 if pop == "iad" else []
                made = otlp.request(requests(pop, [*before, *lately]))
                channel.unary_unary(TRACES)(made.SerializeToString(), timeout=30)
            for pop, each_minute in (("fra", 40), ("ams", 0), ("iad", 40)):
                channel.unary_unary(METRICS)(counted(pop, now, each_minute), timeout=30)
            wait_until(lambda: store.query("SELECT toInt64(count()) FROM request_paths").scalar() == 4 * PATHS + 20)
            wait_until(lambda: store.query("SELECT toInt64(count()) FROM metric_points").scalar() == 3 * 16)
            said = watch(clickhouse_url, tmp_path)
            assert re.search(
                r"PAGE fra: no telemetry of fra for 10 min: the edge counted [1-9][0-9]+ requests", said
            ), said
            assert "TICKET ams: no traffic of ams for 10 min, by the edge's own counters" in said
            assert "PAGE gru: no request path of gru for 10 min, and no counters" in said
            assert "iad" not in said
            assert "pipeline" not in said
        # The consumer is gone: requests and metrics go on, and nobody stores them.
        channel.unary_unary(TRACES)(otlp.request(requests("iad", [time.time()])).SerializeToString(), timeout=30)
        channel.unary_unary(METRICS)(counted("iad", time.time(), 40), timeout=30)
        assert causes_at(store, time.time() + 240) == [("page", "lagging", "")]
        # It comes back to a backlog of a quarter of an hour.
        producer: Any = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
        late = time.time() - 900
        backlog = otlp.request(requests("iad", [late] * 6 * PATHS)).SerializeToString()
        producer.send(spans, backlog, timestamp_ms=int(late * 1000)).get(timeout=30)
        producer.close()
        with running("consume", tmp_path, *consumer, EDGEPATH_CLICKHOUSE=clickhouse_url):
            wait_until(lambda: store.query("SELECT toInt64(count()) FROM request_paths").scalar() == 10 * PATHS + 21)
            said = watch(clickhouse_url, tmp_path)
        assert re.search(r"PAGE.*the pipeline lags 1[0-9]m", said), said
        assert "telemetry" not in said
        assert "traffic" not in said
