"""chDB for tests: one data path a process, as it wants it, and a fresh database for whoever asks.

A process can have one chDB data path open at a time. All fixtures here share the session's, so tests of several folders may
run in one process in any order. Who must have a path of their own (a restart, a lock) does it in a child process.
"""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from telemetry.store import schema
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore

OpenEngine = Callable[[], ChdbEngine]
_numbers = itertools.count(1)
_in_use: list[Path] = []


def data_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data path that this process has open for the session, else a new one."""
    return _in_use[0] if _in_use else tmp_path_factory.mktemp("chdb")


@pytest.fixture(scope="session")
def open_chdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenEngine]:
    """``open_chdb()``: an engine on the session's data path, with a database of its own; its caller closes it."""
    path = data_path(tmp_path_factory)
    _in_use.append(path)
    keeper = ChdbEngine(path, sessions=1)  # while it is open, the engine need not start anew

    def make() -> ChdbEngine:
        return ChdbEngine(path, f"test_{next(_numbers)}")

    yield make
    keeper.close()
    _in_use.pop()


def dropped(engine: ChdbEngine) -> Iterator[ChdbEngine]:
    """The engine, then its end and its database's."""
    yield engine
    engine.run(f"DROP DATABASE IF EXISTS {engine.database} SYNC")
    engine.close()


@pytest.fixture
def chdb_engine(open_chdb: OpenEngine) -> Iterator[ChdbEngine]:
    """An engine with an empty database, for one test."""
    yield from dropped(open_chdb())


@pytest.fixture(scope="module")
def module_chdb(open_chdb: OpenEngine) -> Iterator[ChdbEngine]:
    """An engine with an empty database, for a module: where a test leaves nothing behind that another could see."""
    yield from dropped(open_chdb())


@pytest.fixture
def embedded_store(chdb_engine: ChdbEngine) -> EmbeddedStore:
    """An embedded store with the schema, on the test's engine."""
    store = EmbeddedStore(chdb_engine, owns_engine=False)
    schema.apply(store)
    return store
