"""Consistent probability sampling: thresholds, decisions, and counts that stay right."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from telemetry.domain.weight import from_tracestate
from telemetry.sdk import http
from telemetry.sdk.sampling import ConsistentSampler, as_text, sampler, threshold
from telemetry.vocabulary import Outcome
from tests.unit.sdk.sdk_support import collector, run


def is_kept(result: SamplingResult) -> bool:
    """The decision."""
    return result.decision is Decision.RECORD_AND_SAMPLE


RATIOS = st.floats(0, 1).filter(lambda ratio: ratio == 0 or ratio > 2e-6)


def parent(*, sampled: bool, state: str = "", trace_id: int = 1 << 100) -> Context:
    """A context with a remote parent."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else 0)
    trace_state = TraceState.from_header([state]) if state else TraceState()
    return trace.set_span_in_context(trace.NonRecordingSpan(SpanContext(trace_id, 7, True, flags, trace_state)))


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1, "0"), (0.5, "8"), (0.25, "c"), (0.1, "e666"), (1 / 3, "aaab"), (0.01, "fd70a"), (2**-20, "fffff")],
)
def test_thresholds(ratio: float, text: str) -> None:
    """The specification's own examples where it has them: 56 bits, trailing zeros left out, four significant digits."""
    assert as_text(threshold(ratio)) == text


@given(RATIOS.filter(bool))
def test_the_weight_is_one_over_the_probability(ratio: float) -> None:
    """To the precision that is kept; as the pipeline reads it."""
    weight = from_tracestate(f"ot=th:{as_text(threshold(ratio))}")
    assert weight == pytest.approx(1 / ratio, rel=2e-4)


@given(st.integers(1, 2**128 - 1), RATIOS, RATIOS)
def test_decisions_are_consistent(trace_id: int, one: float, other: float) -> None:
    """What the smaller share keeps, the larger keeps, too; and who keeps it says with which threshold."""
    small, large = sorted((one, other))
    low = ConsistentSampler(small).should_sample(None, trace_id, "x")
    high = ConsistentSampler(large).should_sample(None, trace_id, "x")
    assert not is_kept(low) or is_kept(high)
    if is_kept(low):
        assert low.trace_state is not None
        assert low.trace_state["ot"] == f"th:{as_text(threshold(small))}"


def test_counts_stay_right() -> None:
    """The weights of what was kept add up to about what there was, at any rate."""
    rnd = random.Random(1)
    ids = [rnd.getrandbits(128) for _ in range(40_000)]
    for ratio in (1.0, 0.3, 0.05):
        kept = [ConsistentSampler(ratio).should_sample(None, each, "x") for each in ids]
        total = sum(from_tracestate(f"ot={r.trace_state['ot']}") for r in kept if r.trace_state)
        assert total == pytest.approx(len(ids), rel=0.06)


def test_attributes_are_kept() -> None:
    """OpenTelemetry's experimental samplers lose them."""
    assert ConsistentSampler(1).should_sample(None, 5, "x", attributes={"a": 1}).attributes == {"a": 1}


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_the_parents_decision_is_followed(ratio: float) -> None:
    """Whatever the share of one's own; its tracestate goes on as it came."""
    kept = ConsistentSampler(ratio).should_sample(
        parent(sampled=True, state="ot=th:8;rv:ffffffffffffff,a=b"), 1 << 100, "x"
    )
    assert is_kept(kept)
    assert kept.trace_state is not None
    assert kept.trace_state.to_header() == "ot=th:8;rv:ffffffffffffff,a=b"
    lost = ConsistentSampler(ratio).should_sample(parent(sampled=False, state="a=b"), 1 << 100, "x")
    assert not is_kept(lost)
    assert lost.trace_state is not None
    assert lost.trace_state.to_header() == "a=b"


def test_a_contradiction_is_not_counted_with() -> None:
    """A sampled trace whose random bits are below its threshold: the threshold goes, the rest stays."""
    result = ConsistentSampler(1).should_sample(parent(sampled=True, state="ot=th:8;p:1,a=b"), 1 << 100, "x")
    assert result.trace_state is not None
    assert result.trace_state.to_header() == "ot=p:1,a=b"


def test_not_parent_based() -> None:
    """The same threshold for every span, by the random value in tracestate if there is one."""
    half = ConsistentSampler(0.5, follow=False)
    kept = half.should_sample(parent(sampled=False, state="ot=rv:80000000000000,a=b"), 1 << 100, "x")
    assert kept.trace_state is not None
    assert kept.trace_state.to_header() == "ot=th:8;rv:80000000000000,a=b"
    lost = half.should_sample(parent(sampled=True, state="ot=th:4;rv:7fffffffffffff"), (1 << 128) - 1, "x")
    assert not is_kept(lost)
    assert lost.trace_state is not None
    assert lost.trace_state.to_header() == "ot=rv:7fffffffffffff"


@given(st.text("oth:rv;,=0189af", max_size=60))
def test_hostile_tracestate(value: str) -> None:
    """Whatever stands there, there is a decision."""
    for each in (ConsistentSampler(0.5), ConsistentSampler(0.5, follow=False)):
        each.should_sample(parent(sampled=True, state=f"ot={value}"), 1 << 100, "x")


def test_names() -> None:
    """Those of the specification; what is not among them is OpenTelemetry's to find."""
    assert sampler("parentbased_traceidratio", 0.5) is not None
    assert sampler("always_off", 1.0) is not None
    assert sampler("jaeger_remote", 1.0) is None


def test_a_service_that_samples() -> None:
    """Spans say their threshold, so does the outgoing header; metrics count every request; exemplars lead to traces."""
    code = """
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra", sampling=0.25)
        headers = set()
        for _ in range(200):
            with telemetry.hop(method="GET", route="/v1/x") as hop, telemetry.attempt("GET", "api") as attempt:
                headers.add(attempt.headers().get("tracestate"))
                hop.status(200)
        assert headers == {"ot=th:c", None}, headers
    """
    with collector() as here:
        run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
        ids = {span.trace_id for span in here.spans()}
        assert 20 < len(ids) < 90
        assert {span.trace_state for span in here.spans()} == {"ot=th:c"}
        (metric,) = here.metrics("http.server.request.duration")
        (point,) = metric.exponential_histogram.data_points
        assert point.count == 200
        assert {exemplar.trace_id for exemplar in point.exemplars} & ids


@pytest.mark.parametrize(
    ("environment", "kept"),
    [
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, 0),
        ({"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "lots"}, 5),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, 5),
    ],
)
def test_the_operators_word_wins(environment: dict[str, str], kept: int) -> None:
    """Over ``sampling=``; a bad share is said and is 1."""
    code = """
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra", sampling=0.5)
        for _ in range(5):
            with telemetry.hop("x"):
                pass
    """
    with collector() as here:
        out = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, OTEL_METRICS_EXPORTER="none", **environment)
        assert len(here.spans()) == kept
    assert ("OTEL_TRACES_SAMPLER_ARG" in out) is (environment.get("OTEL_TRACES_SAMPLER_ARG") == "lots")


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (200, None, Outcome.OK),
        (0, None, Outcome.OK),
        (404, None, Outcome.CLIENT_ERROR),
        (429, None, Outcome.THROTTLED),
        (500, "500", Outcome.EDGE_ERROR),
        (504, "504", Outcome.TIMEOUT),
        (0, "ReadTimeout", Outcome.TIMEOUT),
        (200, "cancelled", Outcome.CANCELLED),
        (499, None, Outcome.CANCELLED),
        (0, "incomplete_response", Outcome.EDGE_ERROR),
        (200, "ValueError", Outcome.EDGE_ERROR),
    ],
)
def test_outcomes(status: int, error: str | None, expected: Outcome) -> None:
    """Of a component before the API."""
    assert http.outcome(status, error, Outcome.EDGE_ERROR) == expected
