"""A real Envoy edge in front of a real Envoy balancer: what their tracer sends, and how it connects.

``EDGEPATH_WRITE_FIXTURES=1`` writes tests/data/envoy_spans.json anew from what these Envoys sent.
"""

import base64
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from telemetry.demo import envoy
from telemetry.demo.envoy import Address, EnvoySettings, Upstream
from telemetry.demo.processes import LOOPBACK, Processes, Program, free_addresses, reserve
from telemetry.vocabulary import SpanKind
from tests.real.parts import envoy as real_envoy
from tests.real.parts.otlp_collector import Collector

pytestmark = [pytest.mark.real, pytest.mark.timeout(60)]

FIXTURE = Path(__file__).parent.parent / "data" / "envoy_spans.json"
OK_TRACE, MISSING_TRACE, REFUSED_TRACE = ("a" * 31 + digit for digit in "123")
CLIENT_SPAN = "c" * 16


class Api(BaseHTTPRequestHandler):
    """An upstream that knows one path and says what traceparent it got."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers.get("traceparent", "").encode()
        self.send_response(200 if self.path == "/v1/balance" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Edge:
    """The edge and the balancer, both running."""

    address: Address
    endpoints_file: Path
    balancer: Address
    configurations: tuple[Path, ...]

    def get(self, path: str, trace: str) -> httpx.Response:
        """Ask the edge, as a client's span that is already under way."""
        return httpx.get(
            f"http://{self.address}{path}", headers={"traceparent": f"00-{trace}-{CLIENT_SPAN}-01"}, timeout=30
        )


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """A running collector."""
    running = Collector()
    yield running
    running.close()
    if os.environ.get("EDGEPATH_WRITE_FIXTURES") == "1":
        traces = {"ok": OK_TRACE, "not_found": MISSING_TRACE, "connection_refused": REFUSED_TRACE}
        FIXTURE.write_text(json.dumps({"made_by": _version(), "traces": _fixture(running, traces)}, indent=1) + "\n")


@pytest.fixture(scope="module")
def edge(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """client -> Envoy (edge, PoP fra) -> Envoy (balancer) -> a small upstream."""
    folder = tmp_path_factory.mktemp("envoy")
    binary = real_envoy.binary()
    api = ThreadingHTTPServer((LOOPBACK, 0), Api)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    edge_address, balancer_address = free_addresses(2)
    upstreams = {"edge": balancer_address, "balancer": Address(LOOPBACK, api.server_port)}
    listens = {"edge": edge_address, "balancer": balancer_address}
    processes = Processes()
    try:
        for tier, listen in listens.items():
            (folder / tier).mkdir()
            settings = EnvoySettings(
                service=f"{tier}-proxy",
                tier=tier,
                pop="fra" if tier == "edge" else "core",
                region="eu-central-1",
                environment="test",
                listen=listen,
                collector=collector.address,
                endpoints_file=folder / tier / "endpoints.json",
                flush_interval_ms=100,
            )
            envoy.write_endpoints(settings.endpoints_file, [Upstream(upstreams[tier])])
            config = folder / f"{tier}.json"
            config.write_text(envoy.configuration(settings))
            command = envoy.envoy_command(binary, config, folder / f"{tier}.log")
            processes.start(Program(tier, command, folder / f"{tier}.out", ready=(listen,)))
        processes.wait_ready(20)
        yield Edge(
            edge_address,
            folder / "edge" / "endpoints.json",
            balancer_address,
            (folder / "edge.json", folder / "balancer.json"),
        )
    finally:
        processes.close()
        api.shutdown()
        api.server_close()


def test_envoy_accepts_the_configuration(edge: Edge) -> None:
    """``envoy --mode validate`` finds no fault, and no field is deprecated."""
    for config in edge.configurations:
        command = [str(real_envoy.binary()), "--mode", "validate", "--config-path", str(config)]
        run = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert run.returncode == 0, run.stderr
        assert "eprecated" not in run.stderr


def test_spans_connect_from_client_to_upstream(edge: Edge, collector: Collector) -> None:
    """Each Envoy sends an inbound and an outbound span; each hangs on the one before, the client's included."""
    response = edge.get("/v1/balance", OK_TRACE)
    spans = collector.wait_for(OK_TRACE, 4)
    assert response.status_code == 200
    assert [one.place for one in spans] == [
        ("edge", SpanKind.SERVER),
        ("edge", SpanKind.CLIENT),
        ("balancer", SpanKind.SERVER),
        ("balancer", SpanKind.CLIENT),
    ]
    parents = [CLIENT_SPAN, *(one.span.span_id.hex() for one in spans[:-1])]
    assert [one.span.parent_span_id.hex() for one in spans] == parents
    assert response.text == f"00-{OK_TRACE}-{spans[-1].span.span_id.hex()}-01"


def test_resource_names_service_tier_pop_and_region(edge: Edge, collector: Collector) -> None:
    """The static resource detector carries what assembling needs."""
    edge.get("/v1/balance", OK_TRACE)
    first = collector.wait_for(OK_TRACE, 4)[0]
    expected = {
        "service.name": "edge-proxy",
        "edgepath.tier": "edge",
        "edgepath.pop": "fra",
        "cloud.region": "eu-central-1",
        "deployment.environment.name": "test",
    }
    assert {key: first.resource.get(key) for key in expected} == expected


def test_a_404_of_the_upstream_is_a_span_error_in_envoy(edge: Edge, collector: Collector) -> None:
    """Why an outcome must not be read from the span status: Envoy's outbound span of a 404 is an error."""
    assert edge.get("/v1/unknown", MISSING_TRACE).status_code == 404
    spans = collector.wait_for(MISSING_TRACE, 4)
    assert {one.attributes["http.status_code"] for one in spans} == {"404"}
    assert {one.attributes["response_flags"] for one in spans} == {"-"}


def test_a_dead_upstream_gives_503_and_flag_uf_and_mends(edge: Edge, collector: Collector) -> None:
    """The demo's incident: the edge is given a port where nothing listens, and later the balancer again."""
    dead = reserve()
    try:
        envoy.write_endpoints(edge.endpoints_file, [Upstream(Address(LOOPBACK, dead.getsockname()[1]))])
        assert _until_status(edge, 503)
        assert edge.get("/v1/balance", REFUSED_TRACE).status_code == 503
        spans = collector.wait_for(REFUSED_TRACE, 2)
        assert [one.place for one in spans] == [("edge", SpanKind.SERVER), ("edge", SpanKind.CLIENT)]
        assert spans[0].attributes["response_flags"] == "UF"
        assert spans[0].attributes["http.status_code"] == "503"
        envoy.write_endpoints(edge.endpoints_file, [Upstream(edge.balancer)])
        assert _until_status(edge, 200)
    finally:
        envoy.write_endpoints(edge.endpoints_file, [Upstream(edge.balancer)])
        dead.close()


def _fixture(collector: Collector, traces: dict[str, str]) -> dict[str, Any]:
    fixture = {}
    for name, trace in traces.items():
        seen = set()
        request = ExportTraceServiceRequest()
        readable = []
        for sent in collector.traces()[trace]:
            if sent.place in seen:  # the first request of a trace id is enough
                continue
            seen.add(sent.place)
            resource_spans = request.resource_spans.add(resource=sent.from_resource)
            resource_spans.scope_spans.add().spans.append(sent.span)
            readable.append(
                {
                    "resource": sent.resource,
                    "name": sent.span.name,
                    "kind": SpanKind(sent.span.kind).name,
                    "span_id": sent.span.span_id.hex(),
                    "parent_span_id": sent.span.parent_span_id.hex(),
                    "duration_ns": sent.span.end_time_unix_nano - sent.span.start_time_unix_nano,
                    "status_code": sent.span.status.code,
                    "attributes": sent.attributes,
                }
            )
        raw = base64.b64encode(request.SerializeToString()).decode()
        fixture[name] = {"trace_id": trace, "otlp_base64": raw, "spans": readable}
    return fixture


def _version() -> str:
    run = subprocess.run(
        [str(real_envoy.binary()), "--version"], capture_output=True, text=True, timeout=30, check=True
    )
    return "envoy " + run.stdout.strip().rpartition("version: ")[2].split("/")[1]


def _until_status(edge: Edge, status: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if httpx.get(f"http://{edge.address}/v1/balance").status_code == status:
            return True
        time.sleep(0.05)
    return False
