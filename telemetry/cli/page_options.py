"""The options that say who is told, the same for every command that does. What may be a secret may also be in a file.

Such files are what clusters and systemd mount secrets as: one secret each, its first line.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from telemetry.cli.settings import Secret, setting
from telemetry.cli.settings.secrets import given_all

_F = TypeVar("_F", bound=Callable[..., Any])
_URL: Final = "a URL, such as https://HOST/PATH"


@dataclass(frozen=True)
class _Receiver:
    """An option that may be repeated, and of which each value may be a secret.

    Attributes:
        flag: the option; that of the files is called so with ``-file``.
        variable: of the environment; that of the files is called so with ``_FILE``.
        secret: how much of it may be shown.
        help: what it is, without a full stop.
        metavar, holds: what it looks like, for the help, and for who gives a file with something else.
        table: where it stands in the settings file; that of the command if empty.
    """

    flag: str
    variable: str
    secret: Secret
    help: str
    metavar: str = "URL"
    holds: str = _URL
    table: str = "pages"


_RECEIVERS: Final[Mapping[str, _Receiver]] = {
    "webhooks": _Receiver("--webhook", "EDGEPATH_WEBHOOK", Secret.PATH, "Post pages as JSON; may be repeated"),
    "alertmanagers": _Receiver(
        "--alertmanager",
        "EDGEPATH_ALERTMANAGER",
        Secret.PASSWORD,
        "Alertmanager, e.g. http://host:9093; repeat for each of a cluster",
    ),
    "pagerduties": _Receiver(
        "--pagerduty",
        "EDGEPATH_PAGERDUTY",
        Secret.WHOLE,
        "PagerDuty routing key (Events API v2)",
        metavar="KEY",
        holds="a routing key of PagerDuty",
    ),
    "slacks": _Receiver(
        "--slack",
        "EDGEPATH_SLACK",
        Secret.PATH,
        "Incoming webhook of Slack, Mattermost and their like; may be repeated",
    ),
    "heartbeats": _Receiver(
        "--heartbeat",
        "EDGEPATH_HEARTBEAT",
        Secret.PATH,
        "Dead-man's switch: POST here every minute while SLOs are evaluated; it pages when that stops",
    ),
    "peers": _Receiver(
        "--peer",
        "EDGEPATH_WATCH_PEER",
        Secret.PASSWORD,
        "Another watcher's --observe address, e.g. http://watch-2:9465: of those, one tells that ClickHouse is away",
        table="",
    ),
}


def page_options(*names: str) -> Callable[[_F], _F]:
    """Give a command these options, and hand it each as a tuple of texts, whichever way they were given.

    Args:
        names: the parameters: ``webhooks``, ``alertmanagers``, ``pagerduties``, ``slacks``, ``heartbeats``, ``peers``.
    """

    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def called(**options: Any) -> Any:
            ctx = click.get_current_context()
            for name in names:
                del options[f"{name}_file"]
                options[name] = given_all(ctx, name, _RECEIVERS[name].holds)
            return command(**options)

        made: Any = called
        for name in reversed(names):
            for option in reversed(_options(name, _RECEIVERS[name])):
                made = option(made)
        return made  # type: ignore[no-any-return]

    return decorate


def _options(name: str, receiver: _Receiver) -> list[Callable[[Any], Any]]:
    return [
        setting(
            receiver.flag,
            name,
            table=receiver.table,
            metavar=receiver.metavar,
            multiple=True,
            envvar=receiver.variable,
            secret=receiver.secret,
            help=f"{receiver.help}.",
        ),
        setting(
            f"{receiver.flag}-file",
            f"{name}_file",
            table=receiver.table,
            type=click.Path(path_type=Path),
            multiple=True,
            envvar=f"{receiver.variable}_FILE",
            help=f"File whose first line is what {receiver.flag} would be; may be repeated.",
        ),
    ]
