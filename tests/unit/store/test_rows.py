"""What goes in as OTLP comes out of the store as the reference's paths; roll-ups are what a recount gives.

The whole chain: bytes -> Decoder -> Engine -> Block -> BlockLog -> EmbeddedStore -> SELECT.
"""

import dataclasses
import time
from dataclasses import dataclass

import pytest

from telemetry.blocklog.logs import PATHS
from telemetry.blocklog.protocol import BlockLog
from telemetry.blocklog.sql import SqlLogTables
from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.engine.engine import Engine
from telemetry.engine.settings import EngineSettings
from telemetry.feeds.base import Record, batches_of
from telemetry.pipeline.past import StoredPast
from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.store.tables import REQUEST_PATH_COLUMNS
from telemetry.vocabulary import DEFAULT_TIERS, UNKNOWN_TIER, Outcome
from tests.support import otlp_messages
from tests.support.compare import row_of
from tests.support.traces import EPOCH, Seeded, random_spans

TIERS = Tiers()
BASE = (time.time_ns() // 10**9 - 3 * 3600) * 10**9
"""About when the requests began: the table forgets old ones."""
TRACES, BLOCKS = 400, 4
BOOKKEEPING = {"arrived", "stored", "topic", "partition", "block", "writer", "last_offset", "sign", "version"}


@dataclass
class Filled:
    """A store, and what was put into it by trace id."""

    store: EmbeddedStore
    spans: dict[bytes, list[Span]]
    paths: dict[bytes, RequestPath]
    last_offset: dict[bytes, int]


def traces(chance: Seeded) -> dict[bytes, list[Span]]:
    """Random traces from over three minutes, of all kinds."""
    made = {}
    for number in range(TRACES):
        trace_id = chance.random.randbytes(16)
        shift = BASE - EPOCH + number * 450_000_000
        made[trace_id] = [
            dataclasses.replace(s, start_ns=s.start_ns + shift)
            for s in random_spans(chance, trace_id, chance.pick((4, 14, 14, 25)))
        ]
    return made


@pytest.fixture(scope="module")
def filled(module_chdb: ChdbEngine) -> Filled:
    """Four blocks, each sent twice; the spans of each block's traces mixed over messages of up to 20 spans."""
    chance = Seeded(20)
    spans = traces(chance)
    store = EmbeddedStore(module_chdb, owns_engine=False)
    schema.apply(store)
    engine = Engine(EngineSettings(tiers=TIERS), topic="t", past=StoredPast(store, "t"))
    log = BlockLog(SqlLogTables(store, PATHS, "t"), new_writer=lambda: "w")
    engine.assign(3, next_offset=0, next_block=log.take_over(3).next_number, writer="w")
    last_offset: dict[bytes, int] = {}
    offset = 0
    ids = list(spans)
    for block in range(BLOCKS):
        mixed = [s for trace_id in ids[block::BLOCKS] for s in spans[trace_id]]
        chance.random.shuffle(mixed)
        records = []
        for begin in range(0, len(mixed), 20):
            part = mixed[begin : begin + 20]
            offset += chance.number(1, 3)
            last_offset.update({s.trace_id: offset for s in part})
            payload = otlp_messages.message_of(part).SerializeToString()
            records.append(Record(3, offset, BASE // 10**6 + offset, payload))
        assert engine.ingest(batches_of(records)) == []
        batch = engine.close(3, landed=block + 1, everything=True)
        assert batch.block is not None
        for _ in range(2):
            log.append(batch.block)
    assert engine.counters.late_spans == 0
    return Filled(store, spans, {t: assemble(s, TIERS) for t, s in spans.items()}, last_offset)


def test_every_column_of_every_path(filled: Filled) -> None:
    """Equal to the reference's, but for the hash of the client's address, which is the same where the address is."""
    names = [n for n in REQUEST_PATH_COLUMNS if n not in BOOKKEEPING and n != "start"] + ["trace_hex"]
    listed = ", ".join(f"`{name}`" for name in names)
    rows = filled.store.query(f"SELECT {listed}, toUnixTimestamp64Nano(start) AS start FROM request_paths").dicts()
    assert len(rows) == len(filled.paths) == TRACES
    hashes: dict[int, int] = {0: 0}
    for row in rows:
        expected = row_of(filled.paths[row["trace_id"]])
        assert set(row) == set(expected)
        hashes.setdefault(expected["client_hash"], row["client_hash"])
        expected["client_hash"] = hashes[expected["client_hash"]]
        assert row == expected
    assert len(set(hashes.values())) == len(hashes) == 3


def test_bookkeeping(filled: Filled) -> None:
    """Where each row came from: topic, partition, block, writer, the last record that contributed and its arrival."""
    rows = filled.store.query(
        "SELECT trace_id, topic, partition, writer, sign, version, last_offset, block, "
        "toUnixTimestamp64Milli(arrived) AS arrived, "
        "abs(dateDiff('second', stored, now64(3))) < 300 AS fresh FROM request_paths"
    ).dicts()
    for row in rows:
        assert row["last_offset"] == filled.last_offset[row["trace_id"]]
        assert row["arrived"] == BASE // 10**6 + row["last_offset"]
        assert (row["topic"], row["partition"], row["writer"], row["sign"], row["version"], row["fresh"]) == (
            "t",
            3,
            "w",
            1,
            1,
            1,
        )
    per_block = [0] * (BLOCKS + 1)
    for row in rows:
        per_block[row["block"] - 1] += 1
    assert per_block == [0, *[TRACES // BLOCKS] * BLOCKS]  # the first block is the fence of the take-over


def test_a_trace_is_found_by_its_id_as_people_write_it(filled: Filled) -> None:
    """The hexadecimal id of the W3C header, in both directions."""
    trace_id = next(iter(filled.paths))
    ask = "SELECT trace_hex, hex(trace_id) FROM request_paths WHERE trace_id = unhex({t:String})"
    assert filled.store.query(ask, {"t": trace_id.hex()}).rows == [(trace_id.hex(), trace_id.hex().upper())]


def test_the_time_identity_on_every_stored_path(filled: Filled) -> None:
    """Exactly, in SQL, as a user may check it; and the parts agree with their sums."""
    broken = {
        "identity": "total_ns != arraySum(hops.self_ns) + arraySum(hops.retry_ns) + arraySum(hops.network_ns) "
        "+ unattributed_ns",
        "network": "network_ns != arraySum(hops.network_ns)",
        "retry": "retry_ns != arraySum(hops.retry_ns)",
        "unattributed": "unattributed_ns != arraySum(hops.unattributed_ns)",
        "attempts": "attempts != arraySum(hops.attempts)",
        "total": "total_ns != hops.duration_ns[1]",
        "api": "reached_api AND api_ns != hops.self_ns[-1]",
        "edge": "edge_ns != toUInt64(greatest(toInt64(total_ns) - toInt64(api_ns), 0))",
        "complete": "complete != empty(gaps)",
        "blame": "(outcome = 'ok') != (blamed_tier = '')",
    }
    counts = ", ".join(f"countIf({condition}) AS {name}" for name, condition in broken.items())
    assert filled.store.query(f"SELECT {counts} FROM request_paths").dicts() == [dict.fromkeys(broken, 0)]


PATH_KEYS = (
    "minute, environment, region, pop, route, method, outcome, blamed_tier, blamed_component, blamed_pop, blame_reason"
)
PATH_SUMS = {
    "requests": "sum(weight)",
    "paths": "count()",
    "complete": "countIf(complete)",
    "attempts": "sum(attempts * weight)",
    "retries": "sum(retries * weight)",
    **{f"{n}_ns": f"sum({n}_ns * weight)" for n in ("total", "edge", "api", "network", "retry")},
}


def test_the_path_roll_up_is_a_recount(filled: Filled) -> None:
    """Every group and every sum, weighted by the sampling weight; nothing doubled by the second append."""
    rolled = filled.store.query(
        f"SELECT {PATH_KEYS}, {', '.join(f'sum({n})' for n in PATH_SUMS)} FROM path_1m GROUP BY ALL ORDER BY ALL"
    )
    recount = filled.store.query(
        f"SELECT toStartOfMinute(toDateTime(start, 'UTC')) AS minute, {PATH_KEYS.removeprefix('minute, ')}, "
        f"{', '.join(f'{e} AS sum_{n}' for n, e in PATH_SUMS.items())} FROM request_paths GROUP BY ALL ORDER BY ALL"
    )
    assert len(recount.rows) > 100
    assert [(*row[:11], *map(pytest.approx, row[11:])) for row in rolled.rows] == recount.rows
    weights = [p.weight for p in filled.paths.values()]
    assert filled.store.query("SELECT sum(requests) FROM path_1m").scalar() == sum(weights) > len(weights)


def test_quantiles_and_clients_of_the_roll_up(filled: Filled) -> None:
    """Merged states say what the same function says of the rows; the weighted median is near the true one."""
    function = "quantilesBFloat16Weighted{}(0.5, 0.9, 0.95, 0.99, 0.999)"
    weight = "toUInt64(round(weight * 1000))"
    ((total, edge, clients),) = filled.store.query(
        f"SELECT {function.format('Merge')}(total_quantiles), {function.format('Merge')}(edge_quantiles), "
        "uniqCombined64Merge(clients) FROM path_1m"
    ).rows
    ((total_, edge_, clients_),) = filled.store.query(
        f"SELECT {function.format('')}(total_ns, {weight}), {function.format('')}(edge_ns, {weight}), "
        "uniqCombined64(client_hash) FROM request_paths"
    ).rows
    assert (total, edge, clients) == (total_, edge_, clients_)
    each = sorted(p.total_ns for p in filled.paths.values() for _ in range(int(p.weight)))
    assert total[0] == pytest.approx(each[len(each) // 2], rel=0.02)


FAILURES = (Outcome.EDGE_ERROR, Outcome.API_ERROR, Outcome.TIMEOUT)
HOP_KEYS = "environment, pop, route, tier, component, hop_pop"


def test_the_hop_roll_up_is_a_recount(filled: Filled) -> None:
    """By the reference's hops: requests, failures, blame, attempts and times of each component in each minute."""
    expected: dict[tuple[object, ...], list[float]] = {}
    for path in filled.paths.values():
        v = path.verdict
        for hop in path.hops:
            place = (hop.tier, hop.component, hop.pop)
            blamed = v.outcome in FAILURES and place == (v.blamed_tier, v.blamed_component, v.blamed_pop)
            sums = expected.setdefault(
                (path.start_ns // (60 * 10**9), path.environment, path.pop, path.route, *place), [0.0] * 8
            )
            times = (hop.attempts, hop.duration_ns, hop.self_ns, hop.retry_ns, hop.network_ns)
            for place_, value in enumerate((1, hop.failed, blamed, *times)):
                sums[place_] += path.weight * value
    sums_of = "requests, failed, blamed, attempts, duration_ns, self_ns, retry_ns, network_ns"
    rows = filled.store.query(
        f"SELECT intDiv(toUnixTimestamp(minute), 60), {HOP_KEYS}, "
        f"{', '.join(f'sum({n})' for n in sums_of.split(', '))} FROM hop_1m GROUP BY ALL"
    ).rows
    found = {tuple(row[:7]): list(row[7:]) for row in rows}
    assert set(found) == set(expected)
    for group, sums in expected.items():
        assert found[group] == pytest.approx(sums), group
    assert {row[4] for row in rows} == {*DEFAULT_TIERS, UNKNOWN_TIER}


def test_a_start_that_cannot_be_right_becomes_the_arrival(chdb_engine: ChdbEngine) -> None:
    """A clock a year ahead, a year behind, or at zero: stored where the request was seen, so that no panel misses it."""
    store = EmbeddedStore(chdb_engine, owns_engine=False)
    schema.apply(store)
    engine = Engine(EngineSettings(), topic="t", past=StoredPast(store, "t"))
    log = BlockLog(SqlLogTables(store, PATHS, "t"))
    lease = log.take_over(0)
    engine.assign(0, next_offset=0, next_block=lease.next_number, writer=lease.writer)
    year = 365 * 86_400 * 10**9
    starts = {1: BASE, 2: BASE + year, 3: BASE - year, 4: 0, 5: BASE + 299 * 10**9, 6: BASE + 301 * 10**9}
    spans = [
        Span(
            bytes([n]) * 16, 1, start_ns=start, duration_ns=10**9 if start else 0, tier="api", component="a", status=200
        )
        for n, start in starts.items()
    ]
    arrival = BASE // 10**6
    engine.ingest(batches_of([Record(0, 0, arrival, otlp_messages.message_of(spans).SerializeToString())]))
    block = engine.close(0, landed=1, everything=True).block
    assert block is not None
    log.append(block)
    rows = dict(
        store.query("SELECT reinterpretAsUInt8(trace_id), toUnixTimestamp64Nano(start) FROM request_paths").rows
    )
    seen = BASE - 10**9
    assert rows == {1: BASE, 2: seen, 3: seen, 4: BASE, 5: starts[5], 6: seen}
