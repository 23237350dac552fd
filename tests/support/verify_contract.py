"""``verify`` on every store: silent where all adds up, and precise where it does not. Subclasses give ``store``."""

import random
import time
from collections.abc import Callable
from typing import Any

from alerts.filters import parse
from alerts.sli_views import sync
from alerts.slos.model import DRILL_ENVIRONMENT
from telemetry.app.verify import Verification, verify
from telemetry.blocklog.logs import METRICS, PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.engine.metric_rows import metric_block
from telemetry.store.base import Store
from tests.support.log_blocks import TOPIC, block_of, late, path, restated
from tests.support.metrics_contract import TOPIC as METRICS_TOPIC
from tests.support.metrics_contract import gauges, rows_of
from tests.unit.alerts.alerts_support import make_slo

SLOS = [make_slo(), make_slo(name="quick", good=parse("edge_ns < 300ms"), group_by="")]
HOUR = 3_600


def fill(store: Store, seed: int = 1) -> None:
    """Two partitions' blocks of random paths, some of them restated once or more, late spans, metrics; two SLOs' views."""
    chance, now = random.Random(seed), time.time()
    sync(store, SLOS, 60, now - 600)
    log = BlockLog(SqlLogTables(store, PATHS, TOPIC))
    numbers = iter(range(1, 10_000))
    for partition in (0, 1):
        lease, known = log.take_over(partition), [path(0)][:0]
        for number in range(2, 6):
            rows = [_random_path(next(numbers), chance, now) for _ in range(chance.randint(1, 30))]
            again = chance.sample(known, min(len(known), 3))
            known = [row for row in known if row not in again] + rows
            for old in again:
                pair = restated(old, **_random_outcome(chance), last_offset=next(numbers))
                rows += pair
                known.append(pair[1])
            rows += [late(next(numbers), span) for span in range(chance.randint(0, 3))]
            # What restated a path is kept, too.
            rows += [{**old, **late(0, 99), "trace_id": old["trace_id"]} for old in again[:1]]
            log.append(block_of(lease, number, rows))
        log.take_over(partition)  # the last block of a partition is not compared
    metrics = BlockLog(SqlLogTables(store, METRICS, METRICS_TOPIC))
    lease = metrics.take_over(0)
    for number in (2, 3):
        rows = rows_of(gauges(1.0, float("nan")), first=number)
        block = metric_block(rows, topic=METRICS_TOPIC, partition=0, number=number, writer=lease.writer)
        metrics.append(block)
    metrics.take_over(0)
    sync(store, SLOS, 60, time.time())


def _random_path(number: int, chance: random.Random, now: float) -> dict[str, Any]:
    start = int((now - chance.uniform(60, 3 * HOUR)) * 1e9)
    return path(number, start=start, weight=chance.choice((1.0, 2.5, 64.0)), **_random_outcome(chance))


def _random_outcome(chance: random.Random) -> dict[str, Any]:
    failed = chance.random() < 0.3
    edge = chance.randrange(10**9)
    return {
        "pop": chance.choice(("fra", "iad")),
        "outcome": "edge_error" if failed else "ok",
        "reached_api": not failed,
        "complete": chance.random() < 0.9,
        "blamed_tier": "edge" if failed else "",
        "edge_ns": edge,
        "total_ns": edge + chance.randrange(10**9),
        "hops.self_ns": [chance.randrange(10**8), chance.randrange(10**8)],
    }


def verified(store: Store, **changes: Any) -> Verification:
    """Verify the last four hours."""
    now = int(time.time())
    arguments: dict[str, Any] = {"now": now, "slos": SLOS}
    return verify(store, now - 4 * HOUR, now + 60, **{**arguments, **changes})


def differing(found: Verification) -> dict[str, int]:
    """How much differs, by comparison."""
    return {each.check: each.differing for each in found.recounts if each.differing}


A_PATH_IS_MISSING = (
    "DELETE FROM request_paths WHERE trace_id = "
    "(SELECT any(trace_id) FROM request_paths WHERE version = 1 AND sign = 1 AND outcome = 'ok' AND block = 2)"
)
PATH_1M_KEY = (
    "minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason"
)
DAMAGE = {
    "path_1m from request_paths": (
        # Taken back, not deleted: a DELETE asks for each part anew which one it is.
        f"INSERT INTO path_1m ({PATH_1M_KEY}, requests, paths) "
        f"SELECT {PATH_1M_KEY}, -requests, -paths FROM path_1m WHERE paths > 0 LIMIT 1",
    ),
    "hop_1m from request_paths": ("INSERT INTO hop_1m SELECT * FROM hop_1m WHERE paths > 0 LIMIT 1",),
    "sli_1m quick from request_paths": (
        "INSERT INTO sli_1m (slo, bucket, environment, total, total_paths) "
        "SELECT slo, bucket, environment, -total, -total_paths FROM sli_1m WHERE slo = 'quick' LIMIT 1",
    ),
    "late_spans from path_log": (
        "INSERT INTO late_spans SELECT * FROM late_spans LIMIT 1",
        "INSERT INTO late_spans (trace_id, topic, block, writer, arrived) SELECT unhex('07'), 'stranger', 9, 'x', now()",
    ),
    "corrections from path_log": (
        "ALTER TABLE corrections UPDATE late_spans = late_spans + 1 WHERE (trace_id, version) = "
        "(SELECT trace_id, version FROM corrections LIMIT 1) SETTINGS mutations_sync = 1",
    ),
    "metric_points from metric_log": (
        "ALTER TABLE metric_points UPDATE value = 7 WHERE block = 2 AND value = 1 SETTINGS mutations_sync = 1",
    ),
}
"""What is done to tables, by the comparison where it must show: each statement in one group or block."""


class VerifyBasics:
    """What is tried on a server, too."""

    def test_everything_adds_up(self, store: Store) -> None:
        """After restatements of restatements, before and after merges."""
        fill(store)
        for _ in range(2):
            found = verified(store)
            assert differing(found) == {}
            assert found.not_counted == ()
            compared = {each.check: each.compared for each in found.recounts}
            assert all(compared.values()), compared
            assert compared["request_paths from path_log"] == 8
            store.execute("OPTIMIZE TABLE request_paths FINAL")
            store.execute("OPTIMIZE TABLE path_1m FINAL")

    def test_a_missing_path_is_found(self, store: Store) -> None:
        """By the log, and by every roll-up that counted it."""
        fill(store)
        store.execute(A_PATH_IS_MISSING)
        found = verified(store)
        hops = differing(found).pop("hop_1m from request_paths")
        assert hops == 2
        assert {check: n for check, n in differing(found).items() if n != hops} == {
            "path_1m from request_paths": 1,
            "request_paths from path_log": 1,
            "sli_1m edge-availability from request_paths": 1,
            "sli_1m quick from request_paths": 1,
        }
        by_check = {each.check: each.differences for each in found.recounts}
        (block,) = by_check["request_paths from path_log"]
        assert (block.place["block"], block.column, block.wanted - block.stored) == (2, "rows", 1)
        columns = {d.column: d.stored - d.wanted for d in by_check["path_1m from request_paths"] if d.column == "paths"}
        assert columns == {"paths": 1}


class VerifyContract(VerifyBasics):
    """The suite."""

    def test_each_kind_of_damage_is_found(self, store: Store) -> None:
        """In the comparison where it shows, and nowhere else."""
        fill(store)
        for statement in (statement for statements in DAMAGE.values() for statement in statements):
            store.execute(statement)
        found = verified(store)
        assert differing(found) == {check: len(statements) for check, statements in DAMAGE.items()}
        columns = {each.check: {d.column for d in each.differences} for each in found.recounts if each.differing}
        assert columns["late_spans from path_log"] == {"rows"}
        assert columns["corrections from path_log"] == {"what is in the rows"}
        assert columns["metric_points from metric_log"] == {"what is in the rows"}
        assert {"requests", "paths"} <= columns["hop_1m from request_paths"]
        assert {d.check for each in found.recounts for d in each.differences} == set(DAMAGE)

    def test_a_restatement_of_which_a_half_is_missing(self, store: Store) -> None:
        """The old version was never taken back: it holds, and the log says that it does not."""
        fill(store)
        store.execute("DELETE FROM request_paths WHERE sign = -1 AND block = 5 AND partition = 1")
        assert "request_paths from path_log" in differing(verified(store))

    def test_a_block_that_was_not_driven(self, store: Store) -> None:
        """The last one of a partition may be on its way; if another one is, something is wrong."""
        tables = SqlLogTables(store, PATHS, TOPIC)
        log = BlockLog(tables)
        lease = log.take_over(0)
        tables.write(block_of(lease, 2, [path(1), path(2)]), lease.writer)
        assert differing(verified(store, slos=())) == {}
        tables.fence(0, 3, "x", tables.head(0))
        found = verified(store, slos=())
        assert differing(found) == {"request_paths from path_log": 1}
        (one,) = found.recounts[0].differences
        assert (one.place["block"], one.column, one.stored, one.wanted) == (2, "rows", 0, 2)

    def test_a_drill_that_was_cleaned_up(self, store: Store) -> None:
        """Its paths are gone from the tables that people look at, and not from the log: that is as it should be."""
        log = BlockLog(SqlLogTables(store, PATHS, TOPIC))
        lease = log.take_over(0)
        log.append(block_of(lease, 2, [path(1), path(2, environment=DRILL_ENVIRONMENT)]))
        log.take_over(0)
        assert differing(verified(store, slos=())) == {}
        for table in ("request_paths", "path_1m"):
            store.execute(f"DELETE FROM {table} WHERE environment = '{DRILL_ENVIRONMENT}'")
        assert differing(verified(store, slos=())) == {}

    def test_what_mends_itself_is_not_told(self, store: Store) -> None:
        """Blocks come in while it reads: what differs is looked at again."""
        fill(store)
        store.execute("INSERT INTO late_spans SELECT * FROM late_spans LIMIT 1")
        waits: list[Callable[[], None]] = [lambda: store.execute("OPTIMIZE TABLE late_spans FINAL DEDUPLICATE")]

        def wait() -> None:
            if waits:
                waits.pop()()

        assert differing(verified(store, wait=wait)) == {}
        assert waits == []

    def test_slos_that_are_not_counted_are_named(self, store: Store) -> None:
        """Without a view, or with one of another definition."""
        fill(store)
        other = make_slo(name="quick", good=parse("edge_ns < 1ms"), group_by="")
        found = verified(store, slos=[SLOS[0], other, make_slo(name="new")])
        assert found.not_counted == ("quick", "new")
        assert differing(found) == {}
        assert [each.check for each in found.recounts if "sli" in each.check] == [
            "sli_1m edge-availability from request_paths"
        ]
