"""Spans as columns: numpy arrays, one entry a span, and the interned strings that their codes stand for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from telemetry.domain.spans import Span

STRING_COLUMNS: Final = (
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
)
"""The string columns; each holds codes of one :class:`Strings`."""

U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


class Strings:
    """Strings with codes: equal strings have equal codes; the empty string has the code 0. Grows until :meth:`keep`."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]

    def __len__(self) -> int:
        return len(self._texts)

    def code(self, text: str) -> int:
        """The code of ``text``."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._texts)
            self._texts.append(text)
        return code

    def codes(self, texts: Iterable[str]) -> I32:
        """The codes of several texts."""
        return np.fromiter((self.code(t) for t in texts), dtype=np.int32)

    def text(self, code: int) -> str:
        """The string that a code stands for."""
        return self._texts[code]

    @property
    def texts(self) -> Sequence[str]:
        """All strings, by code."""
        return self._texts

    def keep(self, used: I32) -> I32:
        """Forget what is not in ``used``; returns the new code of every old one."""
        renamed = np.zeros(len(self._texts), dtype=np.int32)
        old = self._texts
        self._codes, self._texts = {"": 0}, [""]
        for code in np.unique(used):
            renamed[code] = self.code(old[code])
        return renamed


@dataclass(slots=True)
class SpanColumns:
    """Spans as arrays of one length. The string columns are codes of one ``Strings``; times in ns, as in ``Span``."""

    trace_high: U64
    trace_low: U64
    span_id: U64
    parent_id: U64
    kind: I32
    start: I64
    duration: I64
    component: I32
    tier: I32
    pop: I32
    region: I32
    environment: I32
    flags: I32
    error: I32
    route: I32
    path: I32
    method: I32
    status: I32
    side_call: Flags
    weight: F64
    client_hash: U64
    arrival_ms: I64
    offset: I64
    partition: I32

    def __len__(self) -> int:
        return len(self.span_id)

    def take(self, index: NDArray[np.intp] | Flags) -> Self:
        """The spans that ``index`` (positions or a mask) picks."""
        return type(self)(*(getattr(self, f.name)[index] for f in fields(self)))

    @classmethod
    def concat(cls, parts: Sequence["SpanColumns"]) -> "SpanColumns":
        """Several one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    @property
    def bad(self) -> Flags:
        """As :attr:`telemetry.domain.spans.Span.bad`."""
        bad: Flags = np.logical_or(self.status >= 400, self.error != 0)
        bad |= np.logical_and(self.status == 0, self.flags != 0)
        return bad

    def rename(self, renamed: I32) -> None:
        """Replace every string code by its new one."""
        for name in STRING_COLUMNS:
            setattr(self, name, renamed[getattr(self, name)])

    def used_codes(self) -> I32:
        """Every string code in use."""
        return np.unique(np.concatenate([np.unique(getattr(self, name)) for name in STRING_COLUMNS]))

    @classmethod
    def empty(cls) -> "SpanColumns":
        """No spans."""
        return cls.of([], Strings())

    @classmethod
    def of(cls, spans: Sequence[Span], strings: Strings) -> "SpanColumns":
        """From the domain's spans; slow, for tests and small things."""

        def ints(values: Iterable[int], kind: type) -> NDArray[np.generic]:
            return np.array(list(values), dtype=kind)

        arrays: list[NDArray[np.generic]] = []
        for f in fields(cls):
            if f.name == "trace_high":
                arrays.append(ints((int.from_bytes(s.trace_id[:8]) for s in spans), np.uint64))
            elif f.name == "trace_low":
                arrays.append(ints((int.from_bytes(s.trace_id[8:]) for s in spans), np.uint64))
            elif f.name == "partition":
                arrays.append(np.zeros(len(spans), dtype=np.int32))
            elif f.name in STRING_COLUMNS:
                arrays.append(strings.codes(getattr(s, f.name) for s in spans))
            else:
                name = {"start": "start_ns", "duration": "duration_ns"}.get(f.name, f.name)
                kind = _DTYPES[f.name]
                arrays.append(np.array([getattr(s, name) for s in spans], dtype=kind))
        return cls(*arrays)  # type: ignore[arg-type]  # the types follow the field order above


_DTYPES: dict[str, type] = {
    "span_id": np.uint64,
    "parent_id": np.uint64,
    "kind": np.int32,
    "start": np.int64,
    "duration": np.int64,
    "status": np.int32,
    "side_call": np.bool_,
    "weight": np.float64,
    "client_hash": np.uint64,
    "arrival_ms": np.int64,
    "offset": np.int64,
}
