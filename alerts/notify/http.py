"""One POST of JSON: the only place where pages meet HTTP. URLs may hold secrets and are never shown whole."""

import hashlib
import logging
import string
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from alerts.notify.base import DeliveryError
from telemetry.errors import ConfigurationError, OverloadedError, UnavailableError

_RETRYABLE: Final = frozenset({408, 425, 429})
USER_AGENT: Final = "edgepath"
_KEY_SAFE: Final = string.punctuation.replace("%", "")
"""What a header holds as it is, but for the percent sign itself."""


def shown(url: str) -> str:
    """A URL fit for a log: scheme and host; path, query and user information may be secrets."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}/..."
    except ValueError:
        return "(unreadable URL)"


def label(kind: str, url: str, secret: str = "") -> str:
    """A name for a receiver: what is fit for a log, and a few digits that tell it from others on the same host."""
    return f"{kind} {shown(url)} {hashlib.sha256(f'{url} {secret}'.encode()).hexdigest()[:6]}"


def checked(url: str, wanted: str = "a URL to send pages to; write https://HOST/PATH") -> str:
    """The URL, if it is one of HTTP; else the error says what is ``wanted``.

    Raises:
        ConfigurationError: it is not. The message does not show it.
    """
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        fine = False
    if not fine:
        raise ConfigurationError(f"{shown(url)} is not {wanted}")
    return url


class _HideUrls(logging.Filter):
    """httpx logs every request's URL at INFO: cut it down to its host."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(shown(str(a)) if isinstance(a, httpx.URL) else a for a in record.args)
        return True


class JsonPoster:
    """Posts JSON to one URL, within bounded time, without following redirects."""

    def __init__(self, url: str, connect_seconds: float = 3, read_seconds: float = 5) -> None:
        """Post to ``url``; nothing is opened before the first :meth:`post`.

        Raises:
            ConfigurationError: it is not an HTTP URL.
        """
        self._url = checked(url)
        self._timeout = httpx.Timeout(read_seconds, connect=connect_seconds)
        self._client: httpx.Client | None = None
        logger = logging.getLogger("httpx")
        if not any(isinstance(f, _HideUrls) for f in logger.filters):
            logger.addFilter(_HideUrls())

    def post(self, body: Any, key: str = "") -> None:
        """Post ``body`` as JSON; any 2xx is success, and its body is not read.

        Args:
            body: of JSON's types.
            key: for the header ``Idempotency-Key``, the same for every attempt; not sent if empty. What a header cannot hold
                (names from outside are in it) is percent-encoded.

        Raises:
            UnavailableError: no answer, or 408, 425, 5xx.
            OverloadedError: 429 or 503 that says when to come again.
            DeliveryError: any other status.
        """
        if self._client is None:
            self._client = httpx.Client(timeout=self._timeout, headers={"User-Agent": USER_AGENT})
        headers = {"Idempotency-Key": quote(key, safe=_KEY_SAFE)} if key else None
        try:
            with self._client.stream("POST", self._url, json=body, headers=headers) as answer:
                status, retry_after = answer.status_code, answer.headers.get("Retry-After", "")
        except (httpx.HTTPError, httpx.StreamError) as error:
            # The cause may carry the request with its URL into a traceback.
            raise UnavailableError(f"{shown(self._url)} does not answer ({type(error).__name__})") from None
        if 200 <= status < 300:
            return
        message = f"{shown(self._url)} answered {status}"
        if retry_after.isdigit() and (status in _RETRYABLE or status >= 500):
            raise OverloadedError(message, float(retry_after))
        if status in _RETRYABLE or status >= 500:
            raise UnavailableError(message)
        raise DeliveryError(message)

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
