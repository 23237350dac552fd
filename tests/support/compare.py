"""The engine's columns as the reference's objects, so that both can be compared with ``==``."""

from typing import Any

from telemetry.domain.outcome import Verdict
from telemetry.domain.paths import Hop, RequestPath
from telemetry.domain.spans import Span
from telemetry.engine.columns import STRING_COLUMNS, SpanColumns, Strings
from telemetry.engine.paths import PathColumns
from telemetry.vocabulary import Outcome


def request_paths(columns: PathColumns, strings: Strings) -> dict[bytes, RequestPath]:
    """Trace id to request path."""
    network, retry, unattributed = (
        columns.per_path(getattr(columns.times, name)) for name in ("network", "retry", "unattributed")
    )
    found = {}
    for i in range(len(columns)):
        text = strings.text
        trace_id = int(columns.trace_high[i]).to_bytes(8) + int(columns.trace_low[i]).to_bytes(8)
        v = columns.verdicts
        found[trace_id] = RequestPath(
            trace_id=trace_id,
            start_ns=int(columns.start[i]),
            environment=text(columns.environment[i]),
            region=text(columns.region[i]),
            pop=text(columns.pop[i]),
            route=text(columns.route[i]),
            method=text(columns.method[i]),
            status=int(columns.status[i]),
            verdict=Verdict(
                Outcome(text(v.outcome[i])),
                text(v.blamed_tier[i]),
                text(v.blamed_component[i]),
                text(v.blamed_pop[i]),
                text(v.reason[i]),
            ),
            reached_api=bool(columns.reached_api[i]),
            gaps=tuple(text(c) for c in columns.gaps[columns.gap_begin[i] : columns.gap_begin[i + 1]]),
            total_ns=int(columns.total[i]),
            edge_ns=int(columns.edge[i]),
            api_ns=int(columns.api[i]),
            network_ns=int(network[i]),
            retry_ns=int(retry[i]),
            unattributed_ns=int(unattributed[i]),
            attempts=int(columns.attempts[i]),
            retries=int(columns.retries[i]),
            weight=float(columns.weight[i]),
            spans=int(columns.spans[i]),
            client_hash=int(columns.client_hash[i]),
            hops=tuple(_hop(columns, strings, j) for j in range(columns.ways.begin[i], columns.ways.begin[i + 1])),
        )
    return found


def _hop(columns: PathColumns, strings: Strings, j: int) -> Hop:
    spans, times = columns.hop_spans, columns.times
    return Hop(
        span_id=int(spans.span_id[j]),
        tier=strings.text(spans.tier[j]),
        component=strings.text(spans.component[j]),
        pop=strings.text(spans.pop[j]),
        offset_ns=int(times.offset[j]),
        duration_ns=int(times.duration[j]),
        self_ns=int(times.self_time[j]),
        retry_ns=int(times.retry[j]),
        network_ns=int(times.network[j]),
        unattributed_ns=int(times.unattributed[j]),
        status=int(spans.status[j]),
        flags=strings.text(spans.flags[j]),
        error=strings.text(spans.error[j]),
        attempts=int(times.attempts[j]),
        failed=bool(columns.hop_failed[j]),
    )


def spans_of(columns: SpanColumns, strings: Strings) -> list[Span]:
    """The engine's spans as the domain's."""
    return [
        Span(
            trace_id=int(columns.trace_high[i]).to_bytes(8) + int(columns.trace_low[i]).to_bytes(8),
            span_id=int(columns.span_id[i]),
            parent_id=int(columns.parent_id[i]),
            kind=int(columns.kind[i]),
            start_ns=int(columns.start[i]),
            duration_ns=int(columns.duration[i]),
            status=int(columns.status[i]),
            side_call=bool(columns.side_call[i]),
            weight=float(columns.weight[i]),
            client_hash=int(columns.client_hash[i]),
            arrival_ms=int(columns.arrival_ms[i]),
            offset=int(columns.offset[i]),
            **{name: strings.text(int(getattr(columns, name)[i])) for name in STRING_COLUMNS},
        )
        for i in range(len(columns))
    ]


def row_of(path: RequestPath) -> dict[str, Any]:
    """The path as a row of ``request_paths``, by column; ``start`` in ns; without what only the engine knows."""
    v = path.verdict
    hops = {f"hops.{name}": [getattr(hop, name) for hop in path.hops] for name in Hop.__dataclass_fields__}
    return {
        "trace_id": path.trace_id,
        "trace_hex": path.trace_id.hex(),
        "start": path.start_ns,
        "outcome": str(v.outcome),
        "complete": path.complete,
        "gaps": list(path.gaps),
        "blamed_tier": v.blamed_tier,
        "blamed_component": v.blamed_component,
        "blamed_pop": v.blamed_pop,
        "blame_reason": v.reason,
        **{name: getattr(path, name) for name in _SAME_NAME},
        **hops,
    }


_SAME_NAME = (
    *("environment", "region", "pop", "route", "method", "status", "reached_api"),
    *("total_ns", "edge_ns", "api_ns", "network_ns", "retry_ns", "unattributed_ns"),
    *("attempts", "retries", "weight", "spans", "client_hash"),
)
