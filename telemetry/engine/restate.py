"""Late spans: the path that was stored is taken back, and comes again with them as its next version."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.engine.open_traces import Closed, Late
from telemetry.engine.paths import assemble
from telemetry.engine.rows import ROW_TYPES, late_rows, path_rows
from telemetry.engine.settings import EngineSettings
from telemetry.engine.span_data import pack, unpack
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
        again: which of them are restated, so that their newest version is in this block.
        blocks: where the newest version of each was before.
    """

    rows: list[Any]
    late: int
    duplicates: int
    restated: int
    kept: int
    traces: NDArray[np.uint64]
    last_offset: NDArray[np.int64]
    again: NDArray[np.bool_]
    blocks: NDArray[np.int64]


def restate(late: Late, originals: Any, strings: Strings, settings: EngineSettings) -> Restated:
    """Restate the paths of ``late`` traces, as far as their originals are known.

    Args:
        late: the late spans.
        originals: of :meth:`telemetry.engine.past.Past.originals`.
        strings: what the spans' codes stand for.
        settings: see there.
    """
    place_of = {trace: place for place, trace in enumerate(originals.column("trace_id").to_pylist())}
    data, version = originals.column("span_data").to_pylist(), originals.column("version").to_pylist()
    begins = np.concatenate(([0], late.ends[:-1]))
    pieces = [late.spans[begin:end] for begin, end in zip(begins, late.ends, strict=True)]
    places = [place_of.get(int(high).to_bytes(8) + int(low).to_bytes(8), -1) for high, low in late.traces.tolist()]
    which = [n for n, p in enumerate(places) if p >= 0 and data[p] and version[p] < settings.max_versions]
    old, old_ends = unpack([data[places[n]] for n in which], late.traces[which], strings)
    parts: list[SpanArray] = []
    taken: list[int] = []
    begin = 0
    for n, end in zip(which, old_ends.tolist(), strict=True):
        before, begin = old[begin:end], end
        pieces[n] = pieces[n][~_copies(pieces[n], before)]
        if len(pieces[n]):
            parts += [before, pieces[n]]
            taken.append(places[n])
    stored = np.concatenate(pieces)
    rows = [late_rows(stored, strings)] if len(stored) else []
    if taken:
        spans = np.concatenate(parts)
        ends = np.cumsum([len(a) + len(b) for a, b in zip(parts[::2], parts[1::2], strict=True)], dtype=np.int64)
        paths = assemble(spans, np.arange(len(spans)), ends, strings)
        closed = Closed(paths, spans, ends, np.ones(len(ends), dtype=np.bool_), *pack(spans, ends, strings))
        versions = np.array([version[place] + 1 for place in taken])
        rows += [taken_back(originals.take(taken)), path_rows(closed, strings, settings, versions)]
    present = [n for n, some in enumerate(pieces) if len(some)]
    restated = set(which)
    return Restated(
        rows=rows,
        late=len(stored),
        duplicates=len(late.spans) - len(stored),
        restated=len(taken),
        kept=sum(len(pieces[n]) for n in present if n not in restated),
        traces=late.traces[present],
        last_offset=np.array([int(pieces[n]["offset"].max()) for n in present], dtype=np.int64),
        again=np.array([n in restated for n in present], dtype=np.bool_),
        blocks=late.blocks[present],
    )


def taken_back(originals: Any) -> Any:
    """Rows that take the originals back: they repeat every column, with the sign -1 and without the spans."""
    count = originals.num_rows
    differs = {
        "sign": pa.array([-1] * count, pa.int8()),
        "span_data": pa.array([b""] * count, pa.binary()),
    }
    columns = [
        differs[field.name] if field.name in differs else _cast(originals.column(field.name), field.type)
        for field in ROW_TYPES
    ]
    return pa.table(columns, schema=ROW_TYPES)


def _cast(column: Any, kind: Any) -> Any:
    """A column as ClickHouse gives it, in the type in which it is written."""
    if column.type.equals(kind):
        return column
    if pa.types.is_dictionary(kind):
        return column.cast(pa.string()).dictionary_encode().cast(kind)
    if pa.types.is_list(kind) and pa.types.is_dictionary(kind.value_type):
        flat = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
        return pa.ListArray.from_arrays(flat.offsets, _cast(flat.values, kind.value_type))
    return column.cast(kind)


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
