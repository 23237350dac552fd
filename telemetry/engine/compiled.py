"""Loops over spans, compiled by numba: the one place that says how.

Machine code is cached on disk (beside the source, or in the user's cache directory where that cannot be written), so that only
the first start on a machine compiles. ``python -m telemetry.engine.warm`` does it ahead of time.

Compiled code does not check array bounds: what reads bytes from outside checks them by itself (``wire``), and
``NUMBA_BOUNDSCHECK=1`` in the environment makes every access checked (tests/unit/engine/test_bounds.py runs the decoder so).
"""

import os
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

_F = TypeVar("_F", bound=Callable[..., Any])
_CACHED = os.environ.get("NUMBA_BOUNDSCHECK", "0") != "1"  # checked and unchecked code must not share a cache


def compiled(function: _F) -> _F:
    """Compile ``function`` when it is first called with given types. It runs without the interpreter's lock."""
    made: _F = njit(cache=_CACHED, nogil=True, error_model="numpy")(function)
    return made


def inlined(function: _F) -> _F:
    """The same for small functions that are called from compiled ones: their code is put in place."""
    made: _F = njit(cache=_CACHED, nogil=True, error_model="numpy", inline="never", forceinline=True)(function)
    return made
