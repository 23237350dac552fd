"""OpenSLO v1 SLO objects to our model: parse, map, validate, and say where and what is wrong.

https://github.com/OpenSLO/OpenSLO: an indicator inside or referred to, one time window, ``Occurrences`` or ``Timeslices``,
one objective or (of a ratio) several, alert policies inside or referred to. Each objective becomes an SLO of its own.
"""

import re
from decimal import Decimal
from typing import Final

from alerts.document import Reader
from alerts.slos.alerting import policies_from
from alerts.slos.indicator import Indicator, indicator_from
from alerts.slos.model import Alerting, PrometheusSlo, Slo, Target
from alerts.slos.objects import RUNBOOK, Object, Objects
from alerts.slos.window import Calendar, window_from

_METHODS: Final = ("Occurrences", "Timeslices")
_MINUTE: Final = 60
_LONGEST_NAME: Final = 63


def slos_from(source: Object, objects: Objects, targets: dict[str, Target]) -> list[Slo | PrometheusSlo]:
    """The SLOs of one document; none, and problems in ``objects``, if it cannot be used."""
    before = len([p for p in objects.problems if not p.note])
    spec = source.spec.fields(
        ("service", "timeWindow", "budgetingMethod", "objectives"),
        ("description", "indicator", "indicatorRef", "alertPolicies"),
    )
    method = spec["budgetingMethod"].one_of(_METHODS) if "budgetingMethod" in spec else None
    service = (spec["service"].text() or "") if "service" in spec else ""
    description = (spec["description"].text() or "") if "description" in spec else ""
    period, calendar = window_from(spec["timeWindow"]) if "timeWindow" in spec else (None, None)
    indicator = _indicator(source.spec, spec, objects)
    alerting = policies_from(spec["alertPolicies"], objects, targets) if "alertPolicies" in spec else ()
    objectives = spec["objectives"].items() if "objectives" in spec else []
    if "objectives" in spec and not objectives and isinstance(spec["objectives"].value, list):
        spec["objectives"].note("expected at least one objective")
    found: list[Slo | PrometheusSlo] = []
    suffixes: set[str] = set()
    for number, reader in enumerate(objectives):
        suffix = _suffix(reader, number, suffixes) if len(objectives) > 1 else ""
        one = _Objective(reader, method or "", indicator)
        if one.target is None or period is None or indicator is None:
            continue
        name = f"{source.name[: _LONGEST_NAME - len(suffix)]}{suffix}"
        common = (name, source.display_name, description, service, one.target, period)
        runbook = source.annotations.get(RUNBOOK, "")
        if indicator.total_query:
            found.append(_prometheus(source, common, indicator, runbook, alerting, calendar, one))
        elif indicator.total is not None and one.good is not None:
            slo = Slo(
                *common,
                total=indicator.total,
                good=one.good,
                group_by=indicator.group_by,
                runbook=runbook,
                file=source.file,
                calendar=calendar,
                slice_seconds=one.slice_seconds,
                slice_target=one.slice_target,
                max_groups=indicator.max_groups,
                alerting=alerting,
            )
            found.append(slo)
    return found if len([p for p in objects.problems if not p.note]) == before else []


def _prometheus(
    source: Object,
    common: tuple[str, str, str, str, Decimal, int],
    indicator: Indicator,
    runbook: str,
    alerting: tuple[Alerting, ...],
    calendar: Calendar | None,
    one: "_Objective",
) -> PrometheusSlo:
    if calendar is not None:
        source.spec.note(
            "Prometheus cannot align a window to a calendar; write isRolling: true", "timeWindow[0].calendar"
        )
    if one.slice_seconds:
        source.spec.note("rules for Prometheus are made for Occurrences only", "budgetingMethod")
    return PrometheusSlo(*common, indicator.bad_query, indicator.total_query, runbook, source.file, alerting)


def _indicator(whole: Reader, spec: dict[str, Reader], objects: Objects) -> Indicator | None:
    given = [k for k in ("indicator", "indicatorRef") if k in spec]
    if len(given) != 1:
        if isinstance(whole.value, dict):
            whole.note("write either indicator or indicatorRef")
        return None
    if given[0] == "indicatorRef":
        there = objects.referred(spec["indicatorRef"], "SLI")
        return indicator_from(there.spec, objects) if there else None
    inner = spec["indicator"].fields(("spec",), ("metadata", "kind", "apiVersion")).get("spec")
    return indicator_from(inner, objects) if inner else None


def _suffix(reader: Reader, number: int, taken: set[str]) -> str:
    named = reader.value.get("displayName") if isinstance(reader.value, dict) else None
    slug = re.sub(r"[^a-z0-9]+", "-", str(named or "").lower()).strip("-")[:30].strip("-")
    suffix = f"-{slug or number + 1}"
    while suffix in taken:
        suffix = f"{suffix}-{number + 1}"
    taken.add(suffix)
    return suffix


class _Objective:
    """One objective: its target as a ratio (None if it cannot be read), what is good, and the slices."""

    def __init__(self, reader: Reader, method: str, indicator: Indicator | None) -> None:
        compared = ("op", "value") if indicator is not None and indicator.metric is not None else ()
        slices = ("timeSliceTarget", "timeSliceWindow") if method == "Timeslices" else ()
        known = ("displayName", "target", "targetPercent", "op", "value", "timeSliceTarget", "timeSliceWindow")
        fields = reader.fields((*compared, *slices), tuple(k for k in known if k not in (*compared, *slices)))
        self.target = _target(reader, fields)
        self.good = indicator.good_of(fields) if indicator is not None else None
        self.slice_seconds, self.slice_target = 0, Decimal(0)
        if slices and all(k in fields for k in slices):
            self.slice_seconds = _slice_window(fields["timeSliceWindow"])
            self.slice_target = _slice_target(fields["timeSliceTarget"])
        elif not slices:
            for key in ("timeSliceTarget", "timeSliceWindow"):
                if key in fields:
                    fields[key].note("only budgetingMethod: Timeslices has slices; remove it")


def _target(reader: Reader, fields: dict[str, Reader]) -> Decimal | None:
    given = [k for k in ("target", "targetPercent") if k in fields]
    if len(given) != 1:
        if fields or isinstance(reader.value, dict):
            reader.note("write either target (a ratio, e.g. 0.999) or targetPercent (e.g. 99.9)")
        return None
    field = fields[given[0]]
    number = field.decimal()
    if number is None:
        return None
    ratio = number if given[0] == "target" else number / 100
    if 0 < ratio < 1:
        return ratio
    if given[0] == "target" and 1 < number < 100:
        field.note(f"{number} is not a ratio; write {(number / 100).normalize():f}")
    else:
        field.note(f"{number} is out of range; {'a ratio lies' if given[0] == 'target' else 'a percentage lies'} "
                   f"between 0 and {1 if given[0] == 'target' else 100}, both excluded")  # fmt: skip
    return None


def _slice_window(reader: Reader) -> int:
    """OpenSLO: a bare number is in minutes."""
    bare = isinstance(reader.value, int | Decimal) and not isinstance(reader.value, bool)
    seconds = int((reader.decimal() or 0) * _MINUTE) if bare else reader.duration()
    if seconds is not None and (seconds < _MINUTE or seconds % _MINUTE or 86_400 % seconds):
        reader.note("a slice is whole minutes that divide a day, e.g. 1m, 5m, 1h")
    return seconds or 0


def _slice_target(reader: Reader) -> Decimal:
    number = reader.decimal()
    if number is not None and not 0 < number <= 1:
        reader.note(f"{number} is out of range; a ratio above 0 and up to 1")
    return number or Decimal(0)
