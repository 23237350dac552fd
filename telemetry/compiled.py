"""Loops over bytes and spans, compiled by numba: the one place that says how.

Machine code is cached on disk, so that only the first start on a machine compiles, for about half a minute; ``python -m
telemetry.pipeline.warm`` does it ahead of time. The cache lies beside the source, or in the user's cache directory where that
cannot be written (``EDGEPATH_CACHE`` names another one), in a folder that is named for the content of all modules that have
compiled functions: numba itself would not notice that a function changed which was compiled into another module's.

Compiled code does not check array bounds: what reads bytes from outside checks them by itself (``wire``), and
``NUMBA_BOUNDSCHECK=1`` in the environment makes every access checked (tests/unit/engine/test_bounds.py runs the engine so).
Nor do its indexes count from the end if they are negative: numba would look at each of them for that, and could then not read
eight bytes as one word. It is a third of the engine's time.
"""

import hashlib
import inspect
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import numba
from numba.core import types
from numba.np import arrayobj

# Numbers in compiled code: numba finds out their types, and Python's checker knows neither the width nor the sign of what
# comes out of an array.
Int = Any
Float = Any
Bool = Any

_F = TypeVar("_F", bound=Callable[..., Any])
_SOURCE: Final = Path(__file__).parent
_FOLDERS: Final = ("engine", "feeds/kafka")
"""Where there are functions to compile."""
_STALE_SECONDS: Final = 7 * 24 * 3600


def compiled(function: _F) -> _F:
    """Compile ``function`` when it is first called with given types. It runs without the interpreter's lock."""
    return _compile(function)


def inlined(function: _F) -> _F:
    """The same for small functions that are called from compiled ones: their code is put in place."""
    return _compile(function, forceinline=True)


def _compile(function: _F, **options: Any) -> _F:
    checked = os.environ.get("NUMBA_BOUNDSCHECK", "0") == "1"  # checked and unchecked code must not share a cache
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(_FOLDER)
    try:
        # Without numba's runtime: it counts references to arrays, atomically, in every loop, which was half of the time.
        # Compiled code may not make arrays then; it gets them.
        options["_nrt"] = False
        made: _F = numba.njit(cache=not checked, nogil=True, error_model="numpy", **options)(function)
    finally:
        config.CACHE_DIR = before
    return made


def _count_from_the_start() -> None:
    """Let numba take the indexes of our functions as they are. A numba that does it in another way is left as it is."""
    theirs = getattr(arrayobj, "fix_integer_index", None)
    if theirs is None or list(inspect.signature(theirs).parameters) != ["context", "builder", "idxty", "idx", "size"]:
        return

    def fix_integer_index(context: Any, builder: Any, idxty: Any, idx: Any, size: Any) -> Any:
        if context.enable_nrt:  # a function of somebody else: ours are those without numba's runtime
            return theirs(context, builder, idxty, idx, size)
        return context.cast(builder, idx, idxty, types.intp if idxty.signed else types.uintp)

    arrayobj.fix_integer_index = fix_integer_index


def _digest() -> str:
    found = hashlib.sha256(numba.__version__.encode())
    found.update(Path(__file__).read_bytes())
    for folder in _FOLDERS:
        for source in sorted((_SOURCE / folder).glob("*.py")):
            found.update(source.read_bytes())
    return found.hexdigest()[:16]


def _folder() -> Path:
    """Where machine code is kept; made if it is not there."""
    name = f"compiled-{_digest()}"
    bases = [_SOURCE / "__pycache__", Path("~/.cache/edgepath").expanduser()]
    if os.environ.get("EDGEPATH_CACHE"):
        bases.insert(0, Path(os.environ["EDGEPATH_CACHE"]))
    for base in bases:
        folder = base / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError:
            continue
        _remove_stale(base, folder)
        return folder
    return Path(tempfile.mkdtemp(prefix="edgepath-"))


def _remove_stale(base: Path, folder: Path) -> None:
    """Folders of other versions of the source that nobody has used for a week."""
    os.utime(folder)
    for other in base.glob("compiled-*"):
        if other != folder and other.stat().st_mtime < time.time() - _STALE_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


_count_from_the_start()
_FOLDER: Final = _folder()
