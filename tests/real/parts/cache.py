"""Where fetched parts are kept between runs, and how parallel runs do not collide."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def directory() -> Path:
    """The cache's directory, made if need be.

    ``EDGEPATH_PARTS`` if set, else ``$XDG_CACHE_HOME/edgepath/parts``, else ``~/.cache/edgepath/parts``; where none of these
    can be written to, ``build/parts`` in the checkout.
    """
    if chosen := os.environ.get("EDGEPATH_PARTS"):
        path = Path(chosen)
        path.mkdir(parents=True, exist_ok=True)
        return path.absolute()
    home = os.environ.get("XDG_CACHE_HOME") or (Path(os.environ["HOME"]) / ".cache" if os.environ.get("HOME") else None)
    checkout = Path(__file__).parents[3] / "build" / "parts"
    for path in ([Path(home) / "edgepath" / "parts"] if home else []) + [checkout]:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(path, os.W_OK):
            return path.absolute()
    raise PermissionError(f"no directory for fetched parts can be written to; set EDGEPATH_PARTS (tried {checkout})")


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that other processes on this machine respect; let go when the process dies."""
    with (directory() / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The directory ``name`` of the cache, filled by ``make`` if it is not there yet.

    ``make`` gets an empty directory that is moved to its name only when all of it is there, so that an interrupted fetch
    leaves nothing that looks whole.
    """
    path = directory() / name
    if not path.is_dir():
        with locked(name):
            if not path.is_dir():
                unfinished = Path(tempfile.mkdtemp(prefix=f"{name}.", suffix=".part", dir=directory()))
                try:
                    make(unfinished)
                    unfinished.chmod(0o755)
                    unfinished.rename(path)
                finally:
                    shutil.rmtree(unfinished, ignore_errors=True)
    return path
