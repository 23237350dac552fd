"""Memory that is let go is kept for what comes next."""

import ctypes
import sys
from typing import Final

_TRIM_THRESHOLD: Final = -1  # malloc.h
_MMAP_THRESHOLD: Final = -3
_MMAP_BYTES: Final = 32 * 1024 * 1024  # the most that glibc takes
_KEPT_BYTES: Final = 256 * 1024 * 1024


def keep_memory() -> bool:
    """Let the allocator keep what is freed, up to 256 MiB; False where it cannot be told so (it is not glibc's).

    A consumer fills arrays of some megabytes and frees them, several times a second. glibc gives those back to the kernel at
    once, and the kernel clears every page that it hands out again: a fifth of the consumer's CPU time. See mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _MMAP_BYTES)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
