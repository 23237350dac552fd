"""The real parts themselves start, answer and end. The ClickHouse server has a file of its own."""

import http.client
import http.server
import json
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue

import pytest
from selenium import webdriver

from tests.real.parts import java
from tests.real.parts.alertmanager import Alertmanager
from tests.real.parts.chromium import console
from tests.real.parts.processes import Process


def test_the_browser_runs_a_page_and_tells_its_console(browser: webdriver.Chrome) -> None:
    """Scripts run, fonts give text a width, and an error in the page can be seen by a test."""
    browser.get("data:text/html,<title>edge</title><span id=s>a text</span><script>null.x</script>")
    assert browser.title == "edge"
    assert browser.find_element("id", "s").size["width"] > 10
    assert [entry["level"] for entry in console(browser)] == ["SEVERE"]


def test_alertmanager_sends_an_alert_on(tmp_path: Path) -> None:
    """What is posted to its API arrives at the webhook."""
    arrived: Queue[object] = Queue()

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            arrived.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as webhook:
        threading.Thread(target=webhook.serve_forever, daemon=True).start()
        part = Alertmanager(tmp_path, f"http://127.0.0.1:{webhook.server_port}/")
        try:
            part.start()
            connection = http.client.HTTPConnection("127.0.0.1", part.port, timeout=10)
            alert = {"labels": {"alertname": "EdgeErrors"}, "startsAt": datetime.now(UTC).isoformat()}
            connection.request("POST", "/api/v2/alerts", json.dumps([alert]), {"Content-Type": "application/json"})
            assert connection.getresponse().status == 200
            connection.close()
            page = arrived.get(timeout=30)
        finally:
            part.stop()
            webhook.shutdown()
    assert isinstance(page, dict)
    assert [each["labels"]["alertname"] for each in page["alerts"]] == ["EdgeErrors"]


def test_java_and_maven_are_new_enough() -> None:
    """What a real Kafka needs."""
    found = java.need()
    assert found.java.exists()
    assert found.mvn.exists()


def test_a_part_does_not_outlive_the_test_run(tmp_path: Path) -> None:
    """SIGKILL to the process that started a part ends the part."""
    script = f"""
        import pathlib, time
        from tests.real.parts.processes import Process
        part = Process("sleeper", ["/bin/sleep", "300"], pathlib.Path({str(tmp_path / "log")!r}))
        print(part.pid, flush=True)
        time.sleep(300)
    """
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, cwd=root) as run:
        assert run.stdout
        pid = int(run.stdout.readline())
        assert _alive(pid)
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def test_a_part_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    """The message has what the process wrote, so that a failure on CI can be understood."""
    part = Process("broken", ["/bin/sh", "-c", "echo no such port >&2; exit 3"], tmp_path / "log")
    with pytest.raises(RuntimeError, match=r"broken ended with code 3 at its start:\nno such port"):
        part.wait_ready(lambda: False, timeout=10)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
