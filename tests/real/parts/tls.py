"""TLS before a server that speaks none (libchdb.so listens in plain text only): its bytes are the same, within."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.real.parts.missing import Missing


@dataclass(frozen=True)
class Certificates:
    """Files: an authority, and a key with the certificate that it gave to ``localhost``."""

    authority: Path
    certificate: Path
    key: Path


def certificates(directory: Path) -> Certificates:
    """Make them.

    Raises:
        Missing: there is no ``openssl`` on PATH.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise Missing("openssl", "no openssl on PATH", "install OpenSSL's command")
    directory.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=directory, check=True, capture_output=True, timeout=60)

    new = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=tests")
    run("req", *new, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    (directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
    run("x509", "-req", "-in", "request.pem", "-out", "cert.pem", *signed)
    return Certificates(directory / "ca.pem", directory / "cert.pem", directory / "key.pem")


@contextlib.contextmanager
def front(target: int, with_certificates: Certificates) -> Iterator[int]:
    """A port that speaks TLS, and hands what it hears to the port ``target`` of this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(with_certificates.certificate, with_certificates.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener, context, target), daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            plain, _ = listener.accept()
            threading.Thread(target=_serve, args=(plain, context, target), daemon=True).start()


def _serve(plain: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with (
        contextlib.suppress(OSError),
        plain,
        context.wrap_socket(plain, server_side=True) as inside,
        socket.create_connection(("127.0.0.1", target)) as server,
    ):
        back = threading.Thread(target=_copy, args=(server, inside), daemon=True)
        back.start()
        _copy(inside, server)
        back.join(60)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65_536):
            sink.sendall(chunk)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
