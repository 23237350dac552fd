"""The block log's contract on the embedded store."""

import pytest

from telemetry.store.base import Store
from telemetry.store.embedded import EmbeddedStore
from tests.support.blocklog_contract import BlockLogContract
from tests.support.metrics_contract import MetricsContract


@pytest.fixture
def store(embedded_store: EmbeddedStore) -> Store:
    """A new database with the schema."""
    return embedded_store


class TestEmbeddedLog(BlockLogContract):
    """In this process."""


class TestEmbeddedMetrics(MetricsContract):
    """In this process."""
