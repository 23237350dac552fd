"""Metrics and probes as Prometheus, a kubelet and an OTLP collector see them."""

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from telemetry.errors import ConfigurationError
from telemetry.feeds.otlp import GrpcReceiver
from telemetry.feeds.sink import MemorySink
from telemetry.observe.model import Lag, NoTimings, Snapshot, Timings
from telemetry.observe.observer import Observer
from telemetry.vocabulary import ConsumerMetric

VERDICTS = ("fine", "mixed")
WELL = Snapshot(joined=True, round_at=100.0)


class Clock:
    """Seconds that pass when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At 100 s."""
    return Clock()


@pytest.fixture
def observer(clock: Clock) -> Iterator[Observer]:
    """One that listens on a free port."""
    with Observer(("127.0.0.1", 0), VERDICTS, environment={}, monotonic=clock) as started:
        yield started


def get(observer: Observer, path: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(observer.url + path, timeout=10) as answer:  # noqa: S310 - our own
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scrape(observer: Observer) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus would store: name and labels to value."""
    status, text = get(observer, "/metrics")
    assert status == 200
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_count_of_the_snapshot_is_a_metric(observer: Observer) -> None:
    """Each number that the pipeline tells arrives under a name of its own."""
    numbers: dict[str, Any] = {
        f.name: place * 11 for place, f in enumerate(fields(Snapshot), 1) if f.type is int or f.type == "int"
    }
    assert len(numbers) == 30
    observer.watch(lambda: Snapshot(**numbers, joined=True, round_at=100.0))
    found = scrape(observer)
    for name, number in numbers.items():
        assert [key for key, value in found.items() if value == number and key[0].startswith("edgepath_")], name


def test_names_that_a_dashboard_relies_on(observer: Observer, clock: Clock) -> None:
    """As Prometheus spells them; the lag by partition, and no label else that grows."""
    lag = (Lag("otlp_spans", 0, 5), Lag("otlp_spans", 7, 40))
    observer.watch(lambda: replace(WELL, lag=lag, spans=12, paused=True, bytes=99, keying="mixed"))
    clock.now = 103.0
    found = scrape(observer)
    assert {
        ("edgepath_consumer_lag", (("partition", "0"), ("topic", "otlp_spans"))): 5,
        ("edgepath_consumer_lag", (("partition", "7"), ("topic", "otlp_spans"))): 40,
        ("edgepath_consumer_spans_total", ()): 12,
        ("edgepath_consumer_read_bytes_total", ()): 99,
        ("edgepath_consumer_partitions", ()): 2,
        ("edgepath_consumer_paused", ()): 1,
        ("edgepath_consumer_keying", (("verdict", "mixed"),)): 1,
        ("edgepath_consumer_keying", (("verdict", "fine"),)): 0,
        ("edgepath_consumer_ready", ()): 1,
        ("edgepath_consumer_round_age_seconds", ()): 3,
    }.items() <= found.items()
    assert found["process_memory_usage_bytes", ()] > 10_000_000
    assert found["process_cpu_time_seconds_total", ()] > 0
    (build,) = (key for key in found if key[0] == "edgepath_build_info")
    assert dict(build[1]).keys() == {"version", "python_version"}
    labels = {name for _, pairs in found for name, _ in pairs}
    assert labels <= {"partition", "topic", "verdict", "version", "python_version"} | {
        label for name, pairs in found for label, _ in pairs if name == "target_info"
    }


def test_prometheus_own_format(observer: Observer) -> None:
    """Prometheus asks for OpenMetrics, which is stricter: names end in their units, counters in _total."""
    observer.watch(lambda: replace(WELL, lag=(Lag("t", 0, 5),), spans=3))
    observer.metrics.stored(1, 1)
    request = urllib.request.Request(  # noqa: S310 - our own
        observer.url + "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        assert "openmetrics" in answer.headers["Content-Type"]
        families = {family.name: family for family in openmetrics(answer.read().decode())}  # type: ignore[no-untyped-call]
    assert families["edgepath_consumer_spans"].samples[0].value == 3
    assert families["edgepath_consumer_insert_duration_seconds"].type == "histogram"
    assert all(family.documentation for family in families.values() if family.name.startswith("edgepath"))


def test_a_partition_that_goes_takes_its_lag_along(observer: Observer, clock: Clock) -> None:
    """Else its last lag would page for ever."""
    now = [replace(WELL, lag=(Lag("t", 0, 5), Lag("t", 1, 6)))]
    observer.watch(lambda: now[0])
    scrape(observer)
    now[0] = replace(WELL, lag=(Lag("t", 1, 2),))
    clock.now += 1
    assert {key: value for key, value in scrape(observer).items() if key[0] == "edgepath_consumer_lag"} == {
        ("edgepath_consumer_lag", (("partition", "1"), ("topic", "t"))): 2
    }


def test_durations_become_histograms(observer: Observer) -> None:
    """With buckets that tell a second from ten."""
    observer.watch(lambda: WELL)
    sink: Timings = observer.metrics
    for seconds in (0.02, 0.3, 4.0):
        sink.stored(seconds, 2000)
        sink.flushed(seconds / 2)
        sink.fresh(seconds - 1)
    found = scrape(observer)
    assert found["edgepath_consumer_insert_duration_seconds_count", ()] == 3
    assert found["edgepath_consumer_insert_duration_seconds_bucket", (("le", "0.5"),)] == 2
    assert found["edgepath_consumer_block_rows_sum", ()] == 6000
    assert found["edgepath_consumer_flush_duration_seconds_bucket", (("le", "1.0"),)] == 2
    assert found["edgepath_consumer_freshness_seconds_sum", ()] == 3  # never below zero
    no: Timings = NoTimings()
    no.stored(1, 2)
    no.flushed(1)
    no.fresh(1)


def test_a_scrape_sees_one_snapshot(observer: Observer) -> None:
    """Numbers that belong together come from one moment."""
    asked: list[int] = []

    def look() -> Snapshot:
        asked.append(1)
        return replace(WELL, spans=len(asked), paths=len(asked))

    observer.watch(look)
    found = scrape(observer)
    assert found["edgepath_consumer_spans_total", ()] == found["edgepath_consumer_paths_total", ()] == len(asked) == 1


class TestProbes:
    """What each answer means is what an operator acts on."""

    def test_while_it_starts(self, observer: Observer) -> None:
        """Alive, not ready."""
        assert get(observer, "/healthz")[0] == 200
        status, body = get(observer, "/readyz")
        assert (status, json.loads(body)["reasons"][0]) == (503, "it has not joined its consumer group yet")

    def test_all_is_well(self, observer: Observer) -> None:
        """With what is worth knowing; a member without partitions is ready, too."""
        observer.watch(lambda: replace(WELL, lag=(Lag("t", 1, 2), Lag("t", 2, 5)), warnings=("keyed badly",)))
        assert get(observer, "/healthz") == (200, '{"ok": true, "reasons": []}\n')
        status, body = get(observer, "/readyz")
        assert status == 200
        assert json.loads(body) == {
            "ok": True,
            "reasons": [],
            "partitions": 2,
            "lag": 7,
            "paused": False,
            "warnings": ["keyed badly"],
        }
        observer.watch(lambda: WELL)
        assert get(observer, "/readyz")[0] == 200

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"joined": False}, "it has not joined its consumer group yet"),
            ({"troubles": ("no topic x",)}, "no topic x"),
        ],
    )
    def test_not_ready_is_still_alive(self, observer: Observer, change: dict[str, Any], reason: str) -> None:
        """A restart would mend neither Kafka nor ClickHouse."""
        observer.watch(lambda: replace(WELL, **change))
        assert get(observer, "/healthz")[0] == 200
        status, body = get(observer, "/readyz")
        assert (status, json.loads(body)["reasons"]) == (503, [reason])

    def test_a_loop_that_hangs(self, observer: Observer, clock: Clock) -> None:
        """Neither, after two minutes without a round."""
        observer.watch(lambda: WELL)
        clock.now = 219.0
        assert get(observer, "/healthz")[0] == 200
        clock.now = 221.0
        for path in ("/healthz", "/readyz"):
            status, body = get(observer, path)
            assert (status, json.loads(body)["reasons"]) == (503, ["the loop has not begun a round for 121 s"])

    def test_other_addresses(self, observer: Observer) -> None:
        """Told what is there; nothing can be posted."""
        assert get(observer, "/")[0] == 404
        assert "/readyz" in get(observer, "/admin")[1]
        with pytest.raises(urllib.error.HTTPError, match="405"):
            urllib.request.urlopen(observer.url + "/metrics", data=b"x", timeout=10)  # noqa: S310 - our own


def test_an_address_that_is_taken() -> None:
    """One line that names it and the option."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"127\.0\.0\.1:{port} .* --observe HOST:PORT, or --observe off"):
            Observer(("127.0.0.1", port), VERDICTS, environment={}).__enter__()


def test_a_client_that_says_nothing_blocks_nobody(observer: Observer) -> None:
    """Probes go on beside it."""
    address = re.fullmatch(r"http://([^:]+):(\d+)", observer.url)
    assert address is not None
    with socket.create_connection((address[1], int(address[2]))):
        assert get(observer, "/healthz")[0] == 200


def test_off_listens_nowhere() -> None:
    """And the durations go nowhere."""
    with Observer(None, VERDICTS, environment={}) as observer:
        assert observer.url == ""
        observer.metrics.stored(1, 1)


def test_metrics_go_to_an_otlp_endpoint(clock: Clock) -> None:
    """When OpenTelemetry's variable names one: every metric, under its OpenTelemetry name, at the end at the latest."""
    sink = MemorySink()
    receiver = GrpcReceiver(MemorySink(), port=0, metrics=sink)
    receiver.start()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
    }
    with Observer(None, VERDICTS, environment=environment, monotonic=clock) as observer:
        observer.watch(lambda: replace(WELL, spans=5, lag=(Lag("t", 0, 1),)))
        observer.metrics.stored(1, 1)
        observer.metrics.flushed(1)
        observer.metrics.fresh(1)
    receiver.stop(1)
    found: dict[str, Any] = {}
    for payload in sink.payloads:
        (resource,) = ExportMetricsServiceRequest.FromString(payload).resource_metrics
        found |= {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
        attributes = {item.key: item.value.string_value for item in resource.resource.attributes}
        assert attributes["service.name"] == "edgepath-consume"
    assert found.keys() == set(ConsumerMetric)
    assert found[ConsumerMetric.SPANS].sum.data_points[0].as_double == 5
    assert found[ConsumerMetric.SPANS].sum.is_monotonic


def test_an_otlp_endpoint_that_is_not_there_disturbs_nobody() -> None:
    """Neither the start nor the end waits for it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        environment = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT": "200"}
        with Observer(("127.0.0.1", 0), VERDICTS, environment=environment) as observer:
            observer.watch(lambda: WELL)
            assert get(observer, "/metrics")[0] == 200
