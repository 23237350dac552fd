"""SLOs and what hangs on them, as the rest of Edgepath uses them."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from alerts.burnrate import Rule
from alerts.filters import Filter, to_sql
from alerts.filters.syntax import And, Not, columns_of
from alerts.slos.window import Calendar
from telemetry.store import tables

MAX_GROUPS: Final = 200
DRILL_ENVIRONMENT: Final = tables.DRILL_ENVIRONMENT
"""The environment of the synthetic incidents of ``edgepath slo drill``."""
OTHER: Final = "(other)"
"""The value of the group that stands for all beyond an SLO's ``max_groups`` largest ones."""


@dataclass(frozen=True)
class Alerting:
    """An OpenSLO AlertPolicy of an SLO: one rule and who is told.

    Attributes:
        name: of the policy.
        rule: when it fires; its factor is meant for this SLO's own period.
        targets: names of :class:`Target`.
        when_breaching, when_resolved, when_no_data: of which changes the targets are told.
    """

    name: str
    rule: Rule
    targets: tuple[str, ...]
    when_breaching: bool = True
    when_resolved: bool = True
    when_no_data: bool = False


@dataclass(frozen=True)
class Target:
    """An OpenSLO AlertNotificationTarget.

    Attributes:
        name, description: for people.
        kind: ``alertmanager``, ``pagerduty``, ``slack`` or ``webhook``.
        url: where to send; empty if an environment variable or a file has it.
        variable: name of the environment variable that has the URL or (PagerDuty) the routing key; may be empty.
        file: where it was read from.
        path: absolute path of a file whose first line is what the variable would hold; may be empty.
    """

    name: str
    kind: str
    url: str
    variable: str
    description: str
    file: str
    path: str = ""


@dataclass(frozen=True)
class Service:
    """An OpenSLO Service: whose SLOs they are."""

    name: str
    display_name: str
    description: str


@dataclass(frozen=True)
class Slo:
    """One objective over request paths.

    Attributes:
        name: unique; lower-case letters, digits and ``-``.
        display_name, description: for people; may be empty.
        service: whose SLO it is.
        objective: ratio of good events promised, between 0 and 1, both excluded.
        period_seconds: the period that the objective is meant for; of a calendar window its nominal length.
        total: which paths count.
        good: which of those are good; only looked at where ``total`` holds.
        group_by: column that splits the SLO (besides environment), empty if none.
        runbook: where to read on when it pages; may be empty.
        file: where it was read from.
        calendar: the calendar that the period is aligned to; None if it rolls.
        slice_seconds: with ``Timeslices`` budgeting the length of a slice, which is what is counted as good or bad; 0 with
            ``Occurrences``, where requests are.
        slice_target: share of good requests from which on a slice is good.
        max_groups: how many values of ``group_by`` are watched by themselves, the largest ones; the rest is :data:`OTHER`.
        alerting: its own alert policies; empty if the watcher's policy holds.
        drill: counts what ``edgepath slo drill`` sends, and nothing else; all others never count that.
    """

    name: str
    display_name: str
    description: str
    service: str
    objective: Decimal
    period_seconds: int
    total: Filter
    good: Filter
    group_by: str
    runbook: str
    file: str
    calendar: Calendar | None = None
    slice_seconds: int = 0
    slice_target: Decimal = Decimal(0)
    max_groups: int = MAX_GROUPS
    alerting: tuple[Alerting, ...] = ()
    drill: bool = False

    @property
    def good_filter(self) -> Filter:
        """Paths that count and are good."""
        return And((self.total, self.good))

    @property
    def bad_noun(self) -> str:
        """What a bad event is called in a message."""
        if self.slice_seconds:
            return "bad slices"
        return "slow" if any(c.kind == "duration" for c in columns_of(self.good)) else "errors"

    def total_sql(self, table: str = "p") -> str:
        """Condition for paths that count over the alias ``table`` of ``request_paths``."""
        return (
            f"({table}.environment {'=' if self.drill else '!='} '{DRILL_ENVIRONMENT}' AND {to_sql(self.total, table)})"
        )

    def bad_sql(self, table: str = "p") -> str:
        """Condition for bad paths over the alias ``table`` of ``request_paths``."""
        return f"({self.total_sql(table)} AND {to_sql(Not(self.good), table)})"

    def bounds(self, now: float) -> tuple[float, float]:
        """Start and end of the period in which ``now`` lies, in seconds since the epoch; one that rolls ends now."""
        return (now - self.period_seconds, now) if self.calendar is None else self.calendar.bounds(now)

    def since(self, now: float) -> float:
        """When the period began in which ``now`` lies."""
        return self.bounds(now)[0]


@dataclass(frozen=True)
class PrometheusSlo:
    """One objective over an SLI that lives in Prometheus: rules are made for it, Edgepath does not evaluate it.

    Attributes:
        name, display_name, description, service, objective, period_seconds, runbook, file, alerting: as in :class:`Slo`.
        bad_query, total_query: PromQL for the rates of bad and of all events over ``[{{window}}]``.
    """

    name: str
    display_name: str
    description: str
    service: str
    objective: Decimal
    period_seconds: int
    bad_query: str
    total_query: str
    runbook: str
    file: str
    alerting: tuple[Alerting, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """Everything that a set of files defines."""

    slos: tuple[Slo, ...] = ()
    prometheus: tuple[PrometheusSlo, ...] = ()
    targets: tuple[Target, ...] = ()
    services: tuple[Service, ...] = field(default=())

    @property
    def used_targets(self) -> tuple[Target, ...]:
        """The targets that an alert policy of an SLO over request paths names."""
        used = {name for slo in self.slos for a in slo.alerting for name in a.targets}
        return tuple(target for target in self.targets if target.name in used)
