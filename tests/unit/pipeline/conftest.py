"""The pipeline under test."""

from collections.abc import Iterator

import pytest

from telemetry.store.embedded import EmbeddedStore
from tests.unit.pipeline.pipeline_rig import Rig


@pytest.fixture
def rig(embedded_store: EmbeddedStore) -> Iterator[Rig]:
    """A started pipeline on an empty store."""
    rig = Rig(embedded_store)
    yield rig
    rig.stop()
