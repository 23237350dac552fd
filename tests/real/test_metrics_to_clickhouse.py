"""Metrics the whole way on real parts: OTLP -> `edgepath receive` -> Kafka -> `edgepath consume`, killed -> ClickHouse."""

import contextlib
import json
import os
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from kafka import KafkaConsumer, KafkaProducer
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from telemetry.app.verify import verify
from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import EdgepathError
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from tests.real.parts.processes import Process
from tests.support import otlp
from tests.support.trace_builder import healthy
from tests.support.waiting import wait_until

EDGEPATH = Path(sys.executable).with_name("edgepath")
EXPORT = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
POISON = b"\x0a\xff no metrics at all"
KINDS = {"sum", "gauge", "histogram", "exponential_histogram"}


class Service:
    """A service with OpenTelemetry's SDK; each time it is asked for its metrics, it has done a little more."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        views = [View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())]
        resource = Resource({"service.name": "envoy", "edgepath.tier": "edge", "edgepath.pop": "fra"})
        meter = MeterProvider([self._reader], resource, views=views, shutdown_on_exit=False).get_meter("test")
        self._sum = meter.create_counter("requests")
        self._gauge = meter.create_gauge("connections")
        self._explicit = meter.create_histogram("explicit", explicit_bucket_boundaries_advisory=[0.1, 1.0])
        self._exponential = meter.create_histogram("exponential")
        self._turn = 0

    def metrics(self) -> ExportMetricsServiceRequest:
        """What its exporter would send now."""
        self._turn += 1
        for route in ("/v1/charges", "/v1/refunds"):
            self._sum.add(self._turn, {"http.route": route})
            self._gauge.set(self._turn / 8, {"http.route": route})
            self._explicit.record(self._turn / 16, {"http.route": route})
            self._exponential.record(self._turn / 4, {"http.route": route})
        collected = self._reader.get_metrics_data()
        assert collected is not None
        request: ExportMetricsServiceRequest = encode_metrics(collected)
        return request


def points(request: ExportMetricsServiceRequest) -> Iterator[tuple[Any, ...]]:
    """Its data points, in the order of :func:`stored`."""
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                assert kind is not None
                data = getattr(metric, kind)
                for point in data.data_points:
                    attributes = tuple(sorted((a.key, a.value.string_value) for a in point.attributes))
                    place = (metric.name, kind, point.start_time_unix_nano, point.time_unix_nano, attributes)
                    if kind in {"sum", "gauge"}:
                        yield (*place, float(getattr(point, point.WhichOneof("value"))), 0, (), ())
                    elif kind == "histogram":
                        yield (*place, point.sum, point.count, tuple(point.bucket_counts), tuple(point.explicit_bounds))
                    else:
                        buckets = point.positive
                        scale = (point.scale, point.zero_count, buckets.offset)
                        yield (*place, point.sum, point.count, tuple(buckets.bucket_counts), scale)


def stored(store: ServerStore) -> Counter[tuple[Any, ...]]:
    """How often each point is stored."""
    rows = store.query(
        "SELECT metric, type, toUnixTimestamp64Nano(start_time), toUnixTimestamp64Nano(time), attributes, value, sum, count,"
        " bucket_counts, bounds, positive_counts, scale, zero_count, positive_offset FROM metric_points"
    ).rows
    found: Counter[tuple[Any, ...]] = Counter()
    for metric, kind, start, at, attributes, value, total, count, counts, bounds, positive, *scale in rows:
        place = (metric, kind, start, at, tuple(sorted(attributes.items())))
        match kind:
            case "histogram":
                found[*place, total, count, tuple(counts), tuple(bounds)] += 1
            case "exponential_histogram":
                found[*place, total, count, tuple(positive), tuple(scale)] += 1
            case _:
                found[*place, value, 0, (), ()] += 1
    return found


class Sending:
    """Sends metrics all the time: by gRPC through `edgepath receive`, and as Collectors write to Kafka, in every codec."""

    def __init__(self, bootstrap: str, topic: str, otlp_port: str) -> None:
        self.sent: Counter[tuple[Any, ...]] = Counter()
        self._topic = topic
        self._service = Service()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{otlp_port}")
        self._producers: list[Any] = [
            KafkaProducer(bootstrap_servers=bootstrap, compression_type=codec)
            for codec in (None, "gzip", "snappy", "lz4", "zstd")
        ]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Sending":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for producer in self._producers:
            producer.close()
        self._channel.close()

    def end(self) -> None:
        """Send no more; what was sent is in Kafka."""
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        turn = 0
        while not self._stop.wait(0.02):
            turn += 1
            request = self._service.metrics()
            if turn % 7 == 0:
                self._channel.unary_unary(EXPORT)(request.SerializeToString(), timeout=30)
            else:
                value = request.SerializeToString()
                if turn % 7 == 1:
                    value = json.dumps(json_format.MessageToDict(request)).encode()
                producer = self._producers[turn % 5]
                producer.send(self._topic, value).get(timeout=30)
                if turn % 50 == 0:
                    producer.send(self._topic, POISON).get(timeout=30)
            self.sent.update(points(request))


def started(name: str, log: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
    """An ``edgepath`` command that is ready."""
    process = Process(name, [EDGEPATH, *arguments], log, {**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})})
    process.wait_ready(lambda: "Ctrl-C stops" in process.tail(100_000), 120)
    return process


def count(store: ServerStore) -> int:
    """Points that are stored; -1 before there is a table."""
    try:
        return int(store.query("SELECT toInt64(count()) FROM metric_points").scalar())
    except EdgepathError:
        return -1


def grown(store: ServerStore, points: int) -> bool:
    """Whether more are stored."""
    return count(store) > points


@pytest.mark.timeout(300)
def test_every_point_is_stored_once(kafka_broker: KafkaBroker, clickhouse_url: str, tmp_path: Path) -> None:
    """Every kind of point, protobuf and JSON, every codec, poison between them, and the consumer killed again and again."""
    name = uuid.uuid4().hex[:8]
    spans, metrics = f"spans-{name}", f"metrics-{name}"
    kafka_broker.create_topic(spans, 1)
    kafka = ("--kafka", kafka_broker.bootstrap, "--topic", spans, "--metrics-topic", metrics)

    def consumer(log: str) -> Process:
        return started(
            "consume",
            tmp_path / log,
            *("consume", *kafka, "--group", name, "--session-timeout", "2", "--complete-grace", "0.5"),
            env={"EDGEPATH_CLICKHOUSE": clickhouse_url},
        )

    with contextlib.ExitStack() as parts, contextlib.closing(ServerStore(ServerAddress.parse(clickhouse_url))) as store:
        # No topic yet: that is told, and no failure.
        consuming = consumer("missing.log")
        parts.callback(lambda: consuming.kill())  # noqa: PLW0108 - the one that runs then, not this one
        wait_until(lambda: f"has no topic {metrics}" in consuming.tail())
        assert "no metrics are read" in consuming.tail()
        consuming.kill()

        receiving = started(
            "receive",
            tmp_path / "receive.log",
            "receive",
            *kafka,
            "--partitions",
            "3",
            "--grpc-port",
            "0",
            "--http-port",
            "0",
        )
        parts.callback(receiving.kill)
        port = re.search(r"gRPC 127\.0\.0\.1:(\d+)", receiving.tail())
        assert port is not None
        with Sending(kafka_broker.bootstrap, metrics, port[1]) as sending:
            consuming = consumer("consume-1.log")
            for turn in (2, 3):
                wait_until(partial(grown, store, count(store)), 120)
                # Blocks are stored every five seconds: at another moment of that time in each turn, and just after one.
                time.sleep((0.0, 3.0)[turn - 2])
                consuming.kill()
                consuming = consumer(f"consume-{turn}.log")
            producer: Any = KafkaProducer(bootstrap_servers=kafka_broker.bootstrap)
            producer.send(spans, otlp.request(healthy().spans).SerializeToString()).get(timeout=30)
            producer.close()
            sending.end()
            wait_until(lambda: count(store) >= sending.sent.total(), 120)
            wait_until(lambda: store.query("SELECT sum(sign) FROM request_paths").scalar() == 1)
            consuming.stop(40)
            assert consuming.code == 0, consuming.tail()
            found = stored(store)
            assert found == sending.sent
            assert {point[1] for point in found} == KINDS
            assert set(found.values()) == {1}
            assert len(found) > 500
        now = int(time.time())
        told = {each.check: each for each in verify(store, now - 3600, now + 60, now=now + 60).recounts}
        assert told["metric_points from metric_log"].compared >= 1
        assert not any(each.differing for each in told.values())
        assert (
            store.query("SELECT count(DISTINCT block) = max(block) FROM metric_log GROUP BY partition").rows
            == [(1,)] * 3
        )
        dead: Any = KafkaConsumer(
            f"{metrics}.dead", bootstrap_servers=kafka_broker.bootstrap, auto_offset_reset="earliest",
            consumer_timeout_ms=20_000,
        )  # fmt: skip
        letter = next(iter(dead))
        dead.close()
        assert letter.value == POISON
        assert dict(letter.headers)["topic"] == metrics.encode()
