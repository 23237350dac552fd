"""Every setting of every command, gathered from the commands themselves: what the settings file may hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import click

from telemetry.cli.settings.command import Configured
from telemetry.cli.settings.setting import Setting


@dataclass(frozen=True)
class Entry:
    """One key of the file.

    Attributes:
        setting: what it sets; if several commands have it, that of the first.
        commands: the commands that have it.
    """

    setting: Setting
    commands: tuple[str, ...]


@lru_cache(maxsize=1)
def catalogue() -> dict[str, dict[str, Entry]]:
    """Tables, and in each its keys."""
    from telemetry.cli.group import edgepath  # noqa: PLC0415 - which loads this

    found: dict[str, dict[str, Entry]] = {}
    for name, command in _commands(edgepath, click.Context(edgepath), ""):
        for each in command.settings:
            keys = found.setdefault(each.table, {})
            have = keys.get(each.key)
            keys[each.key] = Entry(have.setting if have else each, (*(have.commands if have else ()), name))
    return found


def _commands(group: click.Group, ctx: click.Context, prefix: str) -> Iterator[tuple[str, Configured]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _commands(command, ctx, f"{prefix}{name} ")
        elif isinstance(command, Configured):
            yield f"{prefix}{name}", command
