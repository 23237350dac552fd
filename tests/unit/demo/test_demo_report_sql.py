"""The report's SQL on a real embedded store."""

import time

import pytest

from telemetry.demo.ledger import Sent
from telemetry.demo.report import build_report
from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.store.tables import stored_columns


@pytest.fixture(scope="module")
def store(module_chdb: ChdbEngine) -> Store:
    """An embedded store with the schema, for this module."""
    embedded = EmbeddedStore(module_chdb, owns_engine=False)
    schema.apply(embedded)
    return embedded


def insert(store: Store, trace: int, outcome: str = "ok", pop: str = "", tier: str = "", complete: int = 1) -> None:
    """A path that started an hour ago (the table forgets old ones), took 250 ms, and was written 2.25 s after its start."""
    store.execute(
        """
        INSERT INTO path_feed
            (trace_id, start, total_ns, stored, outcome, blamed_pop, blamed_tier, complete)
        SELECT unhex({trace:String}), toDateTime64({start:Int64}, 9, 'UTC'), 250000000,
            toDateTime64({start:Int64}, 3, 'UTC') + toIntervalMillisecond(2250), {outcome:String}, {pop:String}, {tier:String},
            {complete:UInt8}
        """,
        {
            "trace": f"{trace:032x}",
            "start": int(time.time()) - 3600,
            "outcome": outcome,
            "pop": pop,
            "tier": tier,
            "complete": complete,
        },
    )


def test_paths_are_found_by_the_ledgers_trace_ids(store: Store) -> None:
    """Stored, doubled, lost, incomplete, and one that somebody else sent."""
    insert(store, 1)
    insert(store, 2)
    insert(store, 2)
    insert(store, 3, "edge_error", "fra", "edge", complete=0)
    insert(store, 99)
    report = build_report(store, [Sent(f"{trace:032x}", "fra", 0.0) for trace in (1, 2, 3, 4)], [], None, 0)
    assert report["requests_sent"] == 4
    assert report["paths_stored"] == 3
    assert report["paths_complete"] == 2
    assert report["paths_lost"] == 1
    assert report["paths_doubled"] == 1
    assert report["outcomes"] == {"ok": 2, "edge_error": 1}
    assert report["blamed"] == {"fra/edge": 1}
    assert report["freshness_seconds"] == {"p50": 2.0, "p99": 2.0}


def test_a_restated_path_is_reported_as_it_is_now(store: Store) -> None:
    """Once, whatever it was before."""
    insert(store, 50_007, "edge_error", "fra", "edge", complete=0)
    columns = ", ".join(f"`{name}`" for name in stored_columns("request_paths") if name not in ("sign", "version"))
    for sign, version, outcome in ((-1, 1, "outcome"), (1, 2, "'ok' AS outcome")):
        store.execute(
            f"INSERT INTO path_feed ({columns}, sign, version) SELECT {columns.replace('`outcome`', outcome)}, "
            f"{sign}, {version} FROM request_paths WHERE trace_id = unhex('{50_007:032x}') AND sign = 1 AND version = 1"
        )
    report = build_report(store, [Sent(f"{50_007:032x}", "fra", 0.0)], [], None, 0)
    assert (report["paths_stored"], report["paths_doubled"], report["outcomes"]) == (1, 0, {"ok": 1})


def test_a_full_chunk_of_trace_ids_fits_in_a_query(store: Store) -> None:
    """As many ids as the report asks for at once."""
    ledger = [Sent(f"{trace:032x}", "fra", 0.0) for trace in range(1, 5_001)]
    assert build_report(store, ledger, [], None, 0)["paths_stored"] == 4
