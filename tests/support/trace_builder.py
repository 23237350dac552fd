"""Readable traces for examples: spans from interval to interval, and a path as a table of its times."""

from typing import Any

from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import SpanKind

T0 = 1_760_000_000_000_000_000
"""When the traces begin, in ns since the epoch."""


class Trace:
    """Spans of one trace, each made with where it begins and ends: ns after :data:`T0`, by a clock that all share."""

    def __init__(self, trace_id: bytes = b"\x01" * 16) -> None:
        self.trace_id = trace_id
        self.spans: list[Span] = []

    def server(self, tier: str, begin: int, end: int, under: Span | int | None = None, **fields: Any) -> Span:
        """An inbound span, called by ``under`` (a span, or the id of one that was lost); nobody if left out."""
        return self.add(SpanKind.SERVER, tier, begin, end, under, **fields)

    def client(self, tier: str, begin: int, end: int, under: Span | int | None = None, **fields: Any) -> Span:
        """An outbound span of ``tier``."""
        return self.add(SpanKind.CLIENT, tier, begin, end, under, **fields)

    def add(self, kind: int, tier: str, begin: int, end: int, under: Span | int | None = None, **fields: Any) -> Span:
        """A span of any kind; the component is named for its tier, ids count from 1."""
        made: dict[str, Any] = {
            "trace_id": self.trace_id,
            "span_id": len(self.spans) + 1,
            "parent_id": under.span_id if isinstance(under, Span) else under or 0,
            "kind": kind,
            "start_ns": T0 + begin,
            "duration_ns": end - begin,
            "tier": tier,
            "component": tier,
        }
        span = Span(**{**made, **fields})
        self.spans.append(span)
        return span

    def path(self, tiers: Tiers | None = None) -> RequestPath:
        """The reference's path."""
        return assemble(self.spans, tiers or Tiers())


def healthy(**api_fields: Any) -> Trace:
    """A request through all five tiers, 100 ns long, 35 of them in the API; ``api_fields`` are of the API's span."""
    trace = Trace()
    client = trace.client("client", 0, 100, status=200)
    edge = trace.server("edge", 10, 90, client, status=200, pop="fra", region="eu")
    to_balancer = trace.client("edge", 15, 85, edge, status=200, pop="fra")
    balancer = trace.server("balancer", 17, 83, to_balancer, status=200)
    to_gateway = trace.client("balancer", 18, 80, balancer, status=200)
    gateway = trace.server("gateway", 20, 78, to_gateway, status=200)
    to_api = trace.client("gateway", 25, 70, gateway, status=200)
    trace.server(
        "api",
        30,
        65,
        to_api,
        **{"status": 200, "route": "/v1/charges", "method": "POST", "tenant": "acct_1", **api_fields},
    )
    return trace


def table(path: RequestPath) -> list[tuple[str, int, int, int, int]]:
    """(tier, self, retry, network, attempts) of every hop; what is unattributed is asserted where there is some."""
    return [(h.tier, h.self_ns, h.retry_ns, h.network_ns, h.attempts) for h in path.hops]


def identity(path: RequestPath) -> int:
    """What the time identity leaves over: 0 for every path (design, section 2)."""
    hops = sum(h.self_ns + h.retry_ns + h.network_ns for h in path.hops)
    return path.total_ns - hops - path.unattributed_ns
