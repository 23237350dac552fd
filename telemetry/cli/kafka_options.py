"""The options that say how Kafka is reached, the same for every command that does."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from telemetry.errors import ConfigurationError

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_OPTIONS = (
    click.option(
        "--kafka",
        metavar="HOST:PORT",
        required=True,
        envvar="EDGEPATH_KAFKA",
        show_envvar=True,
        help="Kafka's bootstrap servers; several with commas between.",
    ),
    click.option(
        "--kafka-security",
        type=click.Choice(["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
        default="plaintext",
        show_default=True,
        envvar="EDGEPATH_KAFKA_SECURITY",
        help="What Kafka's port speaks. The sasl ones take user and password from the variables EDGEPATH_KAFKA_USER and "
        "EDGEPATH_KAFKA_PASSWORD.",
    ),
    click.option(
        "--kafka-mechanism",
        type=click.Choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        default="SCRAM-SHA-512",
        show_default=True,
        envvar="EDGEPATH_KAFKA_MECHANISM",
        help="How the password is proven.",
    ),
    click.option(
        "--kafka-ca",
        type=_FILE,
        envvar="EDGEPATH_KAFKA_CA",
        help="PEM file of the authorities that sign the brokers' certificates; the system's if not given.",
    ),
    click.option(
        "--kafka-cert",
        type=_FILE,
        envvar="EDGEPATH_KAFKA_CERT",
        help="PEM file of our certificate, if brokers want one.",
    ),
    click.option(
        "--kafka-key",
        type=_FILE,
        envvar="EDGEPATH_KAFKA_KEY",
        help="PEM file of its key; if it is locked, the variable EDGEPATH_KAFKA_KEY_PASSWORD opens it.",
    ),
)


def kafka_options(command: _F) -> _F:
    """Give a command the options, and hand it their sum as ``kafka``, a checked ``KafkaSettings``.

    Passwords have no option: a command line can be read by everybody on the machine.
    """

    @functools.wraps(command)
    def called(
        *,
        kafka: str,
        kafka_security: str,
        kafka_mechanism: str,
        kafka_ca: Path | None,
        kafka_cert: Path | None,
        kafka_key: Path | None,
        **others: Any,
    ) -> Any:
        from telemetry.feeds.kafka.settings import KafkaSettings, Mechanism, Security  # noqa: PLC0415 - --help loads no Kafka

        try:
            settings = KafkaSettings(
                kafka,
                Security(kafka_security),
                ca=kafka_ca,
                cert=kafka_cert,
                key=kafka_key,
                key_password=os.environ.get("EDGEPATH_KAFKA_KEY_PASSWORD", ""),
                mechanism=Mechanism(kafka_mechanism),
                user=os.environ.get("EDGEPATH_KAFKA_USER", ""),
                password=os.environ.get("EDGEPATH_KAFKA_PASSWORD", ""),
            ).checked()
        except ConfigurationError as error:
            raise click.ClickException(str(error)) from error
        return command(kafka=settings, **others)

    for option in reversed(_OPTIONS):
        called = option(called)
    return called  # type: ignore[return-value] # the same command, called by click alone
