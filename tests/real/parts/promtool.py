"""The real promtool: on PATH, else out of Debian's package ``prometheus``, unpacked."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.real.parts import debian

PART = "promtool"
HOW = "install Prometheus (Debian: apt-get install prometheus) so that promtool is on PATH"


def program() -> tuple[str, dict[str, str]]:
    """The program, and the variables that it needs besides.

    Raises:
        Missing: it is not on PATH and cannot be fetched.
    """
    if found := shutil.which("promtool"):
        return found, {}
    root = debian.unpack(PART, HOW, "prometheus")
    return str(root / "usr" / "bin" / "promtool"), debian.environment(root)


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What promtool said.

    Raises:
        Missing: it is not on PATH and cannot be fetched.
    """
    command, variables = program()
    return subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
