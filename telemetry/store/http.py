"""Inserts and Arrow answers over ClickHouse's HTTP interface.

A statement's life is bounded, whatever becomes of us: exactly-once rests on that (docs/exactly-once.md). ClickHouse ends it
after ``max_execution_time``; a body that stops coming, after its ``http_receive_timeout`` (30 s); and we send a body
for :data:`STATEMENT_SECONDS` at most.
"""

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import httpx

from telemetry.errors import ConfigurationError, StoreError, UnavailableError
from telemetry.store.address import ServerAddress, untrusted
from telemetry.store.base import Parameter
from telemetry.store.values import error_code, parameter_text

STATEMENT_SECONDS: Final = 60
_CHUNK: Final = 1024 * 1024
_CODE_HEADER: Final = "X-ClickHouse-Exception-Code"

# What will pass, or be mended on the server, without a change on our side.
RETRYABLE: Final = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE: the body was cut
        23,  # CANNOT_READ_FROM_SOCKET
        24,  # CANNOT_WRITE_TO_SOCKET
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        225,  # NO_ZOOKEEPER
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        244,  # UNEXPECTED_ZOOKEEPER_ERROR
        252,  # TOO_MANY_PARTS
        279,  # ALL_CONNECTION_TRIES_FAILED
        285,  # TOO_FEW_LIVE_REPLICAS
        286,  # UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
        289,  # REPLICA_IS_NOT_IN_QUORUM
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        425,  # SYSTEM_ERROR
        473,  # DEADLOCK_AVOIDED
        499,  # S3_ERROR
        519,  # NO_REMOTE_SHARD_AVAILABLE
        733,  # TABLE_IS_BEING_RESTARTED
        745,  # SERVER_OVERLOADED
        999,  # KEEPER_EXCEPTION
        1000,  # POCO_EXCEPTION
    }
)


class HttpClient:
    """One server's HTTP interface: a pool of kept connections, for any number of threads."""

    def __init__(
        self,
        address: ServerAddress,
        *,
        connect_seconds: float,
        answer_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Speak to ``address``; nothing is sent before the first statement.

        Raises:
            ConfigurationError: the certificates of ``address.ca`` cannot be read.
        """
        self._address = address
        self._monotonic = monotonic
        verify: ssl.SSLContext | bool = address.verify
        if address.secure and address.verify:
            try:
                verify = ssl.create_default_context(cafile=address.ca or None)
            except (OSError, ssl.SSLError) as error:
                raise ConfigurationError(f"the ClickHouse URL's ca={address.ca} cannot be read: {error}") from error
        self._client = httpx.Client(
            base_url=address.http_url,
            verify=verify,
            trust_env=False,
            timeout=httpx.Timeout(answer_seconds, connect=connect_seconds, write=30, pool=answer_seconds),
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=16, keepalive_expiry=20),
        )

    def run(
        self,
        sql: str,
        body: bytes | memoryview = b"",
        *,
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> bytes:
        """Run one statement and return its whole answer.

        Args:
            sql: the statement; with a ``body``, it ends with ``FORMAT`` and the body's format.
            body: the rows of an insert.
            settings: for this statement.
            parameters: for its ``{name:Type}``.

        Raises:
            StoreError: ClickHouse refused it, with ClickHouse's code; or its parameters are too long to be sent.
            UnavailableError: ClickHouse does not answer or cannot take it now.
            ConfigurationError: its certificate is not trusted.
        """
        asked = {
            "database": self._address.database,
            "wait_end_of_query": "1",  # or an error could come after a status that says all is well
            "max_execution_time": str(STATEMENT_SECONDS),
            **(settings or {}),
            **{f"param_{name}": parameter_text(value) for name, value in (parameters or {}).items()},
        }
        head = sql.encode() + (b"\n" if body else b"")
        headers = {
            b"X-ClickHouse-User": self._address.user.encode(),
            b"X-ClickHouse-Key": self._address.password.encode(),
            b"Content-Length": str(len(head) + len(body)).encode(),
        }
        try:
            answer = self._client.post("/", params=asked, headers=headers, content=self._chunks(head, body))
        except httpx.HTTPError as error:
            if (mistake := untrusted(self._address, str(error))) is not None:
                raise mistake from error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UnavailableError(f"{self._where} does not answer: {reason}") from error
        except (httpx.InvalidURL, httpx.CookieConflict, RuntimeError) as error:
            # To httpx these are no HTTPError; the last comes of a client that is closed.
            raise StoreError(f"{self._where} cannot be asked: {error}") from error
        if answer.status_code != 200:
            raise self._refused(answer)
        return answer.content

    def close(self) -> None:
        """Close the connections. Does nothing the second time."""
        self._client.close()

    @property
    def _where(self) -> str:
        return f"ClickHouse at {self._address} (HTTP port {self._address.http_port})"

    def _refused(self, answer: httpx.Response) -> StoreError | UnavailableError:
        """What an answer that is no success means."""
        text = " ".join(answer.text.split("Stack trace:", maxsplit=1)[0].split())[:500]
        told = answer.headers.get(_CODE_HEADER, "")
        code = int(told) if told.isdigit() else error_code(text)
        if code in RETRYABLE:
            return UnavailableError(f"{self._where} cannot take it now: {text}")
        if not code and answer.status_code >= 500:
            return UnavailableError(f"{self._where} answers {answer.status_code}: {text}")
        if not code:
            return StoreError(
                f"{self._where} answers {answer.status_code}: {text or 'nothing'}; is that its HTTP port? "
                "?http_port= in the ClickHouse URL names another"
            )
        return StoreError(f"{self._where}: {text}", code)

    def _chunks(self, head: bytes, body: bytes | memoryview) -> Iterator[bytes]:
        """A body in pieces, until time is up: what wakes from a long sleep must not go on where it was."""
        deadline = self._monotonic() + STATEMENT_SECONDS
        yield head
        view = memoryview(body)
        for begin in range(0, len(view), _CHUNK):
            if self._monotonic() > deadline:
                raise httpx.WriteTimeout(f"a block could not be sent within {STATEMENT_SECONDS} s")
            yield view[begin : begin + _CHUNK]  # type: ignore[misc] # joined by h11, which takes views as well
