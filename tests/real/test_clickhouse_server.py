"""The ClickHouse server part itself, and the rules of its insert deduplication that exactly-once rests on."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from chdb import session as chdb_session
from clickhouse_driver import Client
from clickhouse_driver.errors import ServerException

from tests.real.parts.clickhouse import ClickHouseServer

AUTHENTICATION_FAILED = 516


@pytest.fixture
def client(clickhouse_url: str) -> Iterator[Client]:
    """clickhouse-driver on an empty database."""
    client = Client.from_url(clickhouse_url)
    yield client
    client.disconnect()


def test_speaks_the_native_protocol(client: Client) -> None:
    """clickhouse-driver reads a typed answer; the server is new enough."""
    ((version, forty_two),) = client.execute("SELECT version(), toUInt8(42)")
    assert int(version.split(".")[0]) >= 25
    assert forty_two == 42


def test_refuses_a_wrong_password(clickhouse_url: str) -> None:
    """The password counts: otherwise a test of wrong credentials would prove nothing."""
    parts = urlsplit(clickhouse_url)
    wrong = parts._replace(netloc=parts.netloc.replace(f":{parts.password}@", ":wrong@")).geturl()
    with pytest.raises(ServerException) as caught:
        Client.from_url(wrong).execute("SELECT 1")
    assert caught.value.code == AUTHENTICATION_FAILED
