"""The store contract on a real ClickHouse server, and what only a server can do: be away, refuse a password."""

import dataclasses
import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from telemetry.errors import EdgepathError, StoreError, UnavailableError
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.base import Store
from telemetry.store.http import HttpClient
from telemetry.store.server import ServerStore
from tests.real.parts import clickhouse
from tests.real.parts.clickhouse import ClickHouseServer
from tests.support.store_contract import StoreContract, block, counts

AUTHENTICATION_FAILED = 516
SECRET = "p'ss\"wörd\\ %41 {x}"


class TestServerStore(StoreContract):
    """Reads by clickhouse-driver, blocks by HTTP."""

    @pytest.fixture
    def store(self, clickhouse_url: str) -> Iterator[Store]:
        """A new database with the schema."""
        store = ServerStore(ServerAddress.parse(clickhouse_url))
        schema.apply(store)
        yield store
        store.close()


def told(error: BaseException) -> str:
    """All that anybody could come to see of an error: itself, its causes and contexts, its traceback."""
    seen, text = set(), "".join(traceback.format_exception(error))
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        text += repr(link) + str(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return text


def assert_hidden(error: BaseException) -> None:
    """The secret is nowhere in it, in whatever form."""
    for form in (SECRET, SECRET.replace("\\", "\\\\").replace("'", "\\'"), repr(SECRET), "wörd"):
        assert form not in told(error)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class TestAway:
    """A server that does not answer is unavailable, not refusing: the block is tried again."""

    def test_nobody_listens(self) -> None:
        """At the start."""
        address = ServerAddress("127.0.0.1", free_port(), "edgepath", "default", SECRET)
        with pytest.raises(UnavailableError, match=rf"ClickHouse at {address} does not answer") as caught:
            ServerStore(address)
        assert_hidden(caught.value)

    def test_it_never_answers(self) -> None:
        """A port that takes the connection and says nothing."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = ServerAddress("127.0.0.1", silent.getsockname()[1], "edgepath", "default", SECRET)
            with pytest.raises(UnavailableError) as caught:
                ServerStore(address, connect_seconds=0.5, answer_seconds=0.5)
        assert_hidden(caught.value)

    def test_it_speaks_another_protocol(self) -> None:
        """The HTTP port, say."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = ServerAddress("127.0.0.1", other.getsockname()[1], "edgepath", "default", SECRET)

            def answer() -> None:
                connection, _ = other.accept()
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                connection.close()

            threading.Thread(target=answer, daemon=True).start()
            with pytest.raises(EdgepathError) as caught:
                ServerStore(address, answer_seconds=2)
        assert_hidden(caught.value)

    def test_it_goes_away_and_comes_back(self, own_clickhouse: ClickHouseServer) -> None:
        """Reads, statements and blocks fail while it is away, and go on afterwards without a new store."""
        store = ServerStore(ServerAddress.parse(own_clickhouse.url))
        schema.apply(store)
        first, second = block(3), block(2)
        first.into(store)
        own_clickhouse.kill()
        for attempt in (
            lambda: store.query("SELECT 1"),
            lambda: store.execute("SELECT 1"),
            lambda: second.into(store),
        ):
            with pytest.raises(UnavailableError) as caught:
                attempt()
            assert "\n" not in str(caught.value)
            assert ServerAddress.parse(own_clickhouse.url).password not in told(caught.value)
        own_clickhouse.start()
        first.into(store)
        second.into(store)
        assert counts(store) == (5, 10.0, 10.0)
        store.close()


class TestCredentials:
    """Passwords: any character, counted, and never shown."""

    def test_a_wrong_password_is_refused(self, clickhouse_url: str) -> None:
        """Reading and appending; the message says what and where, and not the password."""
        right = ServerAddress.parse(clickhouse_url)
        with pytest.raises(StoreError) as caught:
            ServerStore(dataclasses.replace(right, password=SECRET))
        assert caught.value.code == AUTHENTICATION_FAILED
        assert str(right) in str(caught.value)
        assert_hidden(caught.value)

    def test_append_with_a_wrong_password(self, clickhouse_url: str) -> None:
        """The password changed while the store was open."""
        right = ServerAddress.parse(clickhouse_url)
        store = ServerStore(right)
        schema.apply(store)
        wrong = dataclasses.replace(right, password=SECRET)
        store._http = HttpClient(wrong, connect_seconds=5, answer_seconds=60)
        with pytest.raises(StoreError) as caught:
            block(1).into(store)
        assert caught.value.code == AUTHENTICATION_FAILED
        assert_hidden(caught.value)
        store.close()

    def test_a_password_of_any_characters(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Quotes, backslashes, braces: it reaches the server as it is, by both ways, and shows in no error."""
        monkeypatch.setattr(clickhouse, "PASSWORD", SECRET)
        server = ClickHouseServer(tmp_path / "clickhouse")
        try:
            server.start()
            address = ServerAddress(
                "127.0.0.1", server.tcp_port, "edgepath", clickhouse.USER, SECRET, http_port=server.http_port
            )
            store = ServerStore(address)
            schema.apply(store)
            block(2).into(store)
            assert counts(store)[0] == 2
            for wrong in (dataclasses.replace(block(1), table="no_such_table"), block(1, no_such_column=1)):
                with pytest.raises(StoreError) as caught:
                    wrong.into(store)
                assert_hidden(caught.value)
            store.close()
        finally:
            server.stop()
