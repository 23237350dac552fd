"""Taking a port to listen on, with an error that a person can act upon."""

import errno
import socket

from telemetry.errors import ConfigurationError


def listen(host: str, port: int, flag: str) -> socket.socket:
    """A bound TCP socket; port 0 takes a free one.

    Args:
        host: IP address or name.
        port: TCP port.
        flag: the command's option that sets the port, for the message.

    Raises:
        ConfigurationError: it cannot be taken; names the port, the reason and the mend.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}: {error.strerror}; choose another with --host") from error
    try:
        # A port in TIME_WAIT may be taken again at once; one that is listened on may not.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as error:
        bound.close()
        match error.errno:
            case errno.EADDRINUSE:
                raise ConfigurationError(
                    f"port {port} on {host} is in use: stop what listens there, or choose another with {flag}"
                ) from error
            case errno.EACCES:
                raise ConfigurationError(
                    f"port {port} on {host} may not be taken by this user: choose one above 1023 with {flag}"
                ) from error
            case _:
                raise ConfigurationError(
                    f"cannot listen on {host}: {error.strerror}; choose another with --host"
                ) from error
    return bound
