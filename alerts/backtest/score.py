"""From alerts to pages, and how right they were: time to detect, time to reset, precision and recall."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from alerts.backtest.labels import Incident
from alerts.backtest.replay import Fired
from alerts.page import rfc3339

GRACE_SECONDS: Final = 3600.0
"""A page that comes so long after an incident's end is still about it: long windows are slow."""


@dataclass(frozen=True)
class Page:
    """Alerts of one severity that fired together: one page.

    Attributes:
        fired: its alerts, the first one first.
        incident: the labelled incident it is about; None if it is about none (or none are known).
    """

    fired: tuple[Fired, ...]
    incident: Incident | None = None

    @property
    def first(self) -> Fired:
        """The alert that opened it."""
        return self.fired[0]

    @property
    def resolved(self) -> float | None:
        """When its last alert resolved; None if one was open at the end."""
        ends = [f.resolved for f in self.fired]
        return None if any(e is None for e in ends) else max(e for e in ends if e is not None)

    @property
    def seconds_to_detect(self) -> float:
        """From the incident's start (of none that is known, from the first bad minute) to the page."""
        return self.first.at - (self.incident.start if self.incident else self.first.onset)

    @property
    def seconds_to_reset(self) -> float | None:
        """From the incident's end (else from the last bad minute) to the resolve."""
        if self.resolved is None:
            return None
        return self.resolved - (self.incident.end if self.incident else max(f.ended for f in self.fired))

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        first = self.first
        return {
            "at": rfc3339(first.at),
            "severity": first.severity,
            "slo": first.group.slo,
            "environment": first.group.environment,
            "values": [f.group.value for f in self.fired],
            "rules": list(first.rules),
            "seconds_to_detect": self.seconds_to_detect,
            "seconds_to_reset": self.seconds_to_reset,
            "resolved": None if self.resolved is None else rfc3339(self.resolved),
            "budget_used": first.budget_used,
            "bad_events": first.bad_events,
            "incident": self.incident.name if self.incident else None,
        }


@dataclass(frozen=True)
class Score:
    """How a policy did.

    Attributes:
        policy: its name.
        pages: pages and tickets, in order of time.
        labelled: whether incidents were given.
        missed: labelled incidents that should have paged (or made a ticket) and did not.
    """

    policy: str
    pages: tuple[Page, ...]
    labelled: bool = False
    incidents: tuple[Incident, ...] = ()
    missed: tuple[Incident, ...] = field(default=())

    def of(self, severity: str) -> list[Page]:
        """The pages (or tickets) alone."""
        return [p for p in self.pages if p.first.severity == severity]

    @property
    def precision(self) -> float | None:
        """Share of the pages that are about an incident that asks for one; None without labels or pages."""
        pages = self.of("page")
        if not self.labelled or not pages:
            return None
        return sum(p.incident is not None and p.incident.expect != "none" for p in pages) / len(pages)

    @property
    def recall(self) -> float | None:
        """Share of the incidents that should page that did; None without any."""
        wanted = [i for i in self.incidents if i.expect == "page"]
        if not wanted:
            return None
        return 1 - sum(i in self.missed for i in wanted) / len(wanted)

    @property
    def seconds_to_detect(self) -> float | None:
        """Median over the pages; None without any."""
        times = [p.seconds_to_detect for p in self.of("page")]
        return median(times) if times else None

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "policy": self.policy,
            "pages": len(self.of("page")),
            "tickets": len(self.of("ticket")),
            "median_seconds_to_detect": self.seconds_to_detect,
            "precision": self.precision,
            "recall": self.recall,
            "missed": [i.name for i in self.missed],
            "alerts": [p.to_dict() for p in self.pages],
        }


def score(policy: str, fired: Sequence[Fired], incidents: Sequence[Incident] | None, group_seconds: float) -> Score:
    """Alerts made into pages as the watcher would (:mod:`alerts.incidents`), and compared with what is known."""
    known = list(incidents or ())
    pages = [Page(tuple(some), _about(some, known)) for some in _grouped(fired, group_seconds)]
    missed = []
    for incident in known:
        hit = [p for p in pages if p.incident == incident or any(_touches(f, incident) for f in p.fired)]
        severities = {p.first.severity for p in hit}
        enough = {"page": {"page"}, "ticket": {"page", "ticket"}, "none": set()}[incident.expect]
        if enough and not severities & enough:
            missed.append(incident)
    return Score(policy, tuple(pages), incidents is not None, tuple(known), tuple(missed))


def _grouped(fired: Sequence[Fired], group_seconds: float) -> list[list[Fired]]:
    pages: list[list[Fired]] = []
    joined: list[float] = []
    alike: dict[tuple[str, str, str], list[int]] = {}
    for alert in sorted(fired, key=lambda f: (f.at, -f.bad_events)):
        places = alike.setdefault((alert.service, alert.severity, alert.group.environment), [])
        home = None
        for i in reversed(places):
            open_still = any(f.resolved is None or f.resolved > alert.at for f in pages[i])
            if open_still and group_seconds > 0 and alert.at - joined[i] <= group_seconds:
                home = i
                break
        if home is None:
            places.append(len(pages))
            pages.append([alert])
            joined.append(alert.at)
        else:
            pages[home].append(alert)
            joined[home] = alert.at
    return pages


def _touches(alert: Fired, incident: Incident) -> bool:
    fits = not incident.value or incident.value == alert.group.value
    return fits and alert.onset < incident.end and incident.start <= alert.at <= incident.end + GRACE_SECONDS


def _about(alerts: Sequence[Fired], incidents: Sequence[Incident]) -> Incident | None:
    """The incident that a page is about: one that was going on, rather than one that is over."""
    fitting = [i for i in incidents if any(_touches(a, i) for a in alerts)]
    at = alerts[0].at
    return min(fitting, key=lambda i: (at > i.end, abs(at - i.start)), default=None)
