"""Secrets out of files, and out of what is shown."""

import os
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from telemetry.cli import cleaning, logs
from telemetry.cli.settings.setting import Secret, Setting, SettingsError, rank

_LARGEST = 64 * 1024


def read_line(path: Path, named: str, *, secret: bool = True) -> str:
    """The secret (or name) that is the first line of a file.

    Args:
        path: the file.
        named: how the user named it, for messages.
        secret: it is never shown from now on, and nobody else should be able to read the file.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    try:
        with path.open("rb") as handle:
            text = handle.read(_LARGEST).decode()
    except OSError as error:
        raise SettingsError(f"{named} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{named} {path} does not hold text in UTF-8") from None
    line = text.splitlines()[0] if text else ""
    if not line:
        raise SettingsError(f"{named} {path} is empty: its first line must be the {'secret' if secret else 'name'}")
    if secret:
        if warning := readable_by_all(path, "a secret"):
            logs.warn_later(warning)
        hide(Secret.WHOLE, line)
    return line


def given(ctx: click.Context, name: str) -> str:
    """What was given as ``name``, or by the file that ``name_file`` names; empty if by neither.

    Of two the stronger one is taken: the command line's, then a variable's, then the settings file's.

    Raises:
        SettingsError: both are as strong, or the file cannot be read.
    """
    plain: str | None = ctx.params.get(name)
    path: Path | None = ctx.params.get(f"{name}_file")
    if path is None or (plain and rank(ctx, name) < rank(ctx, f"{name}_file")):
        return plain or ""
    file, itself = _setting(ctx, f"{name}_file"), _setting(ctx, name)
    if plain and rank(ctx, name) == rank(ctx, f"{name}_file"):
        raise SettingsError(
            f"[{itself.table}] {itself.key} and {file.key} are both given (variables {itself.variable} and {file.variable}): "
            "leave one out"
        )
    return read_line(path, file.flag, secret=itself.secret is not Secret.NO)


def _setting(ctx: click.Context, name: str) -> Setting:
    (found,) = (each for each in ctx.command.params if isinstance(each, Setting) and each.name == name)
    return found


def readable_by_all(path: Path, holds: str) -> str:
    """What to say of a file with secrets that everybody on the machine can read; nothing if they cannot."""
    if os.name != "posix" or not path.stat().st_mode & stat.S_IROTH:
        return ""
    return f"{path} holds {holds} and can be read by everybody on this machine: chmod o-r {path}"


def hide(kind: Secret, value: object) -> None:
    """See to it that no log and no message shows the secret parts of a setting's value."""
    if kind is Secret.NO or not value:
        return
    for each in value if isinstance(value, tuple | list) else (value,):
        text = str(each)
        if kind is Secret.WHOLE:
            cleaning.hide(text)
            continue
        try:
            parts = urlsplit(text)
            password = parts.password
        except ValueError:
            cleaning.hide(text)
            continue
        if password:
            cleaning.hide(password)
            cleaning.hide(unquote(password))
        if kind is Secret.PATH:
            cleaning.hide(text)
            cleaning.hide(parts.path.strip("/"))
            cleaning.hide(parts.query)
