"""Burn rates and what follows from them: pure, no clock, no I/O.

Multi-window, multi-burn-rate alerts as in the Site Reliability Workbook, chapter 5, "Alerting on SLOs"
(https://sre.google/workbook/alerting-on-slos/). With an objective ``o``, the error budget is ``1 - o`` of all events, and ::

    burn rate over a window = (bad / total) / (1 - o)

A burn rate of 1, kept up over the whole period, uses the budget exactly. Kept up over a window ``w`` of a period ``p``,
a burn rate ``f`` uses the share ``f * w / p`` of the budget. When bad events start at a ratio ``r``, a window ``w`` goes
over the factor ``f`` after ``f * (1 - o) * w / r``. For another period ``p'`` the same share in the same window needs
the factor ``f * p' / p``.

Comparisons are exact (rationals): a burn rate of exactly the factor does not fire.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")


@dataclass(frozen=True)
class Counts:
    """Events in one window: weighted by sampling (``good``, ``total``) and as stored rows (``*_paths``).

    Attributes:
        good_squares, total_squares: sums of the squared weights; 0 if not known (then all weights are taken to be alike).
        bad_low: a lower bound of the bad events that was found elsewhere (slices); None if it follows from the weights.
        evidence: of slices, the bad requests (weighted) and stored paths behind the bad ones; None if the events are requests.
    """

    good: float = 0.0
    total: float = 0.0
    good_paths: int = 0
    total_paths: int = 0
    good_squares: float = 0.0
    total_squares: float = 0.0
    bad_low: float | None = None
    evidence: tuple[float, int] | None = None

    @property
    def bad_paths(self) -> int:
        """Stored rows that were not good."""
        return self.total_paths - self.good_paths

    @property
    def bad(self) -> float:
        """Weighted events that were not good; 0 if no row was bad, whatever the sums' rounding leaves."""
        return max(self.total - self.good, 0.0) if self.bad_paths > 0 else 0.0

    @property
    def empty(self) -> bool:
        """No event at all: nothing can be said."""
        return self.total_paths <= 0 or self.total <= 0

    @property
    def bad_ratio(self) -> float:
        """Share of bad events, 0 if there are none."""
        return 0.0 if self.empty else min(self.bad / self.total, 1.0)

    def __add__(self, other: "Counts") -> "Counts":
        lows = [c.bad_low if c.bad_low is not None else c.bad for c in (self, other)]
        return Counts(
            self.good + other.good,
            self.total + other.total,
            self.good_paths + other.good_paths,
            self.total_paths + other.total_paths,
            self.good_squares + other.good_squares,
            self.total_squares + other.total_squares,
            None if self.bad_low is None and other.bad_low is None else sum(lows),
        )


@dataclass(frozen=True)
class Rule:
    """One pair of windows: fires when the burn rate is over ``factor`` in the long and in the short one.

    ``after_seconds`` is how long it must be so before it fires (OpenSLO's ``alertAfter``).
    """

    severity: Severity
    long_seconds: int
    short_seconds: int
    factor: Decimal
    after_seconds: int = 0

    @property
    def key(self) -> str:
        """What names the rule within a policy, also across restarts."""
        return f"{self.severity}:{self.long_seconds}:{self.short_seconds}"


@dataclass(frozen=True)
class Sustained:
    """Catches failure that goes on and on under the floor on events, where requests are few.

    The last ``long_seconds`` are cut into slots of ``short_seconds``. It fires when the newest ``slots`` slots that hold any
    event at all are each bad by more than ``share``, however few events they are. Three bad requests of one night lie in one
    or two slots; an outage that meets one request an hour fills ``slots`` of them within as many hours.
    """

    severity: Severity
    long_seconds: int
    short_seconds: int
    slots: int
    share: Decimal

    @property
    def key(self) -> str:
        """As :attr:`Rule.key`."""
        return f"{self.severity}:sustained"


@dataclass(frozen=True)
class BudgetState:
    """A state of an error-budget policy (SRE Workbook, appendix B): holds while more than ``above`` of the budget is left."""

    name: str
    above: Decimal
    action: str


@dataclass(frozen=True)
class Policy:
    """When to page.

    Attributes:
        name: for people.
        source: where its figures come from.
        period_seconds: the SLO period that the factors are meant for.
        resolution_seconds: width of the buckets of ``sli_1m``; divides every window.
        interval_seconds: how often to evaluate.
        delay_seconds: windows end this long before now: failed paths close later than good ones.
        min_bad_events: bad events (weighted) that the long window must hold before anything fires.
        min_bad_paths: the same for stored rows: few sampled rows with a great weight are no evidence.
        keep_firing_seconds: how long the short windows must stay below their factor before it resolves.
        rules: the pairs of windows.
        confidence: of the lower bound of the long window's burn rate that must be over the factor (one-sided).
        flap_seconds: what fires again so soon after it resolved is held twice as long before the next resolve; 0: never.
        group_seconds: alerts of one service that fire within so long of each other are one incident, and one page.
        sustained: the rule under the floor; None if there is none.
        budget: states of the error-budget policy, the one with the most budget first.
    """

    name: str
    source: str
    period_seconds: int
    resolution_seconds: int
    interval_seconds: int
    delay_seconds: int
    min_bad_events: Decimal
    min_bad_paths: int
    keep_firing_seconds: int
    rules: tuple[Rule, ...]
    confidence: Decimal = Decimal("0.95")
    flap_seconds: int = 0
    group_seconds: int = 0
    sustained: Sustained | None = None
    budget: tuple[BudgetState, ...] = field(default=())

    def for_period(self, period_seconds: int) -> "Policy":
        """The same budget shares in the same windows for another SLO period: 14.4 for 30 d is 13.44 for 28 d."""
        if period_seconds == self.period_seconds:
            return self
        rules = tuple(replace(r, factor=r.factor * period_seconds / self.period_seconds) for r in self.rules)
        return replace(self, period_seconds=period_seconds, rules=rules)

    def for_slo(self, period_seconds: int, own: Iterable[Rule]) -> "Policy":
        """The policy for an SLO: with the SLO's own rules if it has any, else scaled to its period."""
        rules = tuple(own)
        return replace(self, period_seconds=period_seconds, rules=rules) if rules else self.for_period(period_seconds)

    @property
    def windows(self) -> tuple[int, ...]:
        """Every window length of the rules, in seconds, ascending."""
        return tuple(sorted({w for r in self.rules for w in (r.long_seconds, r.short_seconds)}))

    def budget_state(self, left: float | None) -> BudgetState | None:
        """The state of the error-budget policy with that share of the budget left; None without data or policy."""
        if left is None or not self.budget:
            return None
        return next((s for s in self.budget if left > float(s.above)), self.budget[-1])


def burn_rate(counts: Counts, objective: Decimal) -> float | None:
    """The burn rate, None if there were no events."""
    return None if counts.empty else float(Fraction(counts.bad) / Fraction(counts.total) / (1 - Fraction(objective)))


def is_over(counts: Counts, objective: Decimal, factor: Decimal) -> bool:
    """Whether the burn rate is over ``factor``, exactly; no events are not over."""
    if counts.empty:
        return False
    return Fraction(counts.bad) > Fraction(factor) * (1 - Fraction(objective)) * Fraction(counts.total)


def budget_left(counts: Counts, objective: Decimal, covered: float = 1.0) -> float | None:
    """Share of the period's error budget that is left: 1 all, 0 none, negative when overspent; None without events.

    Args:
        counts: what is known of the period.
        objective: as a ratio.
        covered: the share of the period of which that is all; the rest is taken to see as many requests a day. An hour of a
            total outage in a history of a day has not burnt 30 days' budget 40 times over, but once and a third.
    """
    return None if counts.empty else 1.0 - budget_used(counts.bad, counts.total, objective, covered)


def budget_used(bad: float, total: float, objective: Decimal, covered: float = 1.0) -> float:
    """Share of the period's error budget that so many bad events use up; 0 where there are no events.

    Args:
        bad: bad events, of all of the period that is known or of some of it.
        total: all events in the part of the period that is known.
        objective: as a ratio.
        covered: as of :func:`budget_left`.
    """
    return float(Fraction(bad) / Fraction(total) / (1 - Fraction(objective))) * covered if total > 0 else 0.0


def exhausted_in(left: float | None, burn: float | None, period_seconds: int) -> float | None:
    """Seconds until the budget is gone at that burn rate: 0 if it is, None if it lasts (or nothing is known).

    A burn rate of 1 uses the whole budget in a period, so a share ``left`` lasts ``left * period / burn``.
    """
    if left is None or burn is None or burn <= 0:
        return None
    return max(left, 0.0) * period_seconds / burn
