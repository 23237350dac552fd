"""A real Apache Kafka for the tests: one broker a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.errors import ConfigurationError, UnavailableError
from tests.real.parts import java
from tests.real.parts.missing import Missing

PART = "Apache Kafka"
HOW = "install Java 17 and Maven, and let Maven reach a repository"


def fetch() -> None:
    """Have what a broker needs: Java, and Kafka's jars.

    Raises:
        Missing: this machine cannot have it.
    """
    java.need()
    try:
        KafkaBroker(Path()).prepare()
    except (ConfigurationError, UnavailableError) as error:
        raise Missing(PART, str(error), HOW) from error


@pytest.fixture(scope="session")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A running broker. Tests share it: each uses topics and groups of its own, with names nobody else has."""
    fetch()
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka")).start()
    try:
        yield broker
    finally:
        broker.stop()
