"""The tree of errors. A foreign error is translated once, at the edge where it arises, with its cause.

::

    EdgepathError
    ├── ConfigurationError   what the user wrote cannot be used: names the place and the mend
    ├── UnavailableError     a part we need does not answer; trying again later is right
    ├── MalformedError       bytes from outside that no retry will mend (dead letter, 400)
    ├── OverloadedError      we are full: the sender should come again after ``retry_after`` seconds
    ├── StoreError           ClickHouse refused a statement
    └── FencedError          another writer has taken the partition over: forget it, start over
"""


class EdgepathError(Exception):
    """Base of every error that Edgepath raises on purpose. ``str()`` of it is one line fit for a person."""


class ConfigurationError(EdgepathError):
    """A setting, a file or the surroundings cannot be used. The message says where and how to mend it."""


class UnavailableError(EdgepathError):
    """A needed part does not answer now. Retryable."""


class MalformedError(EdgepathError):
    """Bytes from outside that cannot be decoded. Not retryable."""


class OverloadedError(EdgepathError):
    """No room now.

    Attributes:
        retry_after: seconds after which the sender should try again.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreError(EdgepathError):
    """ClickHouse refused a statement. ``code`` is ClickHouse's error code, 0 if unknown."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


class FencedError(EdgepathError):
    """Another writer has taken the partition over: what this one still holds of it is not stored, and is no longer its own."""
