"""A span as the domain sees it: normalized, of one generation of names, with only what a request path needs."""

from dataclasses import dataclass
from typing import Final

from telemetry.vocabulary import UNKNOWN_TIER, SpanKind

MAX_DURATION_NS: Final = 24 * 3600 * 1_000_000_000
"""A span that claims to be longer than a day has a broken clock, not a long request."""
MAX_START_NS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Span:
    """One span.

    Attributes:
        trace_id: 16 bytes.
        span_id: unsigned 64-bit.
        parent_id: 0 for a root.
        kind: :class:`telemetry.vocabulary.SpanKind`.
        start_ns: nanoseconds since the epoch by the component's own clock.
        duration_ns: at least 0.
        status: HTTP status, 0 if none.
        flags: Envoy response flags, empty if none.
        error: ``error.type``, or ``error`` where only the span status says so, else empty.
        route: template (``/v1/customers/{id}``), empty if the component does not know it.
        path: URL path with what looks like an identifier replaced; used where no hop knows the route.
        tenant: on whose behalf the request came (a merchant, an account), empty if the component does not say.
        side_call: a call beside the way (database, queue).
        weight: requests that this span stands for; 0 if its tracestate has no threshold.
        client_hash: hash of the client's address, 0 if unknown.
    """

    trace_id: bytes
    span_id: int
    parent_id: int = 0
    kind: int = SpanKind.INTERNAL
    start_ns: int = 0
    duration_ns: int = 0
    component: str = ""
    tier: str = UNKNOWN_TIER
    pop: str = ""
    region: str = ""
    environment: str = ""
    status: int = 0
    flags: str = ""
    error: str = ""
    route: str = ""
    path: str = ""
    method: str = ""
    tenant: str = ""
    side_call: bool = False
    weight: float = 0.0
    client_hash: int = 0
    arrival_ms: int = 0
    offset: int = 0

    @property
    def end_ns(self) -> int:
        """Start plus duration."""
        return self.start_ns + self.duration_ns

    @property
    def bad(self) -> bool:
        """Whether this span says that it did not serve its request: a 4xx or 5xx, an error, or no answer but a flag."""
        return self.status >= 400 or self.error != "" or (self.status == 0 and self.flags != "")


def sane_times(start: int, end: int) -> tuple[int, int]:
    """(start, duration) in ns of a span that claims ``start`` and ``end``; a broken claim gets the duration 0.

    Broken are: a zero start, an end before the start, more than a day, a time past the year 2116.
    """
    if 0 < start <= end < MAX_START_NS and end - start <= MAX_DURATION_NS:
        return start, end - start
    return next((t for t in (start, end) if 0 < t < MAX_START_NS), 0), 0
