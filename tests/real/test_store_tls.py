"""A ClickHouse server behind TLS: both its ports, certificates of one's own authority, and none that are not trusted."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from telemetry.errors import ConfigurationError
from telemetry.store import schema
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from tests.real.parts.tls import Certificates, certificates, front
from tests.support.blocklog_contract import log_of, sums
from tests.support.log_blocks import block_of, path


@dataclass(frozen=True)
class Secured:
    """URL (without options of trust) of a server behind TLS, and the certificates."""

    url: str
    certificates: Certificates


@pytest.fixture
def secured(clickhouse_url: str, tmp_path: Path) -> Iterator[Secured]:
    """TLS before both ports of the server."""
    made = certificates(tmp_path / "tls")
    plain = ServerAddress.parse(clickhouse_url)
    parts = urlsplit(clickhouse_url)
    with front(plain.port, made) as native, front(plain.http_port, made) as http:
        netloc = f"{parts.username}:{parts.password}@localhost:{native}"
        yield Secured(f"clickhouses://{netloc}/{plain.database}?http_port={http}", made)


@pytest.mark.parametrize("trust", ["ca", "verify=0"])
def test_both_ports_speak_tls(secured: Secured, trust: str) -> None:
    """Queries, statements, Arrow answers and blocks."""
    option = f"ca={secured.certificates.authority}" if trust == "ca" else trust
    with contextlib.closing(ServerStore(ServerAddress.parse(f"{secured.url}&{option}"))) as store:
        schema.apply(store)
        log = log_of(store)
        log.append(block_of(log.take_over(0), 2, [path(1), path(2)]))
        assert sums(store) == (2, 4.0, 4.0)
        assert store.arrow("SELECT count() AS n FROM path_log").to_pylist() == [{"n": 3}]


@pytest.mark.parametrize("trust", ["", "&verify=1", "&ca="])
def test_a_certificate_that_is_not_trusted(secured: Secured, trust: str) -> None:
    """By the usual authorities: the message says how to name another; by neither port is anything sent."""
    address = ServerAddress.parse(secured.url + trust)
    message = r"the certificate of ClickHouse at localhost:\d+/test_\w+ is not trusted: name the file .* \?ca=FILE"
    with pytest.raises(ConfigurationError, match=message):
        ServerStore(address)


def test_http_checks_the_certificate_by_itself(secured: Secured, tmp_path: Path) -> None:
    """The native port's answer is no excuse."""
    other = certificates(tmp_path / "other")
    trusting = ServerAddress.parse(f"{secured.url}&ca={secured.certificates.authority}")
    with contextlib.closing(ServerStore(trusting)) as store:
        store._http = type(store._http)(
            ServerAddress.parse(f"{secured.url}&ca={other.authority}"), connect_seconds=5, answer_seconds=5
        )
        assert store.query("SELECT 1").scalar() == 1
        with pytest.raises(ConfigurationError, match="is not trusted"):
            store.arrow("SELECT 1")


def test_authorities_that_cannot_be_read(secured: Secured, tmp_path: Path) -> None:
    """Told at once, with the file."""
    (tmp_path / "not.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match=r"ca=.*not\.pem cannot be read"):
        ServerStore(ServerAddress.parse(f"{secured.url}&ca={tmp_path}/not.pem"))
