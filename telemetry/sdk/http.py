"""What the HTTP semantic conventions say about methods, targets, errors and names; shared by hops and the middleware.

Source: OpenTelemetry semantic conventions, HTTP spans (stable).
"""

from asyncio import CancelledError
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.util.types import AttributeValue

from telemetry import vocabulary as v

# RFC 9110, RFC 5789; QUERY is a draft. Any other token a client sends must not become a metric's attribute.
METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"},
)
OTHER: Final = "_OTHER"
PATH_LIMIT: Final = 1024
USER_AGENT_LIMIT: Final = 256
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

Attributes = dict[str, AttributeValue]


def known_method(method: str) -> str:
    """``method`` if it is a registered one in upper case, else ``_OTHER``."""
    return method if method in METHODS else OTHER


def put_method(attributes: Attributes, method: str) -> str:
    """Write the method's attributes; returns the first word of the span's name (``HTTP`` for an unknown method)."""
    known = method if method in METHODS else method.upper()
    if known in METHODS:
        attributes[v.METHOD[0]] = known
        if known is not method:
            attributes[v.METHOD_ORIGINAL] = method[:32]
        return known
    attributes[v.METHOD[0]] = OTHER
    attributes[v.METHOD_ORIGINAL] = method[:32]
    return "HTTP"


def put_target(attributes: Attributes, target: str) -> None:
    """Write scheme, host, port, path of ``target``, a URL, ``host[:port]`` or path; never its query or user part."""
    target = str(target)  # httpx.URL and its like
    if "://" not in target and not target.startswith("/"):
        target = f"//{target}"
    try:
        parts = urlsplit(target)
        host, port = parts.hostname, parts.port
    except ValueError:
        return
    if parts.scheme:
        attributes[v.URL_SCHEME] = parts.scheme
    if host:
        attributes[v.SERVER_ADDRESS] = host[:255]
        port = port or _DEFAULT_PORTS.get(parts.scheme)
        if port:
            attributes[v.SERVER_PORT] = port
    if parts.path:
        attributes[v.URL_PATH[0]] = parts.path[:PATH_LIMIT]


def put_host(attributes: Attributes, host: str) -> None:
    """Write host and port of a Host header."""
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = host, ""
    attributes[v.SERVER_ADDRESS] = name.strip("[]")[:255]
    if port.isascii() and port.isdigit():
        attributes[v.SERVER_PORT] = int(port)


def without_query(path: str) -> str:
    """``path`` up to its query or fragment, cut to 1,024 characters."""
    for mark in "?#":
        path = path.partition(mark)[0]
    return path[:PATH_LIMIT]


def error_name(error: BaseException | type[BaseException] | str) -> str:
    """Value of ``error.type``: a class's name, ``cancelled`` for a cancelled task, or the string itself."""
    if isinstance(error, str):
        return error[:128]
    cls = error if isinstance(error, type) else type(error)
    return v.CANCELLED if issubclass(cls, CancelledError) else cls.__name__


_TIMEOUT_WORDS: Final = ("timeout", "timedout", "timed_out", "deadline")
_CANCEL_WORDS: Final = ("cancel", "clientdisconnect", "client_disconnect")


@lru_cache(maxsize=1024)
def outcome(status: int, error: str | None, fault: v.Outcome) -> str:
    """How the request ended, as far as this component alone can know: the pipeline, which sees the whole way, says the rest.

    The same words in the same order of precedence as the pipeline's, but for 401 and 403: whether somebody before the API
    refused, only the way can tell; here they are client errors.

    Args:
        status: HTTP status of the answer, 0 if there was none.
        error: the span's ``error.type``.
        fault: what an error of this component is: ``api_error`` in tier ``api``, else ``edge_error``.
    """
    said = (error or "").lower()
    if status == 504 or any(word in said for word in _TIMEOUT_WORDS):
        return v.Outcome.TIMEOUT.value
    if status == 499 or any(word in said for word in _CANCEL_WORDS):
        return v.Outcome.CANCELLED.value
    if status == 429:
        return v.Outcome.THROTTLED.value
    if 400 <= status < 500:
        return v.Outcome.CLIENT_ERROR.value
    return (fault if error is not None or status >= 500 else v.Outcome.OK).value
