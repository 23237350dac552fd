"""The options that say where ClickHouse is and who we are there, the same for every command that asks it."""

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from telemetry.cli.settings import SettingsError, setting
from telemetry.cli.settings.secrets import given, hide
from telemetry.cli.settings.setting import Secret, rank
from telemetry.errors import ConfigurationError

_F = TypeVar("_F", bound=Callable[..., Any])
_TABLE = "clickhouse"
_HELP = "clickhouse://HOST:9000/DATABASE, or clickhouses:// for TLS; USER:PASSWORD@ may stand before the host."


def clickhouse_options(*, required: bool = False, help: str = _HELP) -> Callable[[_F], _F]:  # noqa: A002 - as click calls it
    """Give a command the options, and hand it their sum as ``clickhouse``, a ``ServerAddress``, or None if there is none.

    A ``--data`` that is given more strongly (on the command line, say, while the server stands in a variable) is meant instead.
    """
    options = (
        setting(
            "--clickhouse",
            table=_TABLE,
            key="url",
            metavar="URL",
            required=required,
            envvar="EDGEPATH_CLICKHOUSE",
            secret=Secret.PASSWORD,
            help=help,
        ),
        setting(
            "--clickhouse-user",
            table=_TABLE,
            metavar="NAME",
            help="Who we are there, if the URL does not say.",
        ),
        setting(
            "--clickhouse-user-file",
            table=_TABLE,
            type=click.Path(path_type=Path),
            help="File whose first line is that name.",
        ),
        setting(
            "--clickhouse-password",
            table=_TABLE,
            secret=Secret.WHOLE,
            unflagged=True,
            help="The user's password, if the URL does not have it.",
        ),
        setting(
            "--clickhouse-password-file",
            table=_TABLE,
            type=click.Path(path_type=Path),
            help="File whose first line is the password; or set EDGEPATH_CLICKHOUSE_PASSWORD.",
        ),
        setting(
            "--clickhouse-ca",
            table=_TABLE,
            type=click.Path(path_type=Path),
            help="PEM file of the authorities that sign the server's certificate; the system's if not given.",
        ),
    )

    def decorate(command: _F) -> _F:
        @functools.wraps(command)
        def called(
            *,
            clickhouse: str | None,
            clickhouse_user: str | None,  # noqa: ARG001 - asked for by its name
            clickhouse_user_file: Path | None,  # noqa: ARG001 - as above
            clickhouse_password: str | None,  # noqa: ARG001 - as above
            clickhouse_password_file: Path | None,  # noqa: ARG001 - as above
            clickhouse_ca: Path | None,
            **others: Any,
        ) -> Any:
            ctx = click.get_current_context()
            if clickhouse and others.get("data") and rank(ctx, "data") < rank(ctx, "clickhouse"):
                clickhouse = None
            return command(clickhouse=_address(ctx, clickhouse, clickhouse_ca), **others)

        made: Any = called
        for option in reversed(options):
            made = option(made)
        return made  # type: ignore[no-any-return]

    return decorate


def _address(ctx: click.Context, url: str | None, ca: Path | None) -> Any:
    from telemetry.store.address import ServerAddress  # noqa: PLC0415 - --help needs none

    if not url:
        return None
    user, password = given(ctx, "clickhouse_user"), given(ctx, "clickhouse_password")
    try:
        address = ServerAddress.parse(url)
    except ConfigurationError as error:
        raise SettingsError(str(error)) from error
    hide(Secret.WHOLE, address.password)
    named = "@" in url.partition("://")[2].partition("/")[0]
    if user and named and address.user != user:
        raise SettingsError(
            f"the ClickHouse URL names the user {address.user}, and --clickhouse-user {user}: leave one out"
        )
    if password and address.password:
        raise SettingsError("ClickHouse's password stands in the URL, and is also given apart: leave one out")
    if ca is not None:
        address = replace(address, ca=_authorities(address, ca))
    return replace(address, user=user or address.user, password=password or address.password)


def _authorities(address: Any, ca: Path) -> str:
    if not address.secure:
        raise SettingsError("--clickhouse-ca is for TLS, but the ClickHouse URL is without: write clickhouses://")
    if address.ca:
        raise SettingsError(f"the ClickHouse URL says ca={address.ca}, and --clickhouse-ca {ca}: leave one out")
    if not ca.is_file():
        raise SettingsError(f"--clickhouse-ca {ca} cannot be used: there is no such file")
    return str(ca)
