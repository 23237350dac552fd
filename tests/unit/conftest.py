"""Fixtures for the unit tests of all areas."""

from tests.support.chdb_fixture import chdb_engine, embedded_store, module_chdb, open_chdb

__all__ = ["chdb_engine", "embedded_store", "module_chdb", "open_chdb"]
