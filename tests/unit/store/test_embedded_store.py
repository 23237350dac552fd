"""The store contract on the embedded store."""

import pytest

from telemetry.store.base import Store
from telemetry.store.embedded import EmbeddedStore
from tests.support.store_contract import StoreContract


class TestEmbeddedStore(StoreContract):
    """chDB in this process."""

    @pytest.fixture
    def store(self, embedded_store: EmbeddedStore) -> Store:
        """An empty one with the schema."""
        return embedded_store
