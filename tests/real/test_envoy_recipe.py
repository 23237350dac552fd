"""The recipe deploy/envoy/envoy.yaml, with nothing but its addresses replaced, in a real Envoy."""

import contextlib
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from telemetry.demo import envoy as demo
from telemetry.engine.metrics import MetricDecoder, MetricSettings
from telemetry.feeds.base import Record
from telemetry.feeds.otlp.redaction import scrub
from telemetry.vocabulary import ENVOY_LISTENER, ENVOY_REQUESTS, SpanKind
from tests.real.parts import envoy
from tests.real.parts.otlp_collector import Collector
from tests.real.parts.processes import Process, free_ports
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

RECIPE = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
TRACE, SPAN = "d" * 32, "e" * 16


class Api(BaseHTTPRequestHandler):
    """Answers with the trace context that it got."""

    def do_GET(self) -> None:
        body = self.headers.get("traceparent", "").encode()
        self.send_response(503 if self.path == "/busy" else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A running collector."""
    running = Collector()
    yield running
    running.close()


@pytest.fixture(scope="module")
def config(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The recipe with this machine's addresses, and the port on which it listens."""
    api = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=api.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    (port,) = free_ports(1)
    text = RECIPE.read_text()
    for there, here in (
        ("0.0.0.0, port_value: 10000", f"127.0.0.1, port_value: {port}"),
        ("stats_flush_interval: 30s", "stats_flush_interval: 1s"),
        ("gateway.internal, port_value: 8080", f"127.0.0.1, port_value: {api.server_port}"),
        ("otelcol.internal, port_value: 4317", f"{collector.address.host}, port_value: {collector.address.port}"),
    ):
        assert text.count(there) == 1
        text = text.replace(there, here)
    path = tmp_path_factory.mktemp("envoy-recipe") / "envoy.yaml"
    path.write_text(text)
    yield path, port
    api.shutdown()
    api.server_close()


def test_envoy_finds_no_fault(config: tuple[Path, int]) -> None:
    """``--mode validate``; nothing in it is deprecated."""
    command = [str(envoy.binary()), "--mode", "validate", "--config-path", str(config[0])]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert run.returncode == 0, run.stderr
    assert "eprecated" not in run.stderr


def test_it_sends_what_paths_are_made_of(config: tuple[Path, int], collector: Collector, tmp_path: Path) -> None:
    """Inbound and outbound span that hang together, the resource with tier, PoP and zone, and the response flags."""
    path, port = config
    with serving(path, port, tmp_path) as url:
        headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-tenant-id": "acct_1"}
        answer = httpx.get(f"{url}/v1/balance", headers=headers)
        inbound, outbound = collector.wait_for(TRACE, 2)
        wait_until(
            lambda: counted(collector).get(("production", "edge", "fra", "edge", "cumulative", True), 0.0) >= 2, 20
        )
    assert [one.place for one in (inbound, outbound)] == [("edge", SpanKind.SERVER), ("edge", SpanKind.CLIENT)]
    assert inbound.span.parent_span_id.hex() == SPAN
    assert outbound.span.parent_span_id == inbound.span.span_id
    assert answer.text == f"00-{TRACE}-{outbound.span.span_id.hex()}-01"
    wanted = {
        "service.name": "edge-proxy",
        "edgepath.pop": "fra",
        "cloud.region": "eu-central-1",
        "cloud.availability_zone": "eu-central-1a",
        "deployment.environment.name": "production",
    }
    assert {key: inbound.resource.get(key) for key in wanted} == wanted
    assert inbound.attributes["response_flags"] == "-"
    assert inbound.attributes["http.status_code"] == "200"
    assert "edgepath.tenant" not in {**inbound.attributes, **outbound.attributes}, "nobody asked for it"


@contextlib.contextmanager
def serving(path: Path, port: int, folder: Path) -> Iterator[str]:
    """The URL of an Envoy with a configuration, as long as the block lasts."""
    process = Process("Envoy", demo.envoy_command(envoy.binary(), path, folder / "envoy.log"), folder / "envoy.out")
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_ready(lambda: _answers(url), 20)
        yield url
    finally:
        process.stop()


def test_tenants_by_a_header_if_asked_for(config: tuple[Path, int], collector: Collector, tmp_path: Path) -> None:
    """With the optional lines: who sends the header has a tenant, who does not has none; and it is redacted as all text is."""
    path, port = config
    text, taken_in = re.subn(
        r"(?m)^( +)# (custom_tags:|  - tag: edgepath.tenant|    request_header: .*)$", r"\1\2", path.read_text()
    )
    assert taken_in == 3
    (tmp_path / "envoy.yaml").write_text(text)
    traces = {"1" * 32: "acct_1", "2" * 32: None, "3" * 32: "4111111111111111"}
    with serving(tmp_path / "envoy.yaml", port, tmp_path) as url:
        for trace, tenant in traces.items():
            headers = {"traceparent": f"00-{trace}-{SPAN}-01", **({"x-tenant-id": tenant} if tenant else {})}
            assert httpx.get(f"{url}/v1/balance", headers=headers).status_code == 200
        for trace, tenant in traces.items():
            inbound, outbound = collector.wait_for(trace, 2)
            assert (inbound.attributes.get("edgepath.tenant"), outbound.attributes.get("edgepath.tenant")) == (
                tenant,
                tenant,
            )
    kept = b"".join(map(scrub, collector.bodies))
    assert b"acct_1" in kept
    assert b"[card]" in kept
    assert b"4111111111111111" not in kept


def counted(collector: Collector) -> dict[tuple[object, ...], float]:
    """What Envoy has counted of requests, as it would be stored; the newest values."""
    now = time.time_ns() // 1_000_000
    records = [Record(0, number, now, body) for number, body in enumerate(collector.metrics)]
    return {
        (
            *(row[name] for name in ("environment", "tier", "pop")),
            dict(row["attributes"])[ENVOY_LISTENER],
            *(row[name] for name in ("temporality", "is_monotonic")),
        ): row["value"]
        for row in MetricDecoder(MetricSettings()).decode(records).rows.to_pylist()
        if row["metric"] == ENVOY_REQUESTS
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/", timeout=5).status_code == 200
    except httpx.TransportError as error:
        raise OSError(str(error)) from error
