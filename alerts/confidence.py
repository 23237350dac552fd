"""How sure a burn rate is when requests are sampled: a lower bound from the sampling weights. Pure.

A path of weight ``w`` was kept with probability ``1/w`` and stands for ``w`` requests (Horvitz-Thompson). The variance that
sampling adds to a weighted count is estimated by the sum of ``w * (w - 1)`` over the kept paths; it is 0 where every request
was kept. For the ratio ``r = bad / total`` the delta method gives ::

    var(r) = ((1 - r)^2 * sum_bad w(w-1) + r^2 * sum_good w(w-1)) / total^2

and so an *effective* number of requests ``n = r (1 - r) / var(r)``: a plain sample of so many would be as uncertain. The
bound is Wilson's score interval (E. B. Wilson, JASA 22, 1927) for ``r`` and ``n``, which, unlike the normal one, behaves for
few events and for ratios near 0 and 1. With ``r = 1`` there is no variance left to see; ``n`` is then ``total^2 / sum w(w-1)``.

What it cannot know: a kind of request of which not one was kept.
"""

import math
from decimal import Decimal
from functools import cache
from statistics import NormalDist

from alerts.burnrate import Counts


@cache
def quantile(confidence: Decimal) -> float:
    """The standard normal's one-sided quantile: 1.645 for 0.95."""
    return NormalDist().inv_cdf(float(confidence))


def is_exact(counts: Counts) -> bool:
    """Whether every request is known, so that there is nothing to be unsure about."""
    return counts.bad_low is None and _excess(counts)[2] <= 1e-9 * max(counts.total, 1.0)


def bad_ratio_low(counts: Counts, z: float) -> float:
    """Lower bound of the share of bad events; the share itself where every request is known."""
    if counts.empty or counts.bad <= 0:
        return 0.0
    if counts.bad_low is not None:
        return min(counts.bad_low / counts.total, 1.0)
    if is_exact(counts):
        return counts.bad_ratio
    ratio, (bad, good, both) = counts.bad_ratio, _excess(counts)
    if ratio < 1:
        variance = ((1 - ratio) ** 2 * bad + ratio**2 * good) / counts.total**2
        if variance <= 0:
            return ratio
        effective = ratio * (1 - ratio) / variance
    else:
        effective = counts.total**2 / both
    return wilson_low(ratio, effective, z)


def burn_low(counts: Counts, objective: Decimal, confidence: Decimal) -> float | None:
    """Lower bound of the burn rate at that one-sided confidence; None without events."""
    return None if counts.empty else bad_ratio_low(counts, quantile(confidence)) / float(1 - objective)


def wilson_low(ratio: float, n: float, z: float) -> float:
    """Wilson's lower bound of a ratio seen in ``n`` events."""
    square = z * z / n
    spread = z * math.sqrt(ratio * (1 - ratio) / n + square / (4 * n))
    return max(0.0, (ratio + square / 2 - spread) / (1 + square))


def _excess(counts: Counts) -> tuple[float, float, float]:
    """Sums of ``w * (w - 1)``: of bad, of good, of all paths. Without the squares, weights are taken to be alike."""
    if counts.total_squares > 0:
        good = max(counts.good_squares - counts.good, 0.0)
        both = max(counts.total_squares - counts.total, 0.0)
        return max(both - good, 0.0), good, both
    alike = max(counts.total / counts.total_paths - 1, 0.0) if counts.total_paths else 0.0
    return counts.bad * alike, counts.good * alike, counts.total * alike
