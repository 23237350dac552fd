"""What a command says on standard output, and logs on standard error: as text, or as one JSON object a line."""

import contextlib
import json
import logging
import math
import os
import sys
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final

import click

from telemetry.cli.cleaning import clean

LEVELS: Final = ("debug", "info", "warning", "error")
FORMATS: Final = ("text", "json")
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# These tell of every refused connection by themselves; what it means, our own messages say.
_TALKATIVE: Final = ("kafka", "clickhouse_driver")
# These say how they compile, every request, what bytes they move: a hundred lines for each of ours.
_NOISY: Final = ("numba", "httpx", "httpcore", "hpack", "asyncio", "kafka.protocol.parser")
_log: Final = logging.getLogger("edgepath")
_waiting: Final[list[str]] = []
_json = False
_handler = logging.Handler()


def configure(level: str, form: str) -> None:
    """Log from now on at this level, in this form."""
    global _json, _handler  # noqa: PLW0603 - one process has one standard error
    _json = form == "json"
    root = logging.getLogger()
    root.removeHandler(_handler)
    _handler = _Stderr()
    _handler.setFormatter(JsonFormatter() if _json else TextFormatter())
    root.addHandler(_handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL if level in ("warning", "error") else logging.NOTSET)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    if _json:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # gRPC's core writes lines of its own
    while _waiting:
        _log.warning(_waiting.pop(0))


def as_json() -> bool:
    """Whether what is said and logged is JSON."""
    return _json


def warn_later(text: str) -> None:
    """Log a warning as soon as it is known how to log."""
    if text not in _waiting:
        _waiting.append(text)


def say(text: str, *, clock: bool = False, **fields: object) -> None:
    """Tell on standard output what the command does; as text perhaps with the time, as JSON with ``fields``."""
    if _json:
        record = logging.makeLogRecord(
            {"name": _log.name, "levelno": logging.INFO, "levelname": "INFO", "msg": text, **fields}
        )
        click.echo(JsonFormatter().format(record))
    else:
        click.echo(f"{time.strftime('%H:%M:%S ') if clock else ''}{clean(text)}")


def fail(text: str) -> None:
    """Tell on standard error why the command ends."""
    while _waiting and not _json:
        click.echo(f"Warning: {clean(_waiting.pop(0))}", err=True)
    if _json:
        _log.error(text)
    else:
        click.echo(f"Error: {clean(text)}", err=True)


class _Stderr(logging.Handler):
    """Writes to whatever standard error is at the time, a line at once: other threads' and libraries' lines stay whole."""

    def emit(self, record: logging.LogRecord) -> None:
        """The record."""
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


class TextFormatter(logging.Formatter):
    """A line for a person, without secrets."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The record."""
        return clean(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, without secrets.

    ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``; ``fields`` and ``exception`` if there are any.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": clean(_message(record)),
        }
        if fields := {name: _plain(value) for name, value in vars(record).items() if name not in _OWN}:
            told["fields"] = fields
        if record.exc_info:
            told["exception"] = clean(self.formatException(record.exc_info))
        elif record.exc_text:
            told["exception"] = clean(record.exc_text)
        return json.dumps(told, allow_nan=False)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a library's mistake must not cost us the line
        return f"{record.msg} {record.args}"


def _plain(value: Any) -> Any:
    """What JSON can hold of a field."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {clean(str(name)): _plain(one) for name, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(one) for one in value]
        case _:
            return clean(str(value))


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit) or error is None:
        return
    _log.critical("an error that nobody expected: %s", kind.__name__, exc_info=(kind, error, trace))
