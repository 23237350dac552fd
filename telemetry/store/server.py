"""The store on a ClickHouse server or cluster: reads by clickhouse-driver, blocks by chDB's ``remote()``.

Blocks go out of the engine that made them: no row passes through Python.
"""

import contextlib
import queue
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from clickhouse_driver import Client
from clickhouse_driver import errors as driver_errors

from telemetry.errors import ConfigurationError, StoreError, UnavailableError
from telemetry.store.base import Block, Parameter, Result
from telemetry.store.chdb import ChdbEngine, memory_file
from telemetry.store.inserts import insert_statement
from telemetry.store.values import error_code

_UNREACHABLE = {209, 210, 279, 519, 1000}  # SOCKET_TIMEOUT, NETWORK_ERROR, ALL_..., NO_REMOTE_..., POCO_EXCEPTION
_ATTEMPTS_FAILED = {279, 519}  # ALL_CONNECTION_TRIES_FAILED, NO_REMOTE_SHARD_AVAILABLE: why, stands further down
_UNKNOWN_TABLE = 60


@dataclass(frozen=True)
class ServerAddress:
    """Where a ClickHouse server is, out of ``clickhouse://user:password@host:port/database?secure=1``."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    secure: bool = False

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Read a URL.

        Raises:
            ConfigurationError: it is not such a URL. The message never shows the password.
        """
        form = "write clickhouse://USER:PASSWORD@HOST:9000/DATABASE (clickhouses:// for TLS)"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(f"the ClickHouse URL cannot be read ({error}); {form}") from error
        if parts.scheme not in ("clickhouse", "clickhouses", "tcp") or not parts.hostname:
            raise ConfigurationError(
                f"the ClickHouse URL has the scheme {parts.scheme!r} and host {parts.hostname!r}; {form}"
            )
        secure = parts.scheme == "clickhouses" or parse_qs(parts.query).get("secure", ["0"])[0] in ("1", "true")
        database = parts.path.strip("/") or "edgepath"
        if not re.fullmatch(r"\w+", database):
            raise ConfigurationError(
                f"the ClickHouse URL's database {database!r} may have letters, digits and _ only; {form}"
            )
        return cls(
            host=parts.hostname,
            port=port or (9440 if secure else 9000),
            database=database,
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            secure=secure,
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


class ServerStore:
    """A :class:`telemetry.store.base.Store` on a ClickHouse server."""

    def __init__(
        self,
        address: ServerAddress,
        engine: ChdbEngine | None = None,
        *,
        connect_seconds: float = 5,
        answer_seconds: float = 120,
    ) -> None:
        """Speak to ``address``; ``engine`` sends the blocks and may be left out where nothing is appended."""
        self._address = address
        self._engine = engine
        self._connect_seconds = connect_seconds
        self._answer_seconds = answer_seconds
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self.ensure_database()

    def ensure_database(self) -> None:
        """Create the database if it is not there. Raises as :meth:`telemetry.store.base.Store.query` does."""
        client = self._client(database="default")
        with self._translated():
            client.execute(f"CREATE DATABASE IF NOT EXISTS `{self._address.database}`")
            client.disconnect()

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        rows, kinds = self._run(sql, parameters, with_column_types=True)
        convert = [_converter(kind) for _, kind in kinds]
        if any(convert):
            rows = [tuple(c(v) if c else v for c, v in zip(convert, row, strict=True)) for row in rows]
        return Result(tuple(name for name, _ in kinds), rows)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        self._run(sql, parameters, with_column_types=False)

    def append(self, block: Block) -> None:
        """As :meth:`telemetry.store.base.Store.append`."""
        if self._engine is None:
            raise StoreError("this store was opened for reading: it has no engine to send blocks with")
        address = self._address
        function = "remoteSecure" if address.secure else "remote"
        literals = ", ".join(
            _quote(v)
            for v in (f"{address.host}:{address.port}", address.database, block.table, address.user, address.password)
        )
        with memory_file(block.arrow) as path:
            try:
                self._engine.run(insert_statement(f"FUNCTION {function}({literals})", block, path))
            except StoreError as error:
                # ClickHouse's message can repeat the statement, and so the password: neither shown nor chained.
                text, code = _reason(error)
                for secret in filter(None, (_quote(address.password)[1:-1], address.password)):
                    text = text.replace(secret, "***")
                if code in _UNREACHABLE:
                    raise UnavailableError(f"ClickHouse at {address} does not answer: {text}") from None
                raise StoreError(f"ClickHouse at {address}: {text}", code) from None

    def close(self) -> None:
        """Close the idle connections."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().disconnect()

    def _client(self, database: str | None = None) -> Client:
        address = self._address
        return Client(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            database=database or address.database,
            secure=address.secure,
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
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnavailableError(f"ClickHouse at {self._address} does not answer: {reason}") from error
        except driver_errors.Error as error:
            text = str(error).split("Stack trace:", maxsplit=1)[0].strip().splitlines()
            raise StoreError(f"ClickHouse at {self._address}: {' '.join(text)[:500]}", int(error.code or 0)) from error


def _reason(error: StoreError) -> tuple[str, int]:
    """What ClickHouse says and its code; of ``remote()``'s failed attempts, what they failed of."""
    if error.code not in _ATTEMPTS_FAILED:
        return str(error), error.code
    for line in map(str.strip, str(error.__cause__).splitlines()):
        if line.startswith("There is no table"):
            return line, _UNKNOWN_TABLE
        if error_code(line) not in (0, *_ATTEMPTS_FAILED):
            return line[:500], error_code(line)
    return str(error), error.code


def _quote(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
