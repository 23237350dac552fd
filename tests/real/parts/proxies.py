"""Real NGINX and HAProxy: on PATH, or Debian's packages, unpacked."""

import os
import shutil
from pathlib import Path
from typing import Final

from tests.real.parts import debian

_HOW: Final = "apt-get install {0}, or put {0} on PATH"


def nginx() -> tuple[Path, dict[str, str]]:
    """The ``nginx`` program, and the variables that it needs.

    Raises:
        Missing: this machine cannot have it.
    """
    return _find("NGINX", "nginx", "nginx")


def haproxy() -> tuple[Path, dict[str, str]]:
    """The ``haproxy`` program, and the variables that it needs.

    Raises:
        Missing: this machine cannot have it.
    """
    return _find("HAProxy", "haproxy", "haproxy")


def _find(part: str, program: str, package: str) -> tuple[Path, dict[str, str]]:
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found:
        return Path(found), {}
    root = debian.unpack(part, _HOW.format(program), package)
    return root / "usr" / "sbin" / program, debian.environment(root)
