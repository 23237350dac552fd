"""From what a scan left in the spans to their codes, compiled: new strings, tiers, and which spans failed."""

import numpy as np
from numpy.typing import NDArray

from telemetry.compiled import Int, compiled, inlined
from telemetry.engine.intern import FULL
from telemetry.engine.spans import SpanArray


@compiled
def pairs_of(
    spans: SpanArray, codes: NDArray[np.int32], keys: NDArray[np.int64], values: NDArray[np.int32], count: Int
) -> Int:
    """Note every pair ``named tier << 32 | component`` of ``spans`` in a table; how many it has now, or ``FULL``.

    A pair that is new stands in ``keys`` with the value -1.
    """
    before = np.int64(-1)
    for number in range(len(spans)):
        span = spans[number]
        pair = _known(span["tier"], codes) << 32 | _known(span["component"], codes)
        if pair == before:
            continue
        before = pair
        slot = _pair_slot(keys, pair)
        if keys[slot] < 0:
            if 2 * count >= len(keys):
                return FULL
            keys[slot] = pair
            values[slot] = -1
            count += 1
    return count


@inlined
def _pair_slot(keys: NDArray[np.int64], pair: Int) -> Int:
    mask = len(keys) - 1
    slot = np.int64((np.uint64(pair) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)) & mask
    while keys[slot] >= 0 and keys[slot] != pair:
        slot = (slot + 1) & mask
    return slot


@compiled
def finish(
    spans: SpanArray,
    codes: NDArray[np.int32],
    keys: NDArray[np.int64],
    values: NDArray[np.int32],
    error_code: Int,
) -> None:
    """Replace -1 - entry by the entry's code, resolve tiers, and say which spans failed.

    Args:
        spans: as :func:`telemetry.engine.scan.scan` left them.
        codes: the code of every fresh entry.
        keys, values: the table of :func:`pairs_of`, with the code of the tier of every pair.
        error_code: of the word ``error``.
    """
    for number in range(len(spans)):
        span = spans[number]
        component = _known(span["component"], codes)
        span["tier"] = values[_pair_slot(keys, _known(span["tier"], codes) << 32 | component)]
        span["component"] = component
        span["pop"] = _known(span["pop"], codes)
        span["region"] = _known(span["region"], codes)
        span["environment"] = _known(span["environment"], codes)
        span["flags"] = _known(span["flags"], codes)
        span["error"] = _known(span["error"], codes)
        span["route"] = _known(span["route"], codes)
        span["path"] = _known(span["path"], codes)
        span["method"] = _known(span["method"], codes)
        span["tenant"] = _known(span["tenant"], codes)
        if span["error"] == 0 and span["status"] == 0 and span["bad"] == 1:
            span["error"] = error_code
        bad = span["status"] >= 400 or span["error"] != 0 or (span["status"] == 0 and span["flags"] != 0)
        span["bad"] = 1 if bad else 0


@inlined
def _known(code: Int, codes: NDArray[np.int32]) -> Int:
    return np.int64(code) if code >= 0 else np.int64(codes[-1 - code])
