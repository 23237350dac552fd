"""Spans as the engine holds them: an array of records of one fixed form, 144 bytes each; strings are codes."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.domain.spans import Span
from telemetry.engine.strings import Strings

SpanArray = NDArray[np.void]
"""An array of :data:`SPAN`."""

STRING_FIELDS: Final = (
    "component",
    "tier",
    "pop",
    "region",
    "environment",
    "flags",
    "error",
    "route",
    "path",
    "method",
    "tenant",
)
"""The fields that hold codes of one :class:`telemetry.engine.strings.Strings`."""

SPAN: Final = np.dtype(
    [
        ("trace_high", np.uint64),
        ("trace_low", np.uint64),
        ("span_id", np.uint64),
        ("parent_id", np.uint64),
        ("start", np.int64),
        ("duration", np.int64),
        ("client_hash", np.uint64),
        ("weight", np.float64),
        ("arrival_ms", np.int64),
        ("offset", np.int64),
        ("kind", np.int32),
        ("status", np.int32),
        *((name, np.int32) for name in STRING_FIELDS),
        ("side_call", np.int32),
        ("bad", np.int32),
    ],
    align=True,
)
"""As :class:`telemetry.domain.spans.Span`, which says what each field is; times in ns. ``bad`` is ``Span.bad``."""

_OTHER_NAMES: Final = {"start": "start_ns", "duration": "duration_ns"}


def span_array(spans: Sequence[Span], strings: Strings) -> SpanArray:
    """From the domain's spans; slow, for tests and small things."""
    made = np.zeros(len(spans), dtype=SPAN)
    for row, span in zip(made, spans, strict=True):
        row["trace_high"] = int.from_bytes(span.trace_id[:8])
        row["trace_low"] = int.from_bytes(span.trace_id[8:])
        for name in SPAN.names or ():
            if name in STRING_FIELDS:
                row[name] = strings.code(getattr(span, name))
            elif not name.startswith("trace_"):
                row[name] = getattr(span, _OTHER_NAMES.get(name, name))
    return made


def domain_spans(spans: SpanArray, strings: Strings) -> list[Span]:
    """As the domain's spans; slow, for tests and small things."""
    return [_domain_span(row, strings) for row in spans]


def _domain_span(row: Any, strings: Strings) -> Span:
    return Span(
        trace_id=int(row["trace_high"]).to_bytes(8) + int(row["trace_low"]).to_bytes(8),
        span_id=int(row["span_id"]),
        parent_id=int(row["parent_id"]),
        kind=int(row["kind"]),
        start_ns=int(row["start"]),
        duration_ns=int(row["duration"]),
        status=int(row["status"]),
        side_call=bool(row["side_call"]),
        weight=float(row["weight"]),
        client_hash=int(row["client_hash"]),
        arrival_ms=int(row["arrival_ms"]),
        offset=int(row["offset"]),
        **{name: strings.text(int(row[name])) for name in STRING_FIELDS},
    )
