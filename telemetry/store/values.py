"""Values between Python, Arrow and ClickHouse's parameters."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pyarrow as pa

from telemetry.store.base import Parameter

ARROW_SETTINGS: Final[Mapping[str, str]] = {
    "output_format_arrow_string_as_string": "0",
    "output_format_arrow_fixed_string_as_fixed_byte_array": "1",
    "output_format_arrow_compression_method": "none",
}
"""Settings under which a SELECT answers in Arrow as :meth:`telemetry.store.base.Store.arrow` promises."""

_CODE = re.compile(r"Code:\s*(\d+)")
_SECONDS = re.compile(r"DateTime(?!64)")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0", "\b": "\\b", "\f": "\\f"})


def parameter_text(value: Parameter) -> str:
    """A query parameter as the text that chDB parses: strings escaped as in TSV, arrays as literals."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    if isinstance(value, int | float):
        return repr(value)
    return f"[{','.join(_literal(item) for item in value)}]"


def _literal(value: str | int) -> str:
    if isinstance(value, str):
        return "'" + value.translate(_ESCAPES).replace("'", "\\'") + "'"
    return repr(value)


def error_code(message: str) -> int:
    """ClickHouse's own error code out of an error text, 0 if there is none."""
    match = _CODE.search(message)
    return int(match[1]) if match else 0


def column_values(column: "pa.ChunkedArray", kind: str = "") -> list[Any]:
    """A column as plain Python values (see :class:`telemetry.store.base.Result`); ``kind`` is the type if known."""
    if _SECONDS.search(kind) and holds_seconds(column.type):
        return [_time(v) for v in column.to_pylist()]
    if pa.types.is_timestamp(column.type):
        return [
            None if v is None else datetime.fromtimestamp(v // 10**6, UTC).replace(microsecond=v % 10**6)
            for v in column.cast(pa.timestamp("us"), safe=False).cast(pa.int64()).to_pylist()
        ]
    if _plain(column.type):
        return list(column.to_pylist())
    return [_value(v, column.type) for v in column.to_pylist()]


def holds_seconds(kind: "pa.DataType") -> bool:
    """Whether it could be a DateTime, for which Arrow has no type: a bare number of seconds, or a list of them."""
    if pa.types.is_list(kind):
        return holds_seconds(kind.value_type)
    return bool(pa.types.is_uint32(kind))


def _time(value: Any) -> Any:
    if isinstance(value, list):
        return [_time(v) for v in value]
    return None if value is None else datetime.fromtimestamp(value, UTC)


def _plain(kind: "pa.DataType") -> bool:
    if pa.types.is_list(kind):
        return _plain(kind.value_type)
    return not (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_struct(kind)
        or pa.types.is_map(kind)
        or pa.types.is_timestamp(kind)
    )


def _value(value: Any, kind: "pa.DataType") -> Any:
    if isinstance(value, bytes) and not pa.types.is_fixed_size_binary(kind):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    if isinstance(value, dict):
        return tuple(_value(v, kind.field(i).type) for i, v in enumerate(value.values()))
    if isinstance(value, list) and pa.types.is_map(kind):
        return {_value(k, kind.key_type): _value(v, kind.item_type) for k, v in value}
    if isinstance(value, list):
        return [_value(v, kind.value_type) for v in value]
    return value
