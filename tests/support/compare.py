"""The engine's paths as the reference's objects, so that both can be compared with ``==``."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from telemetry.domain.outcome import Verdict
from telemetry.domain.paths import Hop, RequestPath
from telemetry.domain.spans import Span
from telemetry.engine.paths import Paths, assemble
from telemetry.engine.spans import span_array
from telemetry.engine.strings import Strings
from telemetry.vocabulary import Outcome


def assembled(spans: Sequence[Span], strings: Strings) -> Paths:
    """The engine's paths of spans of several traces, in any order."""
    members: dict[bytes, list[int]] = {}
    for place, span in enumerate(spans):
        members.setdefault(span.trace_id, []).append(place)
    sizes = [len(some) for some in members.values()]
    flat = [place for some in members.values() for place in some]
    return assemble(
        span_array(spans, strings), np.array(flat, dtype=np.int64), np.cumsum(sizes, dtype=np.int64), strings
    )


def request_paths(found: Paths, strings: Strings) -> dict[bytes, RequestPath]:
    """Trace id to request path."""
    made = (_request_path(row, found, strings) for row in found.paths)
    return {path.trace_id: path for path in made}


def _request_path(row: Any, found: Paths, strings: Strings) -> RequestPath:
    def text(name: str) -> str:
        return strings.text(int(row[name]))

    hops = found.hops[int(row["first_hop"]) :][: int(row["hops"])]
    gaps = found.gaps[int(row["first_gap"]) :][: int(row["gaps"])]
    return RequestPath(
        trace_id=int(row["trace_high"]).to_bytes(8) + int(row["trace_low"]).to_bytes(8),
        start_ns=int(row["start"]),
        environment=text("environment"),
        region=text("region"),
        pop=text("pop"),
        route=text("route"),
        method=text("method"),
        tenant=text("tenant"),
        status=int(row["status"]),
        verdict=Verdict(
            Outcome(text("outcome")), text("blamed_tier"), text("blamed_component"), text("blamed_pop"), text("reason")
        ),
        reached_api=bool(row["reached_api"]),
        gaps=tuple(strings.text(int(code)) for code in gaps),
        total_ns=int(row["total"]),
        edge_ns=int(row["edge"]),
        api_ns=int(row["api"]),
        network_ns=int(row["network"]),
        retry_ns=int(row["retry"]),
        unattributed_ns=int(row["unattributed"]),
        attempts=int(row["attempts"]),
        retries=int(row["retries"]),
        weight=float(row["weight"]),
        spans=int(row["spans"]),
        client_hash=int(row["client_hash"]),
        hops=tuple(_hop(hop, strings) for hop in hops),
    )


def _hop(row: Any, strings: Strings) -> Hop:
    return Hop(
        span_id=int(row["span_id"]),
        tier=strings.text(int(row["tier"])),
        component=strings.text(int(row["component"])),
        pop=strings.text(int(row["pop"])),
        offset_ns=int(row["offset"]),
        duration_ns=int(row["duration"]),
        self_ns=int(row["self"]),
        retry_ns=int(row["retry"]),
        network_ns=int(row["network"]),
        unattributed_ns=int(row["unattributed"]),
        status=int(row["status"]),
        flags=strings.text(int(row["flags"])),
        error=strings.text(int(row["error"])),
        attempts=int(row["attempts"]),
        failed=bool(row["failed"]),
    )


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
    *("environment", "region", "pop", "route", "method", "tenant", "status", "reached_api"),
    *("total_ns", "edge_ns", "api_ns", "network_ns", "retry_ns", "unattributed_ns"),
    *("attempts", "retries", "weight", "spans", "client_hash"),
)
