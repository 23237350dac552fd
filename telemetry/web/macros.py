"""The macros of Grafana's ClickHouse datasource and the variables of a dashboard, put into a panel's SQL.

The expansions are those of grafana-clickhouse-datasource 4 (its ``pkg/macros/macros.go`` and, for ``$__conditionalAll``,
``src/data/CHDatasource.ts``). Everything is replaced in one pass, so what a variable brings in is never looked at again:
a value that reads ``$__fromTime`` or ``${pop}`` stays that text, inside its quotes.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from telemetry.errors import MalformedError
from telemetry.web.timerange import TimeRange, parse_duration

ALL: Final = "$__all"
"""The value that stands for the choice "All"."""

_TOKEN: Final = re.compile(r"\$__(\w+)|\$\{(\w+)(?::(\w+))?\}|\$(\w+)|\[\[(\w+)\]\]")
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\0": "\\0", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)


@dataclass(frozen=True)
class Context:
    """What a query is expanded with.

    Attributes:
        range: the page's time range.
        interval_ms: the distance of points.
        values: the chosen values of each variable, :data:`ALL` for "All"; an empty text is one empty value.
        options: all values of the variables that have an "All" without a value of its own.
    """

    range: TimeRange
    interval_ms: int
    values: Mapping[str, Sequence[str]]
    options: Callable[[str], Sequence[str]]

    @property
    def seconds(self) -> int:
        """The interval in whole seconds, at least one."""
        return max(self.interval_ms // 1000, 1)


def string_literal(value: str) -> str:
    """``value`` as a ClickHouse string literal that means exactly it, whatever is in it."""
    return f"'{value.translate(_ESCAPES)}'"


def expand(sql: str, context: Context) -> str:
    """``sql`` with macros and variables replaced. Unknown ones stay, and ClickHouse will name them.

    Raises:
        MalformedError: a macro has the wrong arguments, or a variable is used without quoting.
    """
    parts: list[str] = []
    at = 0
    while match := _TOKEN.search(sql, at):
        parts.append(sql[at : match.start()])
        text, at = _replace(sql, match, context)
        parts.append(text)
    parts.append(sql[at:])
    return "".join(parts)


def _replace(sql: str, match: re.Match[str], context: Context) -> tuple[str, int]:
    """What comes in the place of a token, and where the text goes on."""
    macro, braced, form, plain, bracketed = match.groups()
    if macro is None:
        name = braced or plain or bracketed
        if name not in context.values:
            return match[0], match.end()
        return _variable(name, form, context), match.end()
    arguments: list[str] = []
    end = match.end()
    if end < len(sql) and sql[end] == "(" and macro not in _WITHOUT_ARGUMENTS:
        arguments, end = _arguments(sql, end)
    if macro == "conditionalAll":
        return _conditional_all(arguments, context), end
    maker = _MACROS.get(macro)
    if maker is None:
        return sql[match.start() : match.end()], match.end()
    count, make = maker
    if len(arguments) != count:
        raise MalformedError(f"$__{macro} takes {count} arguments, got {len(arguments)}")
    return make(context, [expand(a, context).strip() for a in arguments]), end


def _arguments(sql: str, opening: int) -> tuple[list[str], int]:
    """The arguments of a call whose parenthesis opens at ``opening``, and the place behind it."""
    depth, start, found, quote = 0, opening + 1, list[str](), ""
    i = opening
    while i < len(sql):
        char = sql[i]
        if quote:
            if char == "\\":
                i += 1
            elif char == quote:
                quote = ""
        elif char in "'`\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                found.append(sql[start:i])
                return ([] if found == [""] else found), i + 1
        elif char == "," and depth == 1:
            found.append(sql[start:i])
            start = i + 1
        i += 1
    raise MalformedError("a macro's parenthesis is not closed")


def _conditional_all(arguments: list[str], context: Context) -> str:
    if len(arguments) != 2:
        raise MalformedError(f"$__conditionalAll takes 2 arguments, got {len(arguments)}")
    name = re.search(r"(?<=\$\{)\w+(?=\})|(?<=\$)\w+", arguments[1])
    if name and name[0] in context.values and ",".join(context.values[name[0]]) in {"", ALL}:
        return "1=1"
    return expand(arguments[0], context)


def _variable(name: str, form: str | None, context: Context) -> str:
    if form not in {"singlequote", "sqlstring"}:
        raise MalformedError(f"variable {name} must be written ${{{name}:singlequote}} in SQL, so that it is quoted")
    values = context.values[name]
    if list(values) == [ALL]:
        values = context.options(name)
    return ",".join(string_literal(value) for value in values) or "''"


def _seconds(ms: int) -> str:
    return f"toDateTime({ms // 1000})"


def _milliseconds(ms: int) -> str:
    return f"fromUnixTimestamp64Milli({ms})"


def _date(ms: int) -> str:
    return f"toDate('{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d}')"


def _between(column: str, range_: TimeRange, literal: Callable[[int], str]) -> str:
    return f"{column} >= {literal(range_.from_ms)} AND {column} <= {literal(range_.to_ms)}"


def _date_time(c: Context, a: list[str]) -> str:
    return f"({_between(a[0], c.range, _date)}) AND ({_between(a[1], c.range, _seconds)})"


def _group(_: Context, a: list[str]) -> str:
    seconds = round(parse_duration(a[1].strip("'\"")) / 1000)
    if seconds <= 0:
        raise MalformedError(f"$__timeGroup: the interval must be at least a second, got {a[1][:40]}")
    return f"toStartOfInterval(toDateTime({a[0]}), INTERVAL {seconds} second)"


_MACROS: Final[Mapping[str, tuple[int, Callable[[Context, list[str]], str]]]] = {
    "fromTime": (0, lambda c, _: _seconds(c.range.from_ms)),
    "toTime": (0, lambda c, _: _seconds(c.range.to_ms)),
    "fromTime_ms": (0, lambda c, _: _milliseconds(c.range.from_ms)),
    "toTime_ms": (0, lambda c, _: _milliseconds(c.range.to_ms)),
    "timeFilter": (1, lambda c, a: _between(a[0], c.range, _seconds)),
    "timeFilter_ms": (1, lambda c, a: _between(a[0], c.range, _milliseconds)),
    "timeFrom": (1, lambda c, a: f"{a[0]} >= {_seconds(c.range.from_ms)}"),
    "timeTo": (1, lambda c, a: f"{a[0]} <= {_seconds(c.range.to_ms)}"),
    "dateFilter": (1, lambda c, a: _between(a[0], c.range, _date)),
    "dateTimeFilter": (2, _date_time),
    "dt": (2, _date_time),
    "timeInterval": (1, lambda c, a: f"toStartOfInterval(toDateTime({a[0]}), INTERVAL {c.seconds} second)"),
    "timeInterval_ms": (
        1,
        lambda c, a: f"toStartOfInterval(toDateTime64({a[0]}, 3), INTERVAL {max(c.interval_ms, 1)} millisecond)",
    ),
    "timeGroup": (2, _group),
    "interval_s": (0, lambda c, _: str(c.seconds)),
    "interval_ms": (0, lambda c, _: str(c.interval_ms)),
}
_WITHOUT_ARGUMENTS: Final = frozenset(name for name, (count, _) in _MACROS.items() if count == 0)
