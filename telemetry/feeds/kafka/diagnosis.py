"""Why a cluster does not let us in, found by knocking step by step: name, port, TLS, Kafka, SASL.

kafka-python tries again whatever it meets, and says in the end only that it did not get in. This is asked then: it opens a
connection of its own to one address and goes on until a step fails. It speaks three requests of Kafka's protocol that every
broker answers before a login: ApiVersions (KIP-35), SaslHandshake (KIP-43) and SaslAuthenticate (KIP-152).
"""

import socket
import ssl
import struct
from contextlib import suppress
from typing import Final

from kafka.errors import KafkaError
from kafka.net.sasl import get_sasl_mechanism

from telemetry.errors import ConfigurationError, EdgepathError, UnavailableError
from telemetry.feeds.kafka.settings import FLAG, KafkaSettings, Security

_STEP_SECONDS: Final = 3.0
_API_VERSIONS: Final = 18
_SASL_HANDSHAKE: Final = 17
_SASL_AUTHENTICATE: Final = 36
_UNSUPPORTED_MECHANISM: Final = 33
_ILLEGAL_STATE: Final = 34
_LARGEST_ANSWER: Final = 1 << 20
_SECURITY: Final = f"{FLAG}-security"


def diagnose(kafka: KafkaSettings, *, surely: bool = False) -> EdgepathError | None:
    """What is wrong, as an error that says what to mend; None if every step works (now).

    Args:
        kafka: how we want to get in. Of several addresses the first that answers is looked at.
        surely: say nothing of what is only likely: that a broker wants a password although we have none.
    """
    away: EdgepathError | None = None
    for address in kafka.bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            connection = socket.create_connection((host.strip("[]"), int(port)), _STEP_SECONDS)
        except (OSError, ValueError, OverflowError) as error:
            away = away or _not_there(address, host, error)
            continue
        with connection:
            return _knock(kafka, address, host.strip("[]"), connection, surely=surely)
    return away


def _not_there(address: str, host: str, error: Exception) -> EdgepathError:
    match error:
        case socket.gaierror():
            return UnavailableError(f"no address is known for {host}: check {FLAG} {address} and the name service")
        case ConnectionRefusedError():
            return UnavailableError(
                f"Kafka at {address} does not answer (connection refused): check that it runs and {FLAG} HOST:PORT"
            )
        case TimeoutError():
            return UnavailableError(
                f"Kafka at {address} does not answer (timed out): check {FLAG} HOST:PORT, firewalls and routes"
            )
        case OSError():
            return UnavailableError(f"Kafka at {address} does not answer ({error}): check {FLAG} HOST:PORT")
        case _:
            return ConfigurationError(f"{address} is no address: write {FLAG} HOST:PORT, several with commas")


def _knock(
    kafka: KafkaSettings, address: str, host: str, connection: socket.socket, *, surely: bool
) -> EdgepathError | None:
    context = kafka.context()
    try:
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=host)
        with connection:
            _ask(connection, _API_VERSIONS, 0, b"")
            return None if surely and not kafka.security.authenticates else _login(kafka, address, connection)
    except ssl.SSLCertVerificationError as error:
        return _untrusted(kafka, address, host, error)
    except ssl.SSLError as error:
        return _no_tls(kafka, address, error)
    except (OSError, EOFError, struct.error, ValueError) as error:
        return _no_kafka(kafka, address, host, error)


def _untrusted(kafka: KafkaSettings, address: str, host: str, error: ssl.SSLCertVerificationError) -> EdgepathError:
    why = error.verify_message or str(error)
    if "mismatch" in why or "not valid for" in why:
        return ConfigurationError(
            f"the certificate of Kafka at {address} is not for {host} ({why}): connect to the name that it bears"
        )
    if "expired" in why or "not yet valid" in why:
        return ConfigurationError(f"the certificate of Kafka at {address} cannot be accepted: {why}; renew it")
    trusted = f"by an authority in {FLAG}-ca {kafka.ca}" if kafka.ca else "by an authority that this system trusts"
    return ConfigurationError(
        f"the certificate of Kafka at {address} is not signed {trusted} ({why}): "
        f"give the file of the authority that signed it with {FLAG}-ca"
    )


def _no_tls(kafka: KafkaSettings, address: str, error: ssl.SSLError) -> EdgepathError:
    why = (error.reason or str(error)).replace("_", " ").lower()
    if "certificate required" in why or "handshake failure" in why or "bad certificate" in why or "unknown ca" in why:
        mend = "another one, signed by an authority that it trusts, with" if kafka.cert else "one with"
        return ConfigurationError(
            f"Kafka at {address} wants a certificate of ours ({why}): give {mend} {FLAG}-cert and {FLAG}-key"
        )
    other = Security.SASL_PLAINTEXT if kafka.security.authenticates else Security.PLAINTEXT
    return ConfigurationError(
        f"Kafka at {address} does not speak TLS ({why}): connect to its TLS port, or set {_SECURITY} {other}"
    )


def _no_kafka(kafka: KafkaSettings, address: str, host: str, error: Exception) -> EdgepathError:
    if not kafka.security.encrypts and _speaks_tls(address, host):
        other = Security.SASL_SSL if kafka.security.authenticates else Security.SSL
        return ConfigurationError(f"Kafka at {address} speaks TLS: set {_SECURITY} {other}, or connect to another port")
    if kafka.security.encrypts and isinstance(error, ConnectionError | EOFError):
        return ConfigurationError(
            f"Kafka at {address} closed the connection after TLS began: does it want a certificate of ours? "
            f"see {FLAG}-cert and {_SECURITY}"
        )
    return UnavailableError(
        f"what listens at {address} does not answer as Kafka does ({_why(error)}): check {FLAG} HOST:PORT"
    )


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__


def _speaks_tls(address: str, host: str) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is said or believed, it is only asked whether there is TLS
    try:
        plain = socket.create_connection((host, int(address.rpartition(":")[2])), _STEP_SECONDS)
        with plain, context.wrap_socket(plain, server_hostname=host):
            return True
    except ssl.SSLError as error:
        return error.reason is not None and "ALERT" in error.reason  # it refused us in TLS
    except OSError:
        return False


def _login(kafka: KafkaSettings, address: str, connection: socket.socket) -> EdgepathError | None:
    """See whether the listener wants a password, and whether it takes ours."""
    wanted = str(kafka.mechanism) if kafka.security.authenticates else "PLAIN"
    answer = _ask(connection, _SASL_HANDSHAKE, 1, _text(wanted))
    (code,) = struct.unpack_from(">h", answer)
    asks = code != _ILLEGAL_STATE
    if asks and not kafka.security.authenticates:
        other = Security.SASL_SSL if kafka.security.encrypts else Security.SASL_PLAINTEXT
        return ConfigurationError(
            f"Kafka at {address} asks for a user and a password: set {_SECURITY} {other}, and the variables "
            "EDGEPATH_KAFKA_USER and EDGEPATH_KAFKA_PASSWORD"
        )
    if kafka.security.authenticates and not asks:
        other = Security.SSL if kafka.security.encrypts else Security.PLAINTEXT
        return ConfigurationError(
            f"Kafka at {address} does not ask for a user and a password: set {_SECURITY} {other}, or connect to another port"
        )
    if code == _UNSUPPORTED_MECHANISM:
        return ConfigurationError(
            f"Kafka at {address} does not know {kafka.mechanism}: set {FLAG}-mechanism to one of {', '.join(_texts(answer))}"
        )
    if not asks or _accepted(kafka, wanted, connection):
        return None
    return ConfigurationError(
        f"Kafka at {address} does not accept the password of user {kafka.user} ({kafka.mechanism}): "
        "check EDGEPATH_KAFKA_USER, EDGEPATH_KAFKA_PASSWORD and the user's credentials at the cluster"
    )


def _accepted(kafka: KafkaSettings, name: str, connection: socket.socket) -> bool:
    mechanism = get_sasl_mechanism(name)(
        sasl_mechanism=name, sasl_plain_username=kafka.user, sasl_plain_password=kafka.password
    )
    try:
        while not mechanism.is_done():
            token = mechanism.auth_bytes()
            answer = _ask(connection, _SASL_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
            code, length = struct.unpack_from(">hh", answer)
            if code:
                return False
            place = 4 + max(length, 0)
            (size,) = struct.unpack_from(">i", answer, place)
            mechanism.receive(answer[place + 4 : place + 4 + size])
    except (KafkaError, ValueError, LookupError):  # it does not prove that it knows the password, either
        return False
    return bool(mechanism.is_authenticated())


def _ask(connection: socket.socket, key: int, version: int, body: bytes) -> bytes:
    """One request and its answer, without headers.

    Raises:
        OSError, EOFError, ValueError: there is no answer, or it is none.
    """
    head = struct.pack(">hhi", key, version, key) + _text("edgepath")
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    size, number = struct.unpack(">ii", _read(connection, 8))
    if not 4 <= size <= _LARGEST_ANSWER or number != key:
        raise ValueError("it answers something else")
    return _read(connection, size - 4)


def _read(connection: socket.socket, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError("it closed the connection")
        parts += part
    return parts


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()


def _texts(answer: bytes) -> list[str]:
    """The mechanisms in an answer to SaslHandshake."""
    found = []
    with suppress(struct.error):
        (count,) = struct.unpack_from(">i", answer, 2)
        place = 6
        for _ in range(min(count, 20)):
            (length,) = struct.unpack_from(">h", answer, place)
            found.append(answer[place + 2 : place + 2 + length].decode(errors="replace"))
            place += 2 + length
    return found
