"""Consistent probability sampling: every component of a way takes the same decision, and the spans say how many they stand for.

A trace is kept if its 56 random bits are not below a threshold; the threshold stands in tracestate (``ot=th:``), so that
counts stay right at any rate.

Sources: OpenTelemetry specification, "TraceState: Probability Sampling" and "Trace SDK, Sampling"; W3C Trace Context level 2.

OpenTelemetry's SDK 1.45 has samplers for this as an experiment. They cannot be used yet: its tracer does not hand them the
tracestate, and takes their answer's attributes, which are none, for the span's.
"""

from collections.abc import Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

_BITS: Final = 56
_MOST: Final = 1 << _BITS
_DIGITS: Final = 14
_KEY: Final = "ot"
_LIMIT: Final = 256
"""Most characters of the value in tracestate."""


def threshold(ratio: float) -> int:
    """The rejection threshold for a probability of 0 to 1, to four significant hex digits as the specification advises."""
    exact = _MOST - round(ratio * _MOST)
    # Digits that stand before the precision begins: a small probability has a threshold of many leading F.
    leading = 0
    while leading < _DIGITS and exact >> 4 * (_DIGITS - 1 - leading) & 0xF == 0xF:
        leading += 1
    cut = 4 * max(0, _DIGITS - leading - 4)
    return min((exact + (1 << cut >> 1)) >> cut << cut, _MOST)


def as_text(value: int) -> str:
    """A threshold as tracestate has it: hex, without trailing zeros."""
    return f"{value:014x}".rstrip("0") or "0"


class ConsistentSampler(Sampler):
    """Keeps a share of the traces that begin here; follows the decision of those that began elsewhere.

    Args:
        ratio: the share, 0 to 1.
        follow: whether a parent's decision is followed. If not, the same threshold is applied to every span, which keeps a
            subset or superset of the traces that others keep.
    """

    def __init__(self, ratio: float, *, follow: bool = True) -> None:
        self._ratio = ratio
        self._follow = follow
        self._threshold = threshold(ratio)
        self._member = f"th:{as_text(self._threshold)}"
        self._state = TraceState([(_KEY, self._member)])

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,  # noqa: ARG002 - the interface's
        kind: SpanKind | None = None,  # noqa: ARG002 - the interface's
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002 - the interface's
        trace_state: TraceState | None = None,  # noqa: ARG002 - never given: it is the parent's
    ) -> SamplingResult:
        """The decision for one span, and the tracestate that says it."""
        parent = trace.get_current_span(parent_context).get_span_context()
        if not parent.is_valid:
            if trace_id & (_MOST - 1) < self._threshold:
                return SamplingResult(Decision.DROP)
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, self._state)
        state = parent.trace_state
        if self._follow:
            if not parent.trace_flags.sampled:
                return SamplingResult(Decision.DROP, None, state)
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, _checked(state, trace_id))
        given = _members(state)
        if _random(given, trace_id) < self._threshold:
            return SamplingResult(Decision.DROP, None, _with(state, given, None))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, _with(state, given, self._member))

    def get_description(self) -> str:
        """For people."""
        return f"Consistent{{ratio={self._ratio}, {self._member}{', parent based' if self._follow else ''}}}"


def sampler(name: str, ratio: float) -> Sampler | None:
    """The sampler that ``OTEL_TRACES_SAMPLER`` calls ``name``; ``None`` for one that OpenTelemetry's SDK has to look up."""
    share = {"always_on": 1.0, "always_off": 0.0, "traceidratio": ratio}.get(name.removeprefix("parentbased_"))
    return None if share is None else ConsistentSampler(share, follow=name.startswith("parentbased_"))


def _members(state: TraceState | None) -> list[str]:
    value = state.get(_KEY, "") if state else ""
    return value.split(";") if value and len(value) <= _LIMIT else []


def _hex(members: Sequence[str], key: str) -> str | None:
    found = next((member[3:] for member in members if member.startswith(key)), None)
    return found if found and len(found) <= _DIGITS and all(c in "0123456789abcdef" for c in found) else None


def _random(members: Sequence[str], trace_id: int) -> int:
    explicit = _hex(members, "rv:")
    return int(explicit, 16) if explicit is not None and len(explicit) == _DIGITS else trace_id & (_MOST - 1)


def _checked(state: TraceState | None, trace_id: int) -> TraceState | None:
    """``state``; without its threshold if a sampled trace cannot have it: counts must not be made of a contradiction."""
    if not state or _KEY not in state:
        return state
    members = _members(state)
    given = _hex(members, "th:")
    if given is None or int(given.ljust(_DIGITS, "0"), 16) <= _random(members, trace_id):
        return state
    return _with(state, members, None)


def _with(state: TraceState | None, members: Sequence[str], member: str | None) -> TraceState | None:
    kept = [each for each in members if not each.startswith("th:")]
    value = ";".join([member, *kept] if member else kept)
    others = [(key, other) for key, other in state.items() if key != _KEY] if state else []
    if not value:
        return TraceState(others) if others else None
    return TraceState([(_KEY, value), *others])
