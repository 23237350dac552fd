"""The engine's decoder and the reference's read the same spans out of the same bytes."""

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, TracesData
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtlpSpan

from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.decode import Decoded, Decoder
from telemetry.engine.spans import domain_spans
from telemetry.engine.strings import Strings
from telemetry.feeds.base import Record
from tests.support import otlp_messages as otlp
from tests.support import reference_decoder
from tests.support.traces import Seeded

TIERS = Tiers(patterns=(("envoy-*", "edge"), ("a", "gateway")))
TRACE, SPAN = b"\x01\x02" + b"\x03" * 14, b"\x0a" * 8
ENVOY = json.loads((Path(__file__).parents[2] / "data" / "envoy_spans.json").read_text())["traces"]


class Reader:
    """A decoder with its strings."""

    def __init__(self) -> None:
        self.strings = Strings(TIERS)
        self.decoder = Decoder(self.strings)

    def decode(self, records: list[Record]) -> tuple[list[Span], Decoded]:
        """The spans as objects, and the rest."""
        decoded = self.decoder.decode_records(records)
        return domain_spans(decoded.spans, self.strings), decoded

    def one(self, span: OtlpSpan, **resource: str) -> Span:
        """The one span of a message with it."""
        attributes = [otlp.text(key.replace("_", "."), value) for key, value in resource.items()]
        data = TracesData(
            resource_spans=[
                ResourceSpans(resource=Resource(attributes=attributes), scope_spans=[ScopeSpans(spans=[span])])
            ]
        )
        (found,), _ = self.decode([Record(0, 7, 1_760_000_000_000, data.SerializeToString())])
        return found


@pytest.fixture(scope="module")
def reader() -> Reader:
    """A decoder for the module: it keeps nothing from one batch to the next but strings."""
    return Reader()


def span(**fields: Any) -> OtlpSpan:
    """A good span with ids and times; one field changed a case."""
    good = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "kind": 2,
        "start_time_unix_nano": otlp.NOW,
        "end_time_unix_nano": otlp.NOW + 5,
    }
    return OtlpSpan(**{**good, **fields})


def assert_same(reader: Reader, records: list[Record]) -> int:
    """Both read the same; hashes of addresses are equal where the addresses are. Returns how many spans there were."""
    expected = reference_decoder.decode(records, TIERS)
    got, decoded = reader.decode(records)
    assert (len(got), decoded.invalid, decoded.malformed) == (len(expected.spans), expected.invalid, [])
    hashes: dict[int, int] = {}
    for one, other in zip(got, expected.spans, strict=True):
        assert dataclasses.replace(one, client_hash=0) == dataclasses.replace(other, client_hash=0)
        assert hashes.setdefault(other.client_hash, one.client_hash) == one.client_hash
    assert len(set(hashes.values())) == len(hashes)
    assert hashes.get(0, 0) == 0
    return len(got)


@pytest.mark.parametrize("seed", range(25))
def test_on_seeded_messages(reader: Reader, seed: int) -> None:
    """Batches of 1 to 80 messages, of which some are empty: about 5,000 spans in all."""
    chance = Seeded(seed)
    assert_same(reader, otlp.records(chance, chance.pick((1, 2, 10, 40, 80))))


def test_on_the_spans_of_a_real_envoy(reader: Reader) -> None:
    """Each trace alone, then all in one batch."""
    records = [
        Record(0, place, 1_760_000_000_000, base64.b64decode(one["otlp_base64"]))
        for place, one in enumerate(ENVOY.values())
    ]
    counts = [assert_same(reader, [record]) for record in records]
    assert min(counts) >= 2
    assert assert_same(reader, records) == sum(counts)
    spans, _ = reader.decode(records)
    assert {s.tier for s in spans} == {"edge", "balancer"}
    assert {s.pop for s in spans if s.tier == "edge"} == {"fra"}
    assert {s.status for s in spans} >= {200, 404, 503}
    assert all(s.method == "GET" and s.path.startswith("/v1/") for s in spans if s.kind == 2)


def test_a_large_message_is_read_in_order(reader: Reader) -> None:
    """Spans keep their record and their order."""
    small = [Record(0, n, n, b"") for n in range(100, 200)]
    spans = [span(span_id=number.to_bytes(8)) for number in range(1, 70_001)]
    big = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=spans)])]).SerializeToString()
    last = TracesData(resource_spans=[ResourceSpans(scope_spans=[ScopeSpans(spans=[span()])])]).SerializeToString()
    decoded = reader.decoder.decode_records([*small, Record(0, 200, 5, big), Record(0, 201, 6, last)])
    assert decoded.spans["span_id"].tolist() == [*range(1, 70_001), int.from_bytes(SPAN)]
    assert set(decoded.spans["offset"][:-1].tolist()) == {200}
    assert (int(decoded.spans["offset"][-1]), int(decoded.spans["arrival_ms"][-1])) == (201, 6)


def test_nothing_is_nothing(reader: Reader) -> None:
    """No records, records without bytes, a message without spans."""
    empty = TracesData(resource_spans=[ResourceSpans()]).SerializeToString()
    for records in ([], [Record(0, 1, 1, b"")], [Record(0, 1, 1, empty), Record(0, 2, 2, b"")]):
        spans, decoded = reader.decode(records)
        assert (spans, decoded.malformed, decoded.invalid) == ([], [], 0)


def test_what_the_names_of_a_span_become(reader: Reader) -> None:
    """Both generations, the current one first, an empty value counts as none."""
    found = reader.one(
        span(
            attributes=[
                otlp.text("http.method", "GET"),
                otlp.text("http.request.method", "POST"),
                otlp.text("http.status_code", "503"),
                otlp.text("url.path", ""),
                otlp.text("http.url", "http://host/v1/customers/17?x"),
                otlp.text("peer.address", "10.0.0.1:443"),
                otlp.text("response_flags", "-"),
            ]
        ),
        service_name="envoy-1",
        edgepath_pop="fra",
    )
    assert (found.method, found.status, found.path, found.flags) == ("POST", 503, "/v1/customers/{id}", "")
    assert (found.component, found.tier, found.pop) == ("envoy-1", "edge", "fra")
    assert (found.trace_id, found.span_id, found.parent_id) == (TRACE, int.from_bytes(SPAN), 0)
    assert (found.start_ns, found.duration_ns, found.offset, found.arrival_ms) == (otlp.NOW, 5, 7, 1_760_000_000_000)


def test_strings_have_one_code_each_across_batches(reader: Reader) -> None:
    """Equal strings have equal codes, whichever batch they came in."""
    for _ in range(2):
        reader.one(span(attributes=[otlp.text("http.route", "/the/same")]))
    assert reader.strings.texts.count("/the/same") == 1
