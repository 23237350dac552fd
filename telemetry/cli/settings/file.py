"""The settings file: TOML, a table for what commands share (``[kafka]``) and one for each command (``[consume]``).

It is checked whole, whichever command reads it. Paths in it are relative to the file.
"""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click

from telemetry.cli.duration import Duration
from telemetry.cli.settings.catalogue import Entry, catalogue
from telemetry.cli.settings.secrets import hide, readable_by_all
from telemetry.cli.settings.setting import Secret, Setting, SettingsError

Place = tuple[str, str]
"""A table and a key in it."""
_MANY: Final = 10
_LARGEST: Final = 1024 * 1024


@dataclass(frozen=True)
class Found:
    """What a file says.

    Attributes:
        values: as TOML has them, but with paths relative to the working directory.
        warnings: what is not good about it.
    """

    values: Mapping[Place, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def read(path: Path) -> Found:
    """Read and check a file.

    Raises:
        SettingsError: it cannot be read, or holds what cannot be used; a line for each mistake, with its place and the mend.
    """
    try:
        with path.open("rb") as handle:
            text = handle.read(_LARGEST).decode()
        tables = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(
            f"the settings file {path} cannot be read: {error.strerror}; --config or EDGEPATH_CONFIG names it"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"the settings file {path} is not text in UTF-8: byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"the settings file {path} is not TOML: {error}") from None
    _hide(tables)
    problems = list(_problems(path, tables, text))
    if problems:
        more = [f"and {len(problems) - _MANY} more"] if len(problems) > _MANY else []
        raise SettingsError("\n  ".join(["the settings file cannot be used:", *problems[:_MANY], *more]))
    values = {
        (table, key): _relative(entry.setting, value, path.parent)
        for table, key, entry, value in _pairs(tables)
        if entry is not None
    }
    holds_secrets = any(e is not None and _is_secret(e.setting, value) for _, _, e, value in _pairs(tables))
    warning = readable_by_all(path, "secrets") if holds_secrets else ""
    return Found(values, (warning,) if warning else ())


def _pairs(tables: Mapping[str, Any]) -> Iterator[tuple[str, str, Entry | None, Any]]:
    known = catalogue()
    for table, keys in tables.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            yield table, key, known.get(table, {}).get(key), value


def _is_secret(setting: Setting, value: Any) -> bool:
    each = value if isinstance(value, list) else [value]
    return any(setting.secret.shown(str(one)) != str(one) for one in each)


def _hide(tables: Mapping[str, Any]) -> None:
    """Secrets first: what is wrong with them is told without them."""
    for _, _, entry, value in _pairs(tables):
        if entry is not None:
            hide(entry.setting.secret, value)


def _problems(path: Path, tables: Mapping[str, Any], text: str) -> Iterator[str]:
    known = catalogue()
    for table, keys in tables.items():
        if not isinstance(keys, dict):
            yield f"{_at(path, text, '', table)}: {table} stands in no table; write {_tables_with(table)}"
        elif table not in known:
            yield f"{_at(path, text, table)}: there is no table [{table}]; {_nearest(table, known, 'there are')}"
    for table, key, entry, value in _pairs(tables):
        if table not in known:
            continue
        place = f"{_at(path, text, table, key)}: [{table}]"
        if entry is None:
            yield f"{place} has no setting {key}; {_nearest(key, known[table], 'it has')}{_elsewhere(key, table)}"
        elif (wrong := _wrong(entry.setting, value)) is not None:
            yield f"{place} {key} {wrong}"


def _wrong(setting: Setting, value: Any) -> str | None:
    """What is wrong with a value, and what it should be; None if nothing is."""
    values = value if setting.multiple and isinstance(value, list) else [value]
    for each in values:
        if not _right_type(setting, each):
            shown = "" if setting.secret is not Secret.NO else f"is {_shown(each)}, but "
            many = ", or a list of such" if setting.multiple else ""
            return f"{shown}must be {kind(setting)}{many}"
        try:
            setting.type.convert(each, setting, None)
        except click.BadParameter as error:
            return f"cannot be used: {error.message.rstrip('.')}"
    return None


def _right_type(setting: Setting, value: Any) -> bool:
    match setting.type:
        case click.types.BoolParamType():
            return isinstance(value, bool)
        case Duration() | click.types.FloatParamType():
            number = isinstance(value, int | float) and not isinstance(value, bool)
            return number or (isinstance(value, str) and isinstance(setting.type, Duration))
        case click.types.IntParamType():
            return isinstance(value, int) and not isinstance(value, bool)
        case _:
            return isinstance(value, str)


def kind(setting: Setting) -> str:
    """What a value must be, in words."""
    match setting.type:
        case click.types.BoolParamType():
            words = "true or false"
        case click.Choice() as choice:
            words = "one of " + ", ".join(str(each) for each in choice.choices)
        case Duration():
            words = 'a time such as "10s" or "5m", or a number of seconds'
        case click.IntRange() as bounds:
            most = f" to {bounds.max}" if bounds.max is not None else " on"
            words = f"a whole number from {bounds.min}{most}"
        case click.types.IntParamType():
            words = "a whole number"
        case click.types.FloatParamType():
            words = "a number"
        case click.Path():
            words = "a path, in quotes"
        case _:
            words = "text, in quotes"
    return words


def _shown(value: Any) -> str:
    return "a table" if isinstance(value, dict) else "a list" if isinstance(value, list) else repr(value)


def _nearest(name: str, known: Mapping[str, Any], there_are: str) -> str:
    close = difflib.get_close_matches(name.replace("_", "-").lower(), known, 1, 0.6)
    return f"did you mean {close[0]}?" if close else f"{there_are} {', '.join(sorted(known))}"


def _elsewhere(key: str, table: str) -> str:
    others = [f"[{name}]" for name, keys in catalogue().items() if key in keys and name != table]
    return f" ({key} is a setting of {' and '.join(others)})" if others else ""


def _tables_with(key: str) -> str:
    tables = [f"[{table}]" for table, keys in catalogue().items() if key in keys]
    return f"it under {' or '.join(tables)}" if tables else "settings under the name of their table, such as [kafka]"


def _at(path: Path, text: str, table: str, key: str = "") -> str:
    """``FILE:LINE``, as far as the line can be found without a parser of our own."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*[\"']?([\w.-]+)[\"']?\s*\]", line):
            here = header[1]
            if here == table and not key:
                return f"{path}:{number}"
        elif here == table and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[.=]", line):
            return f"{path}:{number}"
    return str(path)


def _relative(setting: Setting, value: Any, folder: Path) -> Any:
    if isinstance(value, str) and setting.multiple:
        value = [value]
    if not isinstance(setting.type, click.Path):
        return value
    return [str(folder / each) for each in value] if isinstance(value, list) else str(folder / value)
