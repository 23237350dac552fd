"""A setting: a click option that also has a key in the settings file and a variable.

A value comes from the command line, else from the variable, else from the file of ``--config`` (click's ``default_map``), else
it is the default.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from telemetry.cli import logs

SHOWING = "edgepath.showing"
"""In ``Context.meta`` while settings are only shown: then none is missing."""
_RANKS = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
_F = TypeVar("_F", bound=Callable[..., Any])


class SettingsError(click.ClickException):
    """Settings cannot be used: nothing was begun, and starting again without a change does not help."""

    exit_code = 2

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Say it."""
        logs.fail(self.message)


class Secret(Enum):
    """How much of a value may be shown."""

    NO = "all"
    WHOLE = "nothing"
    PASSWORD = "a URL without its password"  # noqa: S105 - not one
    PATH = "of a URL, the host"

    def shown(self, value: str) -> str:
        """What may be shown of ``value``."""
        if self is Secret.NO or not value:
            return value
        return "***" if self is Secret.WHOLE else self._of_url(value)

    def _of_url(self, url: str) -> str:
        try:
            parts = urlsplit(url)
            host = parts.netloc.rpartition("@")[2]
        except ValueError:
            return "***"
        if not parts.scheme or not host:
            return "***"
        if self is Secret.PATH:
            return f"{parts.scheme}://{host}/***"
        if parts.password:
            return parts._replace(netloc=f"{parts.username}:***@{host}").geturl()
        return url


class Setting(click.Option):
    """An option that can also be given by the settings file and by a variable.

    Attributes:
        table: its table in the file; that of its command if empty.
        key: its key there; out of the option's name if empty.
        secret: how much of it may be shown.
        unflagged: it is no option of the command line, because everybody on the machine can read that.
    """

    def __init__(
        self,
        param_decls: Sequence[str] | None = None,
        *,
        table: str = "",
        key: str = "",
        secret: Secret = Secret.NO,
        unflagged: bool = False,
        **attrs: Any,
    ) -> None:
        attrs.setdefault("show_default", attrs.get("default") != "")
        super().__init__(param_decls, hidden=unflagged or bool(attrs.pop("hidden", False)), **attrs)
        self.table = table
        self.key = key
        self.secret = secret
        self.unflagged = unflagged
        if table:
            self.settle(table)

    def settle(self, table: str) -> None:
        """Take ``table`` if none was named, and give what follows from it."""
        self.table = self.table or table
        self.key = self.key or self.flag.removeprefix("--").removeprefix(f"{self.table}-")
        if self.envvar is None:
            self.envvar = f"EDGEPATH_{self.table}_{self.key}".upper().replace("-", "_").replace(".", "_")

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return max(self.opts, key=len)

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return str(self.envvar)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """As click does, unless it is not for the command line."""
        if not self.unflagged:
            super().add_to_parser(parser, ctx)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """As click does; a bad value's message names the variable if it came from there."""
        try:
            return super().process_value(ctx, value)
        except click.MissingParameter as error:
            if ctx.meta.get(SHOWING):
                return None
            other = f"Or set the variable {self.variable}, or {self.key} under [{self.table}] in the settings file."
            raise click.MissingParameter(other, ctx, self) from error
        except click.BadParameter as error:
            if self.name and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
                error.param_hint = self.variable
            raise


def setting(*decls: str, **attrs: Any) -> Callable[[_F], _F]:
    """Like ``click.option``, for a :class:`Setting`."""
    return click.option(*decls, cls=Setting, **attrs)


def rank(ctx: click.Context, name: str) -> int:
    """How strongly a parameter was given: the lower, the stronger."""
    source = ctx.get_parameter_source(name)
    return len(_RANKS) if source not in _RANKS else _RANKS.index(source)
