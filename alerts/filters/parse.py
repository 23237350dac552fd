"""Text of a filter to its tree (grammar: :mod:`alerts.filters`)."""

import difflib
import re
from decimal import Decimal
from typing import Final, NamedTuple

from alerts.filters.columns import COLUMNS, Column, hop_column
from alerts.filters.syntax import OPERATORS, And, Compare, Filter, FilterError, In, Not, Operator, Or, Value

MAX_LENGTH: Final = 4000
MAX_DEPTH: Final = 40
MAX_CHOICES: Final = 200

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<text>'[^'\x00-\x1f\x7f]*'|"[^"\x00-\x1f\x7f]*")
      | (?P<duration>[0-9]{1,15}(?:\.[0-9]{1,9})?(?:ns|us|ms|s|m|h)\b)
      | (?P<integer>-?[0-9]{1,20}(?![\w.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_-]{0,62}\.[a-z_]{1,20}|[A-Za-z_][A-Za-z0-9_]*)
      | (?P<operator><=|>=|!=|=|<|>)
      | (?P<mark>[(),])""",
    re.VERBOSE,
)
_NANOSECONDS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_KEYWORDS: Final = ("and", "or", "not", "in", "true", "false")
_EXPECTED: Final = {
    "text": "a text in quotes, e.g. 'ok'",
    "integer": "a whole number",
    "duration": "a duration with its unit, e.g. 250ms",
    "boolean": "true or false",
}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse(text: str) -> Filter:
    """The tree of a filter.

    Raises:
        FilterError: it is not in the grammar, names no known column, or compares with a value of another type.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"{len(text)} characters are too many; at most {MAX_LENGTH}")
    parser = _Parser(_tokens(text))
    tree = parser.either(0)
    parser.finish()
    return tree


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match or match.lastgroup is None:
            raise _error(at, f"cannot read {text[at : at + 12]!r}")
        if match.lastgroup != "space":
            kind, word = match.lastgroup, match[0]
            if kind == "word" and word.lower() in _KEYWORDS:
                kind, word = "keyword", word.lower()
            found.append(_Token(kind, word, at))
        at = match.end()
    found.append(_Token("end", "the end", at))
    return found


def _error(at: int, message: str) -> FilterError:
    return FilterError(f"at character {at + 1}: {message}")


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def finish(self) -> None:
        token = self._tokens[self._next]
        if token.kind != "end":
            raise _error(token.at, f"expected and, or or the end, found {token.text}")

    def either(self, depth: int) -> Filter:
        terms = [self._all(depth)]
        while self._accept("keyword", "or"):
            terms.append(self._all(depth))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def _all(self, depth: int) -> Filter:
        terms = [self._term(depth)]
        while self._accept("keyword", "and"):
            terms.append(self._term(depth))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def _term(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise _error(self._tokens[self._next].at, f"nested deeper than {MAX_DEPTH}; make it simpler")
        if self._accept("keyword", "not"):
            return Not(self._term(depth + 1))
        if self._accept("mark", "("):
            inner = self.either(depth + 1)
            self._expect("mark", ")")
            return inner
        return self._comparison()

    def _comparison(self) -> Filter:
        column = self._column()
        negated = self._accept("keyword", "not")
        if self._accept("keyword", "in"):
            test = In(column, self._choices(column))
            return Not(test) if negated else test
        if negated:
            token = self._tokens[self._next]
            raise _error(token.at, f"expected in after not, found {token.text}")
        operator = self._operator(column)
        if operator is None:
            return Compare(column, "=", True)
        return Compare(column, operator, self._literal(column))

    def _column(self) -> Column:
        token = self._take()
        if token.kind != "word":
            raise _error(token.at, f"expected a column, found {token.text}")
        if "." in token.text:
            found = hop_column(token.text)
            if isinstance(found, str):
                raise _error(token.at, found)
            return found
        column = COLUMNS.get(token.text)
        if column is None:
            near = difflib.get_close_matches(token.text, COLUMNS, 1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COLUMNS)}"
            raise _error(token.at, f"{token.text} is not a column that filters can use; {hint}")
        return column

    def _operator(self, column: Column) -> Operator | None:
        token = self._tokens[self._next]
        for operator in OPERATORS:
            if token.kind == "operator" and token.text == operator:
                if column.kind in ("text", "boolean") and operator not in ("=", "!="):
                    raise _error(token.at, f"{column.name} has no order; use =, != or in")
                self._next += 1
                return operator
        if column.kind == "boolean":
            return None
        raise _error(token.at, f"expected a comparison of {column.name} (=, !=, <, in ...), found {token.text}")

    def _choices(self, column: Column) -> tuple[Value, ...]:
        self._expect("mark", "(")
        values = [self._literal(column)]
        while self._accept("mark", ","):
            values.append(self._literal(column))
            if len(values) > MAX_CHOICES:
                raise _error(self._tokens[self._next].at, f"more than {MAX_CHOICES} values")
        self._expect("mark", ")")
        return tuple(values)

    def _literal(self, column: Column) -> Value:
        token = self._take()
        kind = "boolean" if token.kind == "keyword" and token.text in ("true", "false") else token.kind
        if column.kind == "duration" and token.kind == "integer" and int(token.text) == 0:
            return 0
        if kind != column.kind:
            raise _error(token.at, f"{column.name} is compared with {_EXPECTED[column.kind]}, found {token.text}")
        if kind == "boolean":
            return token.text == "true"
        if kind == "text":
            return self._text(column, token)
        number = int(token.text) if kind == "integer" else self._nanoseconds(token)
        if not column.low <= number <= column.high:
            raise _error(token.at, f"{token.text} is outside of what {column.name} can be")
        return number

    def _text(self, column: Column, token: _Token) -> str:
        value = token.text[1:-1]
        if column.choices and value not in column.choices:
            raise _error(token.at, f"{value!r} is no {column.name}; there are {', '.join(column.choices)}")
        return value

    def _nanoseconds(self, token: _Token) -> int:
        match = re.fullmatch(r"([0-9.]+)([a-z]+)", token.text)
        assert match is not None  # noqa: S101 - the token was read by a stricter pattern
        exact = Decimal(match[1]) * _NANOSECONDS[match[2]]
        if exact != int(exact):
            raise _error(token.at, f"{token.text} is not a whole number of nanoseconds")
        return int(exact)

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        if token.kind != "end":
            self._next += 1
        return token

    def _accept(self, kind: str, text: str) -> bool:
        token = self._tokens[self._next]
        if (token.kind, token.text) == (kind, text):
            self._next += 1
            return True
        return False

    def _expect(self, kind: str, text: str) -> None:
        token = self._tokens[self._next]
        if not self._accept(kind, text):
            raise _error(token.at, f"expected {text}, found {token.text}")
