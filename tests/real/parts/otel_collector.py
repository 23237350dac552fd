"""A real OpenTelemetry Collector: ``otelcol-contrib`` on PATH, or what its own builder makes of ``deploy/collector``.

Building takes minutes of one processor, once: the binary is kept in the cache by the content of that file.
"""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import httpx

from tests.real.parts import cache
from tests.real.parts.missing import Missing
from tests.real.parts.processes import Process, free_ports

RECIPE: Final = Path(__file__).parents[3] / "deploy" / "collector"
PART: Final = "OpenTelemetry Collector"
_HOW: Final = "install Go 1.25 or newer and let it reach a module proxy, or put otelcol-contrib on PATH"
_SECONDS: Final = 3000


def binary() -> Path:
    """The program.

    Raises:
        Missing: it is not there, and cannot be built.
    """
    if found := shutil.which("otelcol-contrib"):
        return Path(found)
    recipe = (RECIPE / "builder.yaml").read_text()
    name = f"otelcol-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    return cache.kept(name, lambda folder: _build(folder, recipe)) / "otelcol-edgepath"


def _build(folder: Path, recipe: str) -> None:
    go = shutil.which("go")
    if go is None:
        raise Missing(PART, "neither otelcol-contrib nor go is on PATH", _HOW)
    version = re.search(r"cmd/builder@(v[0-9.]+)", recipe)
    assert version is not None, "builder.yaml does not say with which builder"
    (folder / "builder.yaml").write_text(recipe)
    # A tree of its own beside the result: the sources are of no use afterwards.
    work = {"GOBIN": str(folder / ".bin"), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    _run([go, "install", f"go.opentelemetry.io/collector/cmd/builder@{version[1]}"], folder, work)
    _run([str(folder / ".bin" / "builder"), "--config", "builder.yaml", "--skip-strict-versioning"], folder, work)
    shutil.move(folder / "build" / "otelcol-edgepath", folder / "otelcol-edgepath")
    shutil.rmtree(folder / "build")
    shutil.rmtree(folder / ".bin")


def _run(command: list[str], folder: Path, variables: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Missing(PART, f"{Path(command[0]).name} did not end within {_SECONDS} s", _HOW) from error
    if done.returncode:
        last = " ".join(done.stderr.strip().splitlines()[-3:])[-400:]
        raise Missing(PART, f"{' '.join(Path(command[0]).name.split())} failed: {last}", _HOW)


class OtelCollector:
    """One running Collector with the recipe's configuration.

    Attributes:
        grpc: ``host:port`` of OTLP/gRPC.
        http: base URL of OTLP/HTTP.
    """

    def __init__(self, folder: Path, kafka: str, topic: str) -> None:
        grpc, http, self._health = free_ports(3)
        self.grpc, self.http = f"127.0.0.1:{grpc}", f"http://127.0.0.1:{http}"
        self._folder = folder
        self._variables = {
            "KAFKA": kafka,
            "TOPIC": topic,
            "METRICS_TOPIC": f"{topic}-metrics",
            "QUEUE": str(folder / "queue"),
            "GRPC": str(grpc),
            "HTTP": str(http),
            "HEALTH": str(self._health),
        }
        self._process: Process | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready. May be called again after :meth:`kill` or :meth:`stop`."""
        command: list[str | Path] = [binary(), "--config", RECIPE / "collector.yaml"]
        self._process = Process(PART, command, self._folder / "collector.log", env=self._variables)
        self._process.wait_ready(self._ready, 60)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._health}/", timeout=2).status_code == 200
        except httpx.TransportError as error:
            raise OSError(str(error)) from error

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop(20)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    def log(self) -> str:
        """The end of its log."""
        return "" if self._process is None else self._process.tail()
