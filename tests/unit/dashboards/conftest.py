"""A real embedded store with two PoPs' worth of traffic and an incident."""

from datetime import UTC, datetime, timedelta

import pytest

from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from tests.unit.dashboards.sample_data import Sample, insert


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Ten whole minutes that ended a while ago, so that all of it has settled; the incident is in minutes 4 to 7."""
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    return Sample(start=minute - timedelta(minutes=12), minutes=10, per_second=20)


@pytest.fixture(scope="module")
def store(sample: Sample, module_chdb: ChdbEngine) -> Store:
    """An embedded store with the sample, for the module."""
    embedded = EmbeddedStore(module_chdb, owns_engine=False)
    schema.apply(embedded)
    insert(embedded, sample)
    return embedded
