"""kafka-python's errors, translated into ours."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from kafka import errors

from telemetry.errors import ConfigurationError, EdgepathError, UnavailableError

FLAG = "--kafka"


def translate(error: Exception, bootstrap: str, doing: str) -> EdgepathError:
    """One line that names the cluster and the mend.

    Args:
        error: what kafka-python raised.
        bootstrap: ``HOST:PORT[,HOST:PORT...]`` as the user gave it.
        doing: what was tried, e.g. ``"write to topic otlp_spans"``.
    """
    what = " ".join(str(error).split()).removeprefix(f"{type(error).__name__}: ")[:300] or type(error).__name__
    match error:
        case errors.AuthorizationError() | errors.SaslAuthenticationFailedError():
            return ConfigurationError(f"Kafka at {bootstrap} does not let us {doing}: {what}; check its ACLs")
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


@contextmanager
def translated(bootstrap: str, doing: str) -> Iterator[None]:
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
        raise translate(error, bootstrap, doing) from error


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
