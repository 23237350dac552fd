"""The options that say how Kafka is reached, the same for every command that does."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from telemetry.cli.settings import SettingsError, setting
from telemetry.cli.settings.secrets import given
from telemetry.cli.settings.setting import Secret
from telemetry.errors import ConfigurationError

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path)
_TABLE = "kafka"
_BOOTSTRAP = setting(
    "--kafka",
    table=_TABLE,
    key="bootstrap",
    metavar="HOST:PORT",
    required=True,
    envvar="EDGEPATH_KAFKA",
    help="Kafka's bootstrap servers; several with commas between.",
)
_SECURITY = (
    setting(
        "--kafka-security",
        table=_TABLE,
        type=click.Choice(["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
        default="plaintext",
        help="What Kafka's port speaks: ssl is TLS, the sasl ones want a user and a password.",
    ),
    setting(
        "--kafka-mechanism",
        table=_TABLE,
        type=click.Choice(["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        default="SCRAM-SHA-512",
        help="How the password is proven.",
    ),
    setting("--kafka-user", table=_TABLE, metavar="NAME", help="Who we are at Kafka."),
    setting("--kafka-user-file", table=_TABLE, type=_FILE, help="File whose first line is that name."),
    setting(
        "--kafka-password",
        table=_TABLE,
        secret=Secret.WHOLE,
        unflagged=True,
        help="The user's password.",
    ),
    setting(
        "--kafka-password-file",
        table=_TABLE,
        type=_FILE,
        help="File whose first line is the password; or set EDGEPATH_KAFKA_PASSWORD.",
    ),
    setting(
        "--kafka-ca",
        table=_TABLE,
        type=_FILE,
        help="PEM file of the authorities that sign the brokers' certificates; the system's if not given.",
    ),
    setting("--kafka-cert", table=_TABLE, type=_FILE, help="PEM file of our certificate, if brokers want one."),
    setting("--kafka-key", table=_TABLE, type=_FILE, help="PEM file of its key."),
    setting(
        "--kafka-key-password",
        table=_TABLE,
        secret=Secret.WHOLE,
        unflagged=True,
        help="Opens a locked key.",
    ),
    setting(
        "--kafka-key-password-file",
        table=_TABLE,
        type=_FILE,
        help="File whose first line opens a locked key; or set EDGEPATH_KAFKA_KEY_PASSWORD.",
    ),
)
SECURITY_NAMES = (
    "kafka_security",
    "kafka_mechanism",
    "kafka_user",
    "kafka_user_file",
    "kafka_password",
    "kafka_password_file",
    "kafka_ca",
    "kafka_cert",
    "kafka_key",
    "kafka_key_password",
    "kafka_key_password_file",
)
"""The parameters of :func:`kafka_security_options`."""


def kafka_options(command: _F) -> _F:
    """Give a command the options, and hand it their sum as ``kafka``, a checked ``KafkaSettings``.

    Passwords have no option: a command line can be read by everybody on the machine.
    """

    @functools.wraps(command)
    def called(*, kafka: str, **others: Any) -> Any:
        options = {name: others.pop(name) for name in SECURITY_NAMES}
        return command(kafka=kafka_settings(kafka, options), **others)

    return _BOOTSTRAP(kafka_security_options(called))  # type: ignore[return-value] # the same command, called by click alone


def kafka_security_options(command: _F) -> _F:
    """Give a command all of them but the address, as they are: :func:`kafka_settings` makes something of them."""
    for option in reversed(_SECURITY):
        command = option(command)
    return command


def kafka_settings(bootstrap: str, options: dict[str, Any]) -> Any:
    """Checked ``KafkaSettings`` of the cluster at ``bootstrap``.

    Raises:
        SettingsError: they contradict each other, or name files that cannot be used.
    """
    from telemetry.feeds.kafka.settings import KafkaSettings, Mechanism, Security  # noqa: PLC0415 - --help loads no Kafka

    ctx = click.get_current_context()
    try:
        return KafkaSettings(
            bootstrap,
            Security(options["kafka_security"]),
            ca=options["kafka_ca"],
            cert=options["kafka_cert"],
            key=options["kafka_key"],
            key_password=given(ctx, "kafka_key_password"),
            mechanism=Mechanism(options["kafka_mechanism"]),
            user=given(ctx, "kafka_user"),
            password=given(ctx, "kafka_password"),
        ).checked()
    except ConfigurationError as error:
        raise SettingsError(str(error)) from error
