"""OTLP requests and sinks for the tests of the feeds."""

from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MakeRequest = Callable[..., bytes]


@pytest.fixture
def make_request() -> MakeRequest:
    """Serialized trace requests: ``make_request(traces=2, spans=3, size=10, seed=0)``; ids follow from the seed."""

    def make(traces: int = 1, spans: int = 1, size: int = 0, seed: int = 0) -> bytes:
        request = ExportTraceServiceRequest()
        resource = request.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.30.0")
        resource.resource.attributes.add(key="service.name").value.string_value = f"service-{seed}"
        scope = resource.scope_spans.add()
        scope.scope.name = "test"
        for trace in range(traces):
            for number in range(spans):
                span = scope.spans.add(
                    trace_id=(seed * 1_000_003 + trace + 1).to_bytes(16),
                    span_id=(number + 1).to_bytes(8),
                    name=f"span {number}",
                    kind=2,
                    start_time_unix_nano=1_700_000_000_000_000_000,
                    end_time_unix_nano=1_700_000_000_100_000_000,
                )
                if size:
                    span.attributes.add(key="pad").value.string_value = "x" * size
        return request.SerializeToString()

    return make
