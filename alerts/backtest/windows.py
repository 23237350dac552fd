"""Every window of a series at once: what a rule says at the end of each bucket. The same rules as in :mod:`alerts.decide`.

A rule that the watcher decides on rationals is decided here by whole numbers: ``bad / total > factor * (1 - objective)`` is
``bad * q > p * total`` with ``p / q`` in lowest terms, exact as long as the products stay under 2^53.
"""

import math
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from alerts.backtest.series import Bools, Floats, Series, before_each
from alerts.burnrate import Policy, Rule, Sustained
from alerts.confidence import quantile
from alerts.slices import Z as SLICE_Z
from alerts.slos.model import Slo

HOLDS, CLEAR, NO_DATA = 1, 0, -1


@dataclass(frozen=True)
class Sums:
    """Sums of a window that ends with each bucket."""

    good: Floats
    total: Floats
    bad_paths: Floats
    total_paths: Floats
    good_squares: Floats
    total_squares: Floats
    bad: Floats
    bad_low: Floats | None = None
    evidence: tuple[Floats, Floats] | None = None


@dataclass(frozen=True)
class Answers:
    """What a rule says at the end of each bucket: whether it fires, and whether it holds (-1: no data)."""

    key: str
    fires: Bools
    holds: NDArray[np.int8]


def running(values: Floats, buckets: int) -> Floats:
    """Sums of the last ``buckets`` values, at each of them."""
    return _last(before_each(values), buckets)


def _last(up_to: Floats, buckets: int) -> Floats:
    """The same by the sums of :func:`~alerts.backtest.series.before_each`."""
    found = up_to[1:].copy()
    found[buckets:] -= up_to[1:-buckets] if buckets else up_to[1:]
    return found


def sums(series: Series, seconds: int) -> Sums:
    """The sums of a window of so many seconds."""
    last = {name: _last(some, seconds // series.step) for name, some in series.up_to.items() if name != "good_paths"}
    return Sums(
        good=last["good"],
        total=last["total"],
        bad_paths=last["bad_paths"],
        total_paths=last["total_paths"],
        good_squares=last["good_squares"],
        total_squares=last["total_squares"],
        bad=np.where(last["bad_paths"] > 0, np.maximum(last["bad"], 0.0), 0.0),
    )


def bad_slices(series: Series, slo: Slo) -> Bools:
    """Which buckets of a series whose buckets are the SLO's slices are bad, as :func:`alerts.slices.is_bad`."""
    target = float(slo.slice_target)
    found: Bools = (series.bad > 0) & (series.total > 0)
    found &= series.total - series.bad < (target - 1e-12) * series.total
    return found


def slice_sums(series: Series, slo: Slo, seconds: int) -> Sums:
    """The same of an SLO with slices, of a series whose buckets are its slices: events are slices (:mod:`alerts.slices`)."""
    n = seconds // series.step
    target = float(slo.slice_target)
    bad = bad_slices(series, slo)
    sure = bad & (ratio_low(sums(series, series.step), SLICE_Z) > 1 - target - 1e-12)
    seen = running((series.total_paths > 0).astype(float), n) > 0
    count = np.where(seen, float(n), 0.0)
    failed = np.minimum(running(bad.astype(float), n), count)
    return Sums(
        good=count - failed,
        total=count,
        bad_paths=failed,
        total_paths=count,
        good_squares=count - failed,
        total_squares=count,
        bad=failed,
        bad_low=np.minimum(running(sure.astype(float), n), failed),
        evidence=(running(series.bad * bad, n), running((series.total_paths - series.good_paths) * bad, n)),
    )


def over(window: Sums, objective: Decimal, factor: Decimal) -> Bools:
    """Where the burn rate is over the factor; not where there are no events."""
    share = Fraction(factor) * (1 - Fraction(objective))
    there = (window.total_paths > 0) & (window.total > 0)
    found: Bools = there & (window.bad * share.denominator > share.numerator * window.total)
    return found


def ratio_low(window: Sums, z: float) -> Floats:
    """Lower bound of the bad share, as :func:`alerts.confidence.bad_ratio_low`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        total = window.total
        ratio = np.where(total > 0, np.minimum(window.bad / total, 1.0), 0.0)
        if window.bad_low is not None:
            return np.where(total > 0, np.minimum(window.bad_low / total, 1.0), 0.0)
        good, both = _excess(window)
        variance = ((1 - ratio) ** 2 * np.maximum(both - good, 0.0) + ratio**2 * good) / total**2
        n = np.where(ratio < 1, ratio * (1 - ratio) / variance, total**2 / both)
        square = z * z / n
        low = (ratio + square / 2 - z * np.sqrt(ratio * (1 - ratio) / n + square / (4 * n))) / (1 + square)
        exact = (both <= 1e-9 * np.maximum(total, 1.0)) | ((ratio < 1) & (variance <= 0))
        found: Floats = np.where(window.bad <= 0, 0.0, np.where(exact, ratio, np.maximum(low, 0.0)))
    return found


def _excess(window: Sums) -> tuple[Floats, Floats]:
    alike = np.maximum(window.total / np.maximum(window.total_paths, 1.0) - 1, 0.0)
    known = window.total_squares > 0
    good = np.where(known, np.maximum(window.good_squares - window.good, 0.0), window.good * alike)
    both = np.where(known, np.maximum(window.total_squares - window.total, 0.0), window.total * alike)
    return good, both


def judged(policy: Policy, rule: Rule, slo: Slo, series: Series) -> Answers:
    """What a rule says at each bucket's end, as :func:`alerts.decide.judge`."""
    long, short = (
        slice_sums(series, slo, w) if slo.slice_seconds else sums(series, w)
        for w in (rule.long_seconds, rule.short_seconds)
    )
    bad, bad_paths = long.evidence or (long.bad, long.bad_paths)
    enough = (bad_paths >= max(policy.min_bad_paths, 1)) & (bad >= float(policy.min_bad_events) - 1e-9)
    limit = float(rule.factor * (1 - slo.objective))
    sampled = (
        np.ones(len(series), dtype=np.bool_)
        if long.bad_low is not None
        else _excess(long)[1] > 1e-9 * np.maximum(long.total, 1.0)
    )
    short_over = over(short, slo.objective, rule.factor)
    fires = short_over & enough & over(long, slo.objective, rule.factor)
    if (fires & sampled).any():
        fires &= ~sampled | (ratio_low(long, quantile(policy.confidence)) > limit)
    holds = np.where(short.total_paths > 0, short_over.astype(np.int8), np.int8(NO_DATA)).astype(np.int8)
    return Answers(rule.key, _ripe(fires, rule.after_seconds // series.step), holds)


def _ripe(fires: Bools, buckets: int) -> Bools:
    """Where it has fired for so many buckets before as well."""
    return fires if buckets <= 0 else running(fires.astype(float), buckets + 1) > buckets


def sustained(rule: Sustained, series: Series) -> Answers:
    """What the rule under the floor says at each bucket's end, as :func:`alerts.decide.judge_sustained`."""
    slot = (series.start + np.arange(len(series)) * series.step) // rule.short_seconds
    begins = np.flatnonzero(np.diff(slot, prepend=slot[0] - 1))
    place = np.cumsum(np.diff(slot, prepend=slot[0]) != 0)  # the number of each bucket's slot, from 0
    bad, total, paths, good, squares = (
        _within(values, begins, place)
        for values in (series.bad, series.total, series.total_paths, series.good, series.good_squares)
    )
    weight = np.where(_within(series.good_paths, begins, place) > 0, squares / np.where(good > 0, good, np.inf), 1.0)
    there, now_bad = paths > 0, bad > float(rule.share) * total
    last = np.concatenate((begins[1:], [len(series)])) - 1
    whole = (values[last].tolist() for values in (there, now_bad, bad, total, weight))
    before = _before(rule, slot[begins].tolist(), *whole)
    # With the bad slots before it, and one more good request than was kept (as :func:`alerts.decide.judge_sustained`).
    unseen = np.maximum(np.maximum(before.weight[place], weight) - 1, 0.0)
    run_bad, run_total = (
        np.where(there, now, 0.0) + old[place] for now, old in ((bad, before.bad), (total, before.total))
    )
    sure = run_bad > float(rule.share) * (run_total + unseen)
    fires = np.where(there, now_bad & before.rest[place], before.alone[place]) & sure
    holds = np.where(there, now_bad.astype(np.int8), before.newest[place]).astype(np.int8)
    return Answers(rule.key, fires, holds)


def _within(values: Floats, begins: NDArray[np.intp], place: NDArray[np.intp]) -> Floats:
    """Running sums that begin anew with every slot."""
    whole = np.cumsum(values)
    found: Floats = whole - (whole[begins] - values[begins])[place]
    return found


class _Before(NamedTuple):
    """Of every slot, about the slots with events before it in the window.

    Attributes:
        rest, alone: whether all but one of those that the rule takes are bad, and whether all are.
        newest: whether the newest is (-1: there is none).
        bad, total: sums of the newest ones that are bad, one after the other; known where ``rest`` holds.
        weight: the largest weight of a good event; known there too.
    """

    rest: Bools
    alone: Bools
    newest: NDArray[np.int8]
    bad: Floats
    total: Floats
    weight: Floats


def _before(
    rule: Sustained,
    numbers: list[int],
    there: list[bool],
    is_bad: list[bool],
    bad: list[float],
    total: list[float],
    weight: list[float],
) -> _Before:
    """What came before each slot, by what each of them holds in all."""
    rest, alone, newest = [], [], []
    sums: list[tuple[float, float, float]] = []
    before: deque[int] = deque()  # places in the lists, the newest last
    length = 0  # of the run of bad ones that ends with the newest
    for place, number in enumerate(numbers):
        while before and (number - numbers[before[0]]) * rule.short_seconds >= rule.long_seconds:
            before.popleft()
        length = min(length, len(before))
        rest.append(length >= rule.slots - 1)
        alone.append(length >= rule.slots)
        newest.append(NO_DATA if not before else HOLDS if is_bad[before[-1]] else CLEAR)
        run = list(before)[len(before) - length :] if rest[-1] else []
        sums.append((
            math.fsum(bad[i] for i in run),
            math.fsum(total[i] for i in run),
            max((weight[i] for i in before), default=1.0) if rest[-1] else 1.0,
        ))  # fmt: skip
        if there[place]:
            before.append(place)
            length = length + 1 if is_bad[place] else 0
    columns = np.array(sums, dtype=float).reshape(-1, 3).T
    return _Before(
        np.array(rest, dtype=np.bool_), np.array(alone, dtype=np.bool_), np.array(newest, dtype=np.int8), *columns
    )
