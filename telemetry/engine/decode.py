"""From the raw bytes of records to spans."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.domain import normalize
from telemetry.engine.attributes import name_table, new_found
from telemetry.engine.intern import FULL, Fresh, Known
from telemetry.engine.resolve import finish, pairs_of
from telemetry.engine.scan import (
    CLEAN_PATH,
    FIELDS,
    FLAGS,
    MALFORMED,
    METHOD,
    NAME,
    PATH,
    ROUTE,
    SMALLEST_SPAN,
    scan,
)
from telemetry.engine.spans import SPAN, SpanArray
from telemetry.engine.strings import Strings
from telemetry.feeds.base import Record, RecordBatch
from telemetry.redaction import redact_text

Numbers = NDArray[np.int64]

_CLEAN: Final[dict[int, Callable[[str], str]]] = {
    NAME: lambda text: normalize.text(redact_text(text)),
    FLAGS: lambda text: normalize.flags(redact_text(text)),
    ROUTE: lambda text: normalize.route(redact_text(text)),
    METHOD: normalize.method,
    PATH: lambda text: redact_text(normalize.path(text)),
    CLEAN_PATH: redact_text,
}
_ROOM_KEPT: Final = 4 << 20
_NOT_OTLP: Final = "not an OTLP TracesData message"


@dataclass(slots=True)
class Decoded:
    """What a batch of records held.

    Attributes:
        spans: the spans, in the order of the records; good until the next batch is decoded.
        ends: for each record, where its spans end.
        malformed: places of the records that are no OTLP traces.
        invalid: spans left out because they have no valid trace id or span id.
    """

    spans: SpanArray
    ends: Numbers
    malformed: list[int] = field(default_factory=list)
    invalid: int = 0

    reason: str = _NOT_OTLP


class Decoder:
    """Decodes OTLP ``TracesData`` protobuf and interns the strings. Used by one thread."""

    def __init__(self, strings: Strings) -> None:
        """Codes are those of ``strings``."""
        self._strings = strings
        self._table, self._numbers = name_table()
        self._own, self._resource = new_found(), new_found()
        self._of_span, self._of_resource = np.zeros(FIELDS, dtype=np.int64), np.zeros(FIELDS, dtype=np.int64)
        self._known = Known()
        self._fresh = Fresh(4096)
        self._pair_keys = np.full(1 << 10, -1, dtype=np.int64)
        self._pair_values = np.zeros(1 << 10, dtype=np.int32)
        self._pairs = 0
        self._room: SpanArray = np.empty(0, dtype=SPAN)

    def decode(
        self, data: NDArray[np.uint8], begins: Numbers, ends: Numbers, arrivals: Numbers, offsets: Numbers
    ) -> Decoded:
        """Decode records; a malformed one gives no spans, the others lose nothing.

        Args:
            data: bytes, among them those of the records.
            begins, ends: where each record lies.
            arrivals: when each arrived, ms since the epoch.
            offsets: the place of each in its partition.
        """
        count = len(begins)
        # One more than there can be: what is left out still needs a place while it is read. The room is used again, and of it
        # only what is written takes memory.
        most = int((ends - begins).sum()) // SMALLEST_SPAN + 1
        if len(self._room) < most or len(self._room) > _ROOM_KEPT:
            self._room = np.empty(most, dtype=SPAN)
        spans = self._room
        span_ends = np.zeros(count, dtype=np.int64)
        state = np.zeros(count, dtype=np.int8)
        invalid = np.zeros(count, dtype=np.int64)
        while True:
            self._fresh.clear()
            invalid[:] = 0
            count = self._scan(data, begins, ends, arrivals, offsets, spans, span_ends, state, invalid)
            if count != FULL:
                break
            self._fresh = Fresh(8 * len(self._fresh.entries))
        spans = spans[:count]
        self._finish(spans, data)
        return Decoded(spans, span_ends, np.flatnonzero(state == MALFORMED).tolist(), int(invalid.sum()))

    def decode_records(self, records: Sequence[Record]) -> Decoded:
        """The same for records one by one."""
        batch = RecordBatch.of(
            0,
            [r.value for r in records],
            np.fromiter((r.offset for r in records), dtype=np.int64, count=len(records)),
            np.fromiter((r.arrival_ms for r in records), dtype=np.int64, count=len(records)),
        )
        return self.decode(batch.data, batch.begins, batch.ends, batch.arrival_ms, batch.offsets)

    def forget(self) -> None:
        """The codes of the strings have changed: forget which string has which."""
        self._known.forget()
        self._clear_pairs(len(self._pair_keys))

    def _scan(
        self,
        data: NDArray[np.uint8],
        begins: Numbers,
        ends: Numbers,
        arrivals: Numbers,
        offsets: Numbers,
        spans: SpanArray,
        span_ends: Numbers,
        state: NDArray[np.int8],
        invalid: Numbers,
    ) -> int:
        self._own["seen"] = self._resource["seen"] = -1
        return int(
            scan(
                data,
                begins,
                ends,
                arrivals,
                offsets,
                self._table,
                self._numbers,
                self._own,
                self._resource,
                self._of_span,
                self._of_resource,
                self._known.strings,
                self._fresh.strings,
                spans,
                span_ends,
                state,
                invalid,
            )
        )

    def _finish(self, spans: SpanArray, data: NDArray[np.uint8]) -> None:
        codes = self._learn(data)
        while True:
            count = int(pairs_of(spans, codes, self._pair_keys, self._pair_values, self._pairs))
            if count != FULL:
                break
            self._clear_pairs(4 * len(self._pair_keys))
        if count != self._pairs:
            self._pairs = count
            text = self._strings.text
            for slot in np.flatnonzero((self._pair_keys >= 0) & (self._pair_values < 0)):
                pair = int(self._pair_keys[slot])
                tier = self._strings.tiers.resolve(text(pair >> 32), text(pair & 0xFFFFFFFF))
                self._pair_values[slot] = self._strings.code(tier)
        finish(spans, codes, self._pair_keys, self._pair_values, self._strings.error)

    def _clear_pairs(self, size: int) -> None:
        self._pair_keys = np.full(size, -1, dtype=np.int64)
        self._pair_values = np.zeros(size, dtype=np.int32)
        self._pairs = 0

    def _learn(self, data: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Clean what was new; returns its codes."""
        found = self._fresh.found()
        codes = np.zeros(max(1, len(found)), dtype=np.int32)
        side: Any = self._fresh.side
        for number, (kind, begin, size) in enumerate(found):
            raw = (side if kind == CLEAN_PATH else data)[begin : begin + size].tobytes()
            text = raw.decode("utf-8", "replace")
            # Once for each distinct string: card numbers and secrets of senders that do not take them out themselves.
            code = self._strings.code(_CLEAN[kind](text))
            codes[number] = code
            self._known.add(kind, raw, code)
        return codes
