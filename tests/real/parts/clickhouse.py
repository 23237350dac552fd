"""A real ClickHouse server.

In this order: the server that ``CLICKHOUSE_URL`` names; a ``clickhouse`` or ``clickhouse-server`` binary on PATH; the npm
package ``@chdb/lib-linux-x64-gnu``, whose libchdb.so is a whole ClickHouse that can be told to listen (PyPI's chdb cannot).
"""

import base64
import hashlib
import http.client
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from clickhouse_driver import Client

from tests.real.parts import cache
from tests.real.parts.missing import Missing
from tests.real.parts.processes import Process, free_ports

PART = "ClickHouse server"
HOW = "install ClickHouse 25 or newer, or npm (Linux x86_64, glibc), or set CLICKHOUSE_URL=clickhouse://user:password@host:9000/"
PACKAGE = "@chdb/lib-linux-x64-gnu@26.7.3-stable.1"
SHA512 = "XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw=="
OLDEST = 25
LIFE_SECONDS = 3 * 3600
USER, PASSWORD = "edgepath", "edgepath-tests"

_CONFIG = """<clickhouse>
    <logger><level>warning</level><log>{directory}/server.log</log><errorlog>{directory}/error.log</errorlog></logger>
    <path>{directory}/data/</path>
    <listen_host>127.0.0.1</listen_host>
    <tcp_port>{tcp_port}</tcp_port>
    <http_port>{http_port}</http_port>
    <users_config>{directory}/users.xml</users_config>
    <user_directories><users_xml><path>{directory}/users.xml</path></users_xml></user_directories>
    <access_control_improvements><select_from_system_db_requires_grant>true</select_from_system_db_requires_grant><select_from_information_schema_requires_grant>true</select_from_information_schema_requires_grant></access_control_improvements>
    <mark_cache_size>67108864</mark_cache_size>
</clickhouse>
"""
# libchdb.so's own session is the user `default` without a password.
_USERS = """<clickhouse>
    <profiles><default/></profiles>
    <quotas><default/></quotas>
    <users>
        <default>
            <password/><networks><ip>127.0.0.1</ip><ip>::1</ip></networks><profile>default</profile><quota>default</quota>
        </default>
        <{user}>
            <password>{password}</password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota><access_management>1</access_management>
        </{user}>
        {more}
    </users>
</clickhouse>
"""
_FEW_RIGHTS = """<{name}>
            <password>{password}</password><networks><ip>127.0.0.1</ip></networks>
            <profile>default</profile><quota>default</quota><grants>{queries}</grants>
        </{name}>
"""


@dataclass(frozen=True)
class User:
    """A user who may do what the grants say, and nothing else.

    Attributes:
        name, password: who it is.
        grants: statements ``GRANT ... ON ...``, without ``TO``.
    """

    name: str
    password: str
    grants: tuple[str, ...]


def library() -> Path:
    """libchdb.so, fetched with ``npm pack`` (about 180 MB, 570 MB unpacked) and checked against its pinned SHA-512.

    Raises:
        Missing: not Linux on x86_64 with glibc, no npm, no registry, or another file than the pinned one.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc":
        raise Missing(PART, f"no ClickHouse on PATH, and {PACKAGE} does not run on this platform", HOW)
    return cache.kept("chdb-lib-26.7.3", _fetch_library) / "libchdb.so"


def fetch() -> None:
    """Have what a server needs, also where CLICKHOUSE_URL names one: some tests need one that they may kill.

    Raises:
        Missing: this machine cannot have it.
    """
    if binary() is None:
        library()


def _fetch_library(directory: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing(PART, "no ClickHouse and no npm on PATH", HOW)
    with_own_cache = {**os.environ, "npm_config_cache": str(directory / "npm"), "npm_config_update_notifier": "false"}
    try:
        subprocess.run(
            [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(directory)],
            env=with_own_cache,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise Missing(PART, f"npm pack {PACKAGE} failed: {error.stderr[-500:] or error.stdout[-500:]}", HOW) from error
    except subprocess.TimeoutExpired as error:
        raise Missing(PART, f"npm pack {PACKAGE} did not end within {error.timeout:.0f} s", HOW) from error
    (tarball,) = directory.glob("*.tgz")
    with tarball.open("rb") as handle:
        digest = base64.b64encode(hashlib.file_digest(handle, "sha512").digest()).decode()
    if digest != SHA512:
        raise Missing(PART, f"{PACKAGE} is not the pinned file: its SHA-512 is {digest}", HOW)
    with tarfile.open(tarball) as archive:
        archive.extract("package/libchdb.so", directory, filter="data")
    (directory / "package" / "libchdb.so").rename(directory / "libchdb.so")
    (directory / "package").rmdir()
    tarball.unlink()
    shutil.rmtree(directory / "npm", ignore_errors=True)


def binary() -> list[str] | None:
    """The command of a ClickHouse server on PATH that is new enough, or None."""
    for name, command in (("clickhouse", ["clickhouse", "server"]), ("clickhouse-server", ["clickhouse-server"])):
        if path := shutil.which(name):
            answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60, check=False).stdout
            version = re.search(r"version (\d+)\.", answer)
            if version and int(version[1]) >= OLDEST:
                return [path, *command[1:]]
    return None


def _few_rights(user: User) -> str:
    queries = "".join(f"<query>{grant}</query>" for grant in user.grants)
    return _FEW_RIGHTS.format(name=user.name, password=user.password, queries=queries)


class Server(Protocol):
    """A ClickHouse server that tests may use."""

    @property
    def url(self) -> str:
        """``clickhouse://user:password@host:port/database?http_port=port``."""
        ...


@dataclass(frozen=True)
class Given:
    """The server that ``CLICKHOUSE_URL`` names. It is not ours: tests make databases of their own in it."""

    url: str


class ClickHouseServer:
    """A ClickHouse server of our own in ``directory``; its data survive :meth:`kill` and :meth:`stop`.

    Attributes:
        tcp_port: port of the native protocol; stays the same over restarts.
        http_port: port of HTTP.
        url: ``clickhouse://user:password@127.0.0.1:port/default?http_port=port``.
    """

    def __init__(self, directory: Path, users: Sequence[User] = ()) -> None:
        self.directory = directory
        self._users = users
        self.tcp_port, self.http_port = free_ports(2)
        self.url = f"clickhouse://{USER}:{PASSWORD}@127.0.0.1:{self.tcp_port}/default?http_port={self.http_port}"
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The running process.

        Raises:
            RuntimeError: the server is not started.
        """
        if self._process is None:
            raise RuntimeError("the ClickHouse server is not started")
        return self._process

    def start(self, timeout: float = 60.0) -> "ClickHouseServer":
        """Start it and wait until it answers (half a second).

        Raises:
            Missing: this machine cannot have one.
            RuntimeError: it did not come up; the message holds its log.
        """
        command = binary()
        fields = {"directory": self.directory, "tcp_port": self.tcp_port, "http_port": self.http_port}
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        (self.directory / "config.xml").write_text(_CONFIG.format(**fields))
        (self.directory / "users.xml").write_text(
            _USERS.format(user=USER, password=PASSWORD, more="".join(map(_few_rights, self._users)))
        )
        config = f"--config-file={self.directory}/config.xml"
        self._process = Process(
            PART,
            [*command, config] if command else [*self._from_library(), config],
            self.directory / "output.log",
            cwd=self.directory,
        )
        self._process.wait_ready(self._answers, timeout)
        return self

    def _from_library(self) -> list[str]:
        listen = "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP"
        stay = (
            f"SELECT sleepEachRow(1) FROM numbers({LIFE_SECONDS}) FORMAT Null "
            "SETTINGS max_block_size = 1, function_sleep_max_microseconds_per_block = 0"
        )
        return [
            sys.executable,
            str(Path(__file__).with_name("clickhouse_serve.py")),
            str(library()),
            f"--path={self.directory}/data",
            "--listen_host=127.0.0.1",
            f"--tcp_port={self.tcp_port}",
            f"--http_port={self.http_port}",
            f"--query={listen}; {stay}",
        ]

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=5)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    def stop(self) -> None:
        """End it. Does nothing if it is not started."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self.process.kill()
        self._process = None


def connect(url: str) -> Client:
    """clickhouse-driver's own client for a URL of ours: it does not know our options."""
    return Client.from_url(urlsplit(url)._replace(query="").geturl())


@contextmanager
def database(url: str) -> Iterator[str]:
    """A new database on the server ``url``, dropped at the end; gives the URL that names it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    client = connect(url)
    client.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        client.execute(f"DROP DATABASE IF EXISTS {name} SYNC")
        client.disconnect()
