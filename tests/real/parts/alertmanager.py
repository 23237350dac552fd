"""A real Prometheus Alertmanager: ``prometheus-alertmanager`` or ``alertmanager`` on PATH, else Debian's package unpacked."""

import http.client
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.real.parts import cache, debian
from tests.real.parts.processes import Process, free_ports

PART = "Alertmanager"
HOW = "install Alertmanager (Debian: apt-get install prometheus-alertmanager) so that it is on PATH"


# Where Debian's build looks for its templates, and the same number of bytes that names them relative to the tree's root.
_TEMPLATES = b"/usr/share/prometheus/alertmanager"
_RELATIVE = b"usr//share/prometheus/alertmanager"


def program() -> tuple[Path, Path]:
    """The program, and the directory to start it in.

    Raises:
        Missing: it is not on PATH and cannot be fetched.
    """
    for name in ("prometheus-alertmanager", "alertmanager"):
        if path := shutil.which(name):
            return Path(path), Path(path).parent
    root = debian.unpack(PART, HOW, "prometheus-alertmanager")
    relative = root / "usr" / "bin" / "alertmanager-relative"
    with cache.locked("alertmanager"):
        if not relative.exists():
            original = (root / "usr" / "bin" / "prometheus-alertmanager").read_bytes()
            unfinished = relative.with_suffix(".part")
            unfinished.write_bytes(original.replace(_TEMPLATES, _RELATIVE))
            unfinished.chmod(0o755)
            unfinished.rename(relative)
    return relative, root


class Alertmanager:
    """An Alertmanager of our own that sends what it gets to a webhook at once.

    Attributes:
        url: ``http://127.0.0.1:port``.
    """

    def __init__(self, directory: Path, webhook_url: str) -> None:
        self.directory = directory
        (self.port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self.port}"
        self._webhook = webhook_url
        self._process: Process | None = None

    def start(self, timeout: float = 30.0) -> "Alertmanager":
        """Start it and wait until it is ready.

        Raises:
            Missing: this machine cannot have one.
            RuntimeError: it did not come up; the message holds its log.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration: Mapping[str, Any] = {
            "route": {"receiver": "test", "group_by": ["..."], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "test", "webhook_configs": [{"url": self._webhook, "send_resolved": True}]}],
        }
        path = self.directory / "alertmanager.yml"
        path.write_text(json.dumps(configuration))  # JSON is YAML
        command, where = program()
        self._process = Process(
            PART,
            [
                command,
                f"--config.file={path}",
                f"--storage.path={self.directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
                "--cluster.listen-address=",
            ],
            self.directory / "output.log",
            cwd=where,
        )
        self._process.wait_ready(lambda: self.get("/-/ready")[0] == http.client.OK, timeout)
        return self

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET, e.g. of ``/api/v2/alerts``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """End it. Does nothing if it is not started."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it as a crash would (SIGKILL); what it has stored stays."""
        if self._process is not None:
            self._process.kill()
            self._process = None
