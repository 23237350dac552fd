"""The watcher on a real ClickHouse server: the same SQL as on the embedded engine, through clickhouse-driver."""

from collections.abc import Iterator

import pytest

from alerts.notify import CallbackNotifier
from alerts.page import PageEvent
from alerts.status import status
from alerts.watch import Watcher
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from tests.unit.alerts.alerts_support import DEMO, T0, append_paths, make_slo, path_row


@pytest.fixture
def server_store(clickhouse_url: str) -> Iterator[ServerStore]:
    """A store on a new database of the server."""
    store = ServerStore(ServerAddress.parse(clickhouse_url))
    schema.apply(store)
    yield store
    store.close()


def test_from_paths_to_page_and_resolve(server_store: ServerStore) -> None:
    told: list[PageEvent] = []
    watcher = Watcher(server_store, [make_slo()], DEMO, [CallbackNotifier(told.append)])
    blamed = {"blamed_tier": "edge", "blamed_component": "envoy-fra", "blamed_pop": "fra", "blame_reason": "UF"}
    before = {"start": int(T0 - 30) * 10**9, "stored": int(T0 - 20) * 1000}
    append_paths(server_store, [path_row(pop="iad", **before)] * 7)
    watcher.evaluate(T0)
    for second in range(0, 120, 4):
        now = T0 + second
        common = {"start": int(now) * 10**9, "total_ns": 0, "stored": int(now * 1000)}
        rows = [path_row(pop=pop, **common) for pop in ("fra", "iad") for _ in range(10)]
        if 40 <= second < 80:
            rows += [path_row(outcome="edge_error", **common, **blamed) for _ in range(6)]
        block = append_paths(server_store, rows)
        block.into(server_store)
        watcher.evaluate(now + 1)
    assert [(e.kind, e.pop, e.tier) for e in told] == [("trigger", "fra", "edge"), ("resolve", "fra", "edge")]
    assert told[0].at - (T0 + 40) <= 30
    assert told[1].at - (T0 + 80) <= 25
    assert [len(t) for t in told[0].trace_ids] == [32] * 3
    total = server_store.query("SELECT sum(total_paths) FROM sli_1m").scalar()
    assert total == server_store.query("SELECT count() FROM request_paths").scalar() == 667
    assert {(s.value, s.total) for s in status(server_store, [make_slo()], T0 + 121)} == {
        ("fra", 360.0),
        ("iad", 307.0),
    }
