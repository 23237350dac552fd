"""What the HTTP semantic conventions say about methods, targets, errors and names; shared by hops and the middleware.

Source: OpenTelemetry semantic conventions, HTTP spans (stable).
"""

from asyncio import CancelledError
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
