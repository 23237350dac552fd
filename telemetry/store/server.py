"""The store on a ClickHouse server: reads by clickhouse-driver, blocks by HTTP, as they are: no row passes through Python."""

import contextlib
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pyarrow as pa
from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors

from telemetry.errors import StoreError, UnavailableError
from telemetry.store.address import ServerAddress, untrusted
from telemetry.store.base import ArrowFile, Parameter, Result
from telemetry.store.http import HttpClient
from telemetry.store.inserts import (
    COLUMNS_QUERY,
    PINNED,
    SETTINGS_QUERY,
    insert_select_statement,
    insert_statement,
    literal,
    pinned,
    quoted,
    structure,
)
from telemetry.store.values import ARROW_SETTINGS


class ServerStore:
    """A :class:`telemetry.store.base.Store` on a ClickHouse server."""

    def __init__(self, address: ServerAddress, *, connect_seconds: float = 5, answer_seconds: float = 120) -> None:
        """Speak to ``address``; makes its database if it is not there.

        Raises:
            ConfigurationError: the certificates of ``address.ca`` cannot be read, or the server's is not trusted.
            StoreError, UnavailableError: as :meth:`telemetry.store.base.Store.query`.
        """
        self._address = address
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._http = HttpClient(address, connect_seconds=connect_seconds, answer_seconds=answer_seconds)
        self._types: dict[str, dict[str, str]] = {}
        self.ensure_database()

    def ensure_database(self) -> None:
        """Create the database if it is not there. Raises as :meth:`telemetry.store.base.Store.query` does."""
        client = self._client(database="default")
        with self._translated():
            there = "SELECT count() FROM system.databases WHERE name = {name:String}"
            # Who may not make one may still use it; ClickHouse asks for the right to make it even if it is there.
            if not client.execute(there, {"name": self._address.database})[0][0]:
                client.execute(f"CREATE DATABASE IF NOT EXISTS {quoted(self._address.database)}")
            client.disconnect()

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        rows, kinds = self._run(sql, parameters, with_column_types=True)
        convert = [_converter(kind) for _, kind in kinds]
        if any(convert):
            rows = [tuple(c(v) if c else v for c, v in zip(convert, row, strict=True)) for row in rows]
        return Result(tuple(name for name, _ in kinds), rows)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pa.Table:
        """As :meth:`telemetry.store.base.Store.arrow`."""
        answer = self._http.run(f"{sql}\nFORMAT Arrow", settings=ARROW_SETTINGS, parameters=parameters)
        try:
            return pa.ipc.open_file(pa.BufferReader(answer)).read_all()
        except (pa.ArrowException, OSError) as error:
            told = repr(answer[:60])[1:] if answer else "nothing"
            raise UnavailableError(
                f"ClickHouse at {self._address} (HTTP port {self._address.http_port}) answers with what is no Arrow file: "
                f"{told}; is a proxy in its place?"
            ) from error

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        self._run(sql, parameters, with_column_types=False)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        arrow: ArrowFile,
        *,
        token: str,
        where: str = "1",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert`."""
        if table not in self._types:
            self._types[table] = dict(self.query(COLUMNS_QUERY, {"table": table}).rows)
        try:
            source = f"input({literal(structure(table, columns, self._types[table]))})"
            sql = f"{insert_statement(quoted(table), columns, source, where)} FORMAT Arrow"
            self._http.run(sql, arrow, settings=self._settings(token), parameters=parameters)
        except StoreError:
            self._types.pop(table, None)  # the table may have changed: ask again
            raise

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert_select`."""
        sql = insert_select_statement(quoted(table), columns, select)
        self._http.run(sql, settings=self._settings(token), parameters=parameters)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().disconnect()

    def _settings(self, token: str) -> dict[str, str]:
        return {**self._pinned, "insert_deduplication_token": token}

    @cached_property
    def _pinned(self) -> dict[str, str]:
        return pinned({row[0] for row in self.query(SETTINGS_QUERY, {"names": list(PINNED)}).rows})

    def _client(self, database: str | None = None) -> Client:
        address = self._address
        return Client(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=database or address.database,
            secure=address.secure,
            verify=address.verify,
            ca_certs=address.ca or None,
            connect_timeout=self._connect_seconds,
            send_receive_timeout=self._answer_seconds,
            compression=False,
            client_name="edgepath",
            settings={"server_side_params": True, "strings_as_bytes": True},
        )

    def _run(self, sql: str, parameters: Mapping[str, Parameter] | None, *, with_column_types: bool) -> Any:
        with self._translated():
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = self._client()
            values = {
                name: v if isinstance(v, str | int | float) else list(v) for name, v in (parameters or {}).items()
            }
            try:
                answer = client.execute(sql, values or None, with_column_types=with_column_types)
            except BaseException:
                client.disconnect()  # a broken stream must not serve the next query
                raise
            self._idle.put(client)
            return answer

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (driver_errors.NetworkError, driver_errors.SocketTimeoutError, EOFError, OSError) as error:
            if (mistake := untrusted(self._address, str(error))) is not None:
                raise mistake from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnavailableError(f"ClickHouse at {self._address} does not answer: {reason}") from error
        except driver_errors.Error as error:
            text = str(error).split("Stack trace:", maxsplit=1)[0].strip().splitlines()
            raise StoreError(f"ClickHouse at {self._address}: {' '.join(text)[:500]}", int(error.code or 0)) from error


def _converter(kind: str) -> Callable[[Any], Any] | None:
    """How to turn the driver's value of this type into what :class:`telemetry.store.base.Result` promises."""
    if kind.startswith("DateTime"):
        return _utc
    if "FixedString" in kind:
        return None
    return _decoded if any(word in kind for word in ("String", "Enum", "DateTime")) else None


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def _decoded(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if isinstance(value, tuple):
        return tuple(_decoded(v) for v in value)
    if isinstance(value, dict):
        return {_decoded(k): _decoded(v) for k, v in value.items()}
    return value
