"""Late spans: the path that was stored is taken back, and comes again with them as its next version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.engine.open_traces import Closed, Late
from telemetry.engine.past import Original
from telemetry.engine.paths import assemble
from telemetry.engine.rows import ROW_TYPES, late_rows, path_rows
from telemetry.engine.settings import EngineSettings
from telemetry.engine.span_data import unpack
from telemetry.engine.spans import SpanArray
from telemetry.engine.strings import Strings


@dataclass(slots=True)
class Restated:
    """What late spans lead to.

    Attributes:
        rows: rows for the block: late spans, old versions taken back, new versions.
        late: how many late spans there are.
        duplicates: how many were copies of spans that the path has already; they change nothing and are not stored.
        restated: how many paths are restated.
        kept: late spans of paths that cannot be restated (gone, too large, or restated too often); stored all the same.
        traces: halves of the ids of the traces that are in the block.
        last_offset: of the last record of each that contributed.
    """

    rows: list[Any]
    late: int
    duplicates: int
    restated: int
    kept: int
    traces: NDArray[np.uint64]
    last_offset: NDArray[np.int64]


def restate(late: Late, originals: Mapping[bytes, Original], strings: Strings, settings: EngineSettings) -> Restated:
    """Restate the paths of ``late`` traces, as far as their originals are known."""
    ids = [int(high).to_bytes(8) + int(low).to_bytes(8) for high, low in late.traces.tolist()]
    begins = np.concatenate(([0], late.ends[:-1]))
    usable = [originals[i] if i in originals and _usable(originals[i], settings) else None for i in ids]
    which = [number for number, original in enumerate(usable) if original is not None]
    old, old_ends = unpack([usable[n].span_data for n in which], late.traces[which], strings)  # type: ignore[union-attr]
    parts: list[SpanArray] = []
    ends: list[int] = []
    sizes = 0
    news: list[SpanArray] = []
    taken: list[Original] = []
    fresh_of: dict[int, SpanArray] = {}
    begin = 0
    for place, number in enumerate(which):
        before = old[begin : old_ends[place]]
        begin = int(old_ends[place])
        came = late.spans[begins[number] : late.ends[number]]
        fresh = came[~_copies(came, before)]
        fresh_of[number] = fresh
        if len(fresh):
            before["offset"] = 0
            parts += [before, fresh]
            sizes += len(before) + len(fresh)
            ends.append(sizes)
            original = usable[number]
            assert original is not None  # noqa: S101 - ``which`` says so
            taken.append(original)
    for number in range(len(ids)):
        news.append(fresh_of.get(number, late.spans[begins[number] : late.ends[number]]))
    stored = np.concatenate(news) if news else late.spans[:0]
    rows = [late_rows(stored, strings)] if len(stored) else []
    if taken:
        spans = np.concatenate(parts)
        bounds = np.array(ends, dtype=np.int64)
        paths = assemble(spans, np.arange(len(spans)), bounds, strings)
        closed = Closed(paths, spans, bounds, np.ones(len(bounds), dtype=np.bool_))
        versions = np.array([original.version + 1 for original in taken])
        rows += [taken_back(taken), path_rows(closed, strings, settings, versions)]
    present = [number for number, some in enumerate(news) if len(some)]
    return Restated(
        rows=rows,
        late=len(stored),
        duplicates=len(late.spans) - len(stored),
        restated=len(taken),
        kept=sum(len(news[n]) for n in range(len(ids)) if n not in fresh_of),
        traces=late.traces[present],
        last_offset=np.array([int(news[n]["offset"].max()) for n in present], dtype=np.int64),
    )


def taken_back(originals: Sequence[Original]) -> Any:
    """Rows that take the originals back: they repeat every column, with the sign -1 and without the spans."""
    columns = {name: [original.row[name] for original in originals] for name in ROW_TYPES.names if name in originals[0].row}
    columns |= {
        "kind": ["path"] * len(originals),
        "sign": [-1] * len(originals),
        "version": [original.version for original in originals],
        "span_data": [b""] * len(originals),
        "parent_id": [0] * len(originals),
        "span_kind": [0] * len(originals),
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in ROW_TYPES], schema=ROW_TYPES)


def _usable(original: Original, settings: EngineSettings) -> bool:
    return bool(original.span_data) and original.version < settings.max_versions


def _copies(came: SpanArray, before: SpanArray) -> NDArray[np.bool_]:
    """Which of the spans that came say nothing that the path does not have: copies of its spans, and of one another."""
    seen = {_said(span) for span in before}
    copies = np.zeros(len(came), dtype=np.bool_)
    for number, span in enumerate(came):
        said = _said(span)
        copies[number] = said in seen
        seen.add(said)
    return copies


def _said(span: Any) -> tuple[int, ...]:
    return tuple(int(span[name]) for name in ("span_id", "duration", "start", "parent_id", "kind", "status"))
