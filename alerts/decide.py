"""From counts to verdicts, and from verdicts to alerts that fire and resolve: pure, time is passed in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal, NamedTuple

from alerts.burnrate import Counts, Policy, Rule, Sustained, is_over
from alerts.confidence import burn_low, is_exact

MOST_FLAPS: Final = 4
"""An alert that keeps coming back is held at most 2 to the power of this times ``keep_firing_seconds``."""


SHARE_OF_SHORT: Final = 6


class Slot(NamedTuple):
    """A stretch of time with at least one event: when it began, its weighted sums, and the weight of its good events.

    ``weight`` is 1 where every good event is known, and where there is none; where weights differ it is their mean, each by its
    weight. A reader may give the largest one of a window to all of its slots.
    """

    start: int
    bad: float
    total: float
    weight: float = 1.0


@dataclass(frozen=True)
class Verdict:
    """What one rule says now.

    Attributes:
        rule: the rule.
        long_counts, short_counts: what the windows held.
        fires: over in both windows, by its lower bound in the long one, and enough bad events.
        holds: the short window (the newest slot) is still over; None if it holds no events.
        long_low: lower bound of the long window's burn rate; None without events, and where every request is known.
    """

    rule: Rule | Sustained
    long_counts: Counts
    short_counts: Counts
    fires: bool
    holds: bool | None
    long_low: float | None = None


def judge(policy: Policy, rule: Rule, objective: Decimal, long_counts: Counts, short_counts: Counts) -> Verdict:
    """What ``rule`` (of ``policy``) says about the counts in its windows."""
    short_over = is_over(short_counts, objective, rule.factor)
    bad, bad_paths = long_counts.evidence or (long_counts.bad, long_counts.bad_paths)
    enough = bad_paths >= policy.min_bad_paths and bad_paths > 0 and Fraction(bad) >= Fraction(policy.min_bad_events)
    long_over = is_over(long_counts, objective, rule.factor)
    low = None if is_exact(long_counts) else burn_low(long_counts, objective, policy.confidence)
    return Verdict(
        rule=rule,
        long_counts=long_counts,
        short_counts=short_counts,
        fires=short_over and enough and long_over and (low is None or low > rule.factor),
        holds=None if short_counts.empty else short_over,
        long_low=low,
    )


def judge_sustained(rule: Sustained, slots: Sequence[Slot]) -> Verdict:
    """What a rule under the floor says about the slots with events of its window, in any order.

    Where all errors are kept and few of the good requests, a slot may show errors alone though little fails. So the newest
    slots that are over, one after the other, must together be over still if one more good request had been kept, of the
    largest weight of the window.
    """
    newest_first = sorted(slots, reverse=True)
    over = [_is_over(rule, s.bad, s.total) for s in newest_first]
    newest = newest_first[: rule.slots]
    sums = [Counts(s.total - s.bad, s.total, 0, 1) for s in newest]
    run = newest_first[: over.index(False)] if False in over else newest_first
    unseen = max((s.weight for s in slots), default=1.0) - 1  # 0 where every request is known
    bad, total = math.fsum(s.bad for s in run), math.fsum(s.total for s in run)
    return Verdict(
        rule=rule,
        long_counts=sum(sums, Counts()),
        short_counts=sums[0] if sums else Counts(),
        fires=len(run) >= rule.slots and _is_over(rule, bad, total, unseen),
        holds=over[0] if over else None,
    )


def _is_over(rule: Sustained, bad: float, total: float, unseen: float = 0) -> bool:
    return Fraction(bad) > Fraction(rule.share) * (Fraction(total) + Fraction(unseen))


@dataclass(frozen=True)
class AlertState:
    """Where one alert (an SLO, a group, a severity) stands.

    Attributes:
        firing: a page or ticket is open.
        since: when it fired, in seconds since the epoch.
        rules: keys of the rules that have fired since then.
        clear_since: since when their short windows are below the factor; None while one is over.
        no_data: the last evaluation found no events in a short window that matters: nothing was decided.
        pending: rules with ``after_seconds`` that would fire, and since when.
        flaps: how often it fired again soon after it had resolved.
        closed: when it last resolved; None if that is too long ago to matter.
    """

    firing: bool = False
    since: float = 0.0
    rules: tuple[str, ...] = ()
    clear_since: float | None = None
    no_data: bool = False
    pending: tuple[tuple[str, float], ...] = ()
    flaps: int = 0
    closed: float | None = None

    @property
    def matters(self) -> bool:
        """Whether anything depends on its being remembered."""
        return self.firing or bool(self.pending) or self.closed is not None


Change = Literal["trigger", "resolve"]


def step(
    state: AlertState,
    verdicts: Sequence[Verdict],
    now: float,
    keep_firing_seconds: float,
    flap_seconds: float = 0,
) -> tuple[AlertState, Change | None]:
    """The next state of an alert, and what changed.

    It fires as soon as one rule fires (and has done so for its ``after_seconds``). It resolves when the short windows of all
    rules that fired have been below their factors for ``keep_firing_seconds``, and hold events that say so: without data an
    alert stays as it is. One that comes back within ``flap_seconds`` of its resolve is held twice as long each time.

    Args:
        state: where it stood.
        verdicts: of every rule of its severity (at least one).
        now: seconds since the epoch.
        keep_firing_seconds: hysteresis.
        flap_seconds: see :class:`~alerts.burnrate.Policy`.
    """
    fired, pending = _ripe(state, verdicts, now)
    if not state.firing:
        recent = state.closed is not None and now - state.closed <= flap_seconds
        flaps, closed = (state.flaps, state.closed) if recent else (0, None)
        if not fired:
            no_data = all(v.holds is None for v in verdicts)
            return AlertState(no_data=no_data, pending=pending, flaps=flaps, closed=closed), None
        flaps = min(flaps + 1, MOST_FLAPS) if recent else 0
        return AlertState(firing=True, since=now, rules=fired, pending=pending, flaps=flaps), "trigger"
    keys = tuple(dict.fromkeys((*state.rules, *fired)))
    state = replace(state, rules=keys, pending=pending)
    # Rules that a changed policy no longer has cannot hold an alert open; then all of today's rules decide.
    held = [v for v in verdicts if v.rule.key in keys] or list(verdicts)
    if any(v.holds for v in held):
        return replace(state, clear_since=None, no_data=False), None
    if any(v.holds is None for v in held):
        return replace(state, no_data=True), None
    clear_since = now if state.clear_since is None else min(state.clear_since, now)
    hold = hold_seconds([v.rule for v in held], keep_firing_seconds, state.flaps)
    if now - clear_since < hold:
        return replace(state, clear_since=clear_since, no_data=False), None
    return AlertState(flaps=state.flaps, closed=now if flap_seconds else None), "resolve"


def hold_seconds(rules: Sequence[Rule | Sustained], keep_firing_seconds: float, flaps: int) -> float:
    """How long an alert that these rules hold must be clear: at least a sixth of their short windows, which waver longer."""
    waver = max((r.short_seconds for r in rules), default=0) / SHARE_OF_SHORT
    return float(max(keep_firing_seconds, waver if keep_firing_seconds else 0) * 2**flaps)


def _ripe(
    state: AlertState, verdicts: Sequence[Verdict], now: float
) -> tuple[tuple[str, ...], tuple[tuple[str, float], ...]]:
    """Keys of the rules that fire, and those that must wait for their ``after_seconds``, with since when."""
    since = dict(state.pending)
    fired, pending = [], []
    for v in verdicts:
        after = v.rule.after_seconds if isinstance(v.rule, Rule) else 0
        if not v.fires:
            continue
        began = min(since.get(v.rule.key, now), now)
        if after:
            pending.append((v.rule.key, began))
        if now - began >= after:
            fired.append(v.rule.key)
    return tuple(fired), tuple(pending)
