"""A real Apache Kafka for the tests: one broker a session."""

from collections.abc import Iterator

import pytest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import ConfigurationError, UnavailableError


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker. Tests share it: each uses topics and groups of its own, with names nobody else has."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
    except (ConfigurationError, UnavailableError) as error:
        pytest.skip(f"no Kafka: {error}")
    try:
        yield broker
    finally:
        broker.stop()
