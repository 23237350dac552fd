"""OpenSLO SLIs: what is counted, over request paths or in Prometheus.

OpenSLO leaves ``metricSource.spec`` to the source. Of ``type: edgepath``, a side of a ratio has ``filter``
(:mod:`alerts.filters`), ``total`` also ``groupBy`` and ``maxGroups``; a threshold metric has ``metric`` (a column with an
order), ``unit`` if it is a time, and the same beside it::

    thresholdMetric:
      metricSource:
        type: edgepath
        spec: {metric: edge_ns, unit: ms, filter: reached_api, groupBy: pop}

Of ``type: Prometheus`` each side has ``query``: PromQL that may use ``{{window}}``, or a plain selector of a counter.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from alerts.document import Reader
from alerts.filters import Filter, FilterError, parse
from alerts.filters.columns import COLUMNS, GROUPABLE, Column, hop_column
from alerts.filters.syntax import Compare, Not, Operator
from alerts.slos.model import MAX_GROUPS
from alerts.slos.objects import Objects

SOURCE: Final = "edgepath"
PROMETHEUS: Final = "prometheus"
WINDOW: Final = "{{window}}"
_OPERATORS: Final[dict[str, Operator]] = {"lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_UNITS: Final = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}
_MOST_GROUPS: Final = 5000


@dataclass(frozen=True)
class Indicator:
    """What an SLI counts. Either the filters of paths, or the two PromQL expressions; of a threshold no ``good`` yet."""

    total: Filter | None = None
    good: Filter | None = None
    metric: Column | None = None
    unit: int = 1
    group_by: str = ""
    max_groups: int = MAX_GROUPS
    bad_query: str = ""
    total_query: str = ""

    def good_of(self, objective: dict[str, Reader]) -> Filter | None:
        """Good events under an objective: the ratio's filter, or the threshold metric compared by its ``op`` and ``value``."""
        if self.metric is None:
            for key in ("op", "value"):
                if key in objective:
                    objective[key].note("only a thresholdMetric is compared with a value; remove it")
            return self.good
        if "op" not in objective or "value" not in objective:
            return None
        operator = objective["op"].one_of(tuple(_OPERATORS))
        number = objective["value"].decimal()
        if operator is None or number is None:
            return None
        exact: Decimal = number * self.unit
        if exact != int(exact) or not self.metric.low <= exact <= self.metric.high:
            objective["value"].note(f"{number} is outside of what {self.metric.name} can be")
            return None
        return Compare(self.metric, _OPERATORS[operator], int(exact))


def indicator_from(spec: Reader, objects: Objects) -> Indicator | None:
    """The indicator of an SLI's ``spec``, or None and problems."""
    inner = spec.fields((), ("ratioMetric", "thresholdMetric", "description"))
    kinds = [k for k in ("ratioMetric", "thresholdMetric") if k in inner]
    if len(kinds) != 1:
        if isinstance(spec.value, dict):
            spec.note("write either ratioMetric or thresholdMetric")
        return None
    if kinds[0] == "thresholdMetric":
        return _threshold(inner["thresholdMetric"], objects)
    return _ratio(inner["ratioMetric"], objects)


def _ratio(reader: Reader, objects: Objects) -> Indicator | None:
    ratio = reader.fields((), ("total", "good", "bad", "counter", "raw", "rawType"))
    if "raw" in ratio:
        ratio["raw"].note("a ratio made elsewhere cannot be weighted or windowed; write total with good or bad")
        return None
    if "counter" in ratio:
        ratio["counter"].flag(default=True)
    sides = [k for k in ("good", "bad") if k in ratio]
    if len(sides) != 1 or "total" not in ratio:
        if isinstance(reader.value, dict):
            reader.note("write total, and either good or bad")
        return None
    total = _source(ratio["total"], objects, ("groupBy", "maxGroups"))
    side = _source(ratio[sides[0]], objects, ())
    if total is None or side is None:
        return None
    if isinstance(total, str) or isinstance(side, str):
        if not isinstance(total, str) or not isinstance(side, str):
            reader.note("both sides must have the same type of metricSource")
            return None
        bad = side if sides[0] == "bad" else f"({total}) - ({side})"
        return Indicator(bad_query=bad, total_query=total)
    good = side.total if sides[0] == "good" or side.total is None else Not(side.total)
    return Indicator(total=total.total, good=good, group_by=total.group_by, max_groups=total.max_groups)


def _threshold(reader: Reader, objects: Objects) -> Indicator | None:
    found = _source(reader, objects, ("groupBy", "maxGroups", "metric", "unit"))
    if isinstance(found, str):
        reader.note("a threshold in Prometheus is a ratioMetric: good: ..._bucket{le=...}, total: ..._count")
        return None
    return found


def _source(reader: Reader, objects: Objects, more: tuple[str, ...]) -> "Indicator | str | None":
    source = reader.fields(("metricSource",)).get("metricSource")
    fields = source.fields(("spec",), ("type", "metricSourceRef")) if source else {}
    kind = _kind(source, fields, objects) if source else None
    if kind is None or "spec" not in fields:
        return None
    if kind == PROMETHEUS:
        return _promql(fields["spec"])
    return _paths(fields["spec"], more)


def _kind(source: Reader, fields: dict[str, Reader], objects: Objects) -> str | None:
    kind = fields.get("type")
    if kind is None and "metricSourceRef" in fields:
        there = objects.referred(fields["metricSourceRef"], "DataSource")
        kind = there.spec.fields(("type",), ("description", "connectionDetails")).get("type") if there else None
    elif kind is None:
        source.note(f"missing; write {SOURCE}", "type")
    if kind is None:
        return None
    named = str(kind.value).lower()
    if named not in (SOURCE, PROMETHEUS):
        kind.note(f"{kind.value!r} is not read; write {SOURCE}, or Prometheus for rules that Prometheus evaluates")
        return None
    return named


def _promql(spec: Reader) -> str | None:
    reader = spec.fields(("query",)).get("query")
    text = reader.text(10_000) if reader else None
    if reader is None or text is None:
        return None
    text = " ".join(text.replace("{{.window}}", WINDOW).split())  # Sloth's spelling is read, too
    if not text or text.count("(") != text.count(")"):
        reader.note("not PromQL: empty, or its parentheses do not match")
        return None
    if WINDOW in text:
        return text
    if not re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?", text):
        reader.note(
            f"an expression must say over which window: write rate(...[{WINDOW}]); or give the counter's selector alone"
        )
        return None
    return f"sum(rate({text}[{WINDOW}]))"


def _paths(reader: Reader, more: tuple[str, ...]) -> Indicator | None:
    before = len(reader.problems)
    threshold = "metric" in more
    spec = reader.fields(("metric",) if threshold else ("filter",), (*more, "filter"))
    group_by = (spec["groupBy"].one_of(GROUPABLE) or "") if "groupBy" in spec else ""
    most = _max_groups(spec["maxGroups"]) if "maxGroups" in spec else MAX_GROUPS
    metric, unit = _metric(spec) if threshold else (None, 1)
    total = _filter(spec["filter"]) if "filter" in spec else parse("complete or not complete")
    if len(reader.problems) > before or total is None:
        return None
    return Indicator(total=total, metric=metric, unit=unit, group_by=group_by, max_groups=most)


def _filter(reader: Reader) -> Filter | None:
    text = reader.text(10_000)
    if text is None:
        return None
    try:
        return parse(text)
    except FilterError as error:
        reader.note(str(error))
        return None


def _metric(spec: dict[str, Reader]) -> tuple[Column | None, int]:
    name = spec["metric"].text(100) if "metric" in spec else None
    if name is None:
        return None, 1
    column = hop_column(name) if "." in name else COLUMNS.get(name)
    if not isinstance(column, Column) or column.kind not in ("duration", "integer"):
        ordered = ", ".join(c.name for c in COLUMNS.values() if c.kind in ("duration", "integer"))
        spec["metric"].note(
            column if isinstance(column, str) else f"{name!r} cannot be compared with a value; there are {ordered}"
        )
        return None, 1
    if column.kind == "integer":
        if "unit" in spec:
            spec["unit"].note(f"{name} has no unit; remove it")
        return column, 1
    if "unit" not in spec:
        spec["metric"].note(
            f"a time needs the unit of the objectives' values beside it; write unit: one of {', '.join(_UNITS)}"
        )
        return None, 1
    unit = spec["unit"].one_of(tuple(_UNITS))
    return column, _UNITS[unit] if unit else 1


def _max_groups(reader: Reader) -> int:
    number = reader.decimal()
    if number is not None and (number != int(number) or not 1 <= number <= _MOST_GROUPS):
        reader.note(f"a whole number from 1 to {_MOST_GROUPS}")
    return int(number or 1)
