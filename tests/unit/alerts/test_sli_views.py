"""The views that fill ``sli_1m``, on the real engine."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from alerts import slos
from alerts.filters import parse
from alerts.sli_reads import Group, read_windows
from alerts.sli_views import RESUME_SECONDS, SyncReport, sync
from alerts.slos.model import Slo
from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.store.base import Parameter, Store
from telemetry.store.tables import DEDUPLICATION_WINDOW
from tests.support.log_blocks import TOPIC, block_of, path
from tests.support.unused_store import UnusedStore
from tests.unit.alerts.alerts_support import T0, append_paths, make_slo, path_row

SETTLE = 5.0
LATER = T0 + 60
"""A time at which views made at T0 have settled."""


def counts(store: Store, slo: str = "edge-availability") -> list[tuple[Any, ...]]:
    """(value, good, total, good paths, total paths) of an SLO."""
    return store.query(
        "SELECT value, sum(good), sum(total), sum(good_paths), sum(total_paths) FROM sli_1m "
        "WHERE slo = {slo:String} GROUP BY value ORDER BY value",
        {"slo": slo},
    ).rows


def stored(at: float) -> int:
    """A value for the column ``stored``."""
    return int(at * 1000)


def views(store: Store) -> list[str]:
    """Names of the SLO views."""
    return [r[0] for r in store.query("SELECT name FROM system.tables WHERE startsWith(name, 'sli_1m_view_')").rows]


def rows(bad: int, good: int, **more: Any) -> list[dict[str, Any]]:
    """Paths of which ``bad`` failed."""
    return [path_row(outcome="edge_error", **more)] * bad + [path_row(**more)] * good


def taken_back(old: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """The rows that replace a failed path by one that went well."""
    return [{**old, "sign": -1, **changes}, {**old, "version": 2, "outcome": "ok", **changes}]


class Crashing(UnusedStore):
    """A store on which a process ends just before it notes that a backfill is done."""

    def __init__(self, inner: Store) -> None:
        self.query = inner.query  # type: ignore[method-assign]
        self.insert_select = inner.insert_select  # type: ignore[method-assign]
        self._execute = inner.execute

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As the inner one, but for that note."""
        if "INTO sli_views" in sql and parameters and parameters["done"]:
            raise RuntimeError("crash")
        self._execute(sql, parameters)


def test_paths_before_and_after_the_cut_count_once(store: Store) -> None:
    """What was stored before the cut is backfilled, what came after is seen by the view, nothing twice."""
    slo = [make_slo()]
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    first = sync(store, slo, 60, T0, SETTLE)
    assert (first.created, first.backfilled, first.pending_until) == (("edge-availability",), (), T0 + 2 * SETTLE)
    append_paths(store, rows(2, 8, stored=stored(T0 + 1)))  # after the view was made, before the cut
    append_paths(store, rows(3, 7, stored=stored(T0 + SETTLE)))
    assert counts(store) == [("fra", 7.0, 10.0, 7, 10)]
    second = sync(store, slo, 60, T0 + 2 * SETTLE, SETTLE)
    assert (second.created, second.backfilled, second.pending_until) == ((), ("edge-availability",), None)
    assert counts(store) == [("fra", 24.0, 30.0, 24, 30)]


def test_syncing_again_changes_nothing(store: Store) -> None:
    slo = [make_slo(), make_slo(name="other", good=parse("outcome = 'ok'"))]
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    sync(store, slo, 60, T0, SETTLE)
    sync(store, slo, 60, LATER, SETTLE)
    before = (views(store), counts(store), counts(store, "other"))
    for _ in range(3):
        report = sync(store, slo, 60, LATER + 10, SETTLE)
        assert report == type(report)()
    assert (views(store), counts(store), counts(store, "other")) == before


def test_a_backfill_cut_short_is_not_counted_twice(store: Store) -> None:
    """A crash between the backfill and its note: done again, and dropped by its token."""

    slo = [make_slo()]
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    append_paths(store, rows(1, 9, stored=stored(T0 - 100), start=int(T0 - 3 * 86_400) * 10**9))
    sync(store, slo, 60, T0, SETTLE)
    with pytest.raises(RuntimeError, match="crash"):
        sync(Crashing(store), slo, 60, LATER, SETTLE)
    assert sync(store, slo, 60, LATER, SETTLE).backfilled == ("edge-availability",)
    assert counts(store) == [("fra", 18.0, 20.0, 18, 20)]


def test_a_backfill_cut_short_long_ago_begins_anew(store: Store) -> None:
    """Its tokens may be forgotten by then: the counts are thrown away and made again, those of the view, too."""
    slo = [make_slo()]
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    sync(store, slo, 60, T0, SETTLE)
    append_paths(store, rows(2, 8, stored=stored(T0 + 30)))
    with pytest.raises(RuntimeError, match="crash"):
        sync(Crashing(store), slo, 60, LATER, SETTLE)
    store.execute("TRUNCATE TABLE sli_1m")  # and the tokens with it
    append_paths(store, rows(0, 1, stored=stored(LATER)))
    later = LATER + RESUME_SECONDS + 1
    report = sync(store, slo, 60, later, SETTLE)
    assert (report.replaced, report.backfilled) == (("edge-availability",), ())
    assert sync(store, slo, 60, later + 2 * SETTLE, SETTLE).backfilled == ("edge-availability",)
    assert counts(store) == [("fra", 18.0, 21.0, 18, 21)]


def test_a_block_that_is_not_driven_yet_is_waited_for(store: Store) -> None:
    """It was logged before the cut, so the view leaves it to the backfill, whenever it comes."""
    tables = SqlLogTables(store, PATHS, TOPIC)
    lease = BlockLog(tables).take_over(0)
    at = time.time()
    tables.write(block_of(lease, 2, [path(1), path(2, outcome="edge_error")]), lease.writer)
    slo = [make_slo()]
    sync(store, slo, 60, at + 60, SETTLE)
    report = sync(store, slo, 60, at + 120, SETTLE)
    assert (report.backfilled, report.pending_until) == ((), at + 120 + SETTLE)
    new = BlockLog(tables).take_over(0)
    assert counts(store) == []
    assert sync(store, slo, 60, at + 130, SETTLE).backfilled == ("edge-availability",)
    BlockLog(tables).append(block_of(new, new.next_number, [path(3, stored=int(at + 140) * 1000)]))
    assert counts(store) == [("fra", 4.0, 6.0, 2, 3)]


def test_a_restated_path_counts_as_it_is_now(store: Store) -> None:
    """On either side of the cut, and when its old and its new version lie on different sides of it."""
    before, after = stored(T0 - 100), stored(T0 + 20)
    old = [path_row(outcome="edge_error", stored=before) for _ in range(2)]
    append_paths(store, [*old, path_row(stored=before)])
    append_paths(store, taken_back(old[0], stored=before))
    sync(store, [make_slo()], 60, T0, SETTLE)
    append_paths(store, taken_back(old[1], stored=after))
    sync(store, [make_slo()], 60, LATER, SETTLE)
    assert counts(store) == [("fra", 3.0, 3.0, 3, 3)]
    failed = path_row(outcome="edge_error", stored=after, weight=2.5)
    append_paths(store, [failed])
    assert counts(store) == [("fra", 3.0, 5.5, 3, 4)]
    append_paths(store, taken_back(failed, stored=after))
    assert counts(store) == [("fra", 5.5, 5.5, 4, 4)]


def test_the_window_of_the_counts_grows_with_the_slos(store: Store) -> None:
    """Every view adds a block of its own to the one table; and what was remembered still is."""

    def window() -> int:
        made = store.query(
            "SELECT engine_full FROM system.tables WHERE name = 'sli_1m' AND database = currentDatabase()"
        )
        return int(made.scalar().partition("non_replicated_deduplication_window = ")[2].split(",")[0])

    sync(store, [make_slo()], 60, T0 - 60, SETTLE)
    block = append_paths(store, rows(1, 9))
    first = window()
    many = [make_slo(), *(make_slo(name=f"more-{n}") for n in range(first // DEDUPLICATION_WINDOW))]
    sync(store, many, 60, T0 - 60, SETTLE)
    assert window() == DEDUPLICATION_WINDOW * len(many) > first
    block.into(store)
    assert counts(store) == [("fra", 9.0, 10.0, 9, 10)]


def test_a_changed_slo_is_counted_anew_from_history(store: Store) -> None:
    old, new = make_slo(), make_slo(good=parse("outcome in ('ok', 'edge_error')"))
    append_paths(store, rows(4, 6, stored=stored(T0 - 100)))
    sync(store, [old], 60, T0, SETTLE)
    sync(store, [old], 60, LATER, SETTLE)
    append_paths(store, rows(4, 6, stored=stored(LATER)))
    assert counts(store) == [("fra", 12.0, 20.0, 12, 20)]
    report = sync(store, [new], 60, LATER + 10, SETTLE)
    assert (report.replaced, report.created, report.dropped) == (("edge-availability",), (), ())
    append_paths(store, rows(4, 6, stored=stored(LATER + 20)))
    sync(store, [new], 60, LATER + 30, SETTLE)
    assert counts(store) == [("fra", 30.0, 30.0, 30, 30)]
    assert len(views(store)) == 1


def test_another_resolution_replaces_every_view(store: Store) -> None:
    append_paths(store, rows(0, 5, stored=stored(T0 - 9), start=int(T0 + 7) * 10**9))
    sync(store, [make_slo()], 60, T0, SETTLE)
    assert sync(store, [make_slo()], 5, LATER, SETTLE).replaced == ("edge-availability",)
    sync(store, [make_slo()], 5, LATER + 60, SETTLE)
    assert store.query("SELECT DISTINCT toInt64(toUnixTimestamp(bucket)) FROM sli_1m").scalar() == T0 + 5


def test_a_removed_slo_loses_its_view_and_coming_back_does_not_double(store: Store) -> None:
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    sync(store, [make_slo()], 60, T0, SETTLE)
    sync(store, [make_slo()], 60, LATER, SETTLE)
    assert sync(store, [], 60, LATER, SETTLE).dropped == ("edge-availability",)
    assert views(store) == []
    append_paths(store, rows(1, 9, stored=stored(LATER + 1)))
    sync(store, [make_slo()], 60, LATER + 2, SETTLE)
    sync(store, [make_slo()], 60, LATER + 60, SETTLE)
    assert counts(store) == [("fra", 18.0, 20.0, 18, 20)]


def test_who_only_adds_leaves_the_views_of_others_alone(store: Store) -> None:
    """While other files are rolled out: what another watcher counts is dropped by none, and no SLO is counted twice."""
    other, changed = make_slo(name="other"), make_slo(good=parse("reached_api"))
    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    for now in (T0, LATER):
        sync(store, [other, changed], 60, now, SETTLE)
    theirs = views(store)
    assert sync(store, [make_slo()], 60, LATER, SETTLE, add_only=True) == SyncReport()
    assert views(store) == theirs
    sync(store, [other], 60, LATER, SETTLE)
    report = sync(store, [make_slo()], 60, LATER, SETTLE, add_only=True)
    assert (report.created, report.dropped) == (("edge-availability",), ())
    assert sync(store, [make_slo()], 60, LATER + 60, SETTLE, add_only=True).backfilled == ("edge-availability",)
    assert sum(total for _, _, total, _, _ in counts(store)) == 10
    assert len(views(store)) == 2


def test_a_block_sent_again_is_not_counted_again(store: Store) -> None:
    """The token of a block reaches through every SLO's view into the one table they fill."""
    both = [make_slo(), make_slo(name="twin")]
    sync(store, both, 60, T0 - 60, SETTLE)
    block = append_paths(store, rows(1, 9))
    block.into(store)
    block.into(store)
    assert counts(store) == counts(store, "twin") == [("fra", 9.0, 10.0, 9, 10)]


def test_nothing_alters_a_view_once_it_is_there(store: Store) -> None:
    """ClickHouse gives an altered view other tokens, and others again after a restart: blocks driven again would be doubled."""
    said: list[str] = []

    class Listening(UnusedStore):
        query, insert_select = store.query, store.insert_select

        def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
            said.append(sql)
            store.execute(sql, parameters)

    append_paths(store, rows(1, 9, stored=stored(T0 - 100)))
    for now in (T0, LATER, LATER + 10):
        sync(Listening(), [make_slo()], 60, now, SETTLE)
    assert any("CREATE MATERIALIZED VIEW" in sql for sql in said)
    assert not [sql for sql in said if "ALTER" in sql and "sli_1m_view" in sql]


def test_a_view_that_is_not_ours_by_its_comment_is_replaced(store: Store) -> None:
    store.execute("CREATE MATERIALIZED VIEW sli_1m_view_stray TO sli_1m AS SELECT 'x' AS slo FROM request_paths")
    sync(store, [make_slo()], 60, T0, SETTLE)
    assert [v for v in views(store) if "stray" in v] == []


def test_events_count_when_they_end_and_by_weight(store: Store) -> None:
    """A request that hung for 90 s is an event of the minute in which it ended; one of 2 h is cut at an hour."""
    sync(store, [make_slo()], 60, T0 - 60, SETTLE)
    append_paths(store, [path_row(total_ns=90 * 10**9, weight=4.0), path_row(total_ns=7200 * 10**9, weight=2.5)])
    found = store.query("SELECT toInt64(toUnixTimestamp(bucket)) AS b, total, total_paths FROM sli_1m ORDER BY b").rows
    assert found == [(T0 + 60, 4.0, 1), (T0 + 3600, 2.5, 1)]


@pytest.mark.parametrize("start", [0, -(10**18), 2**62, 9 * 10**18])
def test_hostile_timestamps_break_no_insert(store: Store, start: int) -> None:
    """Whatever a span claims, a view must never make the insert of a block fail."""
    sync(store, [make_slo()], 60, T0 - 60, SETTLE)
    append_paths(store, [path_row(start=start, total_ns=2**64 - 1)])
    assert [r[2] for r in counts(store)] in ([1.0], [])  # an ancient row may fall to the TTL at once


def test_reading_windows_and_groups(store: Store) -> None:
    """One query gives every window of every group; a window of w seconds is the w / resolution buckets up to its end."""
    slo = make_slo()
    sync(store, [slo], 5, T0 - 60, SETTLE)
    seconds = [int(T0 + second) * 10**9 for second in range(60)]
    append_paths(store, [path_row(start=at, total_ns=0) for at in seconds])
    append_paths(store, [path_row(start=at, total_ns=0, pop="iad") for at in seconds[::2]])
    found = read_windows(store, [slo], [10, 30], T0 + 59)
    assert set(found) == {Group("edge-availability", "prod", "pop", p) for p in ("fra", "iad")}
    fra = found[Group("edge-availability", "prod", "pop", "fra")]
    assert (fra[10].total_paths, fra[30].total_paths, fra[30].total) == (10, 30, 30.0)
    assert read_windows(store, [slo], [10], T0 + 500) == {}
    assert read_windows(store, [], [10], T0) == {}


def test_rows_of_an_older_split_are_not_groups(store: Store) -> None:
    sync(store, [make_slo()], 5, T0 - 60, SETTLE)
    append_paths(store, [path_row()])
    assert read_windows(store, [make_slo(group_by="")], [60], T0 + 5) == {}


def test_shipped_slos_count_what_they_say(store: Store) -> None:
    """Availability: not the edge's failures are good or not counted. Latency: exact at its threshold."""
    shipped: Sequence[Slo] = slos.load()
    sync(store, shipped, 60, T0 - 60, SETTLE)
    outcomes = ["ok", "client_error", "throttled", "blocked", "edge_error", "api_error", "cancelled"]
    append_paths(store, [path_row(outcome=o) for o in outcomes])
    append_paths(store, [path_row(outcome="timeout", reached_api=r) for r in (True, False)])
    assert counts(store) == [("fra", 4.0, 6.0, 4, 6)]
    store.execute("TRUNCATE TABLE sli_1m")
    append_paths(store, [path_row(edge_ns=ns) for ns in (0, 249_999_999, 250_000_000, 10**10)])
    append_paths(store, [path_row(edge_ns=10**10, reached_api=False), path_row(edge_ns=10**10, outcome="cancelled")])
    assert counts(store, "edge-latency") == [("fra", 2.0, 4.0, 2, 4)]
