"""The checker sees every kind of damage, and only damage: on tables that a real pipeline has filled, whole and then broken."""

import dataclasses
import time
from collections.abc import Iterator

import pytest

from alerts.sli_views import sync
from alerts.slos import load
from telemetry.engine.settings import EngineSettings
from telemetry.pipeline.pipeline import Pipeline
from telemetry.pipeline.settings import PipelineSettings
from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.faults.checker import Verdict, arrived, check, missing_poison
from tests.faults.traffic import Sent
from tests.faults.workload import Mix, Workload
from tests.support.fake_feed import FakeFeed, Topic

TRACES = 40
SLOS = load()
TABLES = ("request_paths", "path_1m", "hop_1m", "sli_1m", "late_spans", "corrections", "path_log")
KEYS = (
    "minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason"
)
MIX = Mix(late=0.4, copied=0.2, copied_late=0.1, lost=0.1, poison=0.1)


@pytest.fixture(scope="module")
def sent() -> Sent:
    """Traces with many late spans."""
    workload = Workload(seed=7, late_seconds=5.0, mix=MIX)
    made = Sent()
    for _ in range(TRACES):
        trace = workload.trace(time.time_ns())
        made.traces[trace.trace_id] = trace
        made.poison += [one.value for one in workload.poison()]
    return made


@pytest.fixture(scope="module")
def whole(module_chdb: ChdbEngine, sent: Sent) -> EmbeddedStore:
    """Their paths, stored by a pipeline: first what comes in time, later on what comes late."""
    store = EmbeddedStore(module_chdb, owns_engine=False)
    schema.apply(store)
    begun = time.time()
    for now in (begun - 3600, begun):
        sync(store, SLOS, 60, now)
    topic = Topic()
    seconds = 0.0
    pipeline = Pipeline(
        FakeFeed(topic),
        store,
        PipelineSettings(EngineSettings(complete_grace_ms=1000, grace_ms=2000), senders=0, poll_seconds=0),
        topic="t",
        wall_ms=lambda: int((begun + seconds) * 1000),
        monotonic=lambda: seconds,
    )
    for late in (False, True):
        sendings = [one for trace in sent.traces.values() for one in trace.sendings if one.late is late]
        for number, sending in enumerate(sorted(sendings, key=lambda one: one.after)):
            topic.put(sending.value, at=int((begun + seconds) * 1000))
            if late and number % 4 == 0:  # not all at once
                seconds += 1
                pipeline.step()
        for _ in range(8):
            seconds += 1
            pipeline.step()
    pipeline.close()
    return store


@pytest.fixture
def store(whole: EmbeddedStore) -> Iterator[EmbeddedStore]:
    """The same, mended after the test: parts are put aside and put back, so that no view takes notice."""
    for table in TABLES:
        whole.execute(f"CREATE TABLE {table}_kept AS {table}")
        whole.execute(f"ALTER TABLE {table}_kept ATTACH PARTITION ALL FROM {table}")
    yield whole
    for table in TABLES:
        whole.execute(f"TRUNCATE TABLE {table}")
        whole.execute(f"ALTER TABLE {table} ATTACH PARTITION ALL FROM {table}_kept")
        whole.execute(f"DROP TABLE {table}_kept SYNC")


def one_late(sent: Sent) -> str:
    """The id in hex of a trace with late spans and no copies."""
    return next(trace.trace_id.hex() for trace in sent.traces.values() if trace.late and not trace.copied)


def test_what_is_right_is_right(store: EmbeddedStore, sent: Sent) -> None:
    """Late spans have restated paths, and all counts are right after that."""
    verdict = check(store, sent, SLOS)
    assert verdict.good, "\n".join(verdict.lines())
    assert verdict.checked == TRACES
    assert verdict.late > 10
    assert verdict.restated > 5
    assert arrived(store) == (TRACES, sum(trace.path.spans for trace in sent.traces.values()))


DAMAGE = {
    "a path is gone": ("DELETE request_paths WHERE trace_id = unhex('{trace}')", "lost"),
    "a path is there twice": (
        "INSERT INTO request_paths SELECT * FROM request_paths WHERE trace_id = unhex('{trace}') AND sign = 1"
        " ORDER BY version DESC LIMIT 1",
        "doubled",
    ),
    "a path was taken back, and stands": (
        "INSERT INTO request_paths SELECT * REPLACE (-1 AS sign, version + 5 AS version) FROM"
        " (SELECT * FROM request_paths FINAL WHERE trace_id = unhex('{trace}') AND sign = 1)",
        "add up to 0",
    ),
    "a path is another one": (
        "UPDATE request_paths: retries = retries + 1 WHERE trace_id = unhex('{trace}')",
        "different",
    ),
    "a block is in path_1m twice": ("INSERT INTO path_1m SELECT * FROM path_1m WHERE paths > 0 LIMIT 1", "path_1m"),
    "a block is not in path_1m": ("DELETE path_1m WHERE paths > 0", "path_1m"),
    "a block is in hop_1m twice": ("INSERT INTO hop_1m SELECT * FROM hop_1m WHERE requests > 0 LIMIT 1", "hop_1m"),
    "a block is not in hop_1m": ("DELETE hop_1m WHERE tier = 'edge'", "hop_1m"),
    "a block is in sli_1m twice": ("INSERT INTO sli_1m SELECT * FROM sli_1m WHERE total > 0 LIMIT 1", "sli_1m"),
    "a block is not in sli_1m": ("DELETE sli_1m WHERE slo = 'edge-latency'", "sli_1m"),
    "quantiles alone are wrong": (
        f"INSERT INTO path_1m ({KEYS}, total_quantiles) SELECT {KEYS}, quantilesBFloat16WeightedState"
        f"(0.5, 0.9, 0.95, 0.99, 0.999)(toUInt64(1e12), toUInt64(1e9)) FROM path_1m "
        f"GROUP BY {KEYS} HAVING sum(paths) > 0 LIMIT 1",
        "path_1m",
    ),
    "a late span is gone": ("DELETE late_spans WHERE trace_id = unhex('{trace}')", "spans at first"),
    "a late span is there twice": ("INSERT INTO late_spans SELECT * FROM late_spans LIMIT 1", "late span"),
    "the ledger lacks a correction": ("DELETE corrections WHERE trace_id = unhex('{trace}')", "corrections"),
    "a block of the log is gone": (
        "DELETE path_log WHERE block = (SELECT max(block) - 1 FROM path_log)",
        "has no block between",
    ),
    "a block of the log is there twice": (
        "INSERT INTO path_log SELECT * FROM path_log WHERE kind = 'path' LIMIT 1",
        "path_log",
    ),
    "a block of the log has two writers": (
        "UPDATE path_log: writer = 'another' WHERE block = 2"
        " AND trace_id = (SELECT any(trace_id) FROM path_log WHERE block = 2)",
        "2 writers",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found(store: EmbeddedStore, sent: Sent, damage: str) -> None:
    """Each kind by itself, with a word that says what it is."""
    statement, word = DAMAGE[damage]
    store.execute(_as_sql(statement.format(trace=one_late(sent))))
    verdict = check(store, sent, SLOS)
    assert not verdict.good
    found = list(verdict.lines())
    assert any(word in line for line in found), found
    if word == "lost":
        assert verdict.lost == [one_late(sent)]
    if word == "doubled":
        assert any(one_late(sent) in line for line in verdict.doubled)


def _as_sql(statement: str) -> str:
    """``DELETE table WHERE`` and ``UPDATE table: assignment WHERE`` as ClickHouse's mutations, done when they return."""
    if statement.startswith("DELETE "):
        table, _, condition = statement.removeprefix("DELETE ").partition(" ")
        return f"ALTER TABLE {table} DELETE {condition} SETTINGS mutations_sync = 2"
    if statement.startswith("UPDATE "):
        table, _, rest = statement.removeprefix("UPDATE ").partition(": ")
        return f"ALTER TABLE {table} UPDATE {rest} SETTINGS mutations_sync = 2"
    return f"{statement} SETTINGS insert_deduplicate = 0"


def test_a_trace_that_nobody_sent_is_found(store: EmbeddedStore, sent: Sent) -> None:
    """What came out of nothing is as wrong as what is lost."""
    left_out = sent.traces.popitem()[0].hex()
    assert any(left_out in line and "nobody sent" in line for line in check(store, sent, SLOS).different)


def test_poison_must_be_among_the_dead_letters() -> None:
    """Once for each time it was sent is enough, more is no harm."""
    sent = Sent(poison=[b"a", b"b", b"b"])
    assert missing_poison(sent, [b"b", b"a", b"a", b"c"]) == []
    assert missing_poison(sent, [b"b"]) == ["poison 61... was not put aside"]


def test_a_report_that_is_long_says_so() -> None:
    """Nobody reads ten thousand lines."""
    lines = list(Verdict(lost=[str(n) for n in range(100)]).lines())
    assert len(lines) == 13
    assert lines[-1] == "lost: and 88 more"
    assert dataclasses.asdict(Verdict())["lost"] == []
