"""Where a ClickHouse server is, out of what a person wrote."""

import re
from pathlib import Path

import pytest

from telemetry.errors import ConfigurationError
from telemetry.store.address import ServerAddress


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("clickhouse://h", ServerAddress("h", 9000, "edgepath", "default", "")),
        ("clickhouse://h/", ServerAddress("h", 9000, "edgepath", "default", "")),
        ("clickhouse://h:1234/db", ServerAddress("h", 1234, "db", "default", "")),
        ("clickhouse://u:p@h/db", ServerAddress("h", 9000, "db", "u", "p")),
        ("tcp://u:p@h/db", ServerAddress("h", 9000, "db", "u", "p")),
        ("clickhouses://h", ServerAddress("h", 9440, "edgepath", "default", "", secure=True, http_port=8443)),
        ("clickhouse://h?secure=1", ServerAddress("h", 9440, "edgepath", "default", "", secure=True, http_port=8443)),
        (
            "clickhouse://h?secure=true",
            ServerAddress("h", 9440, "edgepath", "default", "", secure=True, http_port=8443),
        ),
        (
            "clickhouse://h:9001?secure=1",
            ServerAddress("h", 9001, "edgepath", "default", "", secure=True, http_port=8443),
        ),
        ("clickhouse://h?secure=0", ServerAddress("h", 9000, "edgepath", "default", "")),
        ("clickhouse://us%40er:p%40s%2Fs%3A%25@h/db", ServerAddress("h", 9000, "db", "us@er", "p@s/s:%")),
        ("clickhouse://u:@h", ServerAddress("h", 9000, "edgepath", "u", "")),
        ("clickhouse://[::1]:9000/db", ServerAddress("::1", 9000, "db", "default", "")),
        ("clickhouse://h?http_port=9999", ServerAddress("h", 9000, "edgepath", "default", "", http_port=9999)),
        ("clickhouses://h?verify=0", ServerAddress("h", 9440, "edgepath", "default", "", True, 8443, verify=False)),
        ("clickhouse://10.0.0.1", ServerAddress("10.0.0.1", 9000, "edgepath", "default", "")),
    ],
)
def test_parse(url: str, expected: ServerAddress) -> None:
    """Everything but the host may be left out; reserved characters are escaped as in any URL."""
    assert ServerAddress.parse(url) == expected


def test_a_file_of_authorities(tmp_path: Path) -> None:
    """It must be there: a typing error would else show up as a refused certificate."""
    (tmp_path / "ca.pem").touch()
    assert ServerAddress.parse(f"clickhouses://h?ca={tmp_path}/ca.pem&verify=1").ca == f"{tmp_path}/ca.pem"
    with pytest.raises(ConfigurationError, match=r"says ca=/no/such\.pem; there is no such file"):
        ServerAddress.parse("clickhouses://h?ca=/no/such.pem")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("http_prt=1", "has the option 'http_prt'; known are ca, http_port, secure, verify"),
        ("http_port=x", "says http_port=x; a port is a number from 1 to 65535"),
        ("http_port=70000", "says http_port=70000; a port"),
        ("http_port=", "says http_port=; a port"),
        ("verify=maybe", "says verify=maybe; write verify=1 or verify=0"),
        ("secure=2", "says secure=2; write secure=1 or secure=0"),
    ],
)
def test_a_wrong_option_is_told(options: str, message: str) -> None:
    """With the place and the mend."""
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        ServerAddress.parse(f"clickhouse://u:hush@h?{options}")


def test_where_http_is_spoken() -> None:
    """Without credentials, with brackets around an IPv6 address."""
    assert ServerAddress.parse("clickhouse://u:hush@[::1]/db").http_url == "http://[::1]:8123"
    assert ServerAddress.parse("clickhouses://u:hush@h/db").http_url == "https://h:8443"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h",
        "h:9000",
        "http://u:hush@h:8123/db",
        "clickhouse://",
        "clickhouse://u:hush@/db",
        "clickhouse://u:hush@h:port/db",
        "clickhouse://u:hush@h:99999/db",
        "clickhouse://u:hush@h/db;drop",
        "clickhouse://u:hush@h/a/b",
        "clickhouse://u:hush@h/`x`",
        "clickhouse://u:hush@[::1/db",
    ],
)
def test_a_wrong_url_is_told_with_the_form_and_without_the_password(url: str) -> None:
    """One line."""
    with pytest.raises(ConfigurationError) as caught:
        ServerAddress.parse(url)
    message = str(caught.value)
    assert "write clickhouse://USER:PASSWORD@HOST:9000/DATABASE" in message
    assert "hush" not in message
    assert "hush" not in repr(caught.value.__cause__)
    assert "\n" not in message


def test_the_password_is_not_shown() -> None:
    """Not as text, not by repr: dataclasses land in logs."""
    address = ServerAddress.parse("clickhouse://u:hush@h/db")
    assert "hush" not in repr(address)
    assert str(address) == "h:9000/db"
