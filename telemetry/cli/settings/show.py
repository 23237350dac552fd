"""``--show-config``: the settings in effect, with where each comes from, as a settings file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from telemetry.cli.duration import Duration
from telemetry.cli.settings.command import Configured
from telemetry.cli.settings.setting import Secret, Setting


def shown(ctx: click.Context) -> str:
    """TOML for a command that was called in this way; secrets are masked, what is not set is a comment."""
    command = ctx.command
    assert isinstance(command, Configured)  # noqa: S101 - nothing else can be shown
    lines = [f"# {ctx.command_path}: the settings in effect"]
    tables = dict.fromkeys([command.table, *(each.table for each in command.settings)])
    for table in tables:
        settings = [each for each in command.settings if each.table == table]
        if settings:
            lines += ["", f"[{table}]", *(_line(ctx, each) for each in settings)]
    return "\n".join(lines) + "\n"


def _line(ctx: click.Context, setting: Setting) -> str:
    value = ctx.params.get(str(setting.name))
    if value is None or value in ("", ()):
        return f"# {setting.key} is not set{_missing(setting)}"
    text = f"{setting.key} = {toml(setting, value)}"
    masked = ", not shown whole" if setting.secret is not Secret.NO and _text(setting, value) != _open(value) else ""
    return f"{text}  # {_source(ctx, setting)}{masked}"


def _missing(setting: Setting) -> str:
    return f", and must be: {setting.flag}, {setting.variable} or this line" if setting.required else ""


def _source(ctx: click.Context, setting: Setting) -> str:
    match ctx.get_parameter_source(str(setting.name)):
        case ParameterSource.COMMANDLINE:
            return "command line"
        case ParameterSource.ENVIRONMENT:
            return f"variable {setting.variable}"
        case ParameterSource.DEFAULT_MAP:
            return str(ctx.meta.get("edgepath.file", "settings file"))
        case _:
            return "default"


def toml(setting: Setting, value: Any) -> str:
    """A value of a setting as TOML, masked if it is secret."""
    return _toml(_text(setting, value))


def _text(setting: Setting, value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_text(setting, each) for each in value]
    if isinstance(setting.type, Duration):
        return Duration.text(value) if isinstance(value, float) else value
    if isinstance(value, str | Path):
        return setting.secret.shown(str(value))
    return value


def _open(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, tuple | list) else str(value)


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(_toml(each) for each in value)}]"
        case _:
            return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
