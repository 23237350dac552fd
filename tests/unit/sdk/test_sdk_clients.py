"""Outgoing calls of real client libraries become attempts, by OpenTelemetry's own instrumentations; none of them twice."""

import json

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.unit.sdk.sdk_support import collector, grpc_collector, run

# A server that answers what tracing headers it got; a service that calls it within a hop.
SERVICE = """
    import asyncio, json, sys, threading, warnings
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import telemetry
    handle = telemetry.configure("gateway", "gateway", "fra"{more})
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            got.append(dict(self.headers))
            self.send_response(503 if self.path.startswith("/v1/busy") else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={{"poll_interval": 0.02}}, daemon=True).start()
    url = f"http://127.0.0.1:{{server.server_port}}/v1"
    with telemetry.hop(method="GET", route="/v1/x") as hop:
{body}
        hop.status(200)
    server.shutdown()
    server.server_close()
    print(json.dumps([headers.get("traceparent", headers.get("Traceparent")) for headers in got]))
"""
BODIES = {
    "httpx": """
        import httpx
        with httpx.Client() as client:
            client.get(url + "/busy?token=secret")
            client.get(url + "/cards/4111111111111111")
    """,
    "httpx, async": """
        import httpx
        async def main():
            async with httpx.AsyncClient() as client:
                await client.get(url + "/busy?token=secret")
                await client.get(url + "/cards/4111111111111111")
        asyncio.run(main())
    """,
    "requests": """
        import requests
        with requests.Session() as session:
            session.get(url + "/busy?token=secret")
            session.get(url + "/cards/4111111111111111")
    """,
    "aiohttp": """
        import aiohttp
        async def main():
            async with aiohttp.ClientSession() as session:
                async with session.get(url + "/busy?token=secret"): pass
                async with session.get(url + "/cards/4111111111111111"): pass
        asyncio.run(main())
    """,
}


def service(body: str, more: str = "") -> str:
    """The code of a service."""
    return SERVICE.format(body=body, more=more)


@pytest.mark.parametrize("library", BODIES)
def test_calls_are_attempts(library: str) -> None:
    """A try and its retry: two CLIENT spans with current attributes, children of the hop, whose ids the server got."""
    with collector() as here:
        out = run(service(BODIES[library]), OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
        got = json.loads(out.splitlines()[-1])
        (hop,), attempts = here.spans(Span.SPAN_KIND_SERVER), here.spans(Span.SPAN_KIND_CLIENT)
        assert [span.parent_span_id for span in attempts] == [hop.span_id] * 2
        assert got == [f"00-{span.trace_id.hex()}-{span.span_id.hex()}-03" for span in attempts]
        attributes = [{pair.key: pair.value for pair in span.attributes} for span in attempts]
        assert [one["http.response.status_code"].int_value for one in attributes] == [503, 200]
        assert {one["http.request.method"].string_value for one in attributes} == {"GET"}
        body = b"".join(body for _, body, _ in here.bodies)
        assert b"4111111111111111" not in body
        assert b"token=secret" not in body
        assert "http.client.request.duration" in here.metric_names()


@pytest.mark.parametrize("library", BODIES)
def test_within_an_attempt_there_is_no_second_one(library: str) -> None:
    """The service says itself what an attempt is; the instrumentation keeps out of it, headers included."""
    body = BODIES[library].replace("\n        ", "\n            ")
    within = f"        with telemetry.attempt('GET', url) as attempt:\n            attempt.headers()\n{body}"
    with collector() as here:
        out = run(service(within), OTEL_EXPORTER_OTLP_ENDPOINT=here.url, OTEL_METRICS_EXPORTER="none")
        assert json.loads(out.splitlines()[-1]) == [None, None]
        assert len(here.spans(Span.SPAN_KIND_CLIENT)) == 1


@pytest.mark.parametrize("more", [", instrument=False", ", instrument=['requests']"])
def test_only_what_was_asked_for(more: str) -> None:
    """``instrument=`` names libraries, or switches all of them off."""
    with collector() as here:
        out = run(service(BODIES["httpx"], more), OTEL_EXPORTER_OTLP_ENDPOINT=here.url, OTEL_METRICS_EXPORTER="none")
        assert json.loads(out.splitlines()[-1]) == [None, None]
        assert [span.kind for span in here.spans()] == [2]


def test_grpc_calls_are_attempts() -> None:
    """A unary call, and what the exporter itself sends over gRPC makes no spans."""
    code = """
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra")
        import grpc
        with telemetry.hop(method="GET", route="/v1/x"):
            with grpc.insecure_channel("127.0.0.1:9") as channel:
                try:
                    channel.unary_unary("/ledger.Ledger/Post")(b"", timeout=5)
                except grpc.RpcError:
                    pass
        assert handle.force_flush(10)
    """
    environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_METRICS_EXPORTER": "none"}
    with grpc_collector() as here:
        run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, **environment)
        attempt, hop = here.spans()
        assert (attempt.name, attempt.kind) == ("/ledger.Ledger/Post", 3)
        assert attempt.parent_span_id == hop.span_id


def test_a_library_that_is_not_used_is_not_imported() -> None:
    """Installed and instrumented when it comes; not before."""
    code = """
        import sys
        import telemetry
        telemetry.configure("gateway", "gateway", "fra")
        assert not {"httpx", "aiohttp", "grpc"} & set(sys.modules)
    """
    run(code, OTEL_METRICS_EXPORTER="none")


def test_a_bad_name_is_said_and_a_broken_instrumentation_does_no_harm() -> None:
    """The call goes through without its attempt."""
    code = service(BODIES["httpx"], ", instrument=['httpx', 'carrier-pigeon']").replace(
        "    got = []",
        """    got = []
    import logging
    logging.basicConfig(format="%(message)s")
    from opentelemetry.instrumentation import httpx as broken
    broken.HTTPXClientInstrumentor._instrument = lambda *_, **__: 1 / 0""",
    )
    with collector() as here:
        out = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, OTEL_METRICS_EXPORTER="none")
    assert "carrier-pigeon" in out
    assert out.splitlines()[-1] == "[null, null]" or "[null, null]" in out
