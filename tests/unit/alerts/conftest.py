"""Fixtures for the tests of alerts."""

import pytest

from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.store.tables import columns


@pytest.fixture(scope="module")
def module_store(module_chdb: ChdbEngine) -> Store:
    """An embedded store with the schema, for the module."""
    store = EmbeddedStore(module_chdb, owns_engine=False)
    schema.apply(store)
    return store


@pytest.fixture
def store(module_store: Store) -> Store:
    """The module's store, emptied: no rows, no SLO views."""
    views = module_store.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, 'sli_1m_view_')"
    )
    for (name,) in views.rows:
        module_store.execute(f"DROP VIEW {name}")
    for table in ("path_log", "request_paths", "sli_1m", "sli_views", "path_1m", "hop_1m", "metric_points"):
        assert columns(table)
        module_store.execute(f"TRUNCATE TABLE {table}")
    return module_store
