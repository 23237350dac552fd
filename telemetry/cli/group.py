"""The group of all commands. Each is loaded when it is called for: ``edgepath --help`` loads no engine."""

import importlib
from typing import Any

import click
from click.core import ParameterSource

from telemetry.cli import logs
from telemetry.cli.settings.command import GROUP_LOG_LEVEL, CommandError
from telemetry.errors import EdgepathError

# name: (module, attribute, what it does), in the order in which someone new meets them
_COMMANDS = {
    "up": ("telemetry.cli.up", "up", "Everything in one process; with --demo, something to look at."),
    "receive": ("telemetry.cli.receive", "receive", "Take OTLP and produce it to Kafka, keyed by trace id."),
    "adapt": ("telemetry.cli.adapt", "adapt", "Turn access logs of NGINX and HAProxy into spans."),
    "consume": ("telemetry.cli.consume", "consume", "Assemble request paths from Kafka into ClickHouse."),
    "watch": ("telemetry.cli.watch", "watch", "Evaluate the SLOs and page when a budget burns."),
    "slo": ("telemetry.cli.slo", "slo", "Check SLO files; show what is left of the budgets."),
    "dashboards": ("telemetry.cli.dashboards", "dashboards", "Write the Grafana dashboards."),
    "verify": ("telemetry.cli.verify", "verify", "Recount the tables, and tell where they differ."),
    "schema": ("telemetry.cli.schema", "schema", "Create or update the tables in ClickHouse."),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, _, what) in _COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EdgepathError as error:
            raise CommandError(str(error)) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="edgepath", prog_name="edgepath")
@click.option(
    "--log-level",
    type=click.Choice(logs.LEVELS),
    default="warning",
    show_default=True,
    help="What is logged to standard error.",
)
@click.pass_context
def edgepath(ctx: click.Context, log_level: str) -> None:
    """The way a request takes from the client to the first API server: shown, measured, paged about.

    Try it: edgepath up --demo

    Each command has a --help. All settings: docs/settings.md.
    """
    if ctx.get_parameter_source("log_level") is ParameterSource.COMMANDLINE:
        ctx.meta[GROUP_LOG_LEVEL] = log_level
    logs.configure(log_level, "text")
