"""kafka-python's errors, translated into ours."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kafka import errors

from telemetry.errors import ConfigurationError, EdgepathError, UnavailableError
from telemetry.feeds.kafka.diagnosis import diagnose
from telemetry.feeds.kafka.settings import FLAG, KafkaSettings


def translate(error: Exception, kafka: KafkaSettings | str, doing: str) -> EdgepathError:
    """One line that names the cluster and the mend.

    Args:
        error: what kafka-python raised.
        kafka: how the cluster is reached; or its ``HOST:PORT[,HOST:PORT...]``.
        doing: what was tried, e.g. ``"write to topic otlp_spans"``.
    """
    kafka = KafkaSettings.of(kafka)
    bootstrap = kafka.bootstrap
    what = " ".join(str(error).split()).removeprefix(f"{type(error).__name__}: ")[:300] or type(error).__name__
    match error:
        case errors.AuthorizationError():
            who = f"user {kafka.user}" if kafka.user else "this client"
            return ConfigurationError(
                f"Kafka at {bootstrap} does not let {who} {doing} ({type(error).__name__}: {what}); {_rule(error, kafka)}"
            )
        case errors.SaslAuthenticationFailedError():
            return ConfigurationError(
                f"Kafka at {bootstrap} does not accept the password of user {kafka.user}: check EDGEPATH_KAFKA_USER, "
                "EDGEPATH_KAFKA_PASSWORD and the user's credentials at the cluster"
            )
        case errors.UnsupportedCodecError():
            return ConfigurationError(f"cannot {doing} of Kafka at {bootstrap}: {what}; install edgepath[pipeline]")
        case errors.KafkaConfigurationError() | ValueError():
            return ConfigurationError(f"Kafka cannot be reached at {bootstrap}: {what}; check {FLAG} HOST:PORT")
        case errors.UnknownTopicOrPartitionError() | errors.InvalidTopicError():
            return UnavailableError(
                f"cannot {doing}: Kafka at {bootstrap} says {type(error).__name__}; create the topic"
            )
        case _:
            return UnavailableError(
                f"cannot {doing}: Kafka at {bootstrap} does not answer ({what}); check that it runs and {FLAG} HOST:PORT"
            )


def _rule(error: Exception, kafka: KafkaSettings) -> str:
    """The access rule that is missing."""
    allow = f"kafka-acls --add --allow-principal User:{kafka.user or '...'}"
    match error:
        case errors.GroupAuthorizationFailedError():
            return f"add the rule: {allow} --operation Read --group GROUP"
        case errors.ClusterAuthorizationFailedError():
            return f"create the topic beforehand, or add the rule: {allow} --operation Create --cluster"
        case _:
            return f"add the rule: {allow} --operation Read (to consume) or Write (to produce) --topic TOPIC"


@contextmanager
def translated(kafka: KafkaSettings | str, doing: str) -> Iterator[None]:
    """Translate what is raised inside. Arguments as for :func:`translate`.

    Raises:
        UnavailableError: Kafka does not answer; trying again later is right.
        ConfigurationError: it refuses us, or the address cannot be one.
    """
    try:
        yield
    except EdgepathError:
        raise
    except (errors.KafkaError, OSError, ValueError) as error:
        raise translate(error, kafka, doing) from error


@contextmanager
def connecting(kafka: KafkaSettings, doing: str) -> Iterator[None]:
    """The same for a first connection. What keeps us out is looked for beforehand, and again when it fails all the same.

    kafka-python would try for seconds, a wrong password as well, and not say why it failed.

    Raises:
        UnavailableError, ConfigurationError: as :func:`translated`.
    """
    if found := diagnose(kafka, surely=True):
        raise type(found)(f"cannot {doing}: {found}") from found
    try:
        with translated(kafka, doing):
            yield
    except UnavailableError as error:
        if isinstance(error.__cause__, errors.KafkaTimeoutError | errors.KafkaConnectionError) and (
            found := diagnose(kafka)
        ):
            raise type(found)(f"cannot {doing}: {found}") from error
        raise


def dispose(producer: Any, timeout_seconds: float) -> None:
    """Close a producer, by force when what is under way does not get through in time. Raises nothing."""
    try:
        producer.close(timeout=timeout_seconds)
    except errors.KafkaError:
        # kafka-python then leaves its thread and its connections behind: end them, and close what is left.
        with suppress(Exception):
            producer._sender.force_close()
            producer._sender.join(1)
        with suppress(errors.KafkaError):
            producer.close(timeout=0)
