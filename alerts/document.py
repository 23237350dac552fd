"""Reading YAML documents that people wrote: every problem of a file at once, each with its place and the mend.

Parse, then map, then validate: :func:`parse` makes plain values (numbers as :class:`~decimal.Decimal`, never binary
floats), a :class:`Reader` walks them, notes what is wrong and where, and goes on.
"""

import difflib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

import yaml

from telemetry.errors import ConfigurationError

MAX_BYTES: Final = 1_000_000
MAX_EXPONENT: Final = 12
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the file, the path inside its document (may be empty) and what to do.

    A ``note`` stops nothing: what was written is read, and could be written better.
    """

    file: str
    path: str
    message: str
    note: bool = False

    def __str__(self) -> str:
        return ": ".join(part for part in (self.file, self.path, "note" if self.note else "", self.message) if part)


def errors(problems: "Iterable[Problem]") -> "list[Problem]":
    """Those that are no notes."""
    return [p for p in problems if not p.note]


class ProblemsError(ConfigurationError):
    """Files that cannot be used. ``str()`` shows the first problem; :attr:`problems` has them all."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        more = len(self.problems) - 1
        super().__init__(f"{self.problems[0]}{f' (and {more} more)' if more else ''}")


class _Loader(yaml.SafeLoader):
    """YAML's safe types, with decimals for floats and an error for a key given twice."""

    def construct_decimal(self, node: yaml.ScalarNode) -> Decimal:
        text = str(self.construct_scalar(node)).replace("_", "")
        text = re.sub(r"^([+-]?)\.(inf|nan)$", r"\1\2", text, flags=re.IGNORECASE)
        try:
            return Decimal(text)
        except InvalidOperation:
            raise yaml.constructor.ConstructorError(
                None, None, f"{text} is not a decimal number", node.start_mark
            ) from None

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in getattr(node, "value", ()):
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add(str(key.value) if isinstance(key, yaml.ScalarNode) else "")
        return super().construct_mapping(node, deep)


# Dates stay text: nothing here has a date type, and a version or name must not turn into one.
_Loader.yaml_constructors = {
    **yaml.SafeLoader.yaml_constructors,
    "tag:yaml.org,2002:float": _Loader.construct_decimal,
    "tag:yaml.org,2002:timestamp": _Loader.construct_yaml_str,
}


def parse(text: str, file: str) -> list[Any]:
    """The documents of a YAML text.

    Raises:
        ProblemsError: it is not YAML, or too large.
    """
    if len(text) > MAX_BYTES:
        raise ProblemsError([Problem(file, "", f"larger than {MAX_BYTES} characters; split it")])
    try:
        # _Loader is a SafeLoader: it builds plain values only.
        return [d for d in yaml.load_all(text, Loader=_Loader) if d is not None]
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ProblemsError([Problem(file, where, f"not readable as YAML: {what}")]) from error


def read(path: Path) -> str:
    """The text of a file.

    Raises:
        ProblemsError: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ProblemsError([Problem(str(path), "", f"cannot be read: {reason}")]) from error


def yaml_files(paths: Iterable[Path]) -> list[Path]:
    """The files named, a directory standing for its ``*.yaml`` and ``*.yml``, sorted.

    Raises:
        ProblemsError: a directory holds none.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in (".yaml", ".yml"))
            if not inside:
                raise ProblemsError([Problem(str(path), "", "holds no .yaml file")])
            found.extend(inside)
        else:
            found.append(path)
    return found


@dataclass(frozen=True)
class Reader:
    """A value of a document with its path. Wrong values are noted in ``problems`` and read as None (or left out)."""

    value: Any
    file: str
    path: str
    problems: list[Problem] = field(repr=False)

    def note(self, message: str, path: str | None = None, *, fine: bool = False) -> None:
        """Note a problem, here or at ``path`` under here; a ``fine`` one stops nothing (:attr:`Problem.note`)."""
        self.problems.append(Problem(self.file, self._under(path) if path else self.path, message, fine))

    def at(self, key: str, value: Any) -> "Reader":
        """A reader of a value that stands for the member ``key``."""
        return self._at(key, value)

    def fields(self, required: Collection[str] = (), optional: Collection[str] = ()) -> dict[str, "Reader"]:
        """The members of a mapping; notes what is missing and what is not known."""
        if not isinstance(self.value, dict):
            self.note(f"expected a mapping with {', '.join(required) or 'keys'}, found {_kind(self.value)}")
            return {}
        known = [*required, *optional]
        for key in self.value:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                self.note(f"not a known key; {f'did you mean {near[0]}?' if near else 'remove it'}", str(key))
        for key in required:
            if self.value.get(key) is None:
                self.note("missing", key)
        return {k: self._at(str(k), v) for k, v in self.value.items() if k in known and v is not None}

    def items(self) -> list["Reader"]:
        """The members of a list."""
        if not isinstance(self.value, list):
            self.note(f"expected a list, found {_kind(self.value)}")
            return []
        return [Reader(v, self.file, f"{self.path}[{i}]", self.problems) for i, v in enumerate(self.value)]

    def text(self, longest: int = 1050) -> str | None:
        """A text of at most ``longest`` characters."""
        if not isinstance(self.value, str):
            self.note(f"expected a text, found {_kind(self.value)}; put it in quotes")
            return None
        if len(self.value) > longest:
            self.note(f"{len(self.value)} characters are too many; at most {longest}")
            return None
        return self.value

    def one_of(self, choices: Collection[str]) -> str | None:
        """One of ``choices``."""
        if self.value not in choices:
            self.note(f"{self.value!r} is not one of {', '.join(choices)}")
            return None
        return str(self.value)

    def decimal(self) -> Decimal | None:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | Decimal):
            self.note(f"expected a number, found {_kind(self.value)}")
            return None
        number = Decimal(self.value)
        # Exact arithmetic with 1e-999999999 would take all memory.
        if not number.is_finite() or (number and abs(number.adjusted()) > MAX_EXPONENT):
            self.note(f"{number} is not a number that can be used here")
            return None
        return number

    def duration(self) -> int | None:
        """A duration such as ``5m``, ``6h`` or ``30d`` (OpenSLO's shorthand), in seconds."""
        match = re.fullmatch(r"(\d{1,6})([smhdw])", self.value) if isinstance(self.value, str) else None
        if not match:
            self.note(f"{self.value!r} is not a duration; write a number and one of s, m, h, d, w, e.g. 30d")
            return None
        return int(match[1]) * _UNITS[match[2]]

    def flag(self, default: bool) -> bool:
        """True or false; ``default``, and a problem, for anything else."""
        if not isinstance(self.value, bool):
            self.note(f"expected true or false, found {_kind(self.value)}")
            return default
        return self.value

    def _at(self, key: str, value: Any) -> "Reader":
        return Reader(value, self.file, self._under(key), self.problems)

    def _under(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _kind(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number" if isinstance(value, int | Decimal) else type(value).__name__)


def duration_text(seconds: int) -> str:
    """Seconds as the shortest exact shorthand: 3600 is ``1h``, 90 is ``90s``."""
    for unit, size in reversed(_UNITS.items()):
        if seconds and seconds % size == 0 and unit != "w":
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
