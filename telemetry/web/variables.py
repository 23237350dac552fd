"""The variables of a dashboard: what they are, what the URL chose, what may be chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from telemetry.errors import MalformedError
from telemetry.web.macros import ALL

MAX_VALUES: Final = 100
MAX_LENGTH: Final = 2_000


@dataclass(frozen=True)
class Variable:
    """One variable of a dashboard's JSON.

    Attributes:
        kind: ``query``, ``custom``, ``textbox`` or ``constant``.
        sql: for a query: what lists the options.
        options: for a custom one: the options.
        default: the values while the URL says nothing.
        all_value: what "All" stands for, if not for every option.
    """

    name: str
    label: str
    kind: str
    multi: bool = False
    include_all: bool = False
    hidden: bool = False
    description: str = ""
    sql: str = ""
    options: tuple[str, ...] = ()
    default: tuple[str, ...] = field(default=("",))
    all_value: str | None = None


def read_variables(items: Sequence[Mapping[str, Any]]) -> list[Variable]:
    """The variables under ``templating.list``; the datasource is left out: the page has one.

    Raises:
        KeyError, TypeError: the JSON has another shape.
    """
    return [_read(item) for item in items if item["type"] in {"query", "custom", "textbox", "constant"}]


def _read(item: Mapping[str, Any]) -> Variable:
    kind, query = item["type"], item.get("query") or ""
    options: tuple[str, ...] = ()
    if kind == "custom":
        options = tuple(o["value"] for o in item.get("options", ()) if o["value"] != ALL)
        options = options or tuple(part.strip() for part in str(query).split(","))
    current = (item.get("current") or {}).get("value")
    if kind in {"textbox", "constant"}:
        current = current if current is not None else query
    default = tuple(current) if isinstance(current, list) else (str(current),) if current not in {None, ""} else ()
    if not default:
        default = (ALL,) if item.get("includeAll") else options[:1] or ("",)
    return Variable(
        name=item["name"],
        label=item.get("label") or item["name"],
        kind=kind,
        multi=bool(item.get("multi")),
        include_all=bool(item.get("includeAll")),
        hidden=item.get("hide") == 2 or kind == "constant",
        description=item.get("description") or "",
        sql=(query["rawSql"] if isinstance(query, dict) else str(query)) if kind == "query" else "",
        options=options,
        default=default,
        all_value=item.get("allValue") or None,
    )


def choose(variables: Sequence[Variable], given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The values of every variable: what the URL gave (``var-`` left off the names), else the defaults.

    Raises:
        MalformedError: a value that cannot be: too long, too many, not among a fixed list, "All" where there is none.
    """
    return {v.name: _choose(v, tuple(given[v.name])) if given.get(v.name) else v.default for v in variables}


def _choose(variable: Variable, values: tuple[str, ...]) -> tuple[str, ...]:
    name = variable.name
    if variable.kind == "constant":
        return variable.default
    if len(values) > (MAX_VALUES if variable.multi else 1):
        raise MalformedError(f"var-{name}: {len(values)} values are too many")
    if any(len(value) > MAX_LENGTH for value in values):
        raise MalformedError(f"var-{name}: longer than {MAX_LENGTH} characters")
    if ALL in values:
        if not variable.include_all:
            raise MalformedError(f"var-{name}: there is no All")
        return (ALL,)
    if variable.kind == "custom":
        for value in values:
            if value not in variable.options:
                raise MalformedError(f"var-{name}={value[:40]!r} is none of {', '.join(variable.options)}")
    return values
