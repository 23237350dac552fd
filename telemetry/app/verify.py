"""Recounts everything that follows from something else: the log's tables from the log, roll-ups from ``request_paths``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import lcm
from typing import Any, Final

from alerts.filters.sql import text_literal
from alerts.sli_views import MAX_DURATION_SECONDS, counted, select_sql
from alerts.slos.model import DRILL_ENVIRONMENT, Slo
from telemetry.blocklog.logs import METRICS, PATHS
from telemetry.blocklog.recount import derived_table
from telemetry.store.base import Store
from telemetry.store.recount import ROLL_UPS, Recount, compare, hours, roll_up
from telemetry.store.tables import REQUEST_PATHS, SLI_1M

KEPT_DAYS: Final = 29
"""Rows of ``request_paths`` live a day longer; roll-ups of what is gone cannot be recounted."""
LOGGED_DAYS: Final = {PATHS.table: 7, METRICS.table: 1}
"""Rows of the logs live a day longer."""
_NO_DRILL: Final = f"environment != '{DRILL_ENVIRONMENT}'"
"""A drill takes its paths away again when it ends."""
_TRIES: Final = 3
_MINUTE: Final = 60


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        start, end: seconds since the epoch: what was looked at.
        recounts: one for each comparison.
        not_counted: SLOs whose counts are not there yet, or are those of another definition.
    """

    start: int
    end: int
    recounts: tuple[Recount, ...]
    not_counted: tuple[str, ...] = ()

    @property
    def differing(self) -> int:
        """How many groups and blocks differ."""
        return sum(recount.differing for recount in self.recounts)

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready values."""
        return {
            "start": self.start,
            "end": self.end,
            "differing": self.differing,
            "not_counted": list(self.not_counted),
            "checks": [
                {
                    "check": each.check,
                    "compared": each.compared,
                    "differing": each.differing,
                    "differences": [difference.to_dict() for difference in each.differences],
                }
                for each in self.recounts
            ],
        }


def verify(
    store: Store,
    start: int,
    end: int,
    *,
    now: int,
    slos: Sequence[Slo] = (),
    resolution_seconds: int = _MINUTE,
    limit: int = 100,
    wait: Callable[[], None] = lambda: None,
    progress: Callable[[str], None] = lambda _check: None,
) -> Verification:
    """Compare all tables over a time range with what they are made of.

    Blocks come in while this reads: what differs is looked at again before it is told.

    Args:
        store: with the schema.
        start, end: seconds since the epoch; ``end`` is not included. Cut to what is kept and, for roll-ups, to whole buckets.
        now: the time.
        slos: whose counts are compared, too.
        resolution_seconds: width of the buckets of ``sli_1m``.
        limit: how many differing groups of each comparison are told of.
        wait: called before something that differs is looked at again.
        progress: is told what is compared next.

    Raises:
        StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
    """
    width = lcm(_MINUTE, resolution_seconds)
    first = max(start, now - KEPT_DAYS * 86_400) // width * width
    last = min(end, now) // width * width
    ready = counted(store, slos, resolution_seconds)
    recounts = []
    wanted = [slo for slo in slos if slo.name in ready]
    for check, parts in (
        *_logs(store, start, end, now, limit),
        *_roll_ups(store, first, last, wanted, resolution_seconds, limit),
    ):
        progress(check)
        recounts.append(_together(check, [_settled(part, wait) for part in parts], limit))
    return Verification(first, last, tuple(recounts), tuple(s.name for s in slos if s.name not in ready))


Check = tuple[str, Sequence[Callable[[], Recount]]]
"""Name and parts of a comparison."""


def _logs(store: Store, start: int, end: int, now: int, limit: int) -> Iterator[Check]:
    """By the time at which blocks were stored, to the second."""
    for log in (PATHS, METRICS):
        since = max(start, now - LOGGED_DAYS[log.table] * 86_400) * 1000
        for derived in log.derived:
            where = _NO_DRILL if derived.table == REQUEST_PATHS else "1"
            part = partial(derived_table, store, log, derived, since, end * 1000, limit=limit, where=where)
            yield f"{derived.table} from {log.table}", [part]


def _roll_ups(store: Store, start: int, end: int, slos: Sequence[Slo], resolution: int, limit: int) -> Iterator[Check]:
    """By the time of the requests, in whole buckets."""
    for table in ROLL_UPS:
        parts = [partial(roll_up, store, table, a, b, limit=limit, where=_NO_DRILL) for a, b in hours(start, end)]
        yield f"{table} from {REQUEST_PATHS}", parts
    for slo in slos:
        parts = [partial(_sli, store, slo, resolution, a, b, limit) for a, b in hours(start, end)]
        yield f"{SLI_1M} {slo.name} from {REQUEST_PATHS}", parts


def _sli(store: Store, slo: Slo, resolution_seconds: int, start: int, end: int, limit: int) -> Recount:
    """A path counts in the bucket in which it ended, at most an hour after its start."""
    source = (
        f"{select_sql(slo, resolution_seconds)} WHERE p.start >= toDateTime({start - MAX_DURATION_SECONDS - 1}, 'UTC') "
        f"AND p.start < toDateTime({end}, 'UTC') AND {slo.total_sql()} "
        "GROUP BY slo, bucket, environment, dimension, value"
    )
    where = (
        f"slo = {text_literal(slo.name)} AND bucket >= toDateTime({start}, 'UTC') AND bucket < toDateTime({end}, 'UTC')"
    )
    return compare(store, SLI_1M, source, where, limit=limit, check=f"{SLI_1M} {slo.name} from {REQUEST_PATHS}")


def _settled(part: Callable[[], Recount], wait: Callable[[], None]) -> Recount:
    """What differs each time."""
    found = part()
    for _ in range(_TRIES - 1):
        if not found.differing:
            return found
        wait()
        again = part()
        before = {(tuple(d.place.items()), d.column) for d in found.differences}
        kept = tuple(d for d in again.differences if (tuple(d.place.items()), d.column) in before)
        found = Recount(again.check, again.compared, again.differing if kept else 0, kept)
    return found


def _together(check: str, parts: Iterable[Recount], limit: int) -> Recount:
    """Parts as one."""
    all_parts = list(parts)
    differences = [difference for part in all_parts for difference in part.differences]
    return Recount(
        check,
        sum(part.compared for part in all_parts),
        sum(part.differing for part in all_parts),
        tuple(differences[:limit]),
    )
