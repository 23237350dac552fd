"""``edgepath up --demo`` as a newcomer runs it, only shorter: every request a path, one page, nothing left running."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from telemetry.store import open_store

EDGEPATH = Path(sys.executable).with_name("edgepath")
PORTS = ("--grpc-port", "0", "--http-port", "0", "--web-port", "0")
IDENTITY = """
SELECT count(), countIf(
    toInt64(arraySum(hops.self_ns) + arraySum(hops.retry_ns) + arraySum(hops.network_ns)) + unattributed_ns
        != toInt64(total_ns))
FROM request_paths"""


def children(pid: int) -> list[int]:
    """Processes below ``pid``, all the way down."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid="],  # noqa: S607 - the ps of this machine
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    parents = {int(p): int(pp) for p, pp in (line.split() for line in listed.splitlines())}
    found, todo = [], [pid]
    while todo:
        below = [p for p, pp in parents.items() if pp == todo[0]]
        todo = todo[1:] + below
        found += below
    return found


@pytest.mark.timeout(200)
def test_demo_stores_every_request_and_pages_once_for_the_incident(tmp_path: Path) -> None:
    """The report's promises: none lost, none doubled, complete, the right page and no other; the time identity in SQL."""
    report = tmp_path / "report.json"
    done = subprocess.run(
        [
            *(
                EDGEPATH,
                "up",
                "--demo",
                "--for",
                "65s",
                "--incident-after",
                "20s",
                "--incident-for",
                "20s",
                "--rate",
                "15",
            ),
            *("--report", str(report), "--data", str(tmp_path / "data"), *PORTS),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(report.read_text())
    assert found["requests_sent"] > 500
    assert found["paths_stored"] == found["requests_sent"]
    assert found["paths_lost"] == found["paths_doubled"] == 0
    assert found["paths_complete"] >= 0.999 * found["requests_sent"]
    assert found["blamed"]["fra/edge"] > 10
    assert found["false_pages"] == 0
    (page,) = found["pages"]
    assert (page["slo"], page["pop"], page["tier"]) == ("edge-availability", "fra", "edge")
    assert 0 < page["seconds_to_page"] < 90
    assert page["seconds_to_resolve"] is not None
    for said in (
        "PAGE edge-availability fra",
        "RESOLVED edge-availability fra",
        "compressed",
        "/d/edgepath-overview?var-pop=fra",
    ):
        assert said in done.stdout

    # In a process of its own: this one's embedded engine is bound to another directory.
    asked = subprocess.run(
        [sys.executable, "-c", _ASK, str(tmp_path / "data"), IDENTITY],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    paths, broken = json.loads(asked.stdout)
    assert paths == found["requests_sent"]
    assert broken == 0


_ASK = f"""
import json, sys
from pathlib import Path
from {open_store.__module__} import open_store
print(json.dumps(open_store(data_dir=Path(sys.argv[1])).query(sys.argv[2]).rows[0]))
"""


_METRICS = """
import json, sys, time
from pathlib import Path
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as OverGrpc
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as OverHttp
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from telemetry.app.settings import UpSettings
from telemetry.app.up import Up

rows = "SELECT metric, value, topic FROM metric_points WHERE startsWith(metric, 'up.') ORDER BY metric, value"
with Up(UpSettings(Path(sys.argv[1]), grpc_port=0, http_port=0, web_port=0)) as up:
    where = dict(up.where)
    for exporter in (
        OverGrpc(endpoint="http://" + where["OTLP/gRPC"], insecure=True),
        OverHttp(endpoint=where["OTLP/HTTP"].split("/v1/")[0] + "/v1/metrics"),
    ):
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
        provider = MeterProvider([reader], shutdown_on_exit=False)
        provider.get_meter("test").create_counter("up." + type(exporter).__module__.split(".")[4]).add(7)
        assert provider.force_flush()
        provider.shutdown()
    deadline = time.monotonic() + 60
    while len(found := up.store.query(rows).rows) < 2 and time.monotonic() < deadline:
        up.check()
        time.sleep(0.1)
print(json.dumps(found))
"""


def test_metrics_are_stored_too(tmp_path: Path) -> None:
    """By gRPC and by HTTP, with the real exporters."""
    done = subprocess.run(
        [sys.executable, "-c", _METRICS, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == [[f"up.{way}", 7, "journal-metrics"] for way in ("grpc", "http")]


def test_interrupt_stops_everything_and_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C while the demo runs: it ends well, in bounded time, and so do all its children."""
    process = subprocess.Popen(
        [EDGEPATH, "up", "--demo", "--data", str(tmp_path), *PORTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        output = ""
        while "Ctrl-C stops everything" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        page = re.search(r"dashboards\s+(http://\S+)", output)
        assert page is not None
        assert httpx.get(page[1] + "healthz", timeout=10).status_code == 200
        fleet = children(process.pid)
        assert len(fleet) >= 6
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0, output + rest
    assert "nothing is left running" in rest
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in fleet):
        time.sleep(0.1)
    assert not [pid for pid in fleet if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("option", ["--grpc-port", "--http-port", "--web-port"])
def test_a_port_in_use_is_one_line_that_names_the_mend(tmp_path: Path, option: str) -> None:
    """What says so names the port and the option that changes it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = {**dict(zip(PORTS[::2], PORTS[1::2], strict=True)), option: port}
        arguments = [word for pair in ports.items() for word in pair]
        done = subprocess.run(
            [EDGEPATH, "up", "--data", str(tmp_path), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    (line,) = [said for said in done.stderr.splitlines() if said.startswith("Error")]
    assert port in line
    assert option in line
    assert "Traceback" not in done.stderr
