"""The evaluator: reads ``sli_1m``, decides by burn rate, remembers, notifies. Time is passed in."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from alerts import sli_views, watch_state
from alerts.blame import Blame, blame
from alerts.burnrate import SEVERITIES, Counts, Policy, Rule, budget_left, burn_rate
from alerts.decide import AlertState, Verdict, judge, step
from alerts.notify import Notifier
from alerts.page import PageEvent, dashboard_url
from alerts.sli_reads import Group, covered_shares, read_windows
from alerts.slos.model import Slo
from alerts.watch_state import AlertKey, OpenAlert
from telemetry.errors import EdgepathError
from telemetry.store.base import Store

_log = logging.getLogger(__name__)

BLAME_SECONDS: Final = 6 * 3600
"""The blame of a longer window is taken from its last hours: the reason *now*, at a bounded cost."""


class Watcher:
    """Evaluates SLOs under a policy. One thread calls :meth:`evaluate`; :meth:`open_events` may be called from any.

    An alert stands for an SLO, an environment, a value of the column that splits the SLO, and a severity. It is opened by one
    ``trigger`` and closed by one ``resolve``, both with the same ``dedup_key``.
    """

    def __init__(
        self,
        store: Store,
        slos: Sequence[Slo],
        policy: Policy,
        notifiers: Sequence[Notifier] = (),
        *,
        base_url: str = "",
        state_file: Path | None = None,
        sync_views: bool = True,
    ) -> None:
        """Watch ``slos``.

        Args:
            store: with the schema applied.
            slos: what to watch.
            policy: when to page; its factors are scaled to each SLO's period.
            notifiers: who is told.
            base_url: of the dashboards (Grafana, or Edgepath's own page), for links.
            state_file: where open alerts are kept across restarts; only in memory if None.
            sync_views: keep the views that fill ``sli_1m`` as the SLOs want them (:func:`alerts.sli_views.sync`).

        Raises:
            ConfigurationError: the state file cannot be used.
        """
        self._store = store
        self._slos = {slo.name: slo for slo in slos}
        self._policy = policy
        self._policies = {slo.name: policy.for_period(slo.period_seconds) for slo in slos}
        self._notifiers = tuple(notifiers)
        self._base_url = base_url
        self._state_file = state_file
        self._open: dict[AlertKey, OpenAlert] = watch_state.load(state_file) if state_file else {}
        self._sync_due: float | None = float("-inf") if sync_views else None

    def open_events(self) -> list[PageEvent]:
        """The events that opened the alerts that are open now."""
        return [alert.event for alert in self._open.values()]

    def without_data(self) -> list[PageEvent]:
        """Those of :meth:`open_events` whose group has no traffic now: they stay open until data says otherwise."""
        return [alert.event for alert in self._open.values() if alert.state.no_data]

    def evaluate(self, now: float) -> list[PageEvent]:
        """Decide about every alert, tell the notifiers, and return what changed.

        Args:
            now: seconds since the epoch.

        Raises:
            StoreError, UnavailableError: the counts cannot be read; every alert stays as it was.
        """
        self._sync(now)
        counts = read_windows(
            self._store, list(self._slos.values()), self._policy.windows, now - self._policy.delay_seconds
        )
        before = self._open
        after: dict[AlertKey, OpenAlert] = {}
        events: list[PageEvent] = []
        for key in sorted({*before, *(AlertKey(g, s) for g in counts for s in SEVERITIES)}):
            alert, event = self._decide(key, before.get(key), counts.get(key.group, {}), now)
            if alert is not None:
                after[key] = alert
            if event is not None:
                events.append(event)
        self._open = after
        # Told before it is written down: a crash between the two pages twice, never not at all.
        self._tell(events, now)
        if self._state_file is not None and after != before:
            watch_state.save(self._state_file, after)
        return events

    def close(self, timeout_seconds: float = 10) -> None:
        """Let the notifiers send what waits, for at most ``timeout_seconds`` each."""
        for notifier in self._notifiers:
            notifier.close(timeout_seconds)

    def _sync(self, now: float) -> None:
        if self._sync_due is None or now < self._sync_due:
            return
        try:
            report = sli_views.sync(self._store, list(self._slos.values()), self._policy.resolution_seconds, now)
            self._sync_due = report.pending_until
        except EdgepathError as error:
            # The views of an earlier run may still count; evaluating them is better than blindness.
            _log.error("the SLO views could not be brought up to date: %s", error)

    def _decide(
        self, key: AlertKey, alert: OpenAlert | None, counts: Mapping[int, Counts], now: float
    ) -> tuple[OpenAlert | None, PageEvent | None]:
        slo = self._slos.get(key.group.slo)
        policy = self._policies.get(key.group.slo, self._policy)
        rules = [r for r in policy.rules if r.severity == key.severity]
        if slo is None or not rules:
            # The SLO or its rule was taken away: what it had opened is closed.
            return None, replace(alert.event, kind="resolve", at=now) if alert else None
        empty = Counts()
        verdicts = [
            judge(policy, r, slo.objective, counts.get(r.long_seconds, empty), counts.get(r.short_seconds, empty))
            for r in rules
        ]
        state, change = step(alert.state if alert else AlertState(), verdicts, now, policy.keep_firing_seconds)
        if change == "trigger":
            event = self._event(slo, key, next(v for v in verdicts if v.fires), now)
            return OpenAlert(state, event), event
        if alert is None:
            return None, None
        if change == "resolve":
            return None, self._resolved(slo, alert, verdicts, now)
        return OpenAlert(state, alert.event), None

    def _event(self, slo: Slo, key: AlertKey, verdict: Verdict, now: float) -> PageEvent:
        group, rule = key.group, verdict.rule
        places, traces = self._blame(slo, group, rule, now)
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
            long_seconds=rule.long_seconds,
            short_seconds=rule.short_seconds,
            factor=f"{rule.factor.normalize():f}",
            long_burn=burn_rate(verdict.long_counts, slo.objective),
            short_burn=burn_rate(verdict.short_counts, slo.objective),
            error_ratio=verdict.short_counts.bad_ratio,
            bad_events=verdict.long_counts.bad,
            total_events=verdict.long_counts.total,
            bad_noun=slo.bad_noun,
            period_seconds=slo.period_seconds,
            budget_left=self._budget(slo, group, now),
            blame=places,
            trace_ids=traces,
            dashboard_url=dashboard_url(
                self._base_url, group.dimension, group.value, now - max(2 * rule.long_seconds, 900), now
            ),
            runbook_url=slo.runbook,
        )

    def _resolved(self, slo: Slo, alert: OpenAlert, verdicts: Sequence[Verdict], now: float) -> PageEvent:
        opened = alert.event
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
            budget_left=self._budget(slo, Group(slo.name, opened.environment, opened.dimension, opened.value), now),
        )

    def _blame(self, slo: Slo, group: Group, rule: Rule, now: float) -> tuple[tuple[Blame, ...], tuple[str, ...]]:
        start = now - self._policy.delay_seconds - min(rule.long_seconds, BLAME_SECONDS)
        try:
            places, traces = blame(self._store, slo, group, start, now + 1)
        except EdgepathError as error:
            _log.error("%s pages without its blame, which could not be read: %s", slo.name, error)
            return (), ()
        return tuple(places), tuple(traces)

    def _budget(self, slo: Slo, group: Group, now: float) -> float | None:
        try:
            counts = read_windows(self._store, [slo], [slo.period_seconds], now)
            covered = covered_shares(self._store, [slo], now)[slo.name]
        except EdgepathError as error:
            _log.error("the budget of %s could not be read: %s", slo.name, error)
            return None
        return budget_left(counts.get(group, {}).get(slo.period_seconds, Counts()), slo.objective, covered)

    def _tell(self, events: Sequence[PageEvent], now: float) -> None:
        opened = self.open_events()
        for notifier in self._notifiers:
            try:
                for event in events:
                    notifier.notify(event)
                notifier.refresh(opened, now)
            except Exception:  # noqa: BLE001 - one notifier's bug must not keep a page from the others
                _log.exception("a notifier failed")
