"""The block log's contract on a real ClickHouse server."""

from collections.abc import Iterator

import pytest

from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.base import Store
from telemetry.store.server import ServerStore
from tests.support.blocklog_contract import BlockLogContract


@pytest.fixture
def store(clickhouse_url: str) -> Iterator[Store]:
    """A new database with the schema on a real server."""
    store = ServerStore(ServerAddress.parse(clickhouse_url))
    schema.apply(store)
    yield store
    store.close()


class TestServerLog(BlockLogContract):
    """Over HTTP."""
