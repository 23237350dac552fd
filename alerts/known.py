"""Which alerts a watcher can decide about, and what becomes of those that it cannot. Pure.

Watchers that share a memory do not always know the same SLOs: while new SLO files are rolled out, one of them has an SLO that
the other one lacks, or splits it by another column. If each closed what it does not know, the other one would open it again at
once, and page in a loop. So whoever knows an alert says so in the memory, and the others leave it alone. What nobody has known
for :data:`UNKNOWN_SECONDS` is of an SLO, a rule or a split that was taken away, and is closed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from alerts.burnrate import SEVERITIES, Policy
from alerts.memory import Alert, AlertKey, Scope, State
from alerts.page import PageEvent
from alerts.slos.model import Slo

UNKNOWN_SECONDS: Final = 300.0
_SAID_EVERY_SECONDS: Final = 60.0
"""Less often than evaluations: each time the memory is written."""


class Known:
    """The alerts that may come of a watcher's SLOs under their policies."""

    def __init__(self, slos: Iterable[Slo], policies: Mapping[str, Policy]) -> None:
        self._scopes = frozenset(scope for slo in slos for scope in _scopes(slo, policies[slo.name]))

    def decides(self, key: AlertKey) -> bool:
        """Whether the watcher can say that the alert goes on, or is over."""
        return key.scope is None or key.scope in self._scopes

    def said(self, before: Mapping[Scope, float], keys: Iterable[AlertKey], now: float) -> dict[Scope, float]:
        """When each of the scopes of ``keys`` was last known to a watcher; of one that nobody has spoken of yet, now."""
        after: dict[Scope, float] = {}
        for scope in {key.scope for key in keys}:
            if scope is None:
                continue
            at = before.get(scope, now)
            due = scope in self._scopes and abs(now - at) >= _SAID_EVERY_SECONDS
            after[scope] = now if due else at
        return after

    def unknown(self, state: State, now: float, failed: float) -> tuple[dict[AlertKey, Alert], list[PageEvent]]:
        """Of the alerts that this watcher cannot decide about those that it leaves alone, and the resolves of the others.

        Args:
            state: with all alerts.
            now: seconds since the epoch.
            failed: when an evaluation of ours last failed, or the first one began. Others may have failed with it, or before
                it, and could not speak.
        """
        left: dict[AlertKey, Alert] = {}
        events: list[PageEvent] = []
        for key in sorted(state.alerts):
            if key.scope is None or self.decides(key):
                continue
            alert = state.alerts[key]
            if now - max(state.known.get(key.scope, now), failed) < UNKNOWN_SECONDS:
                left[key] = alert
            elif alert.event is not None:
                events.append(replace(alert.event, kind="resolve", at=now))
        return left, events


def _scopes(slo: Slo, policy: Policy) -> list[Scope]:
    rules = {*(r.severity for r in policy.rules), *([policy.sustained.severity] if policy.sustained else [])}
    silent = {a.rule.severity for a in slo.alerting if a.when_no_data}
    return [
        *(Scope(slo.name, slo.group_by, severity) for severity in rules),
        *(Scope("~no-data", slo.name, severity) for severity in silent),
        *(Scope("~empty", slo.name, severity) for severity in SEVERITIES),
    ]
