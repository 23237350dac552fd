"""Partitions and messages, without Kafka."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors
from kafka.partitioner.default import murmur2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.errors import ConfigurationError, EdgepathError, UnavailableError
from telemetry.feeds.kafka.errors import translate
from telemetry.feeds.kafka.partitions import key_of, partitions_of
from telemetry.feeds.kafka.split import Kind, build, by_partition, groups_of, messages


@given(st.sets(st.binary(min_size=0, max_size=20) | st.binary(min_size=16, max_size=16)), st.integers(1, 1000))
def test_partitions_are_those_of_kafkas_default_partitioner(trace_ids: set[bytes], count: int) -> None:
    """The vectorized murmur2 over hex ids equals kafka-python's, also for ids of a wrong length."""
    expected = {trace_id: (murmur2(trace_id.hex().encode()) & 0x7FFFFFFF) % count for trace_id in trace_ids}
    assert partitions_of(trace_ids, count) == expected


def test_murmur2_of_a_known_key() -> None:
    """Apache Kafka's own test vector (UtilsTest.testMurmur2): the function that ours is compared with is the right one."""
    assert murmur2(b"abc") == 479470107
    assert key_of(bytes.fromhex("0AFF")) == b"0aff"


counts = st.lists(st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=3), max_size=3)


def make(shape: list[list[list[int]]], pad: int = 0) -> ExportTraceServiceRequest:
    """A request: for each resource, for each scope, the traces of its spans. Each span has its own id."""
    request = ExportTraceServiceRequest()
    number = 0
    for r, scopes in enumerate(shape):
        resource = request.resource_spans.add(schema_url=f"r{r}")
        if r:
            resource.resource.attributes.add(key="service.name").value.string_value = f"s{r}"
        for c, traces in enumerate(scopes):
            scope = resource.scope_spans.add(schema_url=f"c{c}")
            scope.scope.name = f"scope {c}"
            for trace in traces:
                number += 1
                span = scope.spans.add(trace_id=trace.to_bytes(16), span_id=number.to_bytes(8))
                span.name = "x" * pad
    return request


def places(requests: list[ExportTraceServiceRequest]) -> list[tuple[str, str, str, bytes, bytes]]:
    """Each span with all that surrounds it, sorted."""
    return sorted(
        (resource.schema_url, str(resource.resource), scope.schema_url + scope.scope.name, span.trace_id, span.span_id)
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    )


@given(counts, st.integers(1, 5))
def test_cutting_by_partition_keeps_every_span_with_its_surroundings(shape: list[list[list[int]]], count: int) -> None:
    """All spans come out once, with their resource and scope, and those of a trace in one part."""
    request = make(shape)
    parts = by_partition(groups_of(request, Kind.SPANS), lambda span: span.trace_id[-1] % count)
    built = {partition: build(groups, Kind.SPANS) for partition, groups in parts.items()}
    assert places(list(built.values())) == places([request])
    for partition, part in built.items():
        for resource in part.resource_spans:
            assert all(span.trace_id[-1] % count == partition for scope in resource.scope_spans for span in scope.spans)


@given(counts, st.integers(0, 60), st.integers(40, 2000))
def test_messages_keep_to_the_limit(shape: list[list[list[int]]], pad: int, limit: int) -> None:
    """No message is over the limit; what is missing was counted, and would not fit alone."""
    request = make(shape, pad)
    found, too_large = messages(list(groups_of(request, Kind.SPANS)), Kind.SPANS, limit)
    assert all(len(message.value) <= limit for message in found)
    out = places([ExportTraceServiceRequest.FromString(message.value) for message in found])
    everything = places([request])
    assert set(out) <= set(everything)
    assert len(out) + too_large == len(everything)
    if limit >= 300:
        assert too_large == 0


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            errors.KafkaTimeoutError("no metadata"),
            UnavailableError,
            "does not answer (no metadata); check that it runs",
        ),
        (errors.NotEnoughReplicasError(), UnavailableError, "does not answer"),
        (errors.TopicAuthorizationFailedError("t"), ConfigurationError, "does not let this client write to topic t"),
        (errors.UnknownTopicOrPartitionError(), UnavailableError, "create the topic"),
        (ValueError("port"), ConfigurationError, "check --kafka HOST:PORT"),
    ],
)
def test_errors_name_the_cluster_and_the_mend(error: Exception, kind: type[EdgepathError], said: str) -> None:
    """One line each."""
    translated = translate(error, "broker:9092", "write to topic t")
    assert type(translated) is kind
    assert said in str(translated)
    assert "broker:9092" in str(translated)
    assert "\n" not in str(translated)


def test_no_kafka_error_is_unmapped() -> None:
    """Every error that kafka-python knows becomes one of ours."""
    kinds: list[Any] = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.KafkaError)
    ]
    assert len(kinds) > 100
    for kind in kinds:
        assert isinstance(translate(kind.__new__(kind), "broker:9092", "read topic t"), EdgepathError)


def test_help() -> None:
    """The command's help names its options and an example."""
    command = "from telemetry.cli.receive import receive; receive(prog_name='edgepath receive')"
    done = subprocess.run([sys.executable, "-c", command, "--help"], capture_output=True, text=True, check=True)
    for word in ("--kafka HOST:PORT", "--grpc-port", "--http-port", "--topic", "EDGEPATH_KAFKA", "Example:"):
        assert word in done.stdout
