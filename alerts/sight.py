"""What the watcher cannot see, told apart: no traffic, no telemetry, a pipeline that lags, an SLI that matches nothing.

All of them look alike in ``sli_1m``: nothing comes. They are told apart by what is stored and when
(:class:`Freshness`), and by the edge's own request counters, which are not sampled and come as metrics, by another way than
the spans (:data:`Counters`). Missing data is never taken for good: where the counters are not known either, the alert says so.

============== ======================================= =================== ========
cause          paths                                   edge's own counters severity
============== ======================================= =================== ========
``lagging``    stored, but they arrived long ago;      any                 page
               or neither paths nor metrics are stored
               any more, though both were
``no-telemetry`` none, where there were some, or where count requests      page
               so many requests would have left one
``no-traffic`` none, where there were some             count none          ticket, everywhere at once a page
``silent``     none, where there were some             not known           page
``empty``      many, and an SLO matches none of them   any                 ticket
============== ======================================= =================== ========

That ClickHouse itself does not answer is told by :mod:`alerts.outage`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from alerts.burnrate import Severity
from alerts.page_text import lasted
from alerts.sli_reads import Group
from alerts.slos.model import DRILL_ENVIRONMENT
from telemetry.store.base import Store
from telemetry.store.tables import METRIC_POINTS, PATH_1M, REQUEST_PATHS

Place = tuple[str, str]
"""An environment and a PoP; two empty texts stand for everything."""
EVERYWHERE: Final[Place] = ("", "")
Counters = Callable[[float, float], Mapping[Place, float] | None]
"""Requests that the edge has counted from one time to another, by place; None if nobody knows."""

WINDOW_SECONDS: Final = 600
"""So long without a path is silence."""
COUNTED_SECONDS: Final = WINDOW_SECONDS - 180
"""For so long back the edge's counters are asked: what they counted just before the silence comes up to two minutes later,
and silence is told by the minute."""
REPORT_SECONDS: Final = 120
"""So much later at most come the edge's counters of a request."""
BEFORE_SECONDS: Final = 3600
"""So long before that there must have been paths."""
FEWEST_PATHS: Final = 60
"""So many of them, a tenth of what it takes to see one every ten seconds: less may be silent by chance."""
LAG_SECONDS: Final = 180
SURELY_PATHS: Final = 20
"""Where so many paths are expected, none is no chance."""
MANY_REQUESTS: Final = 150_000
"""Where there was no path in the hour before either, nobody knows how few requests are kept. Of so many one would be, also
where it is one in 10,000."""
CHANCE: Final = 1e-6
"""So likely at most may it be that none is kept for a while by chance: where few are kept, that is tried many times a day."""
DRAINED_SECONDS: Final = 86_400
"""A place without traffic for so long was taken out on purpose: its ticket closes."""


@dataclass(frozen=True)
class Freshness:
    """How new what is stored is.

    Attributes:
        stored, arrived: newest of these times in ``request_paths``, in seconds since the epoch; 0 without any path.
        recent: paths stored in the last :data:`WINDOW_SECONDS`, restated ones included.
        lag: seconds from arrival to storing, the median of the recent ones; 0 without any.
        places: stored paths of the hour before the silence window, and in it, by place.
        points: newest time at which a point of a metric was stored, of whatever component; 0 without any.
    """

    stored: float
    arrived: float
    recent: int
    lag: float
    places: Mapping[Place, tuple[int, int]]
    points: float = 0.0


@dataclass(frozen=True)
class Blind:
    """One thing that cannot be seen."""

    cause: str
    severity: Severity
    environment: str
    pop: str
    text: str
    slo: str = ""
    targets: tuple[str, ...] = ()

    @property
    def group(self) -> Group:
        """Stands for it among the groups of SLOs; no SLO's name begins so."""
        dimension = "pop" if self.pop else "slo" if self.slo else ""
        return Group(f"~{self.cause}", self.environment, dimension, self.pop or self.slo)


@dataclass(frozen=True)
class Doubt:
    """What is known of a place with few paths or none, whose edge counts requests.

    Attributes:
        stored: paths of the hour before the silence window; 0 where the edge did not count yet when that began.
        counted: requests that the edge counted in both.
        since: those of them that it counted after the newest path, and not just after it, when that path's own may come.
    """

    stored: int
    counted: float
    since: float

    @property
    def lost(self) -> bool:
        """Whether it is no chance that none of the requests since was kept.

        If telemetry works, each of the paths might as well be of a request that was counted since the newest of them. Where
        the edge counted fewer requests before than there are paths, it did not count those that they are of.
        """
        before = self.counted - self.since
        if not self.stored or before < self.stored:
            return self.since >= MANY_REQUESTS
        return (before / self.counted) ** self.stored <= CHANCE


def doubtful(seen: Freshness, counted: Mapping[Place, float] | None) -> list[Place]:
    """Places that count requests, have no path, and had few or none before: what to ask :func:`doubts` about."""
    found = []
    for place, n in (counted or {}).items():
        before, after = seen.places.get(place, (0, 0))
        if n > 0 and before < FEWEST_PATHS and after == 0 and (before or not _comes_under_another_name(place, seen)):
            found.append(place)
    return sorted(found)


def _comes_under_another_name(place: Place, seen: Freshness) -> bool:
    """Whether paths come that may be of this place: metrics do not always say all of where the edge is that spans do."""
    environment, pop = place
    return any(after > 0 and environment in ("", e) and pop in ("", p) for (e, p), (_, after) in seen.places.items())


def doubts(
    store: Store, counters: Counters, seen: Freshness, places: Collection[Place], now: float
) -> dict[Place, Doubt]:
    """What is known of these places. Raises as :func:`read_freshness` does."""
    if not places:
        return {}
    start = max(0, int(now) - WINDOW_SECONDS - BEFORE_SECONDS)
    rows = store.query(
        f"SELECT environment, pop, toFloat64(toUnixTimestamp(max(minute))) FROM {PATH_1M} "  # noqa: S608
        "WHERE minute > toDateTime({from:Int64}, 'UTC') GROUP BY environment, pop HAVING sum(paths) > 0",
        {"from": start},
    ).rows
    newest = {(str(e), str(p)): float(minute) + 60 + REPORT_SECONDS for e, p, minute in rows}
    begins = {place: newest.get(place, float(start)) for place in places}
    counted = {at: counters(at, now) or {} for at in {float(start), *begins.values()}}
    # Paths of a time of which no requests are known say nothing of how many of them are kept.
    known = counters(start, start + WINDOW_SECONDS) or {}
    return {
        place: Doubt(
            seen.places.get(place, (0, 0))[0] if place in known else 0,
            counted[float(start)].get(place, 0.0),
            counted[at].get(place, 0.0),
        )
        for place, at in begins.items()
    }


def read_freshness(store: Store, now: float) -> Freshness:
    """How new the stored paths are.

    Raises:
        StoreError: ClickHouse refused it.
        UnavailableError: ClickHouse does not answer.
    """
    newest = store.query(
        # By start, which the table is indexed by; a path that took longer than the rest of the window is none to judge by.
        # A row that takes a path back repeats when that arrived, and would look as late as it is old.
        "SELECT toFloat64(max(p.stored)), toFloat64(max(p.arrived)), "  # noqa: S608
        "toInt64(countIf(toFloat64(p.stored) > {since:Float64})), "
        "quantileExactIf(0.5)(toFloat64(p.stored) - toFloat64(p.arrived), toFloat64(p.stored) > {since:Float64}) "
        f"FROM {REQUEST_PATHS} AS p WHERE p.sign = 1 AND p.start > toDateTime({{from:Int64}}, 'UTC') "
        f"AND p.environment != '{DRILL_ENVIRONMENT}'",
        {"since": now - WINDOW_SECONDS, "from": max(0, int(now) - WINDOW_SECONDS - BEFORE_SECONDS)},
    ).rows[0]
    rows = store.query(
        "SELECT environment, pop, toInt64(sumIf(paths, minute <= toDateTime({silence:Int64}, 'UTC'))), "  # noqa: S608
        f"toInt64(sumIf(paths, minute > toDateTime({{silence:Int64}}, 'UTC'))) FROM {PATH_1M} "
        "WHERE minute > toDateTime({from:Int64}, 'UTC') "
        f"AND environment != '{DRILL_ENVIRONMENT}' GROUP BY environment, pop",
        {"silence": int(now) - WINDOW_SECONDS, "from": max(0, int(now) - WINDOW_SECONDS - BEFORE_SECONDS)},
    ).rows
    points = store.query(
        f"SELECT toFloat64(max(stored)) FROM {METRIC_POINTS} WHERE time > toDateTime({{from:Int64}}, 'UTC')",  # noqa: S608
        {"from": max(0, int(now) - WINDOW_SECONDS - BEFORE_SECONDS)},
    ).rows
    stored, arrived, recent, lag = newest
    places = {(str(e), str(p)): (int(before), int(after)) for e, p, before, after in rows}
    return Freshness(
        float(stored),
        float(arrived),
        int(recent),
        float(lag) if recent else 0.0,
        places,
        max((float(at) for (at,) in points), default=0.0),
    )


def look(
    seen: Freshness, counted: Mapping[Place, float] | None, now: float, doubted: Mapping[Place, Doubt] | None = None
) -> list[Blind]:
    """What cannot be seen. Pure.

    Args:
        seen: what is stored.
        counted: requests that the edge counted in the last :data:`COUNTED_SECONDS`, by place; None if not known.
        now: seconds since the epoch.
        doubted: what is known of :func:`doubtful` places.
    """
    if seen.recent and (late := max(seen.lag, now - seen.arrived)) > LAG_SECONDS and seen.lag > LAG_SECONDS / 2:
        text = (
            f"the pipeline lags {lasted(late)}: what is stored now arrived that long ago, SLOs are judged on old data"
        )
        return [Blind("lagging", "page", "", "", text)]
    known = {place: n for place, n in seen.places.items() if n[0] >= FEWEST_PATHS}
    if known and (since := _stands_still(seen, now)):
        text = (
            f"nothing has been stored for {lasted(since)}, neither paths nor metrics: the pipeline stands still, or nothing "
            "reaches it"
        )
        return [Blind("lagging", "page", "", "", text)]
    lost = {place for place, doubt in (doubted or {}).items() if doubt.lost}
    silent = sorted({place for place, (_, after) in known.items() if after == 0} | lost)
    if not silent:
        return []
    if len(silent) == len(known.keys() | lost) > 1 and not seen.recent:
        return [_silence(EVERYWHERE, sum(counted.values()) if counted else None)]
    # A place that the counters do not know of may have lost them together with its spans: that is not "no traffic".
    return [_silence(place, counted.get(place) if counted else None) for place in silent]


def _stands_still(seen: Freshness, now: float) -> float:
    """For how many seconds neither paths nor metrics were stored, where both were; 0 if that is too short to mean something.

    Without metrics, nobody can tell a pipeline that stands still from one that is sent nothing.
    """
    quiet = now - max(seen.stored, seen.points)
    expected = sum(before for before, _ in seen.places.values()) * LAG_SECONDS / BEFORE_SECONDS
    enough = LAG_SECONDS if expected >= SURELY_PATHS else WINDOW_SECONDS
    return quiet if seen.points and quiet > enough else 0.0


def _silence(place: Place, counted: float | None) -> Blind:
    environment, pop = place
    where = f"of {pop}" if pop else "at all" if place == EVERYWHERE else f"of {environment or 'anything'}"
    minutes = WINDOW_SECONDS // 60
    if counted is None:
        text = f"no request path {where} for {minutes} min, and no counters of the edge to tell whether it has traffic"
        return Blind("silent", "page", environment, pop, text)
    if counted > 0:
        text = (
            f"no telemetry {where} for {minutes} min: the edge counted {counted:.0f} requests "
            f"in the last {COUNTED_SECONDS // 60} min, none came here"
        )
        return Blind("no-telemetry", "page", environment, pop, text)
    text = f"no traffic {where} for {minutes} min, by the edge's own counters"
    return Blind("no-traffic", "page" if place == EVERYWHERE else "ticket", environment, pop, text)


def empty_slis(names: Sequence[str], counted: Collection[str], seen: Freshness) -> list[Blind]:
    """SLOs that match none of the paths that come. ``counted`` are the names of those that have any event."""
    if not seen.recent:
        return []
    text = "matches no request of the last days, though paths come: is its filter right?"
    return [Blind("empty", "ticket", "", "", text, slo=name) for name in names if name not in counted]


def goes_on(group: Group, seen: Freshness, counted: Collection[str], since: float, now: float) -> bool:
    """Whether an open alert about blindness holds although :func:`look` says nothing of it: only data ends it.

    After an hour of silence there is no traffic before it to compare with any more, and it is silence still.
    """
    cause = group.slo.removeprefix("~")
    if cause == "lagging":
        return seen.recent == 0 and now - seen.points > LAG_SECONDS
    if cause in ("empty", "no-data"):
        return group.value not in counted
    if cause == "no-traffic" and now - since > DRAINED_SECONDS:
        return False  # for good, it seems
    if (group.environment, group.value) == EVERYWHERE:
        return seen.recent == 0
    return seen.places.get((group.environment, group.value), (0, 0))[1] == 0
