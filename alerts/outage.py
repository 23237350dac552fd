"""ClickHouse does not answer: the one alert that cannot be decided from it, or remembered in it."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from alerts.page import Kind, PageEvent, event_from, named
from alerts.page_text import lasted

CAUSE: Final = "unreachable"
AFTER_SECONDS: Final = 60.0
KEY: Final = "edgepath/~unreachable/-/-/-/page"
_WAIT_SECONDS: Final = 1.0
_LEFT_SECONDS: Final = 10.0
"""So long until it is asked again who pages: while nobody does, and while another watcher has."""
_log = logging.getLogger(__name__)


@dataclass
class Outage:
    """Counts how long evaluations have failed; kept in a small file, so that a restart during an outage pages no second time.

    Attributes:
        since: when the first of the failures was that goes on; None if the last evaluation went well.
        told: when it was paged, by us or another watcher; None if it was not.
        ours: whether by us.
        event: the page that is open, by us or another watcher.
        deployment: in the page's name; a page that is open keeps the one that it was opened with.
    """

    path: Path | None = None
    after_seconds: float = AFTER_SECONDS
    since: float | None = None
    told: float | None = None
    ours: bool = True
    event: PageEvent | None = None
    deployment: str = ""
    _looked: float | None = None

    def __post_init__(self) -> None:
        if self.path is not None and self.path.exists():
            try:
                kept = json.loads(self.path.read_text(encoding="utf-8"))
                since, told = float(kept["since"]), float(kept["told"])
                # An older release kept no event.
                event = event_from(kept["event"]) if kept.get("event") else self._event("trigger", "", told, told)
                self.since, self.told, self.ours, self.event = since, told, bool(kept.get("ours", True)), event
            except (OSError, ValueError, KeyError, TypeError) as error:
                _log.error("%s cannot be used (%s): an outage that goes on may page again", self.path, error)

    def due(self, now: float, lasted_seconds: float = 0) -> bool:
        """An evaluation failed, or has lasted so long without an answer; whether it is time to settle who pages that.

        Time for it is again some seconds later, until the page is ours: who had told may be no more.
        """
        since = now - lasted_seconds
        self.since = since if self.since is None else min(self.since, since)
        if (self.told is not None and self.ours) or now - self.since < self.after_seconds:
            return False
        pause = _WAIT_SECONDS if self.told is None else _LEFT_SECONDS
        if self._looked is not None and 0 <= now - self._looked < pause:
            return False
        self._looked = now
        return True

    def open(self, now: float, reason: str, *, ours: bool) -> PageEvent:
        """It is paged now, or was by another watcher; the page."""
        first = self.told if not ours and self.told is not None else now
        text = f"blind for {lasted(now - (self.since or now))}, no SLO is evaluated: {reason}"
        self.event = self._event("trigger", text, now, first)
        if self.told is None or self.ours != ours:
            self.told, self.ours = first, ours
            self._keep()
        return self.event

    def wait(self) -> None:
        """Nobody pages it now."""
        had, self.told, self.ours, self.event = self.told, None, True, None
        if had is not None:
            self._keep()

    def worked(self, now: float) -> tuple[PageEvent | None, bool | None]:
        """An evaluation went well; the resolve, and whether the page was ours, if there was one."""
        told, ours, opened = self.told, self.ours, self.event
        self.since = self.told = self.event = self._looked = None
        self.ours = True
        if told is None:
            return None, None
        self._keep()
        # Of an evaluation that began before the page: a receiver would refuse an end before its beginning.
        end = self._event("resolve", "SLOs are evaluated again", max(now, told), told)
        if opened is not None:
            end = replace(end, dedup_key=opened.dedup_key, deployment=opened.deployment)
        return end, ours

    def _event(self, kind: Kind, text: str, now: float, started: float) -> PageEvent:
        return named(blind_event(kind, CAUSE, KEY, "page", text, now, started), self.deployment)

    def _keep(self) -> None:
        if self.path is None:
            return
        try:
            if self.told is None:
                self.path.unlink(missing_ok=True)
                return
            self.path.parent.mkdir(parents=True, exist_ok=True)
            event = self.event.to_dict() if self.event is not None else None
            kept = {"since": self.since, "told": self.told, "ours": self.ours, "event": event}
            self.path.write_text(json.dumps(kept), encoding="utf-8")
        except OSError as error:
            _log.error("cannot write %s (%s): a restart during this outage would page again", self.path, error)


def blind_event(
    kind: str,
    cause: str,
    key: str,
    severity: str,
    text: str,
    now: float,
    started: float,
    environment: str = "",
    pop: str = "",
) -> PageEvent:
    """A page about blindness: no SLO, no rule, only what cannot be seen."""
    return PageEvent(
        kind="resolve" if kind == "resolve" else "trigger",
        dedup_key=key,
        at=now,
        started=started,
        slo="",
        service="edgepath",
        description=text,
        objective="",
        environment=environment,
        dimension="pop" if pop else "",
        value=pop,
        severity="page" if severity == "page" else "ticket",
        long_seconds=0,
        short_seconds=0,
        factor="",
        long_burn=None,
        short_burn=None,
        error_ratio=0.0,
        bad_events=0.0,
        total_events=0.0,
        bad_noun="",
        period_seconds=0,
        budget_left=None,
        blame=(),
        trace_ids=(),
        dashboard_url="",
        runbook_url="docs/slo.md#runbook-blind",
        cause=cause,
    )
