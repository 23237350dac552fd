"""Incidents that people know of, in YAML: what a backtest is measured against.

Of the past, with times::

    apiVersion: edgepath/v1
    kind: Incidents
    metadata: {name: autumn}
    spec:
      incidents:
        - {name: fra lost its upstream, start: "2026-11-03T10:04:00Z", end: "2026-11-03T10:31:00Z", value: fra, expect: page}

``expect`` is ``page``, ``ticket`` (a ticket is right, a page is not wrong) or ``none`` (nobody should be woken).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from alerts.document import Problem, ProblemsError, Reader, parse, read

API_VERSION: Final = "edgepath/v1"
EXPECTATIONS: Final = ("page", "ticket", "none")


@dataclass(frozen=True)
class Incident:
    """Something that went wrong: ``value`` is the group it was in (empty: any), ``expect`` what is right."""

    name: str
    start: float
    end: float
    value: str
    expect: str


def load(path: Path) -> list[Incident]:
    """The incidents of a file, in order of time.

    Raises:
        ProblemsError: with every problem of the file.
    """
    problems: list[Problem] = []
    spec = head(path, "Incidents", problems).fields(("incidents",))
    found = [_incident(item) for item in spec["incidents"].items()] if "incidents" in spec else []
    if problems:
        raise ProblemsError(problems)
    return sorted((i for i in found if i is not None), key=lambda i: i.start)


def head(path: Path, kind: str, problems: list[Problem]) -> Reader:
    """A reader of the ``spec`` of the one document of a file."""
    documents = parse(read(path), str(path))
    if len(documents) != 1:
        raise ProblemsError([Problem(str(path), "", f"expected one document, found {len(documents)}")])
    top = Reader(documents[0], str(path), "", problems).fields(("apiVersion", "kind", "metadata", "spec"))
    for key, wanted in (("apiVersion", API_VERSION), ("kind", kind)):
        if key in top and top[key].value != wanted:
            top[key].note(f"{top[key].value!r} is not read; write {wanted}")
    if problems:
        raise ProblemsError(problems)
    top["metadata"].fields(("name",))
    return top["spec"]


def _incident(reader: Reader) -> Incident | None:
    fields = reader.fields(("name", "start", "end"), ("value", "expect"))
    name = fields["name"].text(200) if "name" in fields else None
    start, end = (_time(fields[k]) if k in fields else None for k in ("start", "end"))
    value = (fields["value"].text() or "") if "value" in fields else ""
    expect = (fields["expect"].one_of(EXPECTATIONS) or "") if "expect" in fields else "page"
    if start is not None and end is not None and end <= start:
        fields["end"].note("must be after start")
    return None if name is None or start is None or end is None else Incident(name, start, end, value, expect)


def _time(reader: Reader) -> float | None:
    try:
        at = datetime.fromisoformat(str(reader.value))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        reader.note(f"{reader.value!r} is not a time with its zone; write e.g. 2026-11-03T10:04:00Z")
        return None
    return at.timestamp()


def within(incidents: Sequence[Incident], start: float, end: float) -> list[Incident]:
    """Those that touch a stretch of time."""
    return [i for i in incidents if i.end > start and i.start < end]
