"""Where a ClickHouse server is, out of the URL that a person wrote."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from telemetry.errors import ConfigurationError

FORM: Final = "write clickhouse://USER:PASSWORD@HOST:9000/DATABASE?http_port=8123 (clickhouses:// for TLS)"
_OPTIONS: Final = {"secure", "http_port", "ca", "verify"}
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


@dataclass(frozen=True)
class ServerAddress:
    """A ClickHouse server, out of ``clickhouse://user:password@host:port/database?http_port=8123&secure=1``.

    Attributes:
        host: its name or address.
        port: of the native protocol: queries go there.
        database: the one that has Edgepath's tables.
        user, password: who asks.
        secure: TLS, for both ports.
        http_port: of HTTP: blocks go there.
        ca: a file with the certificates of the authorities to trust instead of the usual ones; empty for those.
        verify: whether the server's certificate is checked.
    """

    host: str
    port: int
    database: str
    user: str
    password: str = field(repr=False)
    secure: bool = False
    http_port: int = 8123
    ca: str = ""
    verify: bool = True

    @classmethod
    def parse(cls, url: str) -> "ServerAddress":
        """Read a URL.

        Raises:
            ConfigurationError: it is not such a URL. The message never shows the password.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise ConfigurationError(f"the ClickHouse URL cannot be read ({error}); {FORM}") from error
        if parts.scheme not in ("clickhouse", "clickhouses", "tcp") or not parts.hostname:
            raise ConfigurationError(
                f"the ClickHouse URL has the scheme {parts.scheme!r} and host {parts.hostname!r}; {FORM}"
            )
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        if unknown := sorted(set(options) - _OPTIONS):
            raise ConfigurationError(
                f"the ClickHouse URL has the option {unknown[0]!r}; known are {', '.join(sorted(_OPTIONS))}"
            )
        secure = _yes(options, "secure", otherwise=parts.scheme == "clickhouses")
        database = parts.path.strip("/") or "edgepath"
        if not re.fullmatch(r"\w+", database):
            raise ConfigurationError(
                f"the ClickHouse URL's database {database!r} may have letters, digits and _ only; {FORM}"
            )
        return cls(
            host=parts.hostname,
            port=port or (9440 if secure else 9000),
            database=database,
            user=unquote(parts.username or "default"),
            password=unquote(parts.password or ""),
            secure=secure,
            http_port=_port(options.get("http_port", "8443" if secure else "8123")),
            ca=_file(options.get("ca", "")),
            verify=_yes(options, "verify", otherwise=True),
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"

    @property
    def http_url(self) -> str:
        """Where HTTP is spoken; without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.http_port}"


def untrusted(address: ServerAddress, reason: str) -> ConfigurationError | None:
    """What to tell a person if a connection failed because the server's certificate is not trusted; else None."""
    if "CERTIFICATE_VERIFY_FAILED" not in reason:
        return None
    return ConfigurationError(
        f"the certificate of ClickHouse at {address} is not trusted: name the file of its authority with ?ca=FILE in the URL "
        "(or take it as it is with verify=0)"
    )


def _yes(options: dict[str, str], name: str, *, otherwise: bool) -> bool:
    value = options.get(name)
    if value is None:
        return otherwise
    if value.lower() not in (*_YES, *_NO):
        raise ConfigurationError(f"the ClickHouse URL says {name}={value}; write {name}=1 or {name}=0")
    return value.lower() in _YES


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise ConfigurationError(f"the ClickHouse URL says http_port={value}; a port is a number from 1 to 65535")
    return int(value)


def _file(value: str) -> str:
    if value and not Path(value).is_file():
        raise ConfigurationError(f"the ClickHouse URL says ca={value}; there is no such file")
    return value
