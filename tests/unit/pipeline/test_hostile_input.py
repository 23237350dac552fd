"""What no good sender sends, through the whole pipeline: it is bounded, and what comes beside it is stored."""

import dataclasses
from collections import Counter
from datetime import UTC, datetime

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.support.otlp_messages import message_of
from tests.unit.pipeline.pipeline_rig import NOW, Rig, trace


@pytest.mark.parametrize("year", [1970, 1990, 2090, 2200])
def test_a_clock_that_is_years_off(rig: Rig, year: int) -> None:
    """The path stands where it arrived; durations are as they were told, but for times that no clock has."""
    shift = int(datetime(year, 1, 2, tzinfo=UTC).timestamp()) * 10**9 - trace(1)[0].start_ns
    rig.send([dataclasses.replace(s, start_ns=s.start_ns + shift) for s in trace(1)], trace(2))
    rig.pass_time(30)
    assert rig.stored() == Counter([1, 2])
    rows = rig.real_store.query("SELECT start, total_ns FROM request_paths ORDER BY trace_id").rows
    (odd, odd_total), (_, total) = rows
    assert abs(odd.timestamp() - NOW / 1000) < 60
    assert odd_total == (total if year < 2116 else 0)


def test_attributes_of_two_megabytes(rig: Rig) -> None:
    """Cut where they are names, passed over where nobody reads them; nothing of them is kept whole."""
    message = message_of(trace(1))
    text = "x" * 2_000_000
    for span in message.resource_spans[0].scope_spans[0].spans:
        span.attributes.append(KeyValue(key="http.route", value=AnyValue(string_value=f"/{text}")))
        span.attributes.append(KeyValue(key="note", value=AnyValue(string_value=text)))
    rig.topic.put(message.SerializeToString(), partition=0, at=NOW)
    rig.send(trace(2))
    rig.pass_time(30)
    assert rig.stored() == Counter([1, 2])
    longest = rig.real_store.query("SELECT max(length(toString(tuple(*)))) FROM request_paths").scalar()
    assert longest < 20_000
    assert rig.topic.committed == {0: 3}
