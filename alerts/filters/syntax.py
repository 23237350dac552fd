"""The tree of a filter."""

from dataclasses import dataclass
from typing import Final, Literal

from alerts.filters.columns import Column
from telemetry.errors import ConfigurationError

Value = str | int | bool
Operator = Literal["=", "!=", "<", "<=", ">", ">="]
OPERATORS: Final[tuple[Operator, ...]] = ("=", "!=", "<", "<=", ">", ">=")


class FilterError(ConfigurationError):
    """A filter that cannot be read: ``at character 12: ...`` with the mend."""


@dataclass(frozen=True)
class Compare:
    """``column operator value``; a value of the column's own type (durations in nanoseconds)."""

    column: Column
    operator: Operator
    value: Value


@dataclass(frozen=True)
class In:
    """``column in (values)``."""

    column: Column
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Not:
    """``not term``."""

    term: "Filter"


@dataclass(frozen=True)
class And:
    """All of ``terms`` (two or more)."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True)
class Or:
    """One of ``terms`` (two or more)."""

    terms: tuple["Filter", ...]


Filter = Compare | In | Not | And | Or


def columns_of(tree: Filter) -> frozenset[Column]:
    """The columns that a filter looks at."""
    if isinstance(tree, Compare | In):
        return frozenset({tree.column})
    if isinstance(tree, Not):
        return columns_of(tree.term)
    return frozenset().union(*(columns_of(t) for t in tree.terms))
