"""A command with settings: ``--config``, ``--show-config``, logging, help in sections, exit statuses."""

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from telemetry.cli import logs
from telemetry.cli.settings.setting import SHOWING, Setting
from telemetry.errors import EdgepathError

CONFIG_VARIABLE = "EDGEPATH_CONFIG"
GROUP_LOG_LEVEL = "edgepath.log-level"
"""In ``Context.meta``: the level that was given before the command's name."""
_SECTIONS = {
    "kafka": "Kafka",
    "clickhouse": "ClickHouse",
    "slo": "SLOs",
    "pages": "Pages",
    "log": "Logs",
    "": "Settings",
}
_LONG = (
    "Exit status: 0 after an orderly end, also by SIGTERM or Ctrl-C; 1 if something failed; 2 if options or settings are "
    "wrong. A second signal ends at once, with that signal's status."
)
_SHORT = "Exit status: 0 if all is well; 1 if something failed or was found; 2 if options or settings are wrong."


class CommandError(click.ClickException):
    """One line for a person, or for a log."""

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """Say it."""
        logs.fail(self.message)


class Configured(click.Command):
    """A command whose settings may come from a file.

    Attributes:
        table: its own table in the file; that of its name if not given.
        runs_on: it runs until it is stopped, and has settings of logging.
    """

    def __init__(self, *args: Any, table: str = "", runs_on: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.table = table or str(self.name)
        self.runs_on = runs_on
        if runs_on:
            self.params += _log_settings()
        self.params += _file_options()
        for each in self.params:
            if isinstance(each, Setting):
                each.settle(self.table)

    @property
    def settings(self) -> list[Setting]:
        """What can be set."""
        return [each for each in self.params if isinstance(each, Setting)]

    def invoke(self, ctx: click.Context) -> Any:
        """Show the settings, or run."""
        level, form = ctx.params.get("log_level"), ctx.params.get("log_format")
        if ctx.meta.get(SHOWING):
            from telemetry.cli.settings.show import shown  # noqa: PLC0415 - seldom wanted

            click.echo(shown(ctx), nl=False)
            return None
        if self.runs_on:
            del ctx.params["log_level"], ctx.params["log_format"]
            if ctx.get_parameter_source("log_level") is not ParameterSource.COMMANDLINE:
                level = ctx.meta.get(GROUP_LOG_LEVEL, level)
            logs.configure(str(level), str(form))
        try:
            self._hide_secrets(ctx)
            return super().invoke(ctx)
        except EdgepathError as error:
            raise CommandError(str(error)) from error

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options first, then what it shares with others, each under its name."""
        own: list[tuple[str, str]] = []
        shared: dict[str | None, list[tuple[str, str]]] = {table: [] for table in _SECTIONS}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or (isinstance(param, click.Argument) and not record[1]):
                continue
            table = param.table if isinstance(param, Setting) else None
            if param.name in ("config", "show_config", "help"):
                table = ""
            shared.get(table, own).append(record)
        for title, records in (("Options", own), *((_SECTIONS[table], shared[table]) for table in _SECTIONS)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records, col_max=32)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Where else settings may come from, and how it ends."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(
            "What is not given here may come from variables, and what is not there from the file of --config: see "
            "docs/settings.md."
        )
        formatter.write_paragraph()
        formatter.write_text(_LONG if self.runs_on else _SHORT)

    def _hide_secrets(self, ctx: click.Context) -> None:
        from telemetry.cli.settings.secrets import hide  # noqa: PLC0415 - not for --help

        for each in self.settings:
            hide(each.secret, ctx.params.get(str(each.name)))


def _log_settings() -> list[click.Parameter]:
    return [
        Setting(
            ["--log-level"],
            table="log",
            type=click.Choice(logs.LEVELS),
            default="warning",
            help="What is logged to standard error.",
        ),
        Setting(
            ["--log-format"],
            table="log",
            type=click.Choice(logs.FORMATS),
            default="text",
            help="json: one object a line, for logs and for what is said on standard output.",
        ),
    ]


def _file_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            is_eager=True,
            expose_value=False,
            envvar=CONFIG_VARIABLE,
            show_envvar=True,
            callback=_read_file,
            help="Take settings from this TOML file.",
        ),
        click.Option(
            ["--show-config"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_only_show,
            help="Print the settings in effect and where each comes from, as such a file, and end.",
        ),
    ]


def _read_file(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:  # noqa: ARG001 - click's signature
    if value is None or ctx.resilient_parsing:
        return
    from telemetry.cli.settings.file import read  # noqa: PLC0415 - loads every command

    found = read(value)
    assert isinstance(ctx.command, Configured)  # noqa: S101 - nothing else has this option
    ctx.default_map = {
        str(each.name): found.values[each.table, each.key]
        for each in ctx.command.settings
        if (each.table, each.key) in found.values
    }
    ctx.meta["edgepath.file"] = str(value)
    for warning in found.warnings:
        logs.warn_later(warning)


def _only_show(ctx: click.Context, param: click.Parameter, value: bool) -> None:  # noqa: ARG001 - click's signature
    if value:
        ctx.meta[SHOWING] = True
