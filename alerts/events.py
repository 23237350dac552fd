"""From a verdict to the event that tells of it, with its blame, budget and links."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from alerts.blame import Blame, blame
from alerts.burnrate import Counts, Policy, Rule, Severity, budget_left, burn_rate, exhausted_in
from alerts.decide import AlertState, Verdict
from alerts.memory import AlertKey
from alerts.page import BURN, SUSTAINED, PageEvent, dashboard_url
from alerts.page_text import percent
from alerts.sli_reads import Group, periods, read_periods
from alerts.slos.model import OTHER, Slo
from telemetry.errors import EdgepathError
from telemetry.store.base import Store

_log = logging.getLogger(__name__)

BLAME_SECONDS: Final = 6 * 3600
"""The blame of a longer window is taken from its last hours: the reason *now*, at a bounded cost."""


def triggered(slo: Slo, policy: Policy, key: AlertKey, verdict: Verdict, state: AlertState, now: float) -> PageEvent:
    """The event of an alert that fires, without what must be looked up (:func:`enriched`)."""
    group, rule, long, short = key.group, verdict.rule, verdict.long_counts, verdict.short_counts
    return PageEvent(
        kind="trigger",
        dedup_key=key.dedup_key,
        at=now,
        started=now,
        slo=slo.name,
        service=slo.service,
        description=slo.description,
        objective=f"{slo.objective.normalize():f}",
        environment=group.environment,
        dimension=group.dimension,
        value=group.value,
        severity=key.severity,
        long_seconds=rule.long_seconds if isinstance(rule, Rule) else rule.short_seconds * rule.slots,
        short_seconds=rule.short_seconds,
        factor=f"{rule.factor.normalize():f}" if isinstance(rule, Rule) else "",
        long_burn=burn_rate(long, slo.objective),
        short_burn=burn_rate(short, slo.objective),
        error_ratio=short.bad_ratio,
        bad_events=long.total - long.good if not isinstance(rule, Rule) else long.bad,
        total_events=long.total,
        bad_noun=slo.bad_noun,
        period_seconds=slo.period_seconds,
        budget_left=None,
        blame=(),
        trace_ids=(),
        dashboard_url="",
        runbook_url=slo.runbook,
        cause=BURN if isinstance(rule, Rule) else SUSTAINED,
        long_low=verdict.long_low,
        confidence=percent(float(policy.confidence)) if verdict.long_low is not None else "",
        targets=targets(slo, key.severity, state.rules, resolved=False),
        drill=slo.drill,
    )


def resolved(slo: Slo, opened: PageEvent, verdicts: Sequence[Verdict], rules: Sequence[str], now: float) -> PageEvent:
    """The event of an alert that resolves: what opened it, with today's counts."""
    windows = (opened.long_seconds, opened.short_seconds)
    verdict = next((v for v in verdicts if (v.rule.long_seconds, v.rule.short_seconds) == windows), verdicts[0])
    return replace(
        opened,
        kind="resolve",
        at=now,
        long_burn=burn_rate(verdict.long_counts, slo.objective),
        short_burn=burn_rate(verdict.short_counts, slo.objective),
        error_ratio=verdict.short_counts.bad_ratio,
        bad_events=verdict.long_counts.bad,
        total_events=verdict.long_counts.total,
        long_low=None,
        targets=targets(slo, opened.severity, rules, resolved=True),
    )


def addressed(
    slo: Slo,
    policy: Policy,
    key: AlertKey,
    verdicts: Sequence[Verdict],
    opened: PageEvent,
    state: AlertState,
    now: float,
) -> PageEvent | None:
    """The event for targets that are named by rules which fired after the alert did; None if there are none."""
    told = targets(slo, key.severity, state.rules, resolved=False)
    more = tuple(name for name in told if name not in opened.targets)
    if not more:
        return None
    # The rule that fired last is the newest news, and the last of the state's.
    latest = max(verdicts, key=lambda v: state.rules.index(v.rule.key) if v.rule.key in state.rules else -1)
    event = triggered(slo, policy, key, latest, state, now)
    # Its key is the open page's, also where the watcher has had another name since.
    return replace(
        event,
        dedup_key=opened.dedup_key,
        deployment=opened.deployment,
        started=opened.started,
        targets=more,
        addressed=True,
    )


def targets(slo: Slo, severity: Severity, rules: Sequence[str], *, resolved: bool) -> tuple[str, ...]:
    """Names of the OpenSLO targets that are told: those of the alert policies whose rules fired.

    What no policy of the SLO's own says (failure under the floor, goes on) is for all of that severity.
    """
    others = not {a.rule.key for a in slo.alerting}.issuperset(rules)
    named = [
        name
        for a in slo.alerting
        if a.rule.key in rules or (others and a.rule.severity == severity)
        if a.when_breaching and (a.when_resolved or not resolved)
        for name in a.targets
    ]
    return tuple(dict.fromkeys(named))


class Lookups:
    """Looks up what a page tells besides its counts. What cannot be read is left out: the page goes all the same."""

    def __init__(self, store: Store, slos: Mapping[str, Slo], delay_seconds: int, base_url: str) -> None:
        self._store = store
        self._slos = slos
        self._delay = delay_seconds
        self._base_url = base_url

    def enriched(self, event: PageEvent, now: float) -> PageEvent:
        """The event with its blame (of a trigger), what is left of the budget, and the link to the dashboard."""
        slo = self._slos.get(event.slo)
        if slo is None or not event.is_burn:
            return event
        left = self._budget(slo, Group(slo.name, event.environment, event.dimension, event.value), now)
        if event.kind == "resolve":
            return replace(event, budget_left=left, exhausted_in=None)
        places, traces = self._blame(slo, event, now)
        start = now - max(2 * event.long_seconds, 900)
        shown = "" if event.value == OTHER else event.dimension
        return replace(
            event,
            blame=places,
            trace_ids=traces,
            budget_left=left,
            exhausted_in=exhausted_in(left, event.short_burn, slo.period_seconds),
            dashboard_url=dashboard_url(self._base_url, shown, event.value, start, now),
        )

    def _blame(self, slo: Slo, event: PageEvent, now: float) -> tuple[tuple[Blame, ...], tuple[str, ...]]:
        start = now - self._delay - min(event.long_seconds, BLAME_SECONDS)
        group = Group(slo.name, event.environment, event.dimension, event.value)
        try:
            places, traces = blame(self._store, slo, group, start, now + 1)
        except EdgepathError as error:
            _log.error("%s pages without its blame, which could not be read: %s", slo.name, error)
            return (), ()
        return tuple(places), tuple(traces)

    def _budget(self, slo: Slo, group: Group, now: float) -> float | None:
        try:
            counts = read_periods(self._store, [slo], now, [group])
            covered = periods(self._store, [slo], now)[slo.name].covered
        except EdgepathError as error:
            _log.error("the budget of %s could not be read: %s", slo.name, error)
            return None
        return budget_left(counts.get(group, Counts()), slo.objective, covered)
