"""Log lines that cannot flood: each distinct one is written once a process."""

import logging
from typing import Final

logger: Final = logging.getLogger("telemetry.sdk")

_LIMIT: Final = 256
_said: set[str] = set()


def once(message: str, level: int = logging.WARNING) -> None:
    """Log ``message`` unless it was logged before in this process.

    At most 256 distinct lines are ever written, so that a message that carries a varying value cannot flood either.
    """
    if message in _said or len(_said) >= _LIMIT:
        return
    _said.add(message)
    logger.log(level, "%s", message)


def internal(where: str, error: BaseException) -> None:
    """Say that the SDK itself failed at ``where``: the class of ``error`` only, its text may hold a request's data."""
    once(f"{where} failed with {type(error).__name__}; the request is not affected, its telemetry may be missing")


def forget() -> None:
    """Make every line new again (tests)."""
    _said.clear()
