"""Topics: made when they are missing, never changed when they are there."""

from collections.abc import Mapping
from typing import Final

from kafka import KafkaAdminClient, errors
from kafka.errors import TopicAlreadyExistsError

from telemetry.errors import UnavailableError
from telemetry.feeds.kafka.errors import connecting
from telemetry.feeds.kafka.settings import KafkaSettings

BOOTSTRAP_MS: Final = 5000


def ensure_topic(
    kafka: KafkaSettings | str, name: str, partitions: int, configs: Mapping[str, str] | None = None
) -> bool:
    """Make the topic if it is missing, with the cluster's own replication factor; True if it was.

    Raises:
        UnavailableError, ConfigurationError: Kafka does not answer, or refuses.
    """
    kafka = KafkaSettings.of(kafka)
    with (
        connecting(kafka, f"make topic {name}"),
        KafkaAdminClient(**kafka.client(), bootstrap_timeout_ms=BOOTSTRAP_MS) as admin,
    ):
        try:
            admin.create_topics({name: {"num_partitions": partitions, "configs": dict(configs or {})}})
        except TopicAlreadyExistsError:
            return False
        admin.wait_for_topics([name])
        return True


def need_topic(kafka: KafkaSettings, name: str) -> None:
    """Say why a topic is not to be seen: it is missing, or we may not see it. Does nothing if it is there.

    Raises:
        UnavailableError: it is missing.
        ConfigurationError: we may not see it.
    """
    with (
        connecting(kafka, f"read topic {name}"),
        KafkaAdminClient(**kafka.client(), bootstrap_timeout_ms=BOOTSTRAP_MS) as admin,
    ):
        (topic,) = admin.describe_topics([name])
        if topic["error_code"]:
            kind = errors.for_code(topic["error_code"])
            if issubclass(kind, errors.UnknownTopicOrPartitionError):
                raise UnavailableError(
                    f"Kafka at {kafka.bootstrap} has no topic {name}: create it, or start `edgepath receive`"
                )
            raise kind(name)
