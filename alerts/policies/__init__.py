"""Burn-rate policies: cited data in YAML, read and checked. ``workbook`` is the default, ``demo`` is compressed."""

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from alerts.burnrate import SEVERITIES, BudgetState, Policy, Rule, Severity, Sustained
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
        ("source", "period", "resolution", "interval", "delay", "minBadEvents", "minBadPaths", "keepFiring", "rules"),
        ("confidence", "flapping", "groupFor", "sustained", "budget"),
    )
    lengths = ("period", "resolution", "interval", "delay", "keepFiring", "flapping", "groupFor")
    seconds = {k: _seconds(spec, k) for k in lengths}
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
    confidence = spec["confidence"].decimal() if "confidence" in spec else Decimal("0.95")
    if confidence is not None and not Decimal("0.5") <= confidence < 1:
        spec["confidence"].note("a confidence lies between 0.5 and 1, 1 excluded")
    sustained = _sustained(spec["sustained"], seconds) if "sustained" in spec else None
    budget = _budget(spec["budget"]) if "budget" in spec else ()
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
        confidence=confidence or Decimal("0.95"),
        flap_seconds=seconds["flapping"],
        group_seconds=seconds["groupFor"],
        sustained=sustained,
        budget=budget,
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
    return Rule(_severity(severity), long_seconds, short_seconds, factor)


def _severity(text: str) -> Severity:
    return "page" if text == "page" else "ticket"


def _sustained(reader: Reader, seconds: dict[str, int]) -> Sustained | None:
    before = len(reader.problems)
    fields = reader.fields(("severity", "window", "slot", "slots", "share"))
    severity = fields["severity"].one_of(SEVERITIES) if "severity" in fields else None
    window, slot = _seconds(fields, "window"), _seconds(fields, "slot")
    slots = fields["slots"].decimal() if "slots" in fields else None
    share = fields["share"].decimal() if "share" in fields else None
    if len(reader.problems) > before or severity is None or slots is None or share is None:
        return None
    if slots != int(slots) or not 1 <= slots <= 100:
        fields["slots"].note("a whole number from 1 to 100")
    elif slot <= 0 or slot * slots > window:
        fields["slot"].note("must be more than 0, and slots of it must fit into window")
    elif seconds["resolution"] and slot % seconds["resolution"]:
        fields["slot"].note(f"is not a multiple of the resolution, {seconds['resolution']}s")
    if not 0 <= share < 1:
        fields["share"].note("a ratio from 0 to 1, 1 excluded")
    if len(reader.problems) > before:
        return None
    return Sustained(_severity(severity), window, slot, int(slots), share)


def _budget(reader: Reader) -> tuple[BudgetState, ...]:
    found: list[BudgetState] = []
    for item in reader.items():
        fields = item.fields(("state", "above"), ("action",))
        name = fields["state"].text(63) if "state" in fields else None
        above = fields["above"].decimal() if "above" in fields else None
        action = (fields["action"].text() or "") if "action" in fields else ""
        if name is None or above is None:
            continue
        if found and above >= found[-1].above:
            fields["above"].note("states go from the most budget left to the least")
        found.append(BudgetState(name, above, action))
    return tuple(found)
