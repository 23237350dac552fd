"""Debian packages, fetched and unpacked into a directory of our own: no root, nothing installed.

apt works on lists and archives of its own in the cache, so it needs no rights and does not touch the system's; it knows
from dpkg's database what the system already has, and fetches the rest of what a package depends on.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.real.parts import cache
from tests.real.parts.missing import Missing

STATUS = Path("/var/lib/dpkg/status")
_TIMEOUT = 900


def unpack(part: str, how: str, *packages: str, status: Path = STATUS) -> Path:
    """The root of a tree that holds ``packages`` and what they depend on, as far as the system lacks it.

    Kept in the cache by the first package's version; once there, no network is needed.

    Args:
        part: what it is for, in messages.
        how: what a person can do instead, in messages.
        packages: names of Debian packages.
        status: dpkg's database: what counts as installed.

    Raises:
        Missing: not a Debian system, no network, no such package.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Missing(part, f"not on PATH, and {tool}, which could fetch it, is not either", how)
    name = "debian-" + "-".join(packages)
    there = [path for path in cache.directory().glob(f"{name}_*") if path.is_dir() and path.suffix != ".part"]
    if there:
        return max(there, key=lambda path: path.stat().st_mtime)
    with cache.locked("apt"):
        apt = _Apt(part, how, status)
        apt.update()
        version = re.sub(r"[^\w.+~-]", "_", apt.version(packages[0]))
        return cache.kept(f"{name}_{version}", lambda directory: _fill(directory, apt, packages))


def environment(root: Path) -> dict[str, str]:
    """The variables with which programs of an unpacked tree find their libraries and fonts."""
    libraries = {path.parent for path in root.rglob("*.so*") if not path.is_dir()}
    return {
        "LD_LIBRARY_PATH": ":".join([*sorted(map(str, libraries)), os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":"),
        "PATH": f"{root}/usr/bin:{root}/usr/sbin:{os.environ.get('PATH', os.defpath)}",
        "XDG_DATA_HOME": f"{root}/usr/share",
    }


def install(part: str, how: str, *packages: str) -> None:
    """Install packages with ``apt-get install``: only as root, and only on CI, where the machine is ours.

    Raises:
        Missing: not root, not on CI, or apt-get failed.
    """
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0 or not os.environ.get("CI"):
        raise Missing(part, "not on PATH, and it is installed by itself only on CI, as root, with apt-get", how)
    with cache.locked("apt"):
        for command in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            answer = _run([apt, "-q", "-o", "DPkg::Lock::Timeout=300", *command], DEBIAN_FRONTEND="noninteractive")
            if answer.returncode:
                raise Missing(part, f"apt-get {command[0]} failed: {_last_lines(answer)}", how)


class _Apt:
    """apt on lists, archives and a lock of its own."""

    def __init__(self, part: str, how: str, status: Path) -> None:
        self._part, self._how = part, how
        self._base = cache.directory() / "apt"
        (self._base / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        options = {
            "Dir::State": self._base,
            "Dir::State::lists": self._base / "lists",
            "Dir::State::extended_states": self._base / "extended_states",
            "Dir::State::status": status,
            "Dir::Cache": self._base / "cache",
            "Dir::Log": self._base / "log",
            "Debug::NoLocking": "1",
            "APT::Sandbox::User": "root",  # the user `_apt` cannot write to our directory
            "APT::Get::List-Cleanup": "0",
            "Acquire::Retries": "3",
        }
        self._options = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]

    def update(self) -> None:
        """Fetch the lists of packages."""
        self._apt("update", what="reading the lists of packages")

    def version(self, package: str) -> str:
        """The version that would be fetched."""
        answer = self._apt("install", "--simulate", "--reinstall", package, what=f"looking up {package}")
        found = re.search(rf"^Inst {re.escape(package)}(?::\w+)? (?:\[[^\]]*\] )?\((\S+)", answer, re.MULTILINE)
        if found is None:
            raise Missing(self._part, f"apt would not install {package}: {answer.strip()[-300:]}", self._how)
        return found[1]

    def download(self, directory: Path, packages: Sequence[str]) -> None:
        """Fetch the packages and what they need and the system lacks, as .deb files into ``directory``."""
        (directory / "partial").mkdir(parents=True, exist_ok=True)
        self._apt(
            "install",
            "--download-only",
            "--yes",
            "--reinstall",
            "-o",
            f"Dir::Cache::archives={directory}",
            *packages,
            what=f"fetching {' '.join(packages)}",
        )

    def _apt(self, command: str, *arguments: str, what: str) -> str:
        answer = _run(["apt-get", "-q", "--no-install-recommends", *self._options, command, *arguments])
        if answer.returncode:
            raise Missing(self._part, f"{what} with apt-get failed: {_last_lines(answer)}", self._how)
        return answer.stdout


def _fill(directory: Path, apt: _Apt, packages: Sequence[str]) -> None:
    archives = directory / ".archives"
    apt.download(archives, packages)
    for archive in sorted(archives.glob("*.deb")):
        _run(["dpkg-deb", "-x", str(archive), str(directory)]).check_returncode()
    shutil.rmtree(archives)
    for link in [path for path in directory.rglob("*") if path.is_symlink()]:
        # An absolute link means the system's file; where only the tree has it, point into the tree.
        target = link.readlink()
        inside = directory / target.relative_to("/") if target.is_absolute() else target
        if target.is_absolute() and not target.exists() and (inside.exists() or inside.is_symlink()):
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))


def _run(command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env={**os.environ, "LC_ALL": "C", **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no end after {_TIMEOUT} s")


def _last_lines(answer: subprocess.CompletedProcess[str]) -> str:
    return " ".join((answer.stderr or answer.stdout).strip().splitlines()[-3:])[-400:]
