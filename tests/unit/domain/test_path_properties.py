"""What holds for every path, whatever the spans. Random forests by ``tests.support.traces``."""

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.domain.outcome import is_cancel, is_timeout
from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import DEFAULT_TIERS, Outcome, SpanKind
from tests.support import traces
from tests.support.trace_builder import T0, Trace, identity

TIERS = Tiers()


@settings(max_examples=150, deadline=None)
@given(traces.spans(), st.randoms(use_true_random=False))
def test_every_trace_makes_a_sound_path(spans: list[Span], chance: random.Random) -> None:
    """The time identity holds exactly; order and copies change nothing; the parts agree with each other."""
    path = assemble(spans, TIERS)
    assert identity(path) == 0
    again = spans + chance.choices(spans, k=3)
    chance.shuffle(again)
    assert assemble(again, TIERS) == path
    _hops_are_sound(path)
    _sums_agree(path)
    _verdict_is_sound(path)


def _hops_are_sound(path: RequestPath) -> None:
    for hop in path.hops:
        assert min(hop.self_ns, hop.retry_ns, hop.network_ns, hop.attempts) >= 0
        assert hop.unattributed_ns <= 0
        assert hop.self_ns + hop.retry_ns <= hop.duration_ns
        assert hop.network_ns == 0 or hop.unattributed_ns == 0
    assert len({hop.span_id for hop in path.hops}) == len(path.hops)
    assert [hop.tier for hop in path.hops].count("api") == path.reached_api
    assert path.reached_api == (path.hops[-1].tier == "api")


def _sums_agree(path: RequestPath) -> None:
    assert path.total_ns == path.hops[0].duration_ns
    assert path.network_ns == sum(h.network_ns for h in path.hops)
    assert path.retry_ns == sum(h.retry_ns for h in path.hops)
    assert path.attempts == sum(h.attempts for h in path.hops)
    assert 0 <= path.retries <= path.attempts
    assert path.edge_ns == max(0, path.total_ns - path.api_ns)
    assert path.weight > 0


def _verdict_is_sound(path: RequestPath) -> None:
    v = path.verdict
    if v.outcome is Outcome.OK:
        assert (v.blamed_tier, v.blamed_component, v.blamed_pop, v.reason) == ("", "", "", "")
        return
    assert v.reason
    assert (v.blamed_tier, v.blamed_component, v.blamed_pop) in {(h.tier, h.component, h.pop) for h in path.hops}
    failed = [h for h in path.hops if h.failed]
    if v.outcome is Outcome.API_ERROR:
        assert path.reached_api
        assert v.blamed_tier == "api"
    if v.outcome is Outcome.BLOCKED and path.reached_api:
        assert any("UAEX" in h.flags for h in failed)
    if v.outcome is Outcome.EDGE_ERROR:
        assert v.blamed_tier != "api"
        assert not is_timeout(failed[0].status, failed[0].flags, failed[0].error)
        assert not is_cancel(failed[0].status, failed[0].flags, failed[0].error)


@st.composite
def chains(draw: st.DrawFn) -> Trace:
    """A chain of tiers by one sane clock: every span within its parent, retries before the answer."""
    trace = Trace()
    begin, end = 0, draw(st.integers(200, 10_000))
    above: Span | None = None
    for tier in DEFAULT_TIERS[draw(st.integers(0, 2)) :]:
        here = trace.server(tier, begin, end, above, status=200)
        for _ in range(draw(st.integers(0, 2))):
            middle = draw(st.integers(begin, end))
            trace.client(tier, begin, middle, here, status=503)
        begin = draw(st.integers(begin, end))
        end = draw(st.integers(begin, end))
        above = trace.client(tier, begin, end, here, status=200)
        begin = draw(st.integers(begin, end))
        end = draw(st.integers(begin, end))
    trace.spans.pop()
    return trace


@settings(max_examples=150, deadline=None)
@given(chains())
def test_with_sane_clocks_offsets_are_where_the_clock_says(trace: Trace) -> None:
    """Every hop lies within the path and within the hop above, nothing is unattributed."""
    path = trace.path()
    assert path.unattributed_ns == 0
    started = {s.span_id: s.start_ns - path.start_ns for s in trace.spans}
    for above, hop in zip((path.hops[0], *path.hops), path.hops, strict=False):
        assert hop.offset_ns == started[hop.span_id]
        assert above.offset_ns <= hop.offset_ns
        assert hop.offset_ns + hop.duration_ns <= above.offset_ns + above.duration_ns
    assert path.reached_api


@settings(max_examples=100, deadline=None)
@given(chains(), st.lists(st.integers(-(10**12), 10**12), min_size=5, max_size=5))
def test_clock_skew_between_components_changes_no_time(trace: Trace, skews: list[int]) -> None:
    """Each component's clock is off by as much as it likes: durations are trusted, so only offsets may differ."""
    skew = dict(zip(DEFAULT_TIERS, skews, strict=True))
    skewed = [dataclasses.replace(s, start_ns=s.start_ns + skew[s.tier]) for s in trace.spans]
    there, here = trace.path(), assemble(skewed, TIERS)
    for one, other in zip(there.hops, here.hops, strict=True):
        assert dataclasses.replace(one, offset_ns=0) == dataclasses.replace(other, offset_ns=0)
        assert 0 <= other.offset_ns <= there.total_ns
    assert (there.edge_ns, there.verdict) == (here.edge_ns, here.verdict)


@settings(max_examples=60, deadline=None)
@given(chains(), st.data())
def test_spans_that_do_not_count_change_nothing(trace: Trace, data: st.DataObject) -> None:
    """INTERNAL, PRODUCER and CONSUMER spans below any span are looked through; only their number is told."""
    before = trace.path()
    for _ in range(data.draw(st.integers(1, 4))):
        under = data.draw(st.sampled_from(trace.spans))
        kind = data.draw(st.sampled_from((SpanKind.INTERNAL, SpanKind.PRODUCER, SpanKind.CONSUMER, 0, 77)))
        trace.add(kind, under.tier, 0, 10, under, status=500, route="/never")
    assert dataclasses.replace(trace.path(), spans=before.spans) == before


def test_a_trace_has_at_least_one_span() -> None:
    """Nothing is nothing, not a path."""
    with pytest.raises(ValueError, match="a trace has at least one span"):
        assemble([], TIERS)


def test_the_start_is_the_first_hops() -> None:
    """By its own clock."""
    trace = Trace()
    client = trace.client("client", 5, 100)
    trace.server("api", -50, 10, client)
    assert trace.path().start_ns == T0 + 5
