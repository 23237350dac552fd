"""One materialized view per SLO on ``path_feed``, through which every row of ``request_paths`` comes, filling ``sli_1m``.

**Event time.** A path counts in the bucket in which it *ended* (``start + total_ns``, at most an hour after its start).
A request that hung for 30 s is known to have failed only at its end; counted at its start, its failure would turn up in a
window that was judged long ago. Every reader of these buckets, the blame query included, uses :data:`END_SECONDS`.

**Every path once.** A view sees what is inserted after it was made; what was there before is backfilled from
``request_paths``. Between the two lies a cut in ``stored``, the time at which a row was logged: the view takes rows
stored at or after the cut, the backfill the rows before it. A row keeps its ``stored`` whenever and however often it comes
to ``request_paths``, so both agree about every row. The cut is put ``settle_seconds`` into the future and the
backfill waits as long again after it, and until every block that was logged before the cut is in ``request_paths``: no
insert is under way on the wrong side of the view's making or of the backfill's reading.

**Never altered.** A view is made with its comment, and dropped when it is no longer wanted. In between nothing changes it, for
ClickHouse gives an altered view other deduplication tokens, and others again when the server starts next.

**Restated paths.** A row with ``sign`` -1 takes back what the row that it repeats has added; each counts on its own side of
the cut.

**Limits**, honestly:

- An insert into the log that takes longer than ``settle_seconds`` while a view is being made, or clocks (of whoever calls
  :func:`sync` and of whoever fills ``stored``) further apart than that, can make a path count twice or not at all.
- When an SLO is changed, an insert that is under way while the old view is dropped may leave its block in the new counts.
- ``request_paths`` is kept 30 days: a changed SLO loses its older counts, as they meant something else.
- Two watchers that call :func:`sync` while a backfill takes longer than :data:`RESUME_SECONDS` count it twice.
- Until :attr:`SyncReport.pending_until` a new SLO's counts are incomplete; call :func:`sync` again then.
- One set of SLOs a database: views of SLOs that are not named are dropped (their counts stay until the name is used
  again).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from alerts.filters import to_sql
from alerts.filters.sql import text_literal
from alerts.slos.model import Slo
from telemetry.store.base import Store
from telemetry.store.tables import DEDUPLICATION_WINDOW, PATH_FEED, PATH_LOG, REQUEST_PATHS, SLI_1M, SLI_VIEWS, columns

SETTLE_SECONDS: Final = 5.0
MAX_DURATION_SECONDS: Final = 3600
RESUME_SECONDS: Final = 600
"""For so long after its beginning a backfill that was cut short is gone on with; later its tokens may be forgotten, and the SLO
is counted anew."""
PREFIX: Final = "sli_1m_view_"

END_SECONDS: Final = (
    "least(greatest(intDiv(toUnixTimestamp64Nano(p.start)"
    f" + toInt64(least(p.total_ns, {MAX_DURATION_SECONDS * 10**9})), 1000000000), 0), 4294967295)"
)
"""SQL: when a path of ``request_paths AS p`` ended, in whole seconds since the epoch."""

_COLUMNS: Final = tuple(name for name in columns(SLI_1M) if name != "blocks")
_FORGET: Final = f"DELETE FROM {SLI_1M} WHERE slo = {{slo:String}}"  # noqa: S608 - the table's name is ours
_UNDRIVEN: Final = (
    f"SELECT count() FROM (SELECT DISTINCT topic, partition, block, writer FROM {PATH_LOG} WHERE kind = 'path' "  # noqa: S608
    "AND stored < fromUnixTimestamp64Milli({cut:Int64}, 'UTC') AND (topic, partition, block) IN "
    f"(SELECT topic, partition, max(block) FROM {PATH_LOG} GROUP BY topic, partition)) "
    f"WHERE (topic, partition, block, writer) NOT IN (SELECT topic, partition, block, writer FROM {REQUEST_PATHS} "
    f"WHERE block IN (SELECT max(block) FROM {PATH_LOG} GROUP BY topic, partition))"
)
"""Blocks that were logged before a cut and are not in ``request_paths`` yet: only the last one of a partition can be."""


@dataclass(frozen=True)
class SyncReport:
    """What :func:`sync` did.

    Attributes:
        created, replaced, dropped, backfilled: names of SLOs.
        pending_until: when to call it again for backfills that had to wait; None if nothing waits.
    """

    created: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    backfilled: tuple[str, ...] = ()
    pending_until: float | None = None


@dataclass(frozen=True)
class _View:
    """A view that is there: what it is by its comment, which never changes, and how far it is by ``sli_views``."""

    name: str
    slo: str
    definition: str
    cut_ms: int
    backfilled: bool = False
    begun_ms: int = 0  # when its backfill began, 0 if it has not

    def comment(self) -> str:
        return json.dumps({"slo": self.slo, "definition": self.definition, "cut": self.cut_ms})

    def abandoned(self, now: float) -> bool:
        """Whether a backfill was cut short too long ago to be gone on with."""
        return not self.backfilled and 0 < self.begun_ms < (now - RESUME_SECONDS) * 1000


def sync(
    store: Store,
    slos: Sequence[Slo],
    resolution_seconds: int,
    now: float,
    settle_seconds: float = SETTLE_SECONDS,
    *,
    add_only: bool = False,
) -> SyncReport:
    """Make the views be those of ``slos``: create, replace, drop, backfill. Changes nothing if nothing is to do.

    Args:
        store: with the schema applied.
        slos: all SLOs of this database.
        resolution_seconds: width of the buckets; another width than before replaces every view.
        now: seconds since the epoch, on (nearly) the clock that fills ``request_paths.stored``.
        settle_seconds: see the module's text.
        add_only: only SLOs that have no view at all get one: what else is there may be another watcher's, with other files.

    Raises:
        StoreError: ClickHouse refused a statement.
        UnavailableError: ClickHouse does not answer.
    """
    views = _views(store)
    wanted = {slo.name: _definition(slo, resolution_seconds) for slo in slos}
    dropped = []
    good = [v for v in views if wanted.get(v.slo) == v.definition and not v.abandoned(now)]
    for view in views:
        if view not in good and not add_only:
            store.execute(f"DROP VIEW IF EXISTS {view.name}")
            dropped.append(view.slo)
    kept = {v.slo for v in (views if add_only else good)}
    created = [slo for slo in slos if slo.name not in kept]
    for slo in created:
        cut_ms = round((now + settle_seconds) * 1000)
        store.execute(_FORGET, {"slo": slo.name})
        _create(store, slo, resolution_seconds, cut_ms)
    _remember(store, len(slos))
    # Read back: with two at once, the first one's cut is the one that holds.
    there = _views(store) if created else good
    waiting = [v for v in there if not v.backfilled and wanted.get(v.slo) == v.definition]
    by_name = {slo.name: slo for slo in slos}
    settled = [v for v in waiting if now >= v.cut_ms / 1000 + settle_seconds]
    ready = [v for v in settled if not store.query(_UNDRIVEN, {"cut": v.cut_ms}).scalar()]
    for view in ready:
        _backfill(store, by_name[view.slo], resolution_seconds, view, now)
    later = [max(now, v.cut_ms / 1000) + settle_seconds for v in waiting if v not in ready]
    return SyncReport(
        created=_unique(s.name for s in created if s.name not in dropped),
        replaced=_unique(s.name for s in created if s.name in dropped),
        dropped=_unique(name for name in dropped if name not in wanted),
        backfilled=_unique(v.slo for v in ready),
        pending_until=max(later) if later else None,
    )


def _remember(store: Store, slos: int) -> None:
    """Make the deduplication window of ``sli_1m`` reach as far back as that of other tables: each view adds a block to it."""
    wanted = DEDUPLICATION_WINDOW * max(1, slos)
    told = store.query(
        "SELECT extract(engine_full, 'non_replicated_deduplication_window = (\\\\d+)') FROM system.tables "
        "WHERE database = currentDatabase() AND name = {table:String}",
        {"table": SLI_1M},
    ).rows
    if told and told[0][0] and int(told[0][0]) < wanted:
        store.execute(f"ALTER TABLE {SLI_1M} MODIFY SETTING non_replicated_deduplication_window = {wanted}")


def counted(store: Store, slos: Iterable[Slo], resolution_seconds: int) -> set[str]:
    """Names of those that ``sli_1m`` counts as they are written now, with their history. Raises as :func:`sync` does."""
    views = {(v.slo, v.definition) for v in _views(store) if v.backfilled}
    return {slo.name for slo in slos if (slo.name, _definition(slo, resolution_seconds)) in views}


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def select_sql(slo: Slo, resolution_seconds: int, source: str = REQUEST_PATHS, more: str = "") -> str:
    """The SELECT that counts good and total events of ``slo`` from ``request_paths AS p``, without WHERE.

    Args:
        slo: whose events.
        resolution_seconds: width of a bucket.
        source: another table with the same columns.
        more: more columns, each after a comma.
    """
    good = to_sql(slo.good_filter)
    dimension, value = (text_literal(slo.group_by), f"p.{slo.group_by}") if slo.group_by else ("''", "''")
    return (
        f"SELECT {text_literal(slo.name)} AS slo,\n"
        f"  toDateTime(intDiv({END_SECONDS}, {resolution_seconds}) * {resolution_seconds}, 'UTC') AS bucket,\n"
        f"  p.environment AS environment, {dimension} AS dimension, {value} AS value,\n"
        f"  sumIf(p.weight * p.sign, {good}) AS good, sum(p.weight * p.sign) AS total,\n"
        f"  sumIf(p.sign, {good}) AS good_paths, sum(p.sign) AS total_paths,\n"
        f"  sumIf(p.weight * p.weight * p.sign, {good}) AS good_squares, sum(p.weight * p.weight * p.sign) AS total_squares"
        f"{more}\nFROM {source} AS p"
    )


def _view_sql(slo: Slo, resolution_seconds: int, cut_ms: int) -> str:
    """The SELECT of the view of ``slo``: what it counts of each block, and the block's mark in one of these rows.

    The mark tells whether the block is in the table (telemetry/blocklog/parts.py); it stands where it lasts longest.
    """
    mark = ",\n  cityHash64(any(p.topic), any(p.partition), any(p.block), any(p.writer)) AS mark"
    return (
        "SELECT * EXCEPT (mark), if(rowNumberInAllBlocks() = 0, [mark], []) AS blocks FROM\n"
        f"({select_sql(slo, resolution_seconds, PATH_FEED, mark)}\n"
        f"WHERE p.stored >= fromUnixTimestamp64Milli({cut_ms}, 'UTC') AND {slo.total_sql()}\n"
        f"GROUP BY slo, bucket, environment, dimension, value ORDER BY bucket DESC)"
    )


def _definition(slo: Slo, resolution_seconds: int) -> str:
    """Hash of everything that decides what is counted."""
    text = _view_sql(slo, resolution_seconds, 0)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _views(store: Store) -> list[_View]:
    rows = store.query(
        "SELECT name, comment FROM system.tables "
        "WHERE database = currentDatabase() AND engine = 'MaterializedView' AND startsWith(name, {prefix:String})",
        {"prefix": PREFIX},
    ).rows
    noted = {
        (str(view), int(cut_ms)): (bool(backfilled), int(begun_ms))
        for view, cut_ms, backfilled, begun_ms in store.query(
            f"SELECT view, cut_ms, max(backfilled), min(begun_ms) FROM {SLI_VIEWS} GROUP BY view, cut_ms"  # noqa: S608 - ours
        ).rows
    }
    views = [_view(str(name), str(comment)) for name, comment in rows]
    return [replace(v, backfilled=b, begun_ms=m) for v in views for b, m in [noted.get((v.name, v.cut_ms), (False, 0))]]


def _view(name: str, comment: str) -> _View:
    """A view; one whose comment is not ours belongs to no SLO and will be dropped."""
    try:
        told = json.loads(comment)
        return _View(name, str(told["slo"]), str(told["definition"]), int(told["cut"]))
    except (ValueError, KeyError, TypeError):
        return _View(name, "", "", 0)


def _create(store: Store, slo: Slo, resolution_seconds: int, cut_ms: int) -> None:
    definition = _definition(slo, resolution_seconds)
    name = f"{PREFIX}{slo.name.replace('-', '_')}_{definition}"
    view = _View(name, slo.name, definition, cut_ms)
    store.execute(
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {SLI_1M} COMMENT {text_literal(view.comment())} AS\n"
        f"{_view_sql(slo, resolution_seconds, cut_ms)}"
    )


def _backfill(store: Store, slo: Slo, resolution_seconds: int, view: _View, now: float) -> None:
    """Count what was stored before the cut, an hour of starts at a time. Doing an hour again is dropped by its token."""
    if not view.begun_ms:
        view = replace(view, begun_ms=round(now * 1000))
        _note(store, view)
    before = f"p.stored < fromUnixTimestamp64Milli({view.cut_ms}, 'UTC')"
    # Hostile timestamps lie in any year; no SLO looks further back than the counts are kept.
    hours = store.query(
        f"SELECT DISTINCT intDiv(toUnixTimestamp64Nano(p.start), 3600000000000) AS hour FROM {REQUEST_PATHS} AS p "  # noqa: S608
        f"WHERE {before} AND hour BETWEEN {{from:Int64}} AND {{to:Int64}} ORDER BY hour",
        {"from": int(now // 3600) - 400 * 24, "to": int(now // 3600) + 24},
    ).rows
    for (hour,) in hours:
        first, last = int(hour) * 3_600_000, (int(hour) + 1) * 3_600_000
        store.insert_select(
            SLI_1M,
            _COLUMNS,
            f"{select_sql(slo, resolution_seconds)}\n"
            f"WHERE {before} AND p.start >= fromUnixTimestamp64Milli({first}, 'UTC')"
            f" AND p.start < fromUnixTimestamp64Milli({last}, 'UTC') AND {slo.total_sql()}\n"
            f"GROUP BY slo, bucket, environment, dimension, value ORDER BY bucket, environment, value",
            token=f"sli-backfill:{slo.name}:{view.definition}:{view.cut_ms}:{hour}",
        )
    _note(store, replace(view, backfilled=True))


def _note(store: Store, view: _View) -> None:
    """Write down how far a view's backfill is; never in the view itself, which any ALTER gives other tokens."""
    store.execute(
        f"INSERT INTO {SLI_VIEWS} (view, cut_ms, begun_ms, backfilled) "
        "SELECT {view:String}, {cut:Int64}, {begun:Int64}, {done:UInt8}",
        {"view": view.name, "cut": view.cut_ms, "begun": view.begun_ms, "done": int(view.backfilled)},
    )
