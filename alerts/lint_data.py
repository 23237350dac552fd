"""What is wrong with SLOs by the data of the last day: an SLI that matches nothing, a threshold that nothing is near.

And, as notes: more groups than are watched by themselves, and traffic so low that a single bad request is over a factor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from alerts.burnrate import Policy
from alerts.document import Problem, duration_text
from alerts.filters.sql import column_sql
from alerts.filters.syntax import And, Compare, Filter, Not, Operator, Or
from alerts.lint import rules_of
from alerts.paths_sql import count, weight_sum
from alerts.slos.model import DRILL_ENVIRONMENT, Slo
from telemetry.store.base import Store
from telemetry.store.tables import REQUEST_PATHS

DAY: Final = 86_400


def lint_data(store: Store, slos: Sequence[Slo], policy: Policy, now: float) -> list[Problem]:
    """The problems of ``slos`` with the paths of the last day.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    since = f"p.start >= toDateTime({int(now) - DAY}, 'UTC') AND p.start < toDateTime({int(now) + 1}, 'UTC')"
    there = f"SELECT {count()} FROM {REQUEST_PATHS} AS p WHERE {since} AND p.environment != '{DRILL_ENVIRONMENT}'"  # noqa: S608
    if not store.query(there).scalar():
        return [
            Problem(
                slo.file,
                "",
                f"{slo.name}: no request path at all is stored of the last day: nothing to check it against",
            )
            for slo in slos
        ]
    return [problem for slo in slos for problem in _one(store, slo, policy, since)]


def _one(store: Store, slo: Slo, policy: Policy, since: str) -> list[Problem]:
    thresholds = list(dict.fromkeys(_thresholds(slo.good)))
    seen = ", ".join(f"min({column_sql(t.column)}), max({column_sql(t.column)})" for t in thresholds)
    groups = f"uniqExact(p.{slo.group_by})" if slo.group_by else "1"
    sql = f"SELECT {count()}, {weight_sum()}, toInt64({groups}){', ' if seen else ''}{seen} FROM {REQUEST_PATHS} AS p "  # noqa: S608
    paths, weight, values, *edges = store.query(f"{sql}WHERE {since} AND {slo.total_sql()}").rows[0]
    if not paths:
        message = f"{slo.name}: matches none of the last day's request paths; is the filter of total right?"
        return [Problem(slo.file, "spec.indicator", message)]
    found = []
    for threshold, low, high in zip(thresholds, edges[::2], edges[1::2], strict=True):
        value = int(threshold.value)
        # All requests on the good side is health; all on the bad one is a mistake.
        side = "under" if value < low else "over" if value > high else ""
        if side == ("under" if threshold.operator in ("<", "<=") else "over"):
            message = (
                f"{slo.name}: {threshold.column.name} {threshold.operator} {_duration(value)} is {side} all that was seen in "
                f"the last day ({_duration(low)} to {_duration(high)}): no request can be good; is the unit right?"
            )
            found.append(Problem(slo.file, "spec.indicator", message))
    if values > slo.max_groups:
        message = (
            f"{slo.name}: {values} values of {slo.group_by} in the last day; the {slo.max_groups} largest are watched by "
            "themselves, the rest together; raise maxGroups if that is too few"
        )
        found.append(Problem(slo.file, "spec.indicator", message, note=True))
    return [*found, *_resolved(slo, policy, float(weight) / max(1, int(values)))]


def _resolved(slo: Slo, policy: Policy, requests: float) -> Iterable[Problem]:
    """Rules whose factor the traffic of a group cannot tell from a single bad request."""
    if slo.slice_seconds:
        return
    for rule in rules_of(slo, policy).rules:
        allowed = float(rule.factor * (1 - slo.objective)) * requests * rule.long_seconds / DAY
        if allowed < 1:
            window = duration_text(rule.long_seconds)
            message = (
                f"{slo.name}: at {requests:,.0f} requests a day in a group, one bad request in {window} is over "
                f"{float(rule.factor):.4g}x; only the floor of policy {policy.name} keeps the {rule.severity} from "
                "firing for it. Group by less, lower the objective, or rely on the sustained rule"
            )
            yield Problem(slo.file, "spec.objectives[0]", message, note=True)
            return


_OPPOSITE: Final[dict[Operator, Operator]] = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _thresholds(tree: Filter, *, negated: bool = False) -> Iterable[Compare]:
    """Bounds of times that good requests must keep, all of them; also those of the opposite of a filter for bad ones."""
    if isinstance(tree, Compare):
        if tree.column.kind == "duration" and tree.operator in _OPPOSITE:
            yield replace(tree, operator=_OPPOSITE[tree.operator]) if negated else tree
    elif isinstance(tree, Not):
        yield from _thresholds(tree.term, negated=not negated)
    elif isinstance(tree, Or if negated else And):  # none of them is all of their opposites
        for term in tree.terms:
            yield from _thresholds(term, negated=negated)


def _duration(nanoseconds: int) -> str:
    for unit, size in (("s", 10**9), ("ms", 10**6), ("us", 10**3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.4g}{unit}"
    return f"{nanoseconds}ns"
