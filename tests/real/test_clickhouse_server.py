"""The ClickHouse server part itself. How it deduplicates is in ``test_deduplication.py``."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from tests.real.parts.clickhouse import connect

AUTHENTICATION_FAILED = 516


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    """clickhouse-driver on an empty database."""
    client = connect(clickhouse_url)
    yield client
    client.disconnect()


class TestTheServer:
    """It is a whole ClickHouse server."""

    def test_speaks_the_native_protocol(self, client: Client) -> None:
        """clickhouse-driver reads a typed answer, and the server is new enough."""
        ((version, forty_two),) = client.execute("SELECT version(), toUInt8(42)")
        assert int(version.split(".")[0]) >= 25
        assert forty_two == 42

    def test_refuses_a_wrong_password_and_goes_on(self, client: Client, clickhouse_url: str) -> None:
        """The password counts, or a test of wrong credentials would prove nothing; the others are still served."""
        parts = urlsplit(clickhouse_url)
        wrong = parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":wrong@")).geturl()
        with pytest.raises(ServerException) as caught:
            connect(wrong).execute("SELECT 1")
        assert caught.value.code == AUTHENTICATION_FAILED
        assert client.execute("SELECT 1") == [(1,)]

    def test_survives_garbage_and_a_cut_connection(self, client: Client, clickhouse_url: str) -> None:
        """What a fault does to one connection must not end the server."""
        parts = urlsplit(clickhouse_url)
        assert parts.hostname
        assert parts.port
        with socket.create_connection((parts.hostname, parts.port), timeout=10) as garbage:
            garbage.sendall(b"\x07garbage" * 100)
            assert garbage.recv(1000) is not None
        cut = connect(clickhouse_url)
        cut.execute("SELECT 1")
        # Linger of zero seconds: close() sends a reset.
        cut.connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        cut.connection.socket.close()
        assert client.execute("SELECT 1") == [(1,)]
        assert connect(clickhouse_url).execute("SELECT 1") == [(1,)]
