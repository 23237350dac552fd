"""Sorting inside compiled loops, in place: compiled code may not make arrays (telemetry/compiled.py)."""

from typing import Any

from telemetry.compiled import Bool, Int, compiled, inlined


@compiled
def sort_by_key(keys: Any, values: Any, size: Int) -> None:
    """Sort the first ``size`` of both by key, equal keys by value: a heap sort (Williams, 1964), n log n whatever comes."""
    for root in range(size // 2 - 1, -1, -1):
        _sift(keys, values, root, size)
    for end in range(size - 1, 0, -1):
        keys[0], keys[end] = keys[end], keys[0]
        values[0], values[end] = values[end], values[0]
        _sift(keys, values, 0, end)


@inlined
def _sift(keys: Any, values: Any, root: Int, end: Int) -> None:
    """Let the element at ``root`` sink to where nothing below it is greater."""
    key, value = keys[root], values[root]
    while 2 * root + 1 < end:
        child = 2 * root + 1
        if child + 1 < end and _less(keys[child], values[child], keys[child + 1], values[child + 1]):
            child += 1
        if not _less(key, value, keys[child], values[child]):
            break
        keys[root], values[root] = keys[child], values[child]
        root = child
    keys[root], values[root] = key, value


@inlined
def _less(key: Any, value: Any, other_key: Any, other_value: Any) -> Bool:
    return key < other_key or (key == other_key and value < other_value)
