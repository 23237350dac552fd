"""Secrets out of files, and out of what is shown."""

import os
import re
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from telemetry.cli import cleaning, logs
from telemetry.cli.settings.setting import Secret, Setting, SettingsError, rank

_LARGEST = 64 * 1024
_WORD = re.compile(r"[!-~]+")


def read_line(path: Path, named: str, *, secret: bool = True) -> str:
    """The secret (or name) that is the first line of a file.

    Args:
        path: the file.
        named: how the user named it, for messages.
        secret: it is never shown from now on, and nobody else should be able to read the file.

    Raises:
        SettingsError: it cannot be read, or is empty.
    """
    line = _first_line(path, named, "secret" if secret else "name")
    if secret:
        _keep_secret(path, Secret.WHOLE, line)
    return line


def given(ctx: click.Context, name: str) -> str:
    """What was given as ``name``, or by the file that ``name_file`` names; empty if by neither.

    Of two the stronger one is taken: the command line's, then a variable's, then the settings file's.

    Raises:
        SettingsError: both are as strong, or the file cannot be read.
    """
    if not _is_in_file(ctx, name):
        return ctx.params.get(name) or ""
    return read_line(
        ctx.params[f"{name}_file"],
        _setting(ctx, f"{name}_file").flag,
        secret=_setting(ctx, name).secret is not Secret.NO,
    )


def given_all(ctx: click.Context, name: str, holds: str) -> tuple[str, ...]:
    """The same of a setting that may have several values, and several files, with one each.

    Spaces around what a file holds are not part of it.

    Args:
        ctx: of the command.
        name: the parameter.
        holds: what a file should hold, for the message about one that does not. Unless all of it is secret, a URL.

    Raises:
        SettingsError: both are as strong, or a file cannot be read, or holds something else.
    """
    if not _is_in_file(ctx, name):
        return tuple(ctx.params.get(name) or ())
    kind, flag = _setting(ctx, name).secret, _setting(ctx, f"{name}_file").flag
    found = []
    for path in ctx.params[f"{name}_file"]:
        text = _first_line(path, flag, "secret").strip()
        _keep_secret(path, kind, text)
        # Nothing of it is shown: who has taken the wrong file may have taken any secret.
        if not (_WORD.fullmatch(text) if kind is Secret.WHOLE else _is_url(text)):
            cleaning.hide(text)
            raise SettingsError(f"{flag} {path} does not hold {holds}")
        found.append(text)
    return tuple(found)


def _is_in_file(ctx: click.Context, name: str) -> bool:
    plain, file = ctx.params.get(name), ctx.params.get(f"{name}_file")
    if not file or (plain and rank(ctx, name) < rank(ctx, f"{name}_file")):
        return False
    if plain and rank(ctx, name) == rank(ctx, f"{name}_file"):
        at, itself = _setting(ctx, f"{name}_file"), _setting(ctx, name)
        raise SettingsError(
            f"[{itself.table}] {itself.key} and {at.key} are both given (variables {itself.variable} and {at.variable}): "
            "leave one out"
        )
    return True


def _first_line(path: Path, named: str, what: str) -> str:
    try:
        with path.open("rb") as handle:
            text = handle.read(_LARGEST).decode()
    except OSError as error:
        raise SettingsError(f"{named} {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{named} {path} does not hold text in UTF-8") from None
    line = text.splitlines()[0] if text else ""
    if not line.strip():
        raise SettingsError(f"{named} {path} is empty: its first line must be the {what}")
    return line


def _keep_secret(path: Path, kind: Secret, text: str) -> None:
    if kind.shown(text) == text:
        return
    if warning := readable_by_all(path, "a secret"):
        logs.warn_later(warning)
    hide(kind, text)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = text.isprintable() and " " not in text
        return plain and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


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
