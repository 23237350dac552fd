"""The real promtool: on PATH, else out of Debian's package ``prometheus``, unpacked."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.real.parts import debian

PART = "promtool"
HOW = "install Prometheus (Debian: apt-get install prometheus) so that promtool is on PATH"


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What promtool said.

    Raises:
        Missing: it is not on PATH and cannot be fetched.
    """
    program, environment = shutil.which("promtool"), dict(os.environ)
    if program is None:
        root = debian.unpack(PART, HOW, "prometheus")
        program = str(root / "usr" / "bin" / "promtool")
        environment |= debian.environment(root)
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
