"""A topic of a test's own, feeds that read it, and what is written to it."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from kafka import KafkaConsumer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

from telemetry.feeds.base import Record
from telemetry.feeds.kafka import KafkaFeed

PARTITIONS: Final = 4
OpenFeed = Callable[..., KafkaFeed]


def until(condition: Callable[[], bool], *, seconds: float = 30) -> None:
    """Wait for ``condition``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"


def join(feed: KafkaFeed, partitions: int = PARTITIONS) -> None:
    """Poll until the feed has so many partitions; nothing is given out."""

    def joined() -> bool:
        assert not feed.poll(0.1, 0)
        return len(feed.assigned()) == partitions

    until(joined)


def read(feed: KafkaFeed, count: int, max_bytes: int = 1 << 20) -> list[Record]:
    """The next records, ``count`` of them or more; every one of a partition that was assigned before its poll."""
    records: list[Record] = []

    def enough() -> bool:
        before = feed.assigned()
        got = feed.poll(0.1, max_bytes)
        assert {record.partition for record in got} <= before.keys()
        records.extend(got)
        return len(records) >= count

    until(enough)
    return records


def request(traces: Sequence[int], spans: int = 1, pad: int = 0, service: str = "api") -> bytes:
    """A trace request: one resource, one scope, ``spans`` spans of each trace."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add(schema_url="https://example.com/schema")
    resource.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource.scope_spans.add(schema_url="https://example.com/scope")
    scope.scope.name = "test"
    for number in range(spans):
        for trace in traces:
            span = scope.spans.add(trace_id=trace.to_bytes(16), span_id=(number + 1).to_bytes(8), name=f"{number}")
            if pad:
                span.attributes.add(key="pad").value.bytes_value = random.Random(number).randbytes(pad)
    return message.SerializeToString()


def spans_in(payloads: Sequence[bytes]) -> list[tuple[bytes, bytes, str, str]]:
    """(trace, span, service, scope) of each span, sorted."""
    found = []
    for payload in payloads:
        message = ExportTraceServiceRequest.FromString(payload)
        for resource in message.resource_spans:
            assert resource.schema_url == "https://example.com/schema"
            (service,) = resource.resource.attributes
            for scope in resource.scope_spans:
                assert scope.schema_url == "https://example.com/scope"
                found += [
                    (span.trace_id, span.span_id, service.value.string_value, scope.scope.name) for span in scope.spans
                ]
    return sorted(found)


def raw(bootstrap: str, topic: str) -> list[Any]:
    """All messages of a topic, as kafka-python gives them."""
    consumer = KafkaConsumer(
        topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=1500, group_id=None
    )
    try:
        return list(consumer)
    finally:
        consumer.close()
