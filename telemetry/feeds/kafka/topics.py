"""Topics: made when they are missing, never changed when they are there."""

from collections.abc import Mapping
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from telemetry.feeds.kafka.errors import translated

BOOTSTRAP_MS: Final = 5000


def ensure_topic(bootstrap: str, name: str, partitions: int, configs: Mapping[str, str] | None = None) -> bool:
    """Make the topic if it is missing, with the cluster's own replication factor; True if it was.

    Raises:
        UnavailableError, ConfigurationError: Kafka does not answer, or refuses.
    """
    with (
        translated(bootstrap, f"make topic {name}"),
        KafkaAdminClient(bootstrap_servers=bootstrap.split(","), bootstrap_timeout_ms=BOOTSTRAP_MS) as admin,
    ):
        try:
            admin.create_topics({name: {"num_partitions": partitions, "configs": dict(configs or {})}})
        except TopicAlreadyExistsError:
            return False
        admin.wait_for_topics([name])
        return True
