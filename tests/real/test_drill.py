"""``edgepath slo drill`` through real parts: receiver, Kafka, consumer, ClickHouse, watcher, Alertmanager, a webhook."""

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.store.address import ServerAddress
from telemetry.store.server import ServerStore
from tests.real.parts.alertmanager import Alertmanager
from tests.unit.alerts.http_receiver import Receiver, receiving, until

EDGEPATH = [sys.executable, "-c", "from telemetry.cli import main; main()"]


@contextmanager
def running(folder: Path, name: str, ready: str, *arguments: str, **variables: str) -> Iterator[Path]:
    """A command of ours as a process, from when it says that it is ready; its log."""
    log = folder / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen([*EDGEPATH, *arguments], env={**os.environ, **variables}, stdout=out, stderr=out)
        try:
            until(lambda: ready in log.read_text(), 90)
            yield log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def drill(otlp: str, url: str, timeout: str, alertmanager: str = "") -> tuple[int, dict[str, object]]:
    """Exit status, and what it told."""
    command = [*EDGEPATH, "slo", "drill", "--otlp", otlp, "--clickhouse", url, "--timeout", timeout, "--json"]
    command += ["--alertmanager", alertmanager] if alertmanager else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    return done.returncode, json.loads(done.stdout)


def left(url: str) -> list[int]:
    """Rows of drills in the tables that people look at."""
    store = ServerStore(ServerAddress.parse(url))
    try:
        tables = ("request_paths", "path_1m", "hop_1m", "sli_1m")
        return [
            int(store.query(f"SELECT count() FROM {t} WHERE environment = 'edgepath-drill'").scalar()) for t in tables
        ]
    finally:
        store.close()


def test_a_drill_arrives_and_is_timed_and_leaves_nothing(
    kafka_broker: KafkaBroker, clickhouse_url: str, tmp_path: Path
) -> None:
    """And without a watcher it does not arrive, says at which leg it was lost, and exits with 1."""
    topic = f"spans-{uuid.uuid4().hex[:8]}"
    kafka = ["--kafka", kafka_broker.bootstrap, "--topic", topic]
    receive = ["receive", *kafka, "--metrics-topic", f"{topic}-m", "--grpc-port", "0", "--http-port", "0"]
    with ExitStack() as stack:
        receiver: Receiver = stack.enter_context(receiving())
        passed_on: Receiver = stack.enter_context(receiving())
        manager = Alertmanager(tmp_path / "alertmanager", f"{passed_on.url}/hook")
        stack.callback(manager.stop)
        manager.start()
        log = stack.enter_context(running(tmp_path, "receive", "receiving OTLP", *receive))
        found = re.search(r"(http://\S+)/v1/traces", log.read_text())
        assert found is not None
        consume = ["consume", *kafka, "--group", topic, "--clickhouse", clickhouse_url]
        stack.enter_context(running(tmp_path, "consume", "consuming", *consume))
        watch = ["watch", "--clickhouse", clickhouse_url, "--state", str(tmp_path / "s.json"), "--interval", "1"]
        told_to = {"EDGEPATH_WEBHOOK": f"{receiver.url}/hook", "EDGEPATH_ALERTMANAGER": manager.url}
        with running(tmp_path, "watch", "watching", *watch, "--no-watchdog", **told_to):
            status, told = drill(found[1], clickhouse_url, "4m", manager.url)
            assert (status, told["arrived"]) == (0, True), told
            until(lambda: len(receiver.taken) == 2, 30)
            until(lambda: [b["status"] for b in passed_on.taken] == ["firing", "resolved"], 60)
            receiver.answers = [(404, {})]
            status, refusal = drill(found[1], clickhouse_url, "4m")
            assert (status, refusal["arrived"]) == (1, False)
            legs = refusal["legs"]
            assert isinstance(legs, list)
            assert (legs[-1]["leg"], legs[-1]["seconds"]) == ("taken by every receiver", None)
            assert legs[-1]["detail"].endswith("answered 404"), "and which receiver it was"
            receiver.answers.clear()
        legs = told["legs"]
        assert isinstance(legs, list)
        seconds = [leg["seconds"] for leg in legs]
        assert seconds == sorted(seconds)
        assert [leg["leg"] for leg in legs][-2:] == ["shown by Alertmanager", "resolved and told"]
        assert len(legs) == 7
        assert passed_on.taken[0]["commonLabels"]["drill"] == "true"
        assert [(b["kind"], b["slo"], b["drill"]) for b in receiver.taken[:2]] == [
            ("trigger", "edgepath-drill", True),
            ("resolve", "edgepath-drill", True),
        ]
        assert receiver.taken[0]["summary"].startswith("DRILL PAGE edgepath-drill drill-")
        assert left(clickhouse_url) == [0, 0, 0, 0]

        status, told = drill(found[1], clickhouse_url, "25s")
        assert (status, told["arrived"]) == (1, False)
        legs = told["legs"]
        assert isinstance(legs, list)
        assert legs[-1] == {"leg": "decided by a watcher", "seconds": None, "detail": ""}
        assert left(clickhouse_url) == [0, 0, 0, 0]
