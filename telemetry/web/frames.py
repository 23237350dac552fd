"""Query results as the frames that the browser draws: fields with a type, labels and values."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from telemetry.store.base import Result

Json = dict[str, Any]


def frame(result: Result, *, time_series: bool) -> Json:
    """One frame: ``{"fields": [{"name", "type", "labels", "values"}]}``.

    Times become milliseconds since the epoch, bytes hexadecimal text, and what JSON cannot say (NaN, infinity) null. With
    ``time_series``, long rows (a time, names, numbers) become wide: one field a combination of names, as in Grafana
    (``data.LongToWide``); a name without a value at some time is null there.
    """
    columns: list[tuple[str, list[Any]]] = [
        (name, [_plain(row[i]) for row in result.rows]) for i, name in enumerate(result.columns)
    ]
    kinds = [_kind([row[i] for row in result.rows]) for i in range(len(columns))]
    if time_series and "time" in kinds and "string" in kinds:
        return {"fields": _wide(columns, kinds)}
    fields = [_field(name, kind, values) for (name, values), kind in zip(columns, kinds, strict=True)]
    return {"fields": fields}


def _field(name: str, kind: str, values: Sequence[Any], labels: Json | None = None) -> Json:
    return {"name": name, "type": kind, "labels": labels or {}, "values": list(values)}


def _wide(columns: list[tuple[str, list[Any]]], kinds: list[str]) -> list[Json]:
    time_name, times = columns[kinds.index("time")]
    names = [column for column, kind in zip(columns, kinds, strict=True) if kind == "string"]
    numbers = [column for column, kind in zip(columns, kinds, strict=True) if kind == "number"]
    places = {moment: place for place, moment in enumerate(sorted(set(times)))}
    series: dict[tuple[str, tuple[Any, ...]], list[Any]] = {}
    for row, moment in enumerate(times):
        labels = tuple(values[row] for _, values in names)
        for number, values in numbers:
            line = series.setdefault((number, labels), [None] * len(places))
            line[places[moment]] = values[row]
    fields = [_field(time_name, "time", list(places))]
    for (number, labels), line in sorted(series.items()):
        fields.append(_field(number, "number", line, {n: v for (n, _), v in zip(names, labels, strict=True)}))
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.timestamp() * 1000
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _kind(values: Sequence[Any]) -> str:
    for value in values:
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, datetime):
            return "time"
        if isinstance(value, int | float):
            return "number"
        if isinstance(value, str | bytes):
            return "string"
        if value is not None:
            return "other"
    return "number"
