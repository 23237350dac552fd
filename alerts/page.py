"""A page: what is sent when an alert fires or resolves, and its words."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal
from urllib.parse import urlencode

from alerts.blame import Blame
from alerts.burnrate import Severity
from alerts.document import duration_text

PAYLOAD_VERSION: Final = 1
OVERVIEW_UID: Final = "edgepath-overview"
Kind = Literal["trigger", "resolve"]


@dataclass(frozen=True)
class PageEvent:
    """An alert has fired or resolved.

    Attributes:
        kind: ``trigger`` or ``resolve``.
        dedup_key: the same for a trigger and its resolve, and for every repetition of them.
        at: when this was decided, in seconds since the epoch.
        started: when the alert fired.
        slo, service, description, objective: the SLO (objective as text, e.g. ``0.999``).
        environment, dimension, value: the group; ``dimension`` is the column that splits the SLO, may be empty.
        severity: ``page`` or ``ticket``.
        long_seconds, short_seconds, factor: the rule (of a resolve: the rule that had fired).
        long_burn, short_burn: burn rates over its windows; None without events.
        error_ratio: share of bad events in the short window.
        bad_events, total_events: in the long window, weighted.
        bad_noun: what a bad event is called, ``errors`` or ``slow``.
        period_seconds, budget_left: the SLO's period and the share of its error budget that is left; None if not known.
        blame: blamed places of the long window's bad paths, the worst first (of a resolve: as it was when it fired).
        trace_ids: up to three example traces, hex.
        dashboard_url, runbook_url: where to look; may be empty.
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
        what = f"{self.slo} {self.value}".rstrip()
        if self.kind == "resolve":
            return f"RESOLVED {what}: after {_lasted(self.at - self.started)}{self._culprit(', was ')}"
        rate = f"{_percent(self.error_ratio)} {self.bad_noun}, burn {_short(self.short_burn or 0.0)}x"
        return f"{self.severity.upper()} {what}: {rate}{self._culprit(', ')}"

    @property
    def text(self) -> str:
        """The whole message: the summary, then what one needs to start."""
        windows = f"{duration_text(self.long_seconds)} and {duration_text(self.short_seconds)}"
        lines = [self.summary, self.description]
        lines.append(
            f"burn rate {_short(self.long_burn or 0)}x over {duration_text(self.long_seconds)}, "
            f"{_short(self.short_burn or 0)}x over {duration_text(self.short_seconds)} "
            f"({self.severity}s over {self.factor}x in {windows}); objective {self.objective}"
        )
        if self.budget_left is not None:
            lines.append(f"budget left: {_percent(self.budget_left)} of {duration_text(self.period_seconds)}")
        for b in self.blame[:3]:
            place = " ".join(part for part in (b.tier, b.component, b.pop, b.reason) if part)
            lines.append(f"blamed: {place}: {b.requests:.0f} requests")
        if self.environment:
            lines.append(f"environment: {self.environment}")
        if self.trace_ids:
            lines.append(f"traces: {' '.join(self.trace_ids)}")
        lines.extend(f"{k}: {v}" for k, v in (("dashboard", self.dashboard_url), ("runbook", self.runbook_url)) if v)
        return "\n".join(line for line in lines if line)

    def _culprit(self, before: str) -> str:
        if not self.blame:
            return ""
        worst = self.blame[0]
        named = " ".join(part for part in (worst.tier, worst.component, worst.reason) if part)
        return f"{before}{named}" if named else ""

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


def event_from(payload: Mapping[str, Any]) -> PageEvent:
    """The event of a payload.

    Raises:
        ValueError: it is not a payload of :meth:`PageEvent.to_dict`.
    """
    try:
        if payload["version"] != PAYLOAD_VERSION:
            raise ValueError(f"payload version {payload['version']}")
        fields = {k: payload[k] for k in PageEvent.__dataclass_fields__}
        fields["blame"] = tuple(Blame(**b) for b in fields["blame"])
        fields["trace_ids"] = tuple(fields["trace_ids"])
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


def _percent(ratio: float) -> str:
    percent = ratio * 100
    return f"{percent:.0f}%" if abs(percent) >= 10 or percent == 0 else f"{percent:.2g}%"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}"


def _lasted(seconds: float) -> str:
    whole = max(int(seconds), 0)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m {rest}s" if minutes else f"{rest}s"
