"""Data points as columns, and these as Arrow."""

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from telemetry.blocklog.model import Block
from telemetry.engine.rows import arrow_file, with_place
from telemetry.store.tables import METRIC_POINTS

_TIME: Final = pa.timestamp("ns", tz="UTC")
_RESOURCE: Final = ("environment", "region", "zone", "tier", "component", "pop", "instance")
_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the points of one metric have in common; ``resource`` in the order of the table's columns."""

    metric: str
    unit: str
    type: str
    temporality: str
    is_monotonic: bool
    resource: tuple[str, ...]
    scope: str


class Points:
    """Points that were read, as lists; histograms and summaries apart, since most points are neither."""

    def __init__(self) -> None:
        self._headers: list[Header] = []
        self._records: list[tuple[int, int]] = []
        self._header: list[int] = []
        self._record: list[int] = []
        self.time: list[int] = []
        self.start: list[int] = []
        self.flags: list[int] = []
        self.value: list[float] = []
        self.plain: list[bool] = []
        self.keys: list[str] = []
        self.items: list[str] = []
        self._attributes_end: list[int] = []
        self._exemplars: list[tuple[int, int, float, bytes, int]] = []  # the point's place first
        self._more: list[tuple[Any, ...]] = []  # of those that are not plain, in the order of _MORE

    def __len__(self) -> int:
        return len(self.time)

    def begin(self, offset: int, arrival_ms: int) -> None:
        """A record begins."""
        self._records.append((offset, arrival_ms))

    def head(self, header: Header) -> None:
        """A metric begins."""
        self._headers.append(header)

    def end_point(self) -> None:
        """The attributes of a point are all there."""
        self._attributes_end.append(len(self.keys))
        self._header.append(len(self._headers) - 1)
        self._record.append(len(self._records) - 1)

    def histogram(self, *values: Any) -> None:
        """What a histogram has besides, in the order of the table's columns."""
        self._more.append((*values, [], []))

    def summary(self, count: int, total: float, levels: list[float], values: list[float]) -> None:
        """What a summary has besides."""
        nan = float("nan")
        self._more.append((count, total, nan, nan, [], [], 0, 0, 0.0, 0, [], 0, [], levels, values))

    def exemplar(self, time: int, value: float, trace_id: bytes, span_id: int) -> None:
        """An exemplar of the last point."""
        self._exemplars.append((len(self) - 1, time, value, trace_id, span_id))

    def table(self, past_ms: int, future_ms: int) -> Any:
        """All points as rows of ``metric_log``; times that are further from the arrival become the arrival."""
        record = np.array(self._record, dtype=np.int64)
        arrival = np.array([ms for _, ms in self._records], dtype=np.int64)[record]
        offset = np.array([offset for offset, _ in self._records], dtype=np.uint64)[record]
        time = _near(self.time, arrival, past_ms, future_ms)
        start = np.minimum(np.array(self.start, dtype=np.uint64), np.uint64(2**63 - 1)).astype(np.int64)
        columns: dict[str, Any] = {
            "kind": pa.array(["point"], pa.string()).take(pa.array(np.zeros(len(self), dtype=np.int32))),
            "time": pa.array(time, _TIME),
            "start_time": pa.array(np.where(start <= time, start, 0), _TIME),
            **self._common(),
            "attributes": pa.MapArray.from_arrays(
                _ends(self._attributes_end), pa.array(self.keys, pa.string()), pa.array(self.items, pa.string())
            ),
            "value": pa.array(self.value, pa.float64()),
            "flags": pa.array(self.flags, pa.uint32()),
            **self._besides(),
            **self._with_exemplars(arrival, past_ms, future_ms),
            "arrived": pa.array(arrival, pa.timestamp("ms", tz="UTC")),
            "last_offset": pa.array(offset),
        }
        return pa.table(columns)

    def _common(self) -> dict[str, Any]:
        """Columns that a header has, encoded: few words, many rows."""
        place = pa.array(np.array(self._header, dtype=np.int32))

        def column(of: Callable[[Header], Any], kind: Any) -> Any:
            return pa.array([of(header) for header in self._headers], kind).take(place)

        found = {
            name: column(attrgetter(name), pa.string()).dictionary_encode()
            for name in ("metric", "unit", "type", "temporality", "scope")
        }
        for number, name in enumerate(_RESOURCE):
            found[name] = column(_nth(number), pa.string()).dictionary_encode()
        found["is_monotonic"] = column(attrgetter("is_monotonic"), pa.bool_())
        return found

    def _besides(self) -> dict[str, Any]:
        """Columns of histograms and summaries; for all other points the last, empty entry stands."""
        nan = float("nan")
        empty: tuple[Any, ...] = (0, nan, nan, nan, [], [], 0, 0, 0.0, 0, [], 0, [], [], [])
        place = np.full(len(self), len(self._more), dtype=np.int32)
        place[~np.array(self.plain, dtype=np.bool_)] = np.arange(len(self._more), dtype=np.int32)
        index = pa.array(place)
        by_column = zip(*self._more, empty, strict=True)
        return {name: pa.array(values, kind).take(index) for (name, kind), values in zip(_MORE, by_column, strict=True)}

    def _with_exemplars(self, arrival: NDArray[np.int64], past_ms: int, future_ms: int) -> dict[str, Any]:
        place = np.array([e[0] for e in self._exemplars], dtype=np.int64)
        ends = _ends(np.searchsorted(place, np.arange(len(self)), side="right"))
        times = _near([e[1] for e in self._exemplars], arrival[place], past_ms, future_ms)
        values = {
            "time": pa.array(times, _TIME),
            "value": pa.array([e[2] for e in self._exemplars], pa.float64()),
            "trace_id": pa.array([e[3] for e in self._exemplars], pa.binary(16)),
            "span_id": pa.array([e[4] for e in self._exemplars], pa.uint64()),
        }
        return {f"exemplars.{name}": pa.ListArray.from_arrays(ends, array) for name, array in values.items()}


def metric_block(rows: Any, *, topic: str, partition: int, number: int, writer: str) -> Block:
    """A block of the log ``metric_log`` of rows that :meth:`Points.table` made."""
    placed = with_place(rows, topic=topic, partition=partition, block=number, writer=writer)
    return Block(
        partition=partition,
        number=number,
        writer=writer,
        columns=tuple(placed.column_names),
        arrow=arrow_file([placed]),
        rows=placed.num_rows,
        feeds=frozenset({METRIC_POINTS}) if placed.num_rows else frozenset(),
    )


_FLOATS: Final = pa.list_(pa.float64())
_COUNTS: Final = pa.list_(pa.uint64())
_MORE: Final = (
    ("count", pa.uint64()),
    ("sum", pa.float64()),
    ("min", pa.float64()),
    ("max", pa.float64()),
    ("bounds", _FLOATS),
    ("bucket_counts", _COUNTS),
    ("scale", pa.int32()),
    ("zero_count", pa.uint64()),
    ("zero_threshold", pa.float64()),
    ("positive_offset", pa.int32()),
    ("positive_counts", _COUNTS),
    ("negative_offset", pa.int32()),
    ("negative_counts", _COUNTS),
    ("quantile_levels", _FLOATS),
    ("quantile_values", _FLOATS),
)


def _nth(number: int) -> Callable[[Header], str]:
    return lambda header: header.resource[number]


def _near(times: list[int], arrival_ms: NDArray[np.int64], past_ms: int, future_ms: int) -> NDArray[np.int64]:
    """Times, or the arrival where the clock that told them cannot be right."""
    said = np.minimum(np.array(times, dtype=np.uint64), np.uint64(2**63 - 1)).astype(np.int64)
    ahead = said // _MS - arrival_ms
    return np.where((ahead < -past_ms) | (ahead > future_ms), arrival_ms * _MS, said)


def _ends(ends: Any) -> Any:
    """Where lists end, as Arrow's offsets."""
    return pa.array(np.concatenate((np.zeros(1), np.asarray(ends))).astype(np.int32))
