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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Literal

Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = ("page", "ticket")


@dataclass(frozen=True)
class Counts:
    """Events in one window: weighted by sampling (``good``, ``total``) and as stored rows (``*_paths``)."""

    good: float = 0.0
    total: float = 0.0
    good_paths: int = 0
    total_paths: int = 0

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
        return self.total_paths == 0 or self.total <= 0

    @property
    def bad_ratio(self) -> float:
        """Share of bad events, 0 if there are none."""
        return 0.0 if self.empty else min(self.bad / self.total, 1.0)

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.good + other.good,
            self.total + other.total,
            self.good_paths + other.good_paths,
            self.total_paths + other.total_paths,
        )


@dataclass(frozen=True)
class Rule:
    """One pair of windows: fires when the burn rate is over ``factor`` in the long and in the short one."""

    severity: Severity
    long_seconds: int
    short_seconds: int
    factor: Decimal

    @property
    def key(self) -> str:
        """What names the rule within a policy, also across restarts."""
        return f"{self.severity}:{self.long_seconds}:{self.short_seconds}"


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

    def for_period(self, period_seconds: int) -> "Policy":
        """The same budget shares in the same windows for another SLO period: 14.4 for 30 d is 13.44 for 28 d."""
        if period_seconds == self.period_seconds:
            return self
        rules = tuple(replace(r, factor=r.factor * period_seconds / self.period_seconds) for r in self.rules)
        return replace(self, period_seconds=period_seconds, rules=rules)

    @property
    def windows(self) -> tuple[int, ...]:
        """Every window length of the rules, in seconds, ascending."""
        return tuple(sorted({w for r in self.rules for w in (r.long_seconds, r.short_seconds)}))


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
    burnt = burn_rate(counts, objective)
    return None if burnt is None else 1.0 - burnt * covered


@dataclass(frozen=True)
class Verdict:
    """What one rule says now.

    Attributes:
        rule: the rule.
        long_counts, short_counts: what the windows held.
        fires: over in both windows, and enough bad events.
        holds: the short window is still over; None if it holds no events.
    """

    rule: Rule
    long_counts: Counts
    short_counts: Counts
    fires: bool
    holds: bool | None


def judge(policy: Policy, rule: Rule, objective: Decimal, long_counts: Counts, short_counts: Counts) -> Verdict:
    """What ``rule`` (of ``policy``) says about the counts in its windows."""
    short_over = is_over(short_counts, objective, rule.factor)
    enough = (
        long_counts.bad_paths >= policy.min_bad_paths
        and long_counts.bad_paths > 0
        and Fraction(long_counts.bad) >= Fraction(policy.min_bad_events)
    )
    return Verdict(
        rule=rule,
        long_counts=long_counts,
        short_counts=short_counts,
        fires=short_over and enough and is_over(long_counts, objective, rule.factor),
        holds=None if short_counts.empty else short_over,
    )


@dataclass(frozen=True)
class AlertState:
    """Where one alert (an SLO, a group, a severity) stands.

    Attributes:
        firing: a page or ticket is open.
        since: when it fired, in seconds since the epoch.
        rules: keys of the rules that have fired since then.
        clear_since: since when their short windows are below the factor; None while one is over.
        no_data: the last evaluation found no events in a short window that matters: nothing was decided.
    """

    firing: bool = False
    since: float = 0.0
    rules: tuple[str, ...] = ()
    clear_since: float | None = None
    no_data: bool = False


Change = Literal["trigger", "resolve"]


def step(
    state: AlertState, verdicts: Sequence[Verdict], now: float, keep_firing_seconds: float
) -> tuple[AlertState, Change | None]:
    """The next state of an alert, and what changed.

    It fires as soon as one rule fires. It resolves when the short windows of all rules that fired have been below their
    factors for ``keep_firing_seconds``, and hold events that say so: without data an alert stays as it is.

    Args:
        state: where it stood.
        verdicts: of every rule of its severity (at least one).
        now: seconds since the epoch.
        keep_firing_seconds: hysteresis.
    """
    fired = tuple(v.rule.key for v in verdicts if v.fires)
    if not state.firing:
        no_data = all(v.holds is None for v in verdicts)
        if not fired:
            return AlertState(no_data=no_data), None
        return AlertState(firing=True, since=now, rules=fired), "trigger"
    keys = tuple(dict.fromkeys((*state.rules, *fired)))
    # Rules that a changed policy no longer has cannot hold an alert open; then all of today's rules decide.
    held = [v for v in verdicts if v.rule.key in keys] or list(verdicts)
    if any(v.holds for v in held):
        return replace(state, rules=keys, clear_since=None, no_data=False), None
    if any(v.holds is None for v in held):
        return replace(state, rules=keys, no_data=True), None
    clear_since = now if state.clear_since is None else min(state.clear_since, now)
    if now - clear_since < keep_firing_seconds:
        return replace(state, rules=keys, clear_since=clear_since, no_data=False), None
    return AlertState(), "resolve"
