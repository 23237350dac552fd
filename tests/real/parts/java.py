"""Java 17 or newer and Maven, which a real Apache Kafka needs: on PATH, else on CI from Debian with ``apt-get install``."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.real.parts import debian
from tests.real.parts.missing import Missing

PART = "Java 17 and Maven"
HOW = "install a Java runtime of version 17 or newer and Maven (Debian: apt-get install openjdk-17-jre-headless maven)"
OLDEST = 17


@dataclass(frozen=True)
class Java:
    """The programs ``java`` and ``mvn``."""

    java: Path
    mvn: Path


def need() -> Java:
    """Java and Maven.

    Raises:
        Missing: they are not on PATH, too old, or cannot be installed.
    """
    if found := _found():
        return found
    debian.install(PART, HOW, "openjdk-17-jre-headless", "maven")
    if found := _found():
        return found
    raise Missing(PART, "apt-get installed them, and still they are not on PATH", HOW)


def _found() -> Java | None:
    java, mvn = shutil.which("java"), shutil.which("mvn")
    if java is None or mvn is None:
        return None
    # The version goes to standard error, as `openjdk version "17.0.15"`; before 9 it was "1.8.0".
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=False).stderr
    version = re.search(r'version "(\d+)', answer)
    return Java(Path(java), Path(mvn)) if version and int(version[1]) >= OLDEST else None
