"""Burn-rate policies: cited data in YAML, read and checked. ``workbook`` is the default, ``demo`` is compressed."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from alerts.burnrate import SEVERITIES, Policy, Rule
from alerts.document import Problem, ProblemsError, Reader, parse, read

__all__ = ["DEFAULT", "load", "shipped"]

DEFAULT: Final = "workbook"
API_VERSION: Final = "edgepath/v1"
KIND: Final = "BurnRatePolicy"


def shipped() -> dict[str, Path]:
    """The policies that come with Edgepath, by name."""
    return {p.stem: p for p in sorted(Path(__file__).parent.glob("*.yaml"))}


def load(path_or_name: str | Path = DEFAULT) -> Policy:
    """A policy by the name of a shipped one, or from a file.

    Raises:
        ProblemsError: a :class:`~telemetry.errors.ConfigurationError` with every problem of the file.
    """
    known = shipped()
    path = known.get(str(path_or_name), Path(path_or_name))
    file = f"alerts/policies/{path.name}" if str(path_or_name) in known else str(path)
    if not path.exists():
        raise ProblemsError([Problem(file, "", f"no such policy; name a file or one of {', '.join(known)}")])
    documents = parse(read(path), file)
    if len(documents) != 1:
        raise ProblemsError([Problem(file, "", f"expected one document, found {len(documents)}")])
    policy, problems = policy_from(documents[0], file)
    if policy is None or problems:
        raise ProblemsError(problems)
    return policy


def policy_from(document: Any, file: str) -> tuple[Policy | None, list[Problem]]:
    """The policy of one document, or None, and every problem found in it."""
    problems: list[Problem] = []
    top = Reader(document, file, "", problems).fields(("apiVersion", "kind", "metadata", "spec"))
    for key, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if key in top and top[key].value != wanted:
            top[key].note(f"{top[key].value!r} is not read; write {wanted}")
    if problems:
        return None, problems
    name = top["metadata"].fields(("name",)).get("name")
    spec = top["spec"].fields(
        ("source", "period", "resolution", "interval", "delay", "minBadEvents", "minBadPaths", "keepFiring", "rules")
    )
    seconds = {k: _seconds(spec, k) for k in ("period", "resolution", "interval", "delay", "keepFiring")}
    for key in ("period", "resolution", "interval"):
        if seconds[key] == 0 and key in spec and not problems:
            spec[key].note("must be more than 0")
    numbers = {k: spec[k].decimal() if k in spec else None for k in ("minBadEvents", "minBadPaths")}
    for key, number in numbers.items():
        if number is not None and (number < 0 or (key == "minBadPaths" and number != int(number))):
            spec[key].note("must be 0 or more" + (", and whole" if key == "minBadPaths" else ""))
    rules = [_rule(item, seconds) for item in spec["rules"].items()] if "rules" in spec else []
    if "rules" in spec and not rules:
        spec["rules"].note("expected at least one rule")
    kept = [r for r in rules if r is not None]
    if "rules" in spec and len({r.key for r in kept}) != len(kept):
        spec["rules"].note("two rules have the same severity and windows; keep one")
    title = name.text(63) if name else None
    source = spec["source"].text() if "source" in spec else None
    if problems or title is None or source is None:
        return None, problems
    return Policy(
        name=title,
        source=source,
        period_seconds=seconds["period"],
        resolution_seconds=seconds["resolution"],
        interval_seconds=seconds["interval"],
        delay_seconds=seconds["delay"],
        min_bad_events=numbers["minBadEvents"] or Decimal(0),
        min_bad_paths=int(numbers["minBadPaths"] or 0),
        keep_firing_seconds=seconds["keepFiring"],
        rules=tuple(kept),
    ), problems


def _seconds(fields: dict[str, Reader], key: str) -> int:
    return (fields[key].duration() or 0) if key in fields else 0


def _rule(reader: Reader, seconds: dict[str, int]) -> Rule | None:
    before = len(reader.problems)
    fields = reader.fields(("severity", "long", "short", "factor"))
    severity = fields["severity"].one_of(SEVERITIES) if "severity" in fields else None
    long_seconds, short_seconds = _seconds(fields, "long"), _seconds(fields, "short")
    factor = fields["factor"].decimal() if "factor" in fields else None
    if len(reader.problems) > before or severity is None or factor is None:
        return None
    if factor <= 0:
        fields["factor"].note("must be more than 0")
    if not 0 < short_seconds < long_seconds:
        fields["short"].note("must be more than 0 and less than long")
    if seconds["period"] and long_seconds > seconds["period"]:
        fields["long"].note("is longer than the period")
    for key, window in (("long", long_seconds), ("short", short_seconds)):
        if seconds["resolution"] and window % seconds["resolution"]:
            fields[key].note(f"is not a multiple of the resolution, {seconds['resolution']}s")
    if len(reader.problems) > before:
        return None
    return Rule("page" if severity == "page" else "ticket", long_seconds, short_seconds, factor)
