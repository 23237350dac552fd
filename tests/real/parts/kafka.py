"""A real Apache Kafka for the tests: one broker a session."""

from collections.abc import Iterator

import pytest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import ConfigurationError, UnavailableError
from tests.real.parts import java
from tests.real.parts.missing import Missing


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker. Tests share it: each uses topics and groups of its own, with names nobody else has."""
    java.need()
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.prepare()
    except (ConfigurationError, UnavailableError) as error:
        raise Missing(
            "Apache Kafka", str(error), "install Java 17 and Maven, and let Maven reach a repository"
        ) from error
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
