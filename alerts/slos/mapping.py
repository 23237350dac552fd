"""OpenSLO v1 documents (https://github.com/OpenSLO/OpenSLO) to :class:`~alerts.slos.model.Slo`.

What is read: ``kind: SLO`` with an inline ``indicator``, ``ratioMetric`` of ``good`` (or ``bad``) and ``total``, one objective,
one rolling time window, ``budgetingMethod: Occurrences``. OpenSLO leaves ``metricSource.spec`` to the source; ours is::

    metricSource:
      type: edgepath
      spec:
        filter: outcome = 'ok'   # see alerts.filters
        groupBy: pop             # only under total; optional
"""

import re
from collections.abc import Collection
from decimal import Decimal
from typing import Any, Final

from alerts.document import Problem, Reader
from alerts.filters import Filter, FilterError, parse
from alerts.filters.columns import GROUPABLE
from alerts.filters.syntax import Not
from alerts.slos.model import Slo

API_VERSION: Final = "openslo/v1"
SOURCE: Final = "edgepath"
RUNBOOK: Final = "edgepath/runbook"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def slo_from(document: Any, file: str, where: str = "") -> tuple[Slo | None, list[Problem]]:
    """The SLO of one document, or None, and every problem found in it; ``where`` is put before the paths."""
    problems: list[Problem] = []
    root = Reader(document, file, where, problems)
    top = root.fields(("apiVersion", "kind", "metadata", "spec"))
    if "apiVersion" in top and top["apiVersion"].value != API_VERSION:
        top["apiVersion"].note(f"{top['apiVersion'].value!r} is not read; write {API_VERSION}")
    if "kind" in top and top["kind"].value != "SLO":
        top["kind"].note(f"{top['kind'].value!r} is not read yet; write SLO, with its indicator inside")
    if problems:
        return None, problems
    name, display_name, runbook = _metadata(top["metadata"])
    spec = top["spec"].fields(
        ("service", "indicator", "timeWindow", "budgetingMethod", "objectives"), ("description", "alertPolicies")
    )
    if "alertPolicies" in spec and spec["alertPolicies"].value:
        spec["alertPolicies"].note("alert policies inside the SLO are not read; give one to `edgepath watch --policy`")
    if "budgetingMethod" in spec:
        spec["budgetingMethod"].one_of(("Occurrences",))
    service = _text(spec, "service")
    description = _text(spec, "description")
    period = _period(spec["timeWindow"]) if "timeWindow" in spec else None
    objective = _objective(spec["objectives"]) if "objectives" in spec else None
    total, good, group_by = _indicator(spec["indicator"]) if "indicator" in spec else (None, None, "")
    if problems or name is None or period is None or objective is None or total is None or good is None:
        return None, problems
    return Slo(
        name=name,
        display_name=display_name,
        description=description,
        service=service,
        objective=objective,
        period_seconds=period,
        total=total,
        good=good,
        group_by=group_by,
        runbook=runbook,
        file=file,
    ), problems


def _text(fields: dict[str, Reader], key: str) -> str:
    return (fields[key].text() or "") if key in fields else ""


def _metadata(reader: Reader) -> tuple[str | None, str, str]:
    fields = reader.fields(("name",), ("displayName", "labels", "annotations"))
    name = fields["name"].text(63) if "name" in fields else None
    if name is not None and not _NAME.fullmatch(name):
        fields["name"].note(f"{name!r} is not a name; use lower-case letters, digits and -")
        name = None
    annotations = fields["annotations"].value if "annotations" in fields else {}
    runbook = ""
    if not isinstance(annotations, dict):
        fields["annotations"].note("expected a mapping of names to texts")
    elif RUNBOOK in annotations:
        runbook = annotations[RUNBOOK]
        if not isinstance(runbook, str) or not re.fullmatch(r"[^\s<>\"']{1,500}", runbook):
            fields["annotations"].note("expected a URL or a path without spaces", RUNBOOK)
            runbook = ""
    return name, _text(fields, "displayName"), runbook


def _only(reader: Reader, what: str) -> Reader | None:
    items = reader.items()
    if len(items) == 1:
        return items[0]
    if isinstance(reader.value, list):
        reader.note(f"expected exactly one {what}, found {len(items)}")
    return None


def _period(reader: Reader) -> int | None:
    window = _only(reader, "time window")
    if window is None:
        return None
    fields = window.fields(("duration",), ("isRolling", "calendar"))
    if "calendar" in fields:
        fields["calendar"].note("calendar windows are not read yet; use isRolling: true")
    if fields and ("isRolling" not in fields or fields["isRolling"].value is not True):
        window.note("write true: only rolling windows are read", "isRolling")
    seconds = fields["duration"].duration() if "duration" in fields else None
    if seconds is not None and not 3600 <= seconds <= 400 * 86_400:
        fields["duration"].note("a period lies between 1h and 400d, which is how long counts are kept")
        return None
    return seconds


def _objective(reader: Reader) -> Decimal | None:
    one = _only(reader, "objective; give each its own SLO")
    if one is None:
        return None
    fields = one.fields((), ("displayName", "target", "targetPercent"))
    given = [k for k in ("target", "targetPercent") if k in fields]
    if len(given) != 1:
        if fields or isinstance(one.value, dict):
            one.note("write either target (a ratio, e.g. 0.999) or targetPercent (e.g. 99.9)")
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


def _indicator(reader: Reader) -> tuple[Filter | None, Filter | None, str]:
    spec = reader.fields(("spec",), ("metadata",)).get("spec")
    if spec is None:
        return None, None, ""
    inner = spec.fields((), ("ratioMetric", "thresholdMetric", "description"))
    if "thresholdMetric" in inner:
        inner["thresholdMetric"].note("not read; write a ratioMetric, e.g. good: edge_ns < 250ms")
        return None, None, ""
    if "ratioMetric" not in inner:
        if isinstance(spec.value, dict):
            spec.note("missing", "ratioMetric")
        return None, None, ""
    ratio = inner["ratioMetric"].fields(("total",), ("good", "bad", "counter"))
    sides = [k for k in ("good", "bad") if k in ratio]
    if len(sides) != 1 and ratio:
        inner["ratioMetric"].note("write either good or bad, beside total")
    total, group_by = _source(ratio["total"], ("groupBy",)) if "total" in ratio else (None, "")
    sided = [(k, _source(ratio[k], ())[0]) for k in sides]
    good = None
    if len(sided) == 1 and (side := sided[0][1]) is not None:
        good = side if sided[0][0] == "good" else Not(side)
    return total, good, group_by


def _source(reader: Reader, more: Collection[str]) -> tuple[Filter | None, str]:
    source = reader.fields(("metricSource",)).get("metricSource")
    fields = source.fields(("type", "spec"), ("metricSourceRef",)) if source else {}
    if "type" in fields and fields["type"].value != SOURCE:
        fields["type"].note(f"{fields['type'].value!r} is not read; write {SOURCE}")
    if "spec" not in fields:
        return None, ""
    spec = fields["spec"].fields(("filter",), more)
    group_by = (spec["groupBy"].one_of(GROUPABLE) or "") if "groupBy" in spec else ""
    text = spec["filter"].text(10_000) if "filter" in spec else None
    if text is None:
        return None, group_by
    try:
        return parse(text), group_by
    except FilterError as error:
        spec["filter"].note(str(error))
        return None, group_by
