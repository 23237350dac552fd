"""OTLP metrics, made by hand and by OpenTelemetry's own SDK."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

NOW = 4_000_867_200_000
"""Arrival of the records, in ms."""
NOW_NS = NOW * 1_000_000
RESOURCE = {
    "service.name": "envoy-fra",
    "edgepath.tier": "edge",
    "edgepath.pop": "fra",
    "cloud.region": "eu-central-1",
    "cloud.availability_zone": "eu-1a",
    "deployment.environment.name": "prod",
    "service.instance.id": "i-1",
}


def request(resource: Mapping[str, str] = RESOURCE, scope: str = "lib") -> tuple[ExportMetricsServiceRequest, Any]:
    """A message, and the list of metrics in it."""
    made = ExportMetricsServiceRequest()
    group = made.resource_metrics.add()
    attributes(group.resource, resource)
    within = group.scope_metrics.add()
    within.scope.name = scope
    return made, within.metrics


def attributes(holder: Any, values: Mapping[str, Any], name: str = "attributes") -> None:
    """Give a resource or a point attributes."""
    for key, value in values.items():
        pair = getattr(holder, name).add()
        pair.key = key
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value


def point(metrics: Any, name: str, kind: str, **fields: Any) -> Any:
    """A metric of a kind with one point, which is given back; ``fields`` are the point's, lists included."""
    metric = metrics.add()
    metric.name, metric.unit = name, "s"
    data = getattr(metric, kind)
    if kind not in {"gauge", "summary"}:
        data.aggregation_temporality = fields.pop("temporality", 2)
    if kind == "sum":
        data.is_monotonic = fields.pop("is_monotonic", True)
    one = data.data_points.add()
    one.time_unix_nano = fields.pop("time", NOW_NS)
    one.start_time_unix_nano = fields.pop("start", NOW_NS - 60 * 10**9)
    attributes(one, fields.pop("attributes", {}))
    for field, value in fields.items():
        if isinstance(value, (list, tuple)):
            getattr(one, field).extend(value)
        else:
            setattr(one, field, value)
    return one


def of_the_sdk() -> bytes:
    """What OpenTelemetry's SDK sends of a counter, both kinds of histograms and a gauge."""
    reader = InMemoryMetricReader()
    views = [View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation())]
    provider = MeterProvider([reader], resource=Resource(dict(RESOURCE)), views=views)
    meter = provider.get_meter("tests")
    counter = meter.create_counter("requests", "1")
    explicit = meter.create_histogram("duration", "s", explicit_bucket_boundaries_advisory=[0.1, 1.0])
    exponential = meter.create_histogram("exponential", "s")
    meter.create_gauge("temperature").set(21.5, {"place": "rack"})
    for value in (0.05, 0.5, 5.0):
        counter.add(2, {"http.route": "/v1/charges"})
        explicit.record(value, {"http.route": "/v1/charges"})
        exponential.record(value)
    collected = reader.get_metrics_data()
    assert collected is not None
    provider.shutdown()
    return bytes(encode_metrics(collected).SerializeToString())
