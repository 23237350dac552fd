"""ClickHouse's engine inside this process (chDB): the one place that touches it.

One data directory a process (chDB's own limit; a second one raises), any number of threads, no forked children.
"""

import contextlib
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from telemetry.errors import ConfigurationError, StoreError
from telemetry.store.base import Parameter, Result
from telemetry.store.values import ARROW_SETTINGS, column_values, error_code, holds_seconds, parameter_text

_ARROW = ", ".join(f"{name} = '{value}'" for name, value in ARROW_SETTINGS.items())
_LAST_STATEMENT_SECONDS = 30.0


class ChdbEngine:
    """chDB on a data directory: a pool of its sessions, since one session runs one statement at a time."""

    def __init__(self, path: Path, database: str = "default", *, sessions: int = 6) -> None:
        """Open the engine.

        Args:
            path: its data directory; made if it is not there.
            database: the database that unqualified names mean; made if it is not there.
            sessions: how many statements may run at once; more wait.

        Raises:
            ConfigurationError: the directory cannot be made or written, or another process has it.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
            probe = path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to the data directory {path}: {error.strerror}; choose another with --data DIR"
            ) from error
        self.path = path
        self.database = database
        self._sessions = sessions
        self._room = threading.BoundedSemaphore(sessions)
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue()
        self._open = True
        try:
            self._idle.put(self._session())
        except Exception as error:
            raise ConfigurationError(
                f"cannot open the data directory {path}: {_first_line(error)}; is another edgepath running on it?"
            ) from error

    def run(self, sql: str, output: str = "Null", parameters: Mapping[str, Parameter] | None = None) -> bytes:
        """Run one statement and return its output in the ClickHouse format ``output``.

        Raises:
            StoreError: ClickHouse refused it.
        """
        texts = {name: parameter_text(value) for name, value in (parameters or {}).items()}
        with self._room:
            if not self._open:
                raise StoreError("the embedded ClickHouse is closed")
            session = self._take()
            try:
                answer = session.query(sql, output, params=texts) if texts else session.query(sql, output)
                content = bytes(answer.bytes() or b"") if answer is not None else b""
            except Exception as error:
                self._put_back_failed(session)
                raise StoreError(_first_line(error), error_code(str(error))) from error
            self._idle.put(session)
            return content

    def _take(self) -> Any:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._session()

    def _session(self) -> Any:
        from chdb import session  # noqa: PLC0415 - loads 500 MB of engine; only who opens one pays for it

        opened: Any = cast(Any, session).Session(str(self.path))
        if self.database != "default":
            opened.query(f"CREATE DATABASE IF NOT EXISTS `{self.database}`")
            opened.query(f"USE `{self.database}`")
        return opened

    def _put_back_failed(self, session: Any) -> None:
        """A failed statement can leave output behind, which would stand before the next one's: drain it (chDB 4.4)."""
        for _ in range(3):
            with contextlib.suppress(Exception):
                if session.query("SELECT 1", "TSV").bytes() == b"1\n":
                    self._idle.put(session)
                    return
        with contextlib.suppress(Exception):
            session.close()

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None, settings: str = "") -> pa.Table:
        """The rows of a SELECT as an Arrow table; strings come as binary, LowCardinality as dictionaries if asked."""
        more = f", {settings}" if settings else ""
        answer = self.run(f"{sql}\nSETTINGS {_ARROW}{more}", "Arrow", parameters)
        return pa.ipc.open_file(pa.BufferReader(answer)).read_all()

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        answer = self.run(sql, "Arrow", parameters)
        table = pa.ipc.open_file(pa.BufferReader(answer)).read_all()
        kinds: dict[str, str] = {}
        if any(holds_seconds(field.type) for field in table.schema):
            # Arrow has no DateTime: it comes as a bare number of seconds. Ask which of them are times.
            described = self.run(f"DESCRIBE TABLE (\n{sql}\n)", "Arrow", parameters)
            rows = pa.ipc.open_file(pa.BufferReader(described)).read_all().to_pylist()
            kinds = {_text(row["name"]): _text(row["type"]) for row in rows}
        named = [column_values(table.column(i), kinds.get(name, "")) for i, name in enumerate(table.column_names)]
        return Result(tuple(table.column_names), list(zip(*named, strict=True)))

    def close(self) -> None:
        """Close all sessions; a second time does nothing. Statements under way may end first, within half a minute."""
        self._open = False
        deadline = time.monotonic() + _LAST_STATEMENT_SECONDS
        ended = sum(self._room.acquire(timeout=max(0, deadline - time.monotonic())) for _ in range(self._sessions))
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()
        if ended:
            self._room.release(ended)


@contextlib.contextmanager
def memory_file(content: bytes | memoryview) -> Iterator[str]:
    """A path under which this process's engine reads ``content``; nothing touches the disk."""
    descriptor = os.memfd_create("edgepath")
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:500] if str(error).strip() else type(error).__name__
