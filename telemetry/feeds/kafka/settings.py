"""How to reach a Kafka cluster: addresses, encryption, who we are. One value, handed to everything that connects."""

import os
import ssl
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from telemetry.errors import ConfigurationError

FLAG: Final = "--kafka"
DEFAULT_MECHANISM: Final = "SCRAM-SHA-512"


class Security(StrEnum):
    """Kafka's ``security.protocol``."""

    PLAINTEXT = "plaintext"
    SSL = "ssl"
    SASL_PLAINTEXT = "sasl_plaintext"
    SASL_SSL = "sasl_ssl"

    @property
    def encrypts(self) -> bool:
        """Whether TLS is spoken."""
        return self in (Security.SSL, Security.SASL_SSL)

    @property
    def authenticates(self) -> bool:
        """Whether a user and a password are needed."""
        return self in (Security.SASL_PLAINTEXT, Security.SASL_SSL)


class Mechanism(StrEnum):
    """SASL mechanisms (RFC 4616; RFC 5802 and 7677)."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


@dataclass(frozen=True)
class KafkaSettings:
    """Where Kafka is and how to get in.

    Attributes:
        bootstrap: ``HOST:PORT[,HOST:PORT...]``.
        security: what is spoken.
        ca: a PEM file with the authorities that may have signed the brokers' certificates; None: those of the system.
        cert, key: PEM files with our own certificate and its key, where brokers want one (mutual TLS).
        key_password: opens ``key``; empty if it is not locked.
        mechanism: how the password is proven.
        user, password: who we are.
        check_hostname: whether a broker's certificate must bear the name that we connected to.
    """

    bootstrap: str
    security: Security = Security.PLAINTEXT
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)
    mechanism: Mechanism = Mechanism.SCRAM_SHA_512
    user: str = ""
    password: str = field(default="", repr=False)
    check_hostname: bool = True

    @classmethod
    def of(cls, given: "KafkaSettings | str") -> "KafkaSettings":
        """``given``, or a cluster in plain text at that address."""
        return cls(given) if isinstance(given, str) else given

    def checked(self) -> "KafkaSettings":
        """Itself, if it can be used.

        Raises:
            ConfigurationError: settings that contradict each other, or files that cannot be used; says which and the mend.
        """
        if (self.ca or self.cert or self.key) and not self.security.encrypts:
            wanted = "sasl_ssl" if self.security.authenticates else "ssl"
            raise ConfigurationError(
                f"{FLAG}-ca, {FLAG}-cert and {FLAG}-key are for TLS, but {FLAG}-security is {self.security}: "
                f"set {FLAG}-security {wanted}"
            )
        if self.user and not self.security.authenticates:
            wanted = "sasl_ssl" if self.security.encrypts else "sasl_plaintext"
            raise ConfigurationError(
                f"a Kafka user is given, but {FLAG}-security is {self.security}: set {FLAG}-security {wanted}"
            )
        if self.security.authenticates and not (self.user and self.password):
            missing = "user" if not self.user else "password"
            raise ConfigurationError(
                f"{FLAG}-security {self.security} needs a user and a password, and the {missing} is missing: "
                f"set the variable EDGEPATH_KAFKA_{missing.upper()}, or {missing} under [kafka] in the settings file"
            )
        if self.key and not self.cert:
            raise ConfigurationError(f"{FLAG}-key {self.key} is of no use without {FLAG}-cert")
        self.context()
        return self

    def client(self) -> dict[str, Any]:
        """Keyword arguments that every client of kafka-python takes.

        Raises:
            ConfigurationError: as :meth:`checked`.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap.split(","),
            "security_protocol": self.security.name,
        }
        if self.security.encrypts:
            arguments["ssl_context"] = self.context()
            arguments["ssl_check_hostname"] = self.check_hostname
        if self.security.authenticates:
            arguments |= {
                "sasl_mechanism": str(self.mechanism),
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return arguments

    def context(self) -> ssl.SSLContext | None:
        """For a TLS connection to a broker; None where none is spoken.

        Raises:
            ConfigurationError: a file cannot be used.
        """
        if not self.security.encrypts:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.check_hostname
        if self.ca is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(self.ca)
            except OSError as error:
                raise ConfigurationError(_unusable(f"{FLAG}-ca", self.ca, error, "certificates")) from error
        if self.cert is not None:
            self._load_own(context, self.cert)
        return context

    def _load_own(self, context: ssl.SSLContext, cert: Path) -> None:
        key = self.key or cert
        try:
            context.load_cert_chain(cert, self.key, self.key_password or _no_password)
        except (FileNotFoundError, PermissionError) as error:
            place = (f"{FLAG}-key", key) if cert.is_file() and os.access(cert, os.R_OK) else (f"{FLAG}-cert", cert)
            raise ConfigurationError(_unusable(*place, error, "")) from error
        except _LockedError as error:
            raise ConfigurationError(
                f"the key in {key} is locked: set the variable EDGEPATH_KAFKA_KEY_PASSWORD"
            ) from error
        except OSError as error:
            if self.key_password and b"ENCRYPTED" in key.read_bytes():
                raise ConfigurationError(f"EDGEPATH_KAFKA_KEY_PASSWORD does not open the key in {key}") from error
            raise ConfigurationError(
                f"{FLAG}-cert {cert} and {FLAG}-key {key} do not hold a certificate and its key in PEM: {_reason(error)}"
            ) from error


class _LockedError(Exception):
    """The key wants a password, and there is none."""


def _no_password() -> str:
    raise _LockedError  # else OpenSSL would ask the terminal


def _unusable(flag: str, path: Path, error: OSError, what: str) -> str:
    match error:
        case FileNotFoundError():
            why = "there is no such file"
        case PermissionError():
            why = "it may not be read"
        case _:
            why = f"it does not hold {what} in PEM: {_reason(error)}"
    return f"{flag} {path} cannot be used: {why}"


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error).replace("_", " ").lower()
