"""Under real servers that fork and spawn: gunicorn and uvicorn workers, and ``opentelemetry-instrument`` without any code."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.unit.sdk.sdk_support import Collector, closed_port, collector, texts, until

FLASK = """
    import os
    import flask
    import telemetry
    telemetry.configure("charges", "api", "fra")
    app = flask.Flask("charges")

    @app.get("/v1/pid/<x>")
    def pid(x):
        return str(os.getpid())

    app.wsgi_app = telemetry.WSGIMiddleware(app.wsgi_app)
"""
FASTAPI = """
    import os
    from fastapi import FastAPI
    import telemetry
    telemetry.configure("charges", "api", "fra")
    app = FastAPI()

    @app.get("/v1/pid/{x}")
    async def pid(x: str):
        return os.getpid()

    app = telemetry.ASGIMiddleware(app)
"""
ADDED = FASTAPI.replace("app = telemetry.ASGIMiddleware(app)", "app.add_middleware(telemetry.ASGIMiddleware)")
DJANGO = """
    import os
    import django
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path
    import telemetry
    telemetry.configure("charges", "api", "fra")
    urlpatterns = [path("v1/pid/<x>", lambda _, x: HttpResponse(str(os.getpid())))]
    settings.configure(ROOT_URLCONF="service", ALLOWED_HOSTS=["*"], SECRET_KEY="x", MIDDLEWARE=[])
    app = telemetry.ASGIMiddleware(get_asgi_application())
"""
NO_CODE_FLASK = """
    import os
    import flask
    app = flask.Flask("charges")

    @app.get("/v1/pid/<x>")
    def pid(x):
        return str(os.getpid())
"""
NO_CODE_FASTAPI = """
    import os
    from fastapi import FastAPI
    app = FastAPI()

    @app.get("/v1/pid/{x}")
    async def pid(x: str):
        return os.getpid()
"""
GUNICORN = "-m gunicorn --workers 2 --bind 127.0.0.1:{port} --log-level error --graceful-timeout 5"
UVICORN = "-m uvicorn --port {port} --log-level error --timeout-graceful-shutdown 5"
SERVERS = {
    "gunicorn": (FLASK, f"{GUNICORN} service:app"),
    "gunicorn, preload": (FLASK, f"{GUNICORN} --preload service:app"),
    "gunicorn, threads": (FLASK, f"{GUNICORN} --worker-class gthread --threads 4 --preload service:app"),
    "gunicorn, uvicorn's worker": (FASTAPI, f"{GUNICORN} --worker-class uvicorn_worker.UvicornWorker service:app"),
    "gunicorn, uvicorn's worker, preload": (
        FASTAPI,
        f"{GUNICORN} --worker-class uvicorn_worker.UvicornWorker --preload service:app",
    ),
    "uvicorn": (FASTAPI, f"{UVICORN} service:app"),
    "uvicorn, FastAPI's own spans": (ADDED, f"{UVICORN} service:app"),
    "uvicorn, Django": (DJANGO, f"{UVICORN} service:app"),
    "uvicorn, two workers": (FASTAPI, f"{UVICORN} --workers 2 service:app"),
}


@contextmanager
def serving(folder: Path, code: str, command: list[str], url: str, **environment: str) -> Iterator[None]:
    """A server that runs ``code``, until the block ends; then it is asked to stop, as an orchestrator does."""
    (folder / "service.py").write_text(textwrap.dedent(code))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    path = os.pathsep.join((str(folder), str(Path(__file__).parents[3])))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**clean, "PYTHONPATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until(lambda: _answers(url) or process.poll() is not None, 60)
        assert process.poll() is None, process.communicate()[0].decode()
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            out, _ = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            out, _ = process.communicate()
            raise AssertionError(f"the server did not stop: {out.decode()}") from None
        assert b"Traceback" not in out, out.decode()


def _answers(url: str) -> bool:
    try:
        # Long: a server that listens before its workers are there answers late, and a probe that gave up counts, too.
        return httpx.get(f"{url}/v1/pid/0", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def check(here: Collector, asked: int, workers: int) -> None:
    """Every request is there once, with its route, from as many instances as there were workers."""
    hops = [span for span in here.spans() if span.kind == 2]
    assert len(hops) == asked, "lost or doubled"
    assert len({span.span_id for span in hops}) == len(hops)
    assert {texts(span.attributes)["http.route"] for span in hops} <= {"/v1/pid/<x>", "/v1/pid/{x}"}
    assert len({one["service.instance.id"] for one in here.resources()}) == workers
    assert {one["service.name"] for one in here.resources()} == {"charges"}


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
@pytest.mark.parametrize("server", SERVERS)
def test_every_worker_sends_its_own(tmp_path: Path, server: str) -> None:
    """Nothing is lost at the end, nothing is sent twice, and each worker is an instance of its own."""
    code, command = SERVERS[server]
    workers = 1 if command.startswith("-m uvicorn") and "--workers" not in command else 2
    port = closed_port()
    url = f"http://127.0.0.1:{port}"
    words = [sys.executable, *command.format(port=port).split()]
    with collector() as here:
        asked = 1
        with serving(tmp_path, code, words, url, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, OTEL_METRICS_EXPORTER="none"):
            pids: set[str] = set()
            while len(pids) < workers or asked < 20:
                pids.add(httpx.get(f"{url}/v1/pid/{asked}").text)
                asked += 1
                assert asked < 500, "one of the workers never answers"
        check(here, asked, workers)


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
@pytest.mark.parametrize(
    ("code", "command"),
    [
        (NO_CODE_FLASK, f"{GUNICORN} service:app"),
        (NO_CODE_FASTAPI, f"{UVICORN} service:app"),
    ],
    ids=["flask, gunicorn", "fastapi, uvicorn"],
)
def test_a_service_without_any_code(tmp_path: Path, code: str, command: str) -> None:
    """``opentelemetry-instrument`` finds our entry points: resource, redaction, current conventions, one span a request."""
    port = closed_port()
    url = f"http://127.0.0.1:{port}"
    instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    words = [instrument, sys.executable, *command.format(port=port).split()]
    with collector() as here:
        asked = 1
        with serving(
            tmp_path,
            code,
            words,
            url,
            OTEL_EXPORTER_OTLP_ENDPOINT=here.url,
            OTEL_SERVICE_NAME="charges",
            OTEL_RESOURCE_ATTRIBUTES="edgepath.tier=api,edgepath.pop=fra",
        ):
            while asked < 20:
                httpx.get(f"{url}/v1/pid/4111111111111111")
                asked += 1
        spans = here.spans()
        assert [span.kind for span in spans] == [2] * asked
        assert {one["edgepath.tier"] for one in here.resources()} == {"api"}
        attributes = {pair.key: pair.value for pair in spans[-1].attributes}
        assert attributes["http.response.status_code"].int_value == 200
        assert attributes["http.route"].string_value in ("/v1/pid/<x>", "/v1/pid/{x}")
        assert b"4111111111111111" not in b"".join(body for _, body, _ in here.bodies)
        assert "http.server.request.duration" in here.metric_names()
