"""The rules over stored minutes: when would it have paged, when would that have resolved. Pure.

It decides at the end of every bucket (a minute), where the watcher decides every 15 s on buckets that still fill: a page here
comes up to a minute later than it would have come.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from alerts import slices
from alerts.backtest.series import Bools, Floats, Series
from alerts.backtest.windows import CLEAR, HOLDS, Answers, bad_slices, judged, sustained
from alerts.burnrate import SEVERITIES, Policy, Severity, budget_used
from alerts.decide import MOST_FLAPS, hold_seconds
from alerts.period import period_of
from alerts.sli_reads import Group
from alerts.slos.model import Slo


@dataclass(frozen=True)
class Fired:
    """One alert, from its trigger to its resolve.

    Attributes:
        group, severity: what fired.
        rules: keys of the rules that had fired.
        at: when, in seconds since the epoch.
        resolved: when it resolved; None if it was open at the end.
        onset: when the bad events began that it is about.
        ended: when the last of them was.
        budget_used: share of the budget of the period that holds the page that was gone from the onset to the page: by so much
            less ``slo status`` would have shown then.
        bad_events: requests from the onset to the page, weighted.
        service: whose SLO it is: alerts of several services are never one page.
    """

    group: Group
    severity: Severity
    rules: tuple[str, ...]
    at: float
    resolved: float | None
    onset: float
    ended: float
    budget_used: float
    bad_events: float
    service: str = ""


def replay(slo: Slo, policy: Policy, group: Group, series: Series, oldest: float | None = None) -> list[Fired]:
    """Every alert of a group, in order of time.

    Args:
        slo: whose counts they are.
        policy: as it holds for the SLO (:func:`alerts.lint.rules_of`).
        group: for the answer.
        series: minutes; with more before the time of interest than the longest window, or the first alerts come late.
        oldest: when the SLO's oldest bucket of any group begins (:func:`first_bucket`); None if it is the group's own.
    """
    if not series.bad.any():
        return []  # as in most groups
    events = series
    if slo.slice_seconds:
        series = regrouped(series, slo.slice_seconds)
    known = first_bucket(events) if oldest is None else oldest
    found: list[Fired] = []
    for severity in SEVERITIES:
        answers = [judged(policy, r, slo, series) for r in policy.rules if r.severity == severity]
        if policy.sustained is not None and policy.sustained.severity == severity:
            answers.append(sustained(policy.sustained, series))
        if not answers:
            continue
        for rules, first, last in _spans(answers, series.step, policy):
            at = series.start + (first + 1) * series.step
            resolved = None if last is None else float(series.start + (last + 1) * series.step)
            one = _fired(slo, group, severity, rules, events, float(at), resolved)
            found.append(replace(one, budget_used=_budget_used(slo, events, series, one, known)))
    return sorted(found, key=lambda f: (f.at, f.severity))


def first_bucket(series: Series) -> float:
    """When the oldest bucket with events begins, in seconds since the epoch; infinity if there is none."""
    there = series.total_paths > 0
    return float(series.start + int(np.argmax(there)) * series.step) if there.any() else math.inf


def regrouped(series: Series, step: int) -> Series:
    """The same counts in wider buckets; what does not fill one at either end is left out."""
    skip = (-series.start % step) // series.step
    per = step // series.step
    count = (len(series) - skip) // per

    def wide(values: Floats) -> Floats:
        summed: Floats = values[skip : skip + count * per].reshape(count, per).sum(axis=1)
        return summed

    return Series(
        series.start + skip * series.step, step, wide(series.good), wide(series.total), wide(series.good_paths),
        wide(series.total_paths), wide(series.good_squares), wide(series.total_squares),
    )  # fmt: skip


def _spans(answers: Sequence[Answers], step: int, policy: Policy) -> list[tuple[tuple[str, ...], int, int | None]]:
    """(rules, bucket of the trigger, bucket of the resolve) of every alert: as :func:`alerts.decide.step`, by its changes."""
    fires_any = np.flatnonzero(np.logical_or.reduce([a.fires for a in answers]))
    count = len(answers[0].fires)
    spans: list[tuple[tuple[str, ...], int, int | None]] = []
    flaps, closed, at = 0, None, 0
    while (place := int(np.searchsorted(fires_any, at))) < len(fires_any):
        first = int(fires_any[place])
        recent = closed is not None and (first - closed) * step <= policy.flap_seconds
        flaps = min(flaps + 1, MOST_FLAPS) if recent else 0
        keys = {a.key for a in answers if a.fires[first]}
        last, keys = _resolve(answers, keys, first, count, partial(_hold, policy, flaps, step))
        spans.append((tuple(a.key for a in answers if a.key in keys), first, last))
        if last is None:
            break
        closed, at = last, last + 1
    return spans


def _hold(policy: Policy, flaps: int, step: int, keys: set[str]) -> float:
    """How many buckets an alert that these rules hold must be clear."""
    rules = [r for r in (*policy.rules, policy.sustained) if r is not None and r.key in keys]
    return hold_seconds(rules, policy.keep_firing_seconds, flaps) / step


def _resolve(
    answers: Sequence[Answers], keys: set[str], first: int, count: int, hold: Callable[[set[str]], float]
) -> tuple[int | None, set[str]]:
    """The bucket at whose end the alert resolves (None: not before the end), and the rules that had fired by then."""
    # Buckets at which a rule that had not fired before fires: until then the same rules hold it.
    later = [np.flatnonzero(a.fires[first + 1 :]) + first + 1 for a in answers if a.key not in keys]
    joins = sorted({int(places[0]) for places in later if places.size})
    clear: int | None = None
    for begin, end in pairwise([first + 1, *joins, count]):
        if begin >= end:
            continue
        keys = keys | {a.key for a in answers if a.fires[begin]}
        held = np.stack([a.holds[begin:end] for a in answers if a.key in keys])
        states = np.where((held == HOLDS).any(axis=0), HOLDS, held.min(axis=0))
        changes = [0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]
        for here, following in pairwise(changes):
            if states[here] == HOLDS:
                clear = None
            elif states[here] == CLEAR:
                clear = begin + here if clear is None else clear
                due = max(begin + here, clear + math.ceil(hold(keys)))
                if due < begin + following:
                    return due, keys
    return None, keys


def _fired(
    slo: Slo,
    group: Group,
    severity: Severity,
    rules: tuple[str, ...],
    series: Series,
    at: float,
    resolved: float | None,
) -> Fired:
    # Of slices a request that fails uses nothing, unless too many of its slice do.
    allowed = float(1 - (slo.slice_target if slo.slice_seconds else slo.objective))
    here = min(len(series), int((at - series.start) // series.step))
    bad = series.bad
    # Bad minutes are those that burn faster than the budget lasts; ten quiet minutes before them are the start.
    burning = (bad > allowed * series.total) & (bad > 0)
    onset = _onset(burning, here, 600 // series.step + 1)
    stop = len(series) if resolved is None else min(len(series), int((resolved - series.start) // series.step))
    after = np.flatnonzero(burning[onset:stop])
    ended = onset + int(after[-1]) + 1 if after.size else here
    return Fired(
        group, severity, rules, at, resolved, float(series.start + onset * series.step),
        float(series.start + ended * series.step), 0.0, float(bad[onset:here].sum()), slo.service,
    )  # fmt: skip


def _budget_used(slo: Slo, events: Series, series: Series, fired: Fired, oldest: float) -> float:
    """What a status a moment before the page says less because of what happened from the onset on.

    Args:
        slo: whose.
        events: minutes.
        series: what the rules look at: minutes, or slices.
        fired: the alert.
        oldest: when the SLO's oldest bucket begins.
    """
    now = fired.at - 0.001  # it is decided at a bucket's end, when the next one has not begun
    period = period_of(slo, now, oldest)
    begin = now // 1 - period.window_seconds  # buckets of the period begin after this
    if slo.slice_seconds:
        bad = bad_slices(series, slo).astype(float)
        total = float(slices.number(period.window_seconds, now, slo.slice_seconds))
    else:
        bad = series.bad
        total = float(_between(events, events.total, begin, now).sum())
    # The slice in which it began, too.
    onset = (fired.onset - series.start) // series.step * series.step + series.start
    gone = float(_between(series, bad, max(begin, onset - 1), now).sum())
    return budget_used(gone, total, slo.objective, period.covered)


def _between(series: Series, values: Floats, after: float, until: float) -> Floats:
    """Those of a series' values whose buckets begin in ``(after, until]``."""
    first, last = (max(0, math.floor((t - series.start) / series.step) + 1) for t in (after, until))
    return values[first:last]


def _onset(burning: Bools, here: int, gap: int) -> int:
    """The first bucket of the latest run of burning ones before ``here`` that has no pause of ``gap`` buckets in it."""
    places = np.flatnonzero(burning[:here])
    if not places.size:
        return max(here - 1, 0)
    breaks = np.flatnonzero(np.diff(places) > gap)
    return int(places[breaks[-1] + 1]) if breaks.size else int(places[0])
