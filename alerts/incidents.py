"""From alerts to pages: alerts of one service that fire together are one incident, and one page. Pure.

The first alert (the worst, if several fire in one evaluation) opens the incident; its ``dedup_key`` is the incident's. Others
of the same service, environment and severity (and cause, of what cannot be seen) that fire within ``group_seconds`` of the
latest one join it: receivers that keep pages (PagerDuty, Alertmanager) are updated, nobody is woken again. What fires later
opens an incident of its own: a small trouble that stays open for days must not swallow the next outage. It ends when its last
alert has resolved.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from alerts.page import Kind, Member, PageEvent


@dataclass(frozen=True)
class Incident:
    """An open page.

    Attributes:
        event: the trigger that opened it, with all members so far.
        joined: when the latest member joined.
        open_keys: ``dedup_key`` of the members that have not resolved.
        ended: targets that are told of the end by what members have told that have resolved.
    """

    event: PageEvent
    joined: float
    open_keys: tuple[str, ...]
    ended: tuple[str, ...] = ()


Incidents = Mapping[str, Incident]


def regroup(
    incidents: Incidents, changes: Sequence[PageEvent], group_seconds: float, now: float
) -> tuple[dict[str, Incident], list[PageEvent]]:
    """The open incidents after ``changes`` (triggers and resolves of single alerts), and what is to be sent."""
    after = dict(incidents)
    # Apart from what is opened, and before it: an alert may fire again while the rest of its old incident ends.
    ends = [e for c in changes if c.kind == "resolve" and (e := _resolved(after, c)) is not None]
    told: dict[str, PageEvent] = {}
    addressed = [a for c in changes if c.addressed and (a := _addressed(after, c)) is not None]
    # The worst opens the incident: its group and its blame head the page.
    opening = [c for c in changes if c.kind == "trigger" and not c.addressed]
    for change in sorted(opening, key=lambda c: (-c.bad_events, c.dedup_key)):
        home = _home(after, change, group_seconds, now)
        if home is None:
            key = change.dedup_key
            if key in after:  # its old page is still open for others: this one is told apart by its time
                change = replace(change, dedup_key=again(key, change.started))  # noqa: PLW2901
            after[change.dedup_key] = Incident(change, now, (key,))
            told[change.dedup_key] = change
            continue
        joined = _joined(after[home], change, now)
        after[home] = joined
        kind: Kind = "trigger" if home in told and told[home].kind == "trigger" else "update"
        told[home] = replace(joined.event, kind=kind, at=now)
        if kind == "trigger":
            after[home] = replace(joined, event=told[home])
    return after, [*ends, *told.values(), *addressed]


def again(key: str, started: float) -> str:
    """The ``dedup_key`` of an incident whose first alert has opened another one that is still open for others."""
    return f"{key}@{int(started)}"


def _home(incidents: Incidents, change: PageEvent, group_seconds: float, now: float) -> str | None:
    def place(event: PageEvent) -> tuple[str, str, str, str, tuple[str, ...]]:
        # What cannot be seen has one cause or another: lost telemetry must not hide in the page about no traffic.
        cause = "" if event.is_burn else event.cause
        return (event.service, event.environment, event.severity, cause, event.targets)

    fitting = [
        key
        for key, incident in incidents.items()
        if place(incident.event) == place(change) and group_seconds > 0 and now - incident.joined <= group_seconds
        if not change.drill
    ]
    return max(fitting, key=lambda key: incidents[key].joined, default=None)


def _addressed(incidents: dict[str, Incident], change: PageEvent) -> PageEvent | None:
    """More targets are told of an incident that is open: under its key, and of its end, too."""
    for key, incident in incidents.items():
        if change.dedup_key in incident.open_keys:
            opened = incident.event
            more = [t for t in change.targets if t not in opened.targets]
            incidents[key] = replace(incident, event=replace(opened, targets=(*opened.targets, *more)))
            return replace(change, dedup_key=key, started=opened.started, members=opened.members)
    return None


def _joined(incident: Incident, change: PageEvent, now: float) -> Incident:
    first = incident.event
    members = first.members or (_member(first, incident.open_keys[0] if incident.open_keys else first.dedup_key),)
    if all(m.key != change.dedup_key for m in members):
        members = (*members, _member(change, change.dedup_key))
    keys = tuple(dict.fromkeys((*incident.open_keys, change.dedup_key)))
    return Incident(replace(first, members=members), now, keys, incident.ended)


def _member(event: PageEvent, key: str) -> Member:
    return Member(key, event.slo, event.value, event.error_ratio, event.bad_noun)


def _resolved(incidents: dict[str, Incident], change: PageEvent) -> PageEvent | None:
    """Take the alert out of its incident; the resolve of the incident if it was the last one."""
    for key, incident in incidents.items():
        if change.dedup_key not in incident.open_keys:
            continue
        left = tuple(k for k in incident.open_keys if k != change.dedup_key)
        # Each alert knows whom its own rules tell of the end; another SLO's know nothing of it.
        own = change.targets if change.slo == incident.event.slo else ()
        ended = tuple(dict.fromkeys((*incident.ended, *own)))
        if left:
            incidents[key] = replace(incident, open_keys=left, ended=ended)
            return None
        del incidents[key]
        return _ended(incident.event, change, ended)
    # An alert that no incident knows (a state of an older release) is resolved by itself.
    return change


def _ended(opened: PageEvent, last: PageEvent, targets: tuple[str, ...]) -> PageEvent:
    """The end of an incident: all that names it is as it was opened, for receivers know it by that.

    The counts are those of its last alert, if that is the one which opened it; another one's windows are not its.
    """
    same = (last.slo, last.value, last.cause) == (opened.slo, opened.value, opened.cause)
    return replace(
        opened,
        kind="resolve",
        at=last.at,
        # Whether a target is told of the end is for the policies of its own SLO to say.
        targets=targets if last.slo == opened.slo else opened.targets,
        long_burn=last.long_burn if same else None,
        short_burn=last.short_burn if same else None,
        error_ratio=last.error_ratio if same else 0.0,
        bad_events=last.bad_events if same else 0.0,
        total_events=last.total_events if same else 0.0,
        long_low=None,
        budget_left=last.budget_left if same else None,
        exhausted_in=None,
    )
