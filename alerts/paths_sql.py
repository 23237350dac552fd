"""Aggregates over ``request_paths AS p``, in which a restated path is a row that takes the old one away and a new one.

Such rows have a ``sign`` of -1 and +1; in a schema without that column every row counts.
"""

from typing import Final

from telemetry.store.tables import REQUEST_PATH_COLUMNS

SIGNED: Final = "sign" in REQUEST_PATH_COLUMNS


def count(condition: str = "") -> str:
    """How many paths there are, or those that meet a condition."""
    if SIGNED:
        return f"toInt64(sumIf(p.sign, {condition}))" if condition else "toInt64(sum(p.sign))"
    return f"toInt64(countIf({condition}))" if condition else "toInt64(count())"


def weight_sum(condition: str = "") -> str:
    """How many requests they stand for."""
    weight = "p.weight * p.sign" if SIGNED else "p.weight"
    return f"sumIf({weight}, {condition})" if condition else f"sum({weight})"
