"""Interned strings: every string of a span is a number, and what the rules ask of a string is asked once for each."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.domain import outcome as rules
from telemetry.domain.tiers import Tiers
from telemetry.vocabulary import UNKNOWN_TIER, Outcome

Codes = NDArray[np.int32]

# What a string says as response flags or as error type: bits of ``Strings.says``.
TIMEOUT_FLAG: Final = 1
CANCEL_FLAG: Final = 2
THROTTLE_FLAG: Final = 4
BLOCK_FLAG: Final = 8
TIMEOUT_WORD: Final = 16
CANCEL_WORD: Final = 32

_STATUSES: Final = 1000
_EACH: Final = 200
"""Bytes that a string takes besides its own, which are there twice."""
_LEAST_WORDS: Final = 1 << 16
_LARGE: Final = 1 << 24
"""Bytes from which on they grow by a quarter: what is doubled may be half empty."""


class Strings:
    """Strings with codes: equal strings have equal codes; the empty string has the code 0. Grows until :meth:`keep`.

    Fixed are, whatever :meth:`keep` forgets: the tiers, the outcomes, and ``0`` to ``999``.

    Attributes:
        rank: for every code, how far down the way the tier of that name stands; -1 if it is none.
        says: for every code, the bits above.
        words: the UTF-8 of all strings.
        begins, sizes: for every code, where its string's stands in ``words``, and how many bytes it has.
        status_code: for every HTTP status, the code of its decimal text; 0 for 0.
        outcome: the code of every outcome, in the order of :class:`telemetry.vocabulary.Outcome`.
    """

    def __init__(self, tiers: Tiers) -> None:
        self.tiers = tiers
        self._codes: dict[str, int] = {"": 0}
        self._texts: list[str] = [""]
        self.rank = np.full(1 << 12, -1, dtype=np.int32)
        self.says = np.zeros(1 << 12, dtype=np.uint8)
        self.words = np.zeros(_LEAST_WORDS, dtype=np.uint8)
        self.begins = np.zeros(1 << 12, dtype=np.int64)
        self.sizes = np.zeros(1 << 12, dtype=np.int64)
        self.codes((*tiers.order, UNKNOWN_TIER))
        self.outcome = self.codes(Outcome)
        self.error = self.code("error")
        self.status_code = self.codes("" if status == 0 else str(status) for status in range(_STATUSES))
        self.fixed = len(self._texts)
        self._fixed_end = self._end

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def memory(self) -> int:
        """About how many bytes those take that are not fixed."""
        return 2 * (self._end - self._fixed_end) + _EACH * (len(self) - self.fixed)

    @property
    def _end(self) -> int:
        """Where the last string's bytes end."""
        return int(self.begins[len(self) - 1] + self.sizes[len(self) - 1])

    def code(self, text: str) -> int:
        """The code of ``text``."""
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._texts)
            self._texts.append(text)
            if code >= len(self.rank):
                self.rank = np.concatenate((self.rank, np.full(len(self.rank), -1, dtype=np.int32)))
                self.says = _doubled(self.says)
                self.begins, self.sizes = _doubled(self.begins), _doubled(self.sizes)
            self.rank[code] = self.tiers.rank(text)
            self.says[code] = _what_it_says(text)
            self._write(code, text.encode())
        return code

    def _write(self, code: int, word: bytes) -> None:
        begin = int(self.begins[code - 1] + self.sizes[code - 1])
        while begin + len(word) > (size := len(self.words)):
            # In place: the system moves large arrays without copying them. Nobody holds on to a view of them.
            self.words.resize(size + (size if size < _LARGE else size // 4), refcheck=False)
        self.words[begin : begin + len(word)] = np.frombuffer(word, dtype=np.uint8)
        self.begins[code], self.sizes[code] = begin, len(word)

    def codes(self, texts: Iterable[str]) -> Codes:
        """The codes of several texts."""
        return np.fromiter((self.code(t) for t in texts), dtype=np.int32)

    def text(self, code: int) -> str:
        """The string that a code stands for."""
        return self._texts[code]

    @property
    def texts(self) -> Sequence[str]:
        """All strings, by code."""
        return self._texts

    def keep(self, used: NDArray[Any]) -> Codes:
        """Forget what is neither fixed nor in ``used``; returns the new code of every old one."""
        renamed = np.zeros(len(self._texts), dtype=np.int32)
        old, fixed = self._texts, self.fixed
        self._texts = old[:fixed]
        self._codes = {text: code for code, text in enumerate(self._texts)}
        renamed[:fixed] = np.arange(fixed)
        for code in np.unique(used):
            renamed[code] = self.code(old[code])
        if len(self.words) > max(_LEAST_WORDS, 4 * self._end):
            self.words = self.words[: max(_LEAST_WORDS, 2 * self._end)].copy()
        return renamed


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate((array, np.zeros_like(array)))


def _what_it_says(text: str) -> int:
    return (
        TIMEOUT_FLAG * rules.is_timeout(0, text, "")
        | CANCEL_FLAG * rules.is_cancel(0, text, "")
        | THROTTLE_FLAG * rules.is_throttle(0, text)
        | BLOCK_FLAG * rules.is_block(text)
        | TIMEOUT_WORD * rules.is_timeout(0, "", text)
        | CANCEL_WORD * rules.is_cancel(0, "", text)
    )
