"""Arrays of records as columns, each in one piece: Arrow takes such a column as it is.

A field taken out of records by itself reads all of their memory for a few bytes of each; done here for all fields of a width at
once.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import compiled

_WORDS: Final[Mapping[int, Any]] = {8: np.uint64, 4: np.uint32, 1: np.uint8}


def columns_of(records: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """Every field of ``records`` as an array of its own; their fields are 1, 4 or 8 bytes wide, and aligned."""
    count = len(records)
    fields: Mapping[str, Any] = records.dtype.fields or {}
    columns: dict[str, NDArray[Any]] = {}
    for width, word in _WORDS.items():
        chosen = {name: kind for name, (kind, *_) in fields.items() if kind.itemsize == width}
        places = np.array([fields[name][1] // width for name in chosen], dtype=np.int64)
        out = np.empty((len(chosen), count), dtype=word)
        words = np.ascontiguousarray(records).view(word).reshape(count, records.dtype.itemsize // width)
        _spread(words, places, out)
        columns |= {name: out[nth].view(kind) for nth, (name, kind) in enumerate(chosen.items())}
    return columns


@compiled
def _spread(words: NDArray[Any], places: NDArray[np.int64], columns: NDArray[Any]) -> None:
    for at in range(len(words)):
        for nth in range(len(places)):
            columns[nth, at] = words[at, places[nth]]
