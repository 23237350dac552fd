"""The evaluator: reads ``sli_1m``, decides by burn rate, remembers, notifies. Time is passed in."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from alerts import sight, sli_views
from alerts.burnrate import SEVERITIES, Counts, Policy, Rule
from alerts.decide import AlertState, Change, Verdict, judge, judge_sustained, step
from alerts.drill_slo import DRILL, drill_policy
from alerts.events import Lookups, addressed, resolved, triggered
from alerts.incidents import regroup
from alerts.known import Known
from alerts.lint import rules_of
from alerts.memory import Alert, AlertKey, FileMemory, Memory, State, record
from alerts.notify import Notifier
from alerts.observe import Observer, Seen
from alerts.outage import AFTER_SECONDS, Outage, blind_event
from alerts.outbox import Outbox
from alerts.page import PageEvent, named
from alerts.peers import Ask, Decision, Peers, Standing
from alerts.slos.model import Slo
from telemetry.errors import EdgepathError
from telemetry.store.base import Store

_log = logging.getLogger(__name__)
_TRIES: Final = 3
_DELIVERIES: Final = 100
_VIEWS_SECONDS: Final = 60.0


@dataclass(frozen=True)
class Work:
    """What a watcher has done since its start; times in seconds since the epoch, None if not yet.

    Attributes:
        begun: when the last evaluation began; ``evaluated``: the last one that went well.
        evaluations: begun; ``failures``: of them.
        why: what the last one failed of; empty if it went well.
    """

    begun: float | None = None
    evaluated: float | None = None
    evaluations: int = 0
    failures: int = 0
    why: str = ""


class Watcher:
    """Evaluates SLOs under a policy. One thread calls :meth:`evaluate`; any may call :meth:`open_events` and :meth:`waiting`.

    An alert stands for an SLO, an environment, a value of the column that splits the SLO, and a severity; alerts that fire
    together are one incident (:mod:`alerts.incidents`). An incident is opened by one ``trigger`` and closed by one
    ``resolve``, both with the same ``dedup_key``.
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
        memory: Memory | None = None,
        sync_views: bool = True,
        blindness: bool = False,
        counters: sight.Counters | None = None,
        drills: bool = False,
        blind_seconds: float = AFTER_SECONDS,
        keep_events: bool = False,
        peers: Sequence[Ask] = (),
        deployment: str = "",
    ) -> None:
        """Watch ``slos``.

        Args:
            store: with the schema applied.
            slos: what to watch.
            policy: when to page; its factors are scaled to each SLO's period. SLOs with alert policies of their own keep them.
            notifiers: who is told.
            base_url: of the dashboards (Grafana, or Edgepath's own page), for links.
            state_file: where a watcher that is alone remembers across restarts; only in memory if None.
            memory: where it remembers instead, e.g. in ClickHouse, so that several watchers may run.
            sync_views: keep the views that fill ``sli_1m`` as the SLOs want them (:func:`alerts.sli_views.sync`).
            blindness: also alert about what cannot be seen (:mod:`alerts.sight`, :mod:`alerts.outage`).
            counters: of the edge, to tell no traffic from no telemetry.
            drills: also watch what ``edgepath slo drill`` sends.
            blind_seconds: how long ClickHouse may be away before that is paged.
            keep_events: note pages in ``alert_events``, for budget reports.
            peers: how to ask each of the other watchers, so that one of them tells that ClickHouse is away.
            deployment: a name that tells what it pages from what the watchers of other deployments page; may be empty.
                Watchers that share a memory have the same. What was opened under another one keeps that to its end.

        Raises:
            ConfigurationError: the state file cannot be used.
        """
        self._store = store
        self._slos = {slo.name: slo for slo in (*slos, *((DRILL,) if drills else ()))}
        self._policy = policy
        self._policies = {
            slo.name: drill_policy(policy) if slo.drill else rules_of(slo, policy) for slo in self._slos.values()
        }
        self._memory: Memory = memory or FileMemory(state_file)
        self._shared = memory is not None
        self._outbox = Outbox(notifiers, self._memory.instance)
        self._notifiers = tuple(notifiers)
        self._lookups = Lookups(store, self._slos, policy.delay_seconds, base_url)
        outage_file = state_file.with_name(f"{state_file.stem}.outage.json") if state_file and blindness else None
        self._deployment = deployment
        self._outage = Outage(outage_file, blind_seconds, deployment=deployment) if blindness else None
        self._outage_lock = threading.Lock()  # held until told: a resolve must not overtake its page
        had_told = self._outage is not None and self._outage.told is not None and self._outage.ours
        self._peers = Peers(self._memory.instance, peers, told=had_told, deployment=deployment)
        self.work = Work()
        self._known = Known(self._slos.values(), self._policies)
        self._failed_at = float("-inf")
        self._behind = False  # another watcher has evaluated since we did, or may have
        self._observer = Observer(store, self._slos, self._policies, policy, counters, blindness=blindness)
        self._state = self._memory.load() if memory is None else State()
        self._record = keep_events
        self._sync_due: float | None = float("-inf") if sync_views else None
        self._views_are_ours = self._views_settled = not sync_views

    def open_events(self) -> list[PageEvent]:
        """The events that opened the incidents that are open now."""
        return [incident.event for incident in self._state.incidents.values()]

    def without_data(self) -> list[PageEvent]:
        """Of the alerts that are open, those whose group has no traffic now: they stay open until data says otherwise."""
        return [a.event for a in self._state.alerts.values() if a.event is not None and a.state.no_data]

    def evaluate(self, now: float) -> list[PageEvent]:
        """Decide about every alert, tell the notifiers, and return what is told.

        Args:
            now: seconds since the epoch.

        Raises:
            StoreError, UnavailableError: the counts cannot be read; every alert stays as it was.
            Exception: a defect of Edgepath; the same holds, and it is paged as blindness when it goes on.
        """
        if self.work.begun is None and self._shared:
            self._failed_at = now  # of what was before nobody knows: others may not have been able to speak
        self.work = replace(self.work, begun=now, evaluations=self.work.evaluations + 1)
        try:
            events = self._evaluate(now)
        except Exception as error:  # whatever it is, nobody is paged about SLOs while it goes on
            why = str(error) if isinstance(error, EdgepathError) else f"{type(error).__name__}: {error}"
            self.work = replace(self.work, failures=self.work.failures + 1, why=why)
            self._failed_at = now
            self._failed(now, why)
            self._refresh_blind(now)
            raise
        self.work = replace(self.work, evaluated=now, why="")
        self._behind = False
        with self._outage_lock:
            well, ours = self._outage.worked(now) if self._outage is not None else (None, None)
            if self._peers.over(ours=ours) and well is not None:
                self._outbox.tell(well)
        return events

    def deliveries(self) -> Mapping[tuple[str, bool], int]:
        """How many events each receiver, by name, took (True) and did not (False), of this process. From any thread."""
        return self._outbox.counts

    def _refresh_blind(self, now: float) -> None:
        """Receivers that forget must not: that we are blind does not end an incident.

        But another watcher may have ended it, and to repeat it would be a page for what is over. So only the one that was last
        to evaluate repeats it; if that one is gone, nobody: receivers keep it for an hour, and that we are blind for longer.
        """
        opened = self.open_events()
        if opened and not self._behind:
            with self._outage_lock:
                self._behind = self._peers.behind(now - (self.work.evaluated or 0.0))
        mine = [self._outage.event] if self._outage and self._outage.event else []
        self._outbox.refresh([*([] if self._behind else opened), *mine], now, alive=False)

    def standing(self, now: float) -> Standing:
        """What other watchers are told of us when they ask. From any thread."""
        evaluated = self.work.evaluated
        ago = None if evaluated is None else now - evaluated
        return Standing(self._memory.instance, self._peers.stage, ago, self._deployment)

    def waiting(self, now: float, seconds: float) -> None:
        """Hear from another thread (:mod:`alerts.lookout`) that ClickHouse has been asked for ``seconds`` and has not answered.

        The evaluation that waits for it cannot page.
        """
        self._failed(now, "ClickHouse is asked, and does not answer", seconds)

    def close(self, timeout_seconds: float = 10) -> None:
        """Let the notifiers send what waits, for at most ``timeout_seconds`` each, and note what they have sent."""
        for notifier in self._notifiers:
            notifier.close(timeout_seconds)
        try:
            state = self._memory.load()
            left = self._outbox.after(state.outbox, 0.0)
            if left != state.outbox:
                done = (*state.deliveries, *self._outbox.deliveries(state.outbox, self.work.begun or 0.0))[
                    -_DELIVERIES:
                ]
                self._memory.save(replace(state, outbox=left, deliveries=done))
        except EdgepathError as error:
            _log.error("what was sent at the end could not be noted, and may be sent again: %s", error)

    def _failed(self, now: float, reason: str, lasted_seconds: float = 0) -> None:
        with self._outage_lock:
            if self._outage is None or not self._outage.due(now, lasted_seconds):
                return
            decision = self._peers.decide(self._outage.after_seconds)
            if decision is Decision.WAIT:
                self._outage.wait()
                return
            page = self._outage.open(now, reason, ours=decision is Decision.TELL)
            if decision is Decision.TELL:
                self._outbox.tell(page)

    def _evaluate(self, now: float) -> list[PageEvent]:
        self._sync(now)
        state = self._memory.load()
        seen = self._observer.observe([k.group for k in state.alerts], now, settled=self._views_settled)
        events: list[PageEvent] = []
        for _ in range(_TRIES):
            alerts, changes = self._decide_all(state, seen, now)
            incidents, told = regroup(state.incidents, changes, self._policy.group_seconds, now)
            events = [self._lookups.enriched(e, now) if e.kind != "update" else e for e in told]
            for event in events:
                if event.kind == "trigger" and not event.addressed:
                    incidents[event.dedup_key] = replace(incidents[event.dedup_key], event=event)
            outbox = (*self._outbox.after(state.outbox, now), *self._outbox.messages(events, now))
            done = (*state.deliveries, *self._outbox.deliveries(state.outbox, now))[-_DELIVERIES:]
            after = State(alerts, incidents, outbox, done, self._known.said(state.known, alerts, now))
            if after == state or self._memory.save(after):
                break
            # Another watcher was first: what it decided is what holds.
            state, after, events = self._memory.load(), state, []
        else:
            _log.warning("other watchers were first %d times; decided again at the next evaluation", _TRIES)
            after = self._memory.load()
        self._state = after
        # Written down before anybody is told: whoever comes after a crash sends what was not.
        self._outbox.send(after.outbox)
        self._outbox.refresh(self.open_events(), now)
        if self._record and events:
            self._note(events)
        return events

    def _note(self, events: Sequence[PageEvent]) -> None:
        try:
            record(self._store, events)
        except EdgepathError as error:
            _log.error("pages were sent, but could not be noted for budget reports: %s", error)

    def _sync(self, now: float) -> None:
        if self._sync_due is None or now < self._sync_due:
            return
        try:
            slos, resolution = list(self._slos.values()), self._policy.resolution_seconds
            report = sli_views.sync(self._store, slos, resolution, now, add_only=self._views_are_ours)
            self._views_settled = report.pending_until is None
            # A watcher with other files drops, as it starts, the views of SLOs that it does not know.
            self._views_are_ours |= self._views_settled
            self._sync_due = now + _VIEWS_SECONDS if report.pending_until is None else report.pending_until
        except EdgepathError as error:
            # The views of an earlier run may still count; evaluating them is better than blindness.
            _log.error("the SLO views could not be brought up to date: %s", error)

    def _decide_all(self, state: State, seen: Seen, now: float) -> tuple[dict[AlertKey, Alert], list[PageEvent]]:
        after, events = self._known.unknown(state, now, self._failed_at)
        for key in sorted({*state.alerts, *(AlertKey(g, s) for g in seen.windows for s in SEVERITIES)}):
            if key.group.slo.startswith("~") or not self._known.decides(key):
                continue
            alert, event = self._decide(key, state.alerts.get(key), seen, now)
            if alert is not None:
                after[key] = alert
            events += [event] if event is not None else []
        blind, more = self._decide_blind(state, seen, now)
        return after | blind, events + more

    def _decide(
        self, key: AlertKey, alert: Alert | None, seen: Seen, now: float
    ) -> tuple[Alert | None, PageEvent | None]:
        slo, policy = self._slos[key.group.slo], self._policies[key.group.slo]
        rules = [r for r in policy.rules if r.severity == key.severity]
        sustained = policy.sustained if policy.sustained and policy.sustained.severity == key.severity else None
        opened = alert.event if alert else None
        counts, empty = seen.windows.get(key.group, {}), Counts()
        verdicts: list[Verdict] = [
            judge(policy, r, slo.objective, counts.get(r.long_seconds, empty), counts.get(r.short_seconds, empty))
            for r in rules
        ]
        if sustained is not None:
            verdicts.append(judge_sustained(sustained, seen.slots.get(key.group, ())))
        before = alert.state if alert else AlertState()
        state, change = step(before, verdicts, now, policy.keep_firing_seconds, policy.flap_seconds)
        if change == "trigger":
            first = next((v for v in verdicts if v.fires and v.rule.key in state.rules), verdicts[0])
            opened = named(triggered(slo, policy, key, first, state, now), self._deployment)
            return Alert(state, opened), opened
        if state.firing and opened is not None:
            more = addressed(slo, policy, key, verdicts, opened, state, now)
            if more is not None:
                return Alert(state, replace(opened, targets=(*opened.targets, *more.targets))), more
        kept = Alert(state, opened if state.firing else None) if state.matters else None
        if change == "resolve" and opened is not None:
            return kept, resolved(slo, opened, verdicts, before.rules, now)
        return kept, None

    def _decide_blind(self, state: State, seen: Seen, now: float) -> tuple[dict[AlertKey, Alert], list[PageEvent]]:
        old = {k: a for k, a in state.alerts.items() if k.group.slo.startswith("~") and self._known.decides(k)}
        if seen.blind is None or seen.freshness is None:
            return old, []
        active = {AlertKey(b.group, b.severity): b for b in seen.blind}
        counted = {g.slo for g in seen.windows}
        after: dict[AlertKey, Alert] = {}
        events: list[PageEvent] = []
        for key in sorted({*old, *active}):
            alert = old.get(key)
            before = alert.state if alert else AlertState()
            there = key in active or (
                before.firing and sight.goes_on(key.group, seen.freshness, counted, before.since, now)
            )
            rule = Rule(key.severity, 1, 1, self._policy.rules[0].factor)
            verdict = Verdict(rule, Counts(), Counts(), fires=there, holds=there)
            now_state, change = step(
                before, [verdict], now, self._policy.keep_firing_seconds, self._policy.flap_seconds
            )
            opened = alert.event if alert else None
            if change is not None:
                told = self._blind_event(change, key, active.get(key), opened, now)
                events.append(told)
                opened = told if change == "trigger" else None
            if now_state.matters:
                after[key] = Alert(now_state, opened)
        return after, events

    def _blind_event(
        self, change: Change, key: AlertKey, blind: sight.Blind | None, opened: PageEvent | None, now: float
    ) -> PageEvent:
        if change == "resolve" and opened is not None:
            return replace(opened, kind="resolve", at=now)
        group = key.group
        text = blind.text if blind else ""
        event = blind_event(
            change, group.slo.removeprefix("~"), key.dedup_key, key.severity, text, now, now,
            group.environment, group.value if group.dimension == "pop" else "",
        )  # fmt: skip
        return named(replace(event, slo=blind.slo, targets=blind.targets) if blind else event, self._deployment)
