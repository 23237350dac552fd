"""A page: what is sent when an alert fires or resolves. Its words are made in :mod:`alerts.page_text`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode

from alerts import page_text
from alerts.blame import Blame
from alerts.burnrate import Severity

PAYLOAD_VERSION: Final = 1
OVERVIEW_UID: Final = "edgepath-overview"
Kind = Literal["trigger", "update", "resolve"]
BURN: Final = "burn-rate"
SUSTAINED: Final = "sustained"


@dataclass(frozen=True)
class Member:
    """One alert of an incident.

    Attributes:
        key: its own ``dedup_key``.
        slo, value: what it is about.
        error_ratio, bad_noun: as in :class:`PageEvent`.
    """

    key: str
    slo: str
    value: str
    error_ratio: float
    bad_noun: str


@dataclass(frozen=True)
class PageEvent:
    """An alert has fired or resolved, or more have joined its incident.

    Attributes:
        kind: ``trigger``, ``update`` (others joined) or ``resolve``.
        dedup_key: the same for a trigger and its resolve, and for every repetition of them.
        at: when this was decided, in seconds since the epoch.
        started: when the alert fired.
        slo, service, description, objective: the SLO (objective as text, e.g. ``0.999``); of an alert about blindness no SLO,
            and the description says what cannot be seen.
        environment, dimension, value: the group; ``dimension`` is the column that splits the SLO, may be empty.
        severity: ``page`` or ``ticket``.
        long_seconds, short_seconds, factor: the rule (of a resolve: the rule that had fired); the factor is empty for a
            sustained failure under the floor, whose windows are the slots looked at together and the slot.
        long_burn, short_burn: burn rates over its windows; None without events.
        error_ratio: share of bad events in the short window.
        bad_events, total_events: in the long window, weighted.
        bad_noun: what a bad event is called, ``errors`` or ``slow``.
        period_seconds, budget_left: the SLO's period and the share of its error budget that is left; None if not known.
        blame: blamed places of the long window's bad paths, the worst first (of a resolve: as it was when it fired).
        trace_ids: up to three example traces, hex.
        dashboard_url, runbook_url: where to look; may be empty.
        cause: ``burn-rate``, ``sustained``, or what it is that cannot be seen (:mod:`alerts.sight`).
        long_low: lower bound of the long window's burn rate if requests are sampled, else None.
        confidence: how sure that bound is, as text; empty if there is none.
        exhausted_in: seconds until the budget is gone at the short window's burn rate; 0 if it is, None if not known.
        members: all alerts of the incident, this one first; empty if it is alone.
        targets: names of the OpenSLO notification targets that are told; empty if the SLO names none.
        drill: it was made by ``edgepath slo drill``.
        addressed: it is for its ``targets`` alone: a rule that names them fired when the page was open already.
        deployment: which Edgepath found it, where several page the same people; may be empty. It is in the ``dedup_key``, too.
    """

    kind: Kind
    dedup_key: str
    at: float
    started: float
    slo: str
    service: str
    description: str
    objective: str
    environment: str
    dimension: str
    value: str
    severity: Severity
    long_seconds: int
    short_seconds: int
    factor: str
    long_burn: float | None
    short_burn: float | None
    error_ratio: float
    bad_events: float
    total_events: float
    bad_noun: str
    period_seconds: int
    budget_left: float | None
    blame: tuple[Blame, ...]
    trace_ids: tuple[str, ...]
    dashboard_url: str
    runbook_url: str
    cause: str = BURN
    long_low: float | None = None
    confidence: str = ""
    exhausted_in: float | None = None
    members: tuple[Member, ...] = ()
    targets: tuple[str, ...] = ()
    drill: bool = False
    addressed: bool = False
    deployment: str = ""

    @property
    def id(self) -> str:
        """Names this event among all; the same for every attempt at delivering it."""
        joined = (
            f"/{len(self.members)}" if self.kind == "update" else f"/{','.join(self.targets)}" if self.addressed else ""
        )
        return f"{self.dedup_key}/{self.kind}/{self.started:.3f}{joined}"

    @property
    def is_burn(self) -> bool:
        """Whether it is about an SLO's budget, and not about blindness."""
        return self.cause in (BURN, SUSTAINED)

    @property
    def pop(self) -> str:
        """The PoP it is about: the group's, else the blamed one; may be empty."""
        return self.value if self.dimension == "pop" else (self.blame[0].pop if self.blame else "")

    @property
    def tier(self) -> str:
        """The tier to blame; empty if it is not known."""
        return self.blame[0].tier if self.blame else ""

    @property
    def summary(self) -> str:
        """One line for a phone, e.g. ``PAGE edge-availability fra: 35% errors, burn 350x, edge envoy-fra UF``."""
        return page_text.summary(self)

    @property
    def text(self) -> str:
        """The whole message: the summary, then what one needs to start."""
        return page_text.text(self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON payload that a webhook gets (docs/slo.md); :func:`event_from` reads it back."""
        return {
            "version": PAYLOAD_VERSION,
            "summary": self.summary,
            "text": self.text,
            "pop": self.pop,
            "tier": self.tier,
            **asdict(self),
            "at": rfc3339(self.at),
            "started": rfc3339(self.started),
        }


def named(event: PageEvent, deployment: str) -> PageEvent:
    """The event of an alert as one of a deployment's: other deployments, which may know the same alert, have other keys."""
    if not deployment:
        return event
    key = f"edgepath:{deployment}{event.dedup_key.removeprefix('edgepath')}"
    return replace(event, deployment=deployment, dedup_key=key)


def event_from(payload: Mapping[str, Any]) -> PageEvent:
    """The event of a payload; fields that an older release did not know have their defaults.

    Raises:
        ValueError: it is not a payload of :meth:`PageEvent.to_dict`.
    """
    try:
        if payload["version"] != PAYLOAD_VERSION:
            raise ValueError(f"payload version {payload['version']}")
        fields = {k: payload[k] for k in PageEvent.__dataclass_fields__ if k in payload}
        fields["blame"] = tuple(Blame(**b) for b in fields["blame"])
        fields["members"] = tuple(Member(**m) for m in fields.get("members", ()))
        for key in ("trace_ids", "targets"):
            fields[key] = tuple(fields.get(key, ()))
        for key in ("at", "started"):
            fields[key] = datetime.fromisoformat(fields[key]).timestamp()
        return PageEvent(**fields)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a page: {error!r}") from error


def rfc3339(seconds: float) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dashboard_url(base_url: str, dimension: str, value: str, start: float, end: float) -> str:
    """Link to the overview dashboard for a group and a time; empty without a base URL. Works in Grafana and on our page."""
    if not base_url:
        return ""
    variables = {f"var-{dimension}": value} if dimension else {}
    query = urlencode({**variables, "from": int(start * 1000), "to": int(end * 1000)})
    return f"{base_url.rstrip('/')}/d/{OVERVIEW_UID}?{query}"
