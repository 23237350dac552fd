"""The engine and the reference give the same paths, whatever the spans."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain import paths as reference
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.strings import Strings
from telemetry.vocabulary import SpanKind
from tests.support import traces
from tests.support.compare import assembled, request_paths
from tests.support.trace_builder import Trace, healthy

TIERS = Tiers()


def engine_paths(spans: list[Span], tiers: Tiers = TIERS) -> dict[bytes, reference.RequestPath]:
    """Paths by trace id, by the engine."""
    strings = Strings(tiers)
    return request_paths(assembled(spans, strings), strings)


def differs(spans: list[Span], tiers: Tiers = TIERS) -> bool:
    """Whether the two do not agree on a trace alone."""
    return engine_paths(spans, tiers) != {spans[0].trace_id: reference.assemble(spans, tiers)}


def compare(batch: list[list[Span]], chance: random.Random, tiers: Tiers = TIERS) -> None:
    """Several traces at once, mixed: each path equals the one that the reference makes of the trace alone."""
    expected = {spans[0].trace_id: reference.assemble(spans, tiers) for spans in batch}
    mixed = [span for spans in batch for span in spans]
    chance.shuffle(mixed)
    got = engine_paths(mixed, tiers)
    for spans in batch:
        trace_id = spans[0].trace_id
        if got.get(trace_id) != expected[trace_id]:
            least = traces.smallest(spans, lambda some: differs(some, tiers)) if differs(spans, tiers) else spans
            assert engine_paths(least, tiers)[trace_id] == reference.assemble(least, tiers), least
            assert got.get(trace_id) == expected[trace_id], "they differ in company only"
    assert got == expected


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True).flatmap(
        lambda ids: st.tuples(*(traces.spans(trace_id=bytes([i // 2]) * 8 + bytes([i % 2]) * 8) for i in ids))
    ),
    st.randoms(use_true_random=False),
)
def test_on_drawn_traces(batch: tuple[list[Span], ...], shuffle: random.Random) -> None:
    """Few at once, trace ids that share a half: what fails here is shrunk by Hypothesis."""
    mixed = [span for spans in batch for span in spans]
    shuffle.shuffle(mixed)
    assert engine_paths(mixed) == {spans[0].trace_id: reference.assemble(spans, TIERS) for spans in batch}


@pytest.mark.parametrize("seed", range(30))
def test_on_seeded_traces(seed: int) -> None:
    """Five batches each, of 1 to 60 traces, small ones or large ones: about 4,000 traces in all."""
    chance = traces.Seeded(seed)
    for _ in range(5):
        most = chance.pick((3, 6, 14, 14, 30))
        batch = [
            traces.random_spans(chance, (number // 3).to_bytes(8) + (number % 3).to_bytes(8), most)
            for number in range(chance.pick((1, 5, 20, 40, 60)))
        ]
        compare(batch, chance.random)


@pytest.mark.parametrize("seed", range(5))
def test_with_other_tiers(seed: int) -> None:
    """Tiers are configuration: fewer of them, in another order, and another edge."""
    chance = traces.Seeded(1000 + seed)
    tiers = Tiers(order=("gateway", "edge", "balancer"), edge="balancer")
    compare([traces.random_spans(chance, number.to_bytes(16)) for number in range(1, 40)], chance.random, tiers)


def test_on_one_trace_of_ten_thousand_spans_among_others() -> None:
    """What one hostile trace does must not reach the others."""
    big = healthy()
    for number in range(9_992):
        big.add(SpanKind.INTERNAL, "gateway", 21, 22, big.spans[number % 8])
    batch = [big.spans, [s for s in healthy().spans if s.span_id != 3]]
    batch[1] = [Span(**{f: getattr(s, f) for f in s.__slots__} | {"trace_id": b"\x02" * 16}) for s in batch[1]]
    compare(batch, random.Random(1))


@pytest.mark.parametrize("length", [2, 63, 64, 65, 100, 600])
def test_on_long_ways_and_rings(length: int) -> None:
    """Chains longer than a path may be, and the same chains bitten in their tails."""
    chain, ring = Trace(b"\x01" * 16), Trace(b"\x02" * 16)
    for trace, first in ((chain, None), (ring, length)):
        above: Span | int | None = first
        for number in range(length):
            above = trace.server("edge", number, 2000 - number, above, component=f"edge-{number}", status=200)
    compare([chain.spans, ring.spans], random.Random(1))


def test_ten_thousand_attempts() -> None:
    """Counted, clipped and summed: the reference takes too long for it, so the figures are worked out here."""
    trace = Trace()
    edge = trace.server("edge", 0, 100_000, status=200)
    for number in range(9_998):
        trace.client("edge", number * 10, number * 10 + 4, edge, status=503)
    answer = trace.client("edge", 99_990, 99_999, edge, status=200)
    trace.server("api", 99_992, 99_995, answer, status=200)
    (path,) = engine_paths(trace.spans).values()
    assert (path.attempts, path.retries, path.retry_ns) == (9_999, 9_998, 9_998 * 4)
    assert path.hops[0].self_ns == 100_000 - 9_998 * 4 - 9
    assert path.network_ns == 6
