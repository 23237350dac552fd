"""From the raw bytes of records to columns of spans."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from telemetry.domain import normalize
from telemetry.domain.spans import MAX_DURATION_NS, MAX_START_NS
from telemetry.domain.tiers import Tiers
from telemetry.engine.columns import I32, I64, U64, SpanColumns, Strings
from telemetry.engine.decode_sql import decode_statement
from telemetry.errors import StoreError
from telemetry.feeds.base import Record
from telemetry.store.chdb import ChdbEngine, memory_file

_MEMORY_LIMIT = 241
_BAD_BYTES = {
    32,
    33,
    436,
    444,
}  # what ClickHouse says of messages that are cut short, corrupted, or hold absurd numbers
_LOOKED_AT = 4 * 4 * normalize.ROUTE_LENGTH  # bytes: normalize looks at 4 * length characters of up to 4 bytes
# Without short-circuit evaluation the statement takes 0.6 of the time (make bench ONLY=engine): a lookup is cheaper than
# sparing it for some of the rows.
_SETTINGS = (
    "max_threads = 1, input_format_parallel_parsing = 0, output_format_arrow_low_cardinality_as_dictionary = 1, "
    "output_format_arrow_use_signed_indexes_for_dictionary = 1, max_block_size = 65536, "
    "short_circuit_function_evaluation = 'disable'"
)


@dataclass(slots=True)
class Decoded:
    """What a batch of records held.

    Attributes:
        spans: the spans, in the order of the records.
        rejected: records that are no OTLP traces, each with the reason.
        invalid: spans left out because they have no valid trace id or span id.
    """

    spans: SpanColumns
    rejected: list[tuple[Record, str]] = field(default_factory=list)
    invalid: int = 0


class Decoder:
    """Decodes OTLP ``TracesData`` protobuf with ClickHouse's engine and interns the strings."""

    def __init__(self, engine: ChdbEngine, tiers: Tiers, strings: Strings) -> None:
        """Use ``engine`` for decoding; codes are those of ``strings``."""
        self._engine = engine
        self._tiers = tiers
        self._strings = strings
        self._folder = tempfile.TemporaryDirectory(prefix="edgepath-")
        schema = Path(self._folder.name) / "otlp.proto"
        schema.write_bytes((resources.files("telemetry.engine") / "otlp.proto").read_bytes())
        self._settings = f"{_SETTINGS}, format_schema = '{schema}:TracesData'"

    def decode(self, records: Sequence[Record]) -> Decoded:
        """Decode ``records``; the bad ones among them are told apart by halving, the others lose nothing.

        Raises:
            StoreError: the engine failed for a reason that is not in the bytes.
        """
        try:
            return self._decode(records)
        except StoreError as error:
            if len(records) == 1:
                if error.code not in _BAD_BYTES and (error.code == _MEMORY_LIMIT or not self._well()):
                    raise
                return Decoded(
                    SpanColumns.empty(), [(records[0], f"not an OTLP TracesData message (error {error.code})")]
                )
        middle = len(records) // 2
        left, right = self.decode(records[:middle]), self.decode(records[middle:])
        return Decoded(
            SpanColumns.concat([left.spans, right.spans]), left.rejected + right.rejected, left.invalid + right.invalid
        )

    def _well(self) -> bool:
        """Whether the engine decodes a message that is surely right: then the bytes are to blame, not the engine."""
        try:
            self._decode([Record(0, 0, 0, b"")])
        except StoreError:
            return False
        return True

    def close(self) -> None:
        """Remove the schema file."""
        self._folder.cleanup()

    def _decode(self, records: Sequence[Record]) -> Decoded:
        if not records:
            return Decoded(SpanColumns.empty())
        content = b"".join(part for r in records for part in (_varint(len(r.value)), r.value))
        with memory_file(content) as path:
            table = self._engine.arrow(decode_statement(path), settings=self._settings).combine_chunks()
        if not table.num_rows:
            return Decoded(SpanColumns.empty())
        valid = _numbers(table, "valid").astype(bool)
        spans = self._columns(table, records)
        if valid.all():
            return Decoded(spans)
        return Decoded(spans.take(valid), [], int((~valid).sum()))

    def _columns(self, table: "pa.Table", records: Sequence[Record]) -> SpanColumns:
        record = _numbers(table, "record").astype(np.intp)
        start, duration = _sane_times(_numbers(table, "started"), _numbers(table, "ended"))
        status = _numbers(table, "status").astype(np.int32)
        status = np.where((status < 0) | (status > 999), 0, status).astype(np.int32)
        component = self._codes(table, "component", normalize.text)
        error = self._codes(table, "error", normalize.text)
        unexplained = (error == 0) & (status == 0) & (_numbers(table, "span_status") == 2)
        return SpanColumns(
            trace_high=_numbers(table, "trace_high"),
            trace_low=_numbers(table, "trace_low"),
            span_id=_numbers(table, "span_id"),
            parent_id=_numbers(table, "parent_id"),
            kind=_numbers(table, "kind").astype(np.int32),
            start=start,
            duration=duration,
            component=component,
            tier=self._tier(self._codes(table, "tier", normalize.text), component),
            pop=self._codes(table, "pop", normalize.text),
            region=self._codes(table, "region", normalize.text),
            environment=self._codes(table, "environment", normalize.text),
            flags=self._codes(table, "flags", normalize.flags),
            error=np.where(unexplained, self._strings.code("error"), error).astype(np.int32),
            route=self._codes(table, "route", normalize.route),
            path=self._codes(table, "path", normalize.route),
            method=self._codes(table, "method", normalize.method),
            status=status,
            side_call=_numbers(table, "side_call").astype(bool),
            weight=_numbers(table, "weight").astype(np.float64),
            client_hash=_numbers(table, "client_hash"),
            arrival_ms=np.fromiter((r.arrival_ms for r in records), dtype=np.int64)[record],
            offset=np.fromiter((r.offset for r in records), dtype=np.int64)[record],
            partition=np.fromiter((r.partition for r in records), dtype=np.int32)[record],
        )

    def _codes(self, table: "pa.Table", name: str, clean: Callable[[str], str]) -> I32:
        """A dictionary column as codes of our strings; ``clean`` is asked once for each distinct value."""
        column = table.column(name)
        parts = [self._chunk_codes(chunk, _remembering(clean)) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)

    def _chunk_codes(self, chunk: Any, clean: Callable[[bytes], str]) -> I32:
        codes = self._strings.codes(clean(value) for value in chunk.dictionary.to_pylist())
        picked: I32 = codes[chunk.indices.to_numpy(zero_copy_only=False)]
        return picked

    def _tier(self, named: I32, component: I32) -> I32:
        pairs, inverse = np.unique((named.astype(np.int64) << 32) | component, return_inverse=True)
        text = self._strings.text
        codes = self._strings.codes(
            self._tiers.resolve(text(int(pair) >> 32), text(int(pair) & 0xFFFFFFFF)) for pair in pairs
        )
        return codes[inverse]


@lru_cache(maxsize=16)
def _remembering(clean: Callable[[str], str]) -> Callable[[bytes], str]:
    remembered = lru_cache(maxsize=16384)(lambda value: clean(value.decode("utf-8", "replace")))
    # No longer than what ``clean`` looks at: hostile strings must not fill the memory as keys.
    return lambda value: remembered(value[:_LOOKED_AT])


def _numbers(table: "pa.Table", name: str) -> Any:
    column = table.column(name)
    return column.to_numpy() if column.num_chunks != 1 else column.chunk(0).to_numpy(zero_copy_only=False)


def _sane_times(start: U64, end: U64) -> tuple[I64, I64]:
    """As :func:`telemetry.domain.spans.sane_times`."""
    most = np.uint64(MAX_START_NS)
    sane = (start > 0) & (start <= end) & (end < most)
    sane &= np.where(sane, end - start, 0) <= np.uint64(MAX_DURATION_NS)
    usable = np.where((start > 0) & (start < most), start, np.where((end > 0) & (end < most), end, 0))
    return (
        np.where(sane, start, usable).astype(np.int64),
        np.where(sane, end - start, 0).astype(np.int64),
    )


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
