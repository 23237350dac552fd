"""Whatever the endpoint does, the service does not notice: no exception, no wait, a bounded exit, drops counted."""

import contextlib
import json
import socket
import threading

import pytest

from tests.unit.sdk.sdk_support import closed_port, endpoint, run

SERVICE = """
    import json, time
    import telemetry
    begun = time.perf_counter()
    handle = telemetry.configure("gateway", "gateway", "fra", exit_timeout=0.5)
    configured = time.perf_counter() - begun
    slowest = 0.0
    for number in range(1500):
        begun = time.perf_counter()
        with telemetry.hop(method="GET", route="/v1/x") as hop, telemetry.attempt("GET", "api") as attempt:
            attempt.headers()
            hop.status(200)
        slowest = max(slowest, time.perf_counter() - begun)
    begun = time.perf_counter()
    flushed = handle.force_flush(0.2)
    flush = time.perf_counter() - begun
    begun = time.perf_counter()
    handle.at_exit()
    print(json.dumps({
        "configured": configured, "slowest": slowest, "flushed": flushed, "flush": flush,
        "exit": time.perf_counter() - begun, "dropped": handle.dropped, "exported": handle.exported,
    }))
"""
QUICK = {"OTEL_BSP_MAX_QUEUE_SIZE": "1000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"}
HTTP_400 = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\n\xff\xff\xff"
HTTP_503 = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n"


def check(out: str) -> None:
    """The service saw nothing of it, and every span is accounted for."""
    result = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert result["slowest"] < 1  # the machine's own hiccups; a wait for the endpoint would be 10 s
    assert result["configured"] < 10  # imports, on a busy machine; a wait for the endpoint would come on top
    assert result["flush"] < 2
    assert result["exit"] < 3
    assert (result["dropped"], result["exported"]) == (3000, 0)
    assert "Traceback" not in out


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("answer", [None, b"\x00garbage\xff" * 50], ids=["hangs", "garbage"])
def test_an_endpoint_that_hangs_or_answers_garbage(protocol: str, answer: bytes | None) -> None:
    with endpoint(answer) as port:
        url = f"http://127.0.0.1:{port}"
        check(run(SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **QUICK))


@pytest.mark.parametrize("answer", [HTTP_400, HTTP_503], ids=["400", "503"])
def test_an_endpoint_that_refuses(answer: bytes) -> None:
    with endpoint(answer) as port:
        check(run(SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", **QUICK))


def test_an_endpoint_that_is_slow() -> None:
    """It takes everything, a byte at a time: what it has taken is exported, the rest is dropped, nothing waits for it."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    server = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(0.2)
                with contextlib.suppress(OSError):
                    while connection.recv(1 << 16):
                        pass
                for nth in range(len(answer)):
                    stop.wait(0.02)
                    with contextlib.suppress(OSError):
                        connection.sendall(answer[nth : nth + 1])

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        out = run(SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT=url, **QUICK)
    finally:
        stop.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
    result = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert result["slowest"] < 1
    assert result["flush"] < 2
    assert result["exit"] < 3
    assert result["dropped"] > 0
    assert result["dropped"] + result["exported"] == 3000


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_endpoint_that_is_not_there(protocol: str, host: str) -> None:
    url = f"http://{host}:{closed_port()}"
    check(run(SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_EXPORTER_OTLP_PROTOCOL=protocol, **QUICK))


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem", "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "x=\n\x7f,=,=b", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "soon", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"},
    ],
    ids=["certificate", "headers", "timeout"],
)
def test_settings_that_the_exporters_themselves_refuse(environment: dict[str, str]) -> None:
    check(run(SERVICE, **environment, **QUICK))
