"""The recipes for NGINX and HAProxy with ``edgepath adapt``: real proxies, the real command, spans as a collector gets them."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.real.parts import proxies
from tests.real.parts.processes import Process, free_ports
from tests.unit.sdk.sdk_support import Collector, collector, texts, until

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]

DEPLOY = Path(__file__).parents[2] / "deploy"
COMMAND = [sys.executable, "-c", "from telemetry.cli.adapt import adapt; adapt(prog_name='edgepath adapt')"]
TRACE, SPAN = "d" * 32, "e" * 16


class Api(BaseHTTPRequestHandler):
    """Answers with the trace context that it got; knows busy and slow paths."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.headers.get("traceparent", "").encode()
        self.send_response(503 if self.path.startswith("/busy") else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


class Proxy(NamedTuple):
    """A running proxy behind which the API stands; its spans come to ``here``."""

    url: str
    here: Collector
    dead: int

    def spans(self, trace: str, count: int) -> list[Span]:
        """The spans of a trace, once there are so many, the inbound one first."""

        def found() -> list[Span]:
            return [span for span in self.here.spans() if span.trace_id.hex() == trace]

        until(lambda: len(found()) >= count, 20)
        return sorted(found(), key=lambda span: (span.kind, span.start_time_unix_nano))


@pytest.fixture(scope="module")
def api() -> Iterator[int]:
    """The port of an upstream."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=["nginx", "haproxy"])
def proxy(request: pytest.FixtureRequest, api: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Each of the two with its recipe, and the adapter beside it."""
    folder = tmp_path_factory.mktemp(request.param)
    (port,) = free_ports(1)
    dead = socket.socket()  # bound, not listening: connections are refused
    dead.bind(("127.0.0.1", 0))
    with collector() as here:
        options = [
            "--listen",
            "127.0.0.1:0",
            "--otlp",
            here.url,
            "--service",
            request.param,
            "--tier",
            "edge",
            "--pop",
            "fra",
        ]
        with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True) as adapter:
            assert adapter.stdout is not None
            syslog = re.search(r"syslog on 127\.0\.0\.1:(\d+)", adapter.stdout.readline())
            assert syslog is not None
            make = _nginx if request.param == "nginx" else _haproxy
            process = make(folder, port, api, dead.getsockname()[1], int(syslog[1]))
            url = f"http://127.0.0.1:{port}"
            try:
                process.wait_ready(lambda: _answers(url), 20)
                yield Proxy(url, here, dead.getsockname()[1])
            finally:
                process.stop()
                adapter.send_signal(signal.SIGTERM)
                out = adapter.stdout.read()
                assert adapter.wait(20) == 0
                assert "malformed" not in out, out
                dead.close()


def _nginx(folder: Path, port: int, api: int, dead: int, syslog: int) -> Process:
    program, variables = proxies.nginx()
    recipe = (DEPLOY / "nginx" / "edgepath.conf").read_text()
    assert recipe.count("127.0.0.1:5514") == 1
    (folder / "edgepath.conf").write_text(recipe.replace("127.0.0.1:5514", f"127.0.0.1:{syslog}"))
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    passing = "proxy_set_header traceparent $edgepath_traceparent; proxy_set_header tracestate $http_tracestate;"
    assert "\n#   set $edgepath_tenant $http_x_tenant_id;" in recipe
    (folder / "nginx.conf").write_text(
        f"""{user} daemon off; pid {folder}/pid; worker_processes 1; error_log stderr;
        events {{ worker_connections 256; }}
        http {{ {temporary} include edgepath.conf;
        upstream gateway {{ server 127.0.0.1:{api}; }}
        upstream half {{ server 127.0.0.1:{dead} max_fails=0; server 127.0.0.1:{api} backup; }}
        server {{ listen 127.0.0.1:{port}; {passing}
          location / {{ proxy_pass http://gateway; }}
          location /for {{ set $edgepath_tenant $http_x_tenant_id; proxy_pass http://gateway; }}
          location /v1/charges/ {{ set $edgepath_route "/v1/charges/{{id}}"; proxy_pass http://gateway; }}
          location /half {{ proxy_pass http://half; }}
          location /dead {{ proxy_pass http://127.0.0.1:{dead}; }} }} }}"""
    )
    command: list[str | Path] = [program, "-e", "stderr", "-p", folder, "-c", folder / "nginx.conf"]
    return Process("NGINX", command, folder / "nginx.log", env=variables)


def _haproxy(folder: Path, port: int, api: int, dead: int, syslog: int) -> Process:
    program, variables = proxies.haproxy()
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text()
    routes = (
        "http-request set-var(txn.route) str(/v1/charges/{id}) if { path_beg /v1/charges/ }\n"
        "    use_backend dead if { path_beg /dead }\n"
    )
    for there, here in (
        ("127.0.0.1:5514", f"127.0.0.1:{syslog}"),
        # The optional line, for some paths only.
        (
            "# http-request set-var(txn.tenant) req.hdr(x-tenant-id)   #",
            "http-request set-var(txn.tenant) req.hdr(x-tenant-id) if { path_beg /for }   #",
        ),
        ("0.0.0.0:10000", f"127.0.0.1:{port}"),
        ("gateway.internal:8080", f"127.0.0.1:{api}"),
        ("    default_backend gateways\n", f"    {routes}    default_backend gateways\n"),
    ):
        assert text.count(there) == 1
        text = text.replace(there, here)
    text += f"\nbackend dead\n    retries 1\n    server dead 127.0.0.1:{dead}\n"
    (folder / "haproxy.cfg").write_text(text)
    return Process("HAProxy", [program, "-db", "-f", folder / "haproxy.cfg"], folder / "haproxy.log", env=variables)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/", timeout=5).status_code == 200
    except httpx.TransportError as error:
        raise OSError(str(error)) from error


def number(span: Span, name: str) -> int:
    """An attribute that is a number; 0 if it is not there."""
    return next((pair.value.int_value for pair in span.attributes if pair.key == name), 0)


def test_a_request_of_a_client_with_a_trace(proxy: Proxy) -> None:
    """Inbound span under the caller's, attempt under it, and the next hop gets the attempt's id."""
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "ot=th:8", "user-agent": "t/1"}
    answer = httpx.get(f"{proxy.url}/v1/charges/ch_7?secret=1", headers=headers)
    inbound, outbound = proxy.spans(TRACE, 2)
    assert (inbound.kind, outbound.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert inbound.parent_span_id.hex() == SPAN
    assert outbound.parent_span_id == inbound.span_id
    assert answer.text == f"00-{TRACE}-{outbound.span_id.hex()}-01"
    assert inbound.name == "GET /v1/charges/{id}"
    assert {inbound.trace_state, outbound.trace_state} == {"ot=th:8"}
    said = texts(inbound.attributes)
    assert said["url.path"] == "/v1/charges/ch_7"
    assert said["http.route"] == "/v1/charges/{id}"
    assert said["client.address"] == "127.0.0.1"
    assert said["user_agent.original"] == "t/1"
    assert number(inbound, "http.response.status_code") == number(outbound, "http.response.status_code") == 200
    assert inbound.start_time_unix_nano <= outbound.start_time_unix_nano <= outbound.end_time_unix_nano
    assert outbound.end_time_unix_nano <= inbound.end_time_unix_nano
    assert {one["edgepath.tier"] for one in proxy.here.resources()} == {"edge"}
    assert b"secret=1" not in b"".join(body for _, body, _ in proxy.here.bodies)


def test_a_trace_begins_here_if_the_client_has_none(proxy: Proxy) -> None:
    """Fresh ids of the right lengths, other ones each time."""
    contexts = [httpx.get(f"{proxy.url}/v1/x").text.split("-") for _ in range(5)]
    assert len({trace for _, trace, _, _ in contexts}) == 5
    for _, trace, attempt, flags in contexts:
        assert (len(trace), len(attempt), flags) == (32, 16, "01")
        inbound, outbound = proxy.spans(trace, 2)
        assert inbound.parent_span_id == b""
        assert outbound.span_id.hex() == attempt
        assert outbound.span_id != inbound.span_id


def test_a_trace_that_is_not_kept_makes_no_spans(proxy: Proxy) -> None:
    """The flag goes on to the next hop."""
    trace = "a" * 32
    headers = {"traceparent": f"00-{trace}-{SPAN}-00"}
    assert httpx.get(f"{proxy.url}/v1/x", headers=headers).text.endswith("-00")
    later = httpx.get(f"{proxy.url}/v1/x").text.split("-")[1]
    proxy.spans(later, 2)
    assert not [span for span in proxy.here.spans() if span.trace_id.hex() == trace]


def test_what_is_no_trace_context_is_not_passed_on(proxy: Proxy) -> None:
    """A hostile header begins a trace of its own."""
    answer = httpx.get(f"{proxy.url}/v1/x", headers={"traceparent": '00-zz"}{-1-01'})
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", answer.text)


def test_an_error_of_the_next_hop(proxy: Proxy) -> None:
    """Both spans say 503."""
    trace = "b" * 32
    assert httpx.get(f"{proxy.url}/busy", headers={"traceparent": f"00-{trace}-{SPAN}-01"}).status_code == 503
    for span in proxy.spans(trace, 2):
        assert number(span, "http.response.status_code") == 503
        assert span.status.code == 2


def test_a_next_hop_that_is_not_there(proxy: Proxy) -> None:
    """The proxy's own error, with the attempt that failed."""
    trace = "c" * 32
    status = httpx.get(f"{proxy.url}/dead", headers={"traceparent": f"00-{trace}-{SPAN}-01"}).status_code
    assert status in (502, 503)
    inbound, *outbound = proxy.spans(trace, 2)
    assert number(inbound, "http.response.status_code") == status
    assert inbound.status.code == 2
    assert outbound[0].status.code == 2
    assert number(outbound[0], "server.port") == proxy.dead


def test_retries(proxy: Proxy, request: pytest.FixtureRequest) -> None:
    """NGINX says of each try where it went and what came of it; HAProxy how many there were."""
    trace = "f" * 32
    headers = {"traceparent": f"00-{trace}-{SPAN}-01"}
    if "haproxy" in request.node.name:
        assert httpx.get(f"{proxy.url}/dead", headers=headers).status_code == 503
        _, attempt = proxy.spans(trace, 2)
        assert number(attempt, "http.request.resend_count") == 1
        return
    answer = httpx.get(f"{proxy.url}/half", headers=headers)
    assert answer.status_code == 200
    inbound, first, second = proxy.spans(trace, 3)
    assert number(first, "server.port") == proxy.dead
    assert first.status.code == 2
    assert number(second, "http.request.resend_count") == 1
    assert number(second, "http.response.status_code") == 200
    assert answer.text == f"00-{trace}-{second.span_id.hex()}-01"
    assert inbound.status.code == 0


@pytest.mark.parametrize("path", ["/v1/cards/4111111111111111", "/v1/cards/4111%201111%201111%201111", '/v1/"}{"x'])
def test_card_numbers_and_hostile_paths(proxy: Proxy, path: str) -> None:
    """Taken out before anything is sent; what would break the line does not."""
    trace = f"{abs(hash(path)) % 10**30:032d}"
    httpx.get(f"{proxy.url}{path}", headers={"traceparent": f"00-{trace}-{SPAN}-01"})
    (inbound, *_) = proxy.spans(trace, 2)
    assert "4111" not in texts(inbound.attributes)["url.path"]


@pytest.mark.parametrize(
    ("nth", "path", "header", "tenant"),
    [
        (1, "/for", "acct_1", "acct_1"),
        (2, "/for", "", None),
        (3, "/for", '4111111111111111"}{', '[card]"}{'),
        (4, "/for", "sk_" + "live_abcdefghijklmnop1234", "[secret]"),
        (5, "/v1/x", "acct_1", None),
    ],
)
def test_tenants(proxy: Proxy, nth: int, path: str, header: str, tenant: str | None) -> None:
    """On whose behalf a request came, by a header where that was asked for; redacted before it is sent."""
    trace = f"7e{nth:030d}"
    headers = {"traceparent": f"00-{trace}-{SPAN}-01", **({"x-tenant-id": header} if header else {})}
    assert httpx.get(f"{proxy.url}{path}", headers=headers).status_code == 200
    (inbound, *_) = proxy.spans(trace, 2)
    assert texts(inbound.attributes).get("edgepath.tenant") == tenant
