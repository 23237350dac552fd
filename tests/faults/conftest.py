"""Fixtures of the fault tests: an embedded store for the harness's own tests, real servers for the faults."""

from collections.abc import Iterator

import pytest

from tests.faults.servers import Servers
from tests.support.chdb_fixture import chdb_engine, embedded_store, module_chdb, open_chdb

__all__ = ["chdb_engine", "embedded_store", "module_chdb", "open_chdb"]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Kafka and a ClickHouse that the tests of a module may kill."""
    started = Servers(tmp_path_factory.mktemp("faults"))
    try:
        yield started.start()
    finally:
        started.stop()
