"""The period of an SLO at an instant: its bounds, the window that holds its buckets, and how much of it is known. Pure.

What is left of a budget is told in several places (``slo status``, pages, budget reports, backtests): all of them ask this,
and :func:`alerts.burnrate.budget_used`.
"""

from dataclasses import dataclass
from math import ceil

from alerts import slices
from alerts.slos.model import Slo


@dataclass(frozen=True)
class Period:
    """A period; times in seconds since the epoch.

    Attributes:
        start, end: its bounds; of one that rolls the end is now.
        window_seconds: length of the window that ends now and holds what has passed of it. Buckets and slices belong to the
            period in which they begin: the first of a calendar window is the one that begins with it.
        covered: the share of the period of which something is known.
    """

    start: float
    end: float
    window_seconds: int
    covered: float


def period_of(slo: Slo, now: float, first: float = 0.0) -> Period:
    """The period of ``slo`` that holds ``now``.

    Args:
        slo: whose.
        now: in seconds since the epoch.
        first: when its oldest bucket begins. Of requests, what came before is not known, and is taken to have been like the
            rest; of slices all that has passed is known, for those without requests count, too.
    """
    start, end = slo.bounds(now)
    window = slo.period_seconds if slo.calendar is None else int(now // 1) - ceil(start) + 1
    if slo.slice_seconds:
        known: float = slices.number(window, now, slo.slice_seconds) * slo.slice_seconds
    else:
        known = max(0.0, now - max(start, first))
    return Period(start, end, window, min(1.0, known / (end - start)))
