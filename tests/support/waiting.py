"""Waiting for what will come."""

import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    """Return once ``holds()`` is true.

    Raises:
        AssertionError: it did not become true within ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not true within {seconds:g} s"
        time.sleep(0.02)
