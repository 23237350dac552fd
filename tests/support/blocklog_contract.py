"""What the block log does on every store, embedded or on a server. Subclasses give the fixture ``store``."""

import time
from typing import Any

import pytest

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.model import Head
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables, emitted, originals, recent
from telemetry.errors import FencedError
from telemetry.pipeline.past import StoredPast
from telemetry.store.base import Store
from tests.support.log_blocks import TOPIC, block_of, late, path, restated


def tables_of(store: Store) -> SqlLogTables:
    """The log's tables on a store."""
    return SqlLogTables(store, PATHS, TOPIC)


def log_of(store: Store) -> BlockLog:
    """A log on a store, as a consumer of its own has it."""
    return BlockLog(tables_of(store))


def logged(store: Store) -> list[tuple[int, str, int]]:
    """(block, kind, rows) of the log, in order."""
    rows = store.query("SELECT block, kind, count() FROM path_log GROUP BY block, kind ORDER BY block, kind").rows
    return [(block, kind, count) for block, kind, count in rows]


def sums(store: Store) -> tuple[int, float, float]:
    """Request paths that hold, requests of the first roll-up, requests of the API's hops in the second."""
    return (
        store.query("SELECT sum(sign) FROM request_paths").scalar(),
        store.query("SELECT sum(requests) FROM path_1m").scalar(),
        store.query("SELECT sum(requests) FROM hop_1m WHERE tier = 'api'").scalar(),
    )


class BlockLogContract:
    """The suite. ``store``: an open store with the schema applied and no rows, for each test a new one."""

    def test_a_partition_begins_with_a_fence(self, store: Store) -> None:
        """Block 1 says who writes; the first data are block 2."""
        lease = log_of(store).take_over(3)
        assert (lease.partition, lease.next_number) == (3, 2)
        assert logged(store) == [(1, "fence", 1)]
        head = tables_of(store).head(3)
        assert (head.number, head.writer, head.feeds) == (1, lease.writer, frozenset())
        assert abs(head.stored_ms - time.time() * 1000) < 300_000
        assert tables_of(store).head(4) == Head()

    def test_a_block_lands_in_the_log_the_table_and_the_roll_ups(self, store: Store) -> None:
        """Once, however often it is sent; late spans in their own table."""
        log = log_of(store)
        lease = log.take_over(0)
        one = block_of(lease, 2, [path(1), path(2), late(9, 77)])
        for _ in range(3):
            log.append(one)
        log.append(block_of(lease, 3, [path(3)]))
        assert logged(store) == [(1, "fence", 1), (2, "late", 1), (2, "path", 2), (3, "path", 1)]
        assert sums(store) == (3, 6.0, 6.0)
        assert store.query("SELECT span_id, parent_id, kind, tier, status FROM late_spans").rows == [
            (77, 7, 3, "edge", 200)
        ]

    def test_a_stored_path_is_what_was_logged(self, store: Store) -> None:
        """All columns that both have."""
        log = log_of(store)
        log.append(block_of(log.take_over(0), 2, [path(1)]))
        stored = store.arrow("SELECT * FROM request_paths")
        assert (
            stored.to_pylist()
            == store.arrow("SELECT * FROM path_log WHERE kind = 'path'").select(stored.column_names).to_pylist()
        )

    def test_who_lost_the_partition_is_told(self, store: Store) -> None:
        """A writer that wakes up after a take-over stores nothing, however often it tries."""
        log, other = log_of(store), log_of(store)
        lease = log.take_over(0)
        log.append(block_of(lease, 2, [path(1)]))
        new = other.take_over(0)
        assert new.next_number == 4
        for _ in range(2):
            with pytest.raises(FencedError, match="partition 0 was taken over by another writer"):
                log.append(block_of(lease, 3, [path(2)]))
        other.append(block_of(new, 4, [path(2)]))
        with pytest.raises(FencedError):
            log.append(block_of(lease, 3, [path(2)]))
        assert logged(store) == [(1, "fence", 1), (2, "path", 1), (3, "fence", 1), (4, "path", 1)]
        assert sums(store) == (2, 4.0, 4.0)

    def test_a_block_that_did_not_come_further_than_the_log_is_driven_by_the_next_owner(self, store: Store) -> None:
        """A crash between the log and its tables; nothing is lost, and the table's views get it, too."""
        lease = log_of(store).take_over(0)
        block = block_of(lease, 2, [path(1), path(2), late(9, 77)])
        tables_of(store).write(block, lease.writer)
        assert sums(store) == (0, 0.0, 0.0)
        log_of(store).take_over(0)
        log_of(store).take_over(0)
        assert sums(store) == (2, 4.0, 4.0)
        assert store.query("SELECT count() FROM late_spans").scalar() == 1

    def test_a_block_that_missed_a_view_is_made_whole(self, store: Store) -> None:
        """A crash between a table and the targets of its views."""
        log = log_of(store)
        lease = log.take_over(0)
        view = store.query(
            "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = 'path_feed_to_path_1m'"
        ).scalar()
        store.execute("DROP VIEW path_feed_to_path_1m")
        log.append(block_of(lease, 2, [path(1), path(2)]))
        assert sums(store) == (2, 0.0, 4.0)
        store.execute(view)
        log_of(store).take_over(0)
        assert sums(store) == (2, 4.0, 4.0)

    def test_a_restated_path_changes_every_sum(self, store: Store) -> None:
        """The old version is taken back, the new one counts, and the ledger says what changed."""
        log = log_of(store)
        lease = log.take_over(0)
        old = path(1, outcome="edge_error", reached_api=False, blamed_tier="edge", total_ns=500, spans=3)
        log.append(block_of(lease, 2, [old, path(2)]))
        new: dict[str, Any] = {"outcome": "ok", "reached_api": True, "blamed_tier": "", "total_ns": 1_000, "spans": 8}
        log.append(block_of(lease, 3, restated(old, arrived=old["arrived"] + 9_000, **new)))
        assert sums(store) == (2, 4.0, 4.0)
        rows = store.query("SELECT outcome, version FROM request_paths FINAL WHERE sign = 1 ORDER BY trace_id").rows
        assert rows == [("ok", 2), ("ok", 1)]
        by_outcome = "SELECT outcome, sum(requests) AS n, sum(paths) FROM path_1m GROUP BY outcome ORDER BY outcome"
        assert store.query(by_outcome).rows == [("edge_error", 0.0, 0), ("ok", 4.0, 2)]
        (row,) = store.query("SELECT * FROM corrections").dicts()
        wanted: dict[str, Any] = {"old_outcome": "edge_error", "new_outcome": "ok"}
        wanted |= {"old_blamed_tier": "edge", "new_blamed_tier": ""}
        wanted |= {"old_total_ns": 500, "new_total_ns": 1_000, "late_spans": 5, "delay_ms": 9_000, "version": 2}
        wanted |= {"old_reached_api": False, "new_reached_api": True, "weight": 2.0, "block": 3, "pop": "fra"}
        assert {name: row[name] for name in wanted} == wanted

    def test_what_was_emitted(self, store: Store) -> None:
        """Traces at or past the committed offset, or stored lately; where their newest version is."""
        log = log_of(store)
        lease = log.take_over(0)
        old, other_one = path(1, last_offset=10), path(2, last_offset=20)
        log.append(block_of(lease, 2, [old, other_one]))
        log.append(block_of(lease, 3, [*restated(old, last_offset=30), late(1, 5, last_offset=31), late(7, 6)]))

        def told(committed: int, first_block: int) -> set[tuple[int, int, int]]:
            found = emitted(store, PATHS, topic=TOPIC, partition=0, committed=committed, first_block=first_block)
            return {(int.from_bytes(r["trace_id"]), r["last_offset"], r["block"]) for r in found.to_pylist()}

        later = 10**6
        assert told(0, later) == told(later, 0) == {(1, 31, 3), (2, 20, 2), (7, 7, 0)}
        assert told(20, later) == {(1, 31, 3), (2, 20, 2)}
        assert told(later, 3) == {(1, 31, 3), (7, 7, 0)}
        assert told(32, later) == set()
        found = emitted(store, PATHS, topic=TOPIC, partition=0, committed=0, first_block=0).to_pylist()
        assert {r["arrived_ms"] for r in found if r["trace_id"] == (2).to_bytes(16)} == {other_one["arrived"]}
        other = emitted(store, PATHS, topic=TOPIC, partition=1, committed=0, first_block=0)
        assert other.num_rows == 0

    def test_which_blocks_are_the_last_ones(self, store: Store) -> None:
        """By time and by the number of their rows; at least one. And when what was before them had arrived."""
        log = log_of(store)

        def told(remember_ms: int, most: int, partition: int = 0) -> tuple[int, int]:
            return recent(store, PATHS, topic=TOPIC, partition=partition, remember_ms=remember_ms, most=most)

        assert told(60_000, 10) == (0, 0)
        lease = log.take_over(0)
        old = path(1)
        arrived = old["arrived"]
        for number in range(2, 6):
            log.append(
                block_of(lease, number, [path(number * 10 + n, arrived=old["arrived"] + number) for n in range(3)])
            )
            time.sleep(0.01)
        log.take_over(0)  # a fence is no trace
        assert told(60_000, 12) == (2, 0)
        assert told(60_000, 11) == told(60_000, 9) == (3, arrived + 2)
        assert told(60_000, 1) == told(1, 100) == (5, arrived + 4)
        assert told(60_000, 10, partition=1) == (0, 0)

    def test_originals(self, store: Store) -> None:
        """Every column of the newest version, exactly, the spans' bytes included: what a restatement takes back."""
        log = log_of(store)
        lease = log.take_over(0)
        old = path(1, span_data=bytes(range(256)), start=4_000_867_200_123_456_789)
        log.append(block_of(lease, 2, [old, path(2), path(3)]))
        log.append(block_of(lease, 3, restated(old, span_data=b"\xff\x00", outcome="timeout")))
        ids = [n.to_bytes(16) for n in (1, 2)]
        rows = originals(store, PATHS, topic=TOPIC, partition=0, blocks=[2, 3], trace_ids=ids).to_pylist()
        found = {int.from_bytes(row["trace_id"]): row for row in rows}
        assert set(found) == {1, 2}
        assert (found[1]["version"], found[1]["span_data"], found[1]["outcome"]) == (2, b"\xff\x00", b"timeout")
        first = originals(store, PATHS, topic=TOPIC, partition=0, blocks=[2], trace_ids=ids[:1]).to_pylist()[0]
        assert first["span_data"] == bytes(range(256))
        assert first["start"].value == 4_000_867_200_123_456_789
        assert first["hops.tier"] == [b"edge", b"api"]

    def test_thousands_of_traces_of_the_past(self, store: Store) -> None:
        """More than one statement can name: each is found, each is read from the block that is named."""
        log = log_of(store)
        lease = log.take_over(0)
        numbers = range(1, 5_001)
        blocks = {number.to_bytes(16): 2 + number % 2 for number in numbers}
        for block in (2, 3):
            log.append(block_of(lease, block, [path(n) for n in numbers if 2 + n % 2 == block]))
        past = StoredPast(store, TOPIC)
        unknown = (6_000).to_bytes(16)
        assert past.find(0, [*blocks, unknown]) == {
            trace: (int.from_bytes(trace), block) for trace, block in blocks.items()
        }
        found = past.originals(0, blocks)
        assert dict(zip(found["trace_id"].to_pylist(), found["block"].to_pylist(), strict=True)) == blocks
        assert found.num_rows == len(blocks)
        assert past.originals(0, {unknown: 2}).num_rows == 0
        assert past.originals(0, {}).schema == found.schema

    def test_partitions_and_topics_have_sequences_of_their_own(self, store: Store) -> None:
        """Equal numbers in them are other blocks."""
        log = log_of(store)
        for partition in (0, 1):
            lease = log.take_over(partition)
            assert lease.next_number == 2
            log.append(block_of(lease, 2, [path(1)]))
        other = BlockLog(SqlLogTables(store, PATHS, "another"))
        assert other.take_over(0).next_number == 2
        assert sums(store) == (2, 4.0, 4.0)

    def test_spent_tokens_of_expired_rows(self, store: Store) -> None:
        """Rows of the log are gone but their tokens are remembered: numbers go on where they are free; nothing is dropped."""
        log = log_of(store)
        lease = log.take_over(0)
        log.append(block_of(lease, 2, [path(1)]))
        store.execute("DELETE FROM path_log WHERE 1")
        new = log_of(store).take_over(0)
        assert new.next_number == 10_001
        again = log_of(store)
        after = again.take_over(0)
        again.append(block_of(after, after.next_number, [path(2)]))
        assert sums(store) == (2, 4.0, 4.0)
        store.execute("DELETE FROM path_log WHERE 1")
        assert log_of(store).take_over(0).next_number == 20_001
