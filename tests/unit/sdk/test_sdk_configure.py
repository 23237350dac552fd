"""configure(): what a service of its own sends, in a process of its own, to a real endpoint."""

import json
import sys

import pytest

from tests.unit.sdk.sdk_support import collector, grpc_collector, run

ONE_REQUEST = """
    import telemetry
    handle = telemetry.configure("gateway", "gateway", "fra", environment="test", region="eu", zone="eu-1a", version="7")
    with telemetry.hop(method="GET", route="/v1/x"):
        with telemetry.attempt("GET", "api"):
            pass
"""


def test_three_lines_send_spans_and_metrics_at_exit() -> None:
    """Also under ``-W error``: no warning of ours or our libraries' reaches the host."""
    with collector() as here:
        out = run(ONE_REQUEST, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
    assert out == ""
    assert [span.name for span in here.spans()] == ["GET", "GET /v1/x"]
    (resource,) = here.resources()
    assert resource.pop("service.instance.id")
    assert {name: value for name, value in resource.items() if not name.startswith("telemetry.")} == {
        "service.name": "gateway",
        "edgepath.tier": "gateway",
        "edgepath.pop": "fra",
        "deployment.environment.name": "test",
        "cloud.region": "eu",
        "cloud.availability_zone": "eu-1a",
        "service.version": "7",
    }
    assert here.metric_names() == {
        "http.server.request.duration",
        "http.server.active_requests",
        "http.client.request.duration",
        "edgepath.sdk.spans.dropped",
    }


def test_the_operators_variables_win_over_the_code() -> None:
    with collector() as here:
        run(
            ONE_REQUEST,
            OTEL_EXPORTER_OTLP_ENDPOINT=here.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-tenant=acme",
            OTEL_EXPORTER_OTLP_COMPRESSION="none",
            OTEL_SERVICE_NAME="gw",
            OTEL_RESOURCE_ATTRIBUTES="edgepath.pop=nyc,service.name=other,team=traffic",
            OTEL_METRICS_EXPORTER="none",
        )
    (resource,) = here.resources()
    assert (resource["service.name"], resource["edgepath.pop"], resource["team"]) == ("gw", "nyc", "traffic")
    assert here.metric_names() == set()
    assert {headers["x-tenant"] for _, _, headers in here.bodies} == {"acme"}


def test_grpc() -> None:
    environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_METRICS_EXPORTER": "none"}
    with grpc_collector() as here:
        run(ONE_REQUEST, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, **environment)
    (resource,) = here.resources()
    assert resource["edgepath.pop"] == "fra"
    assert [span.name for span in here.spans()] == ["GET", "GET /v1/x"]


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off", "OTEL_METRICS_EXPORTER": "none"},
    ],
)
def test_nothing_is_sent_when_told_so_and_context_still_passes_through(environment: dict[str, str]) -> None:
    code = """
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra")
        inbound = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}
        with telemetry.hop(method="GET", headers=inbound), telemetry.attempt("GET", "api") as attempt:
            print(attempt.headers()["traceparent"][:36])
        assert handle.force_flush(2)
    """
    with collector() as here:
        out = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, **environment)
    assert out == "00-4bf92f3577b34da6a3ce929d0e0e4736-\n"
    assert here.bodies == []


def test_bad_settings_are_logged_and_the_service_runs_with_the_defaults() -> None:
    code = """
        import logging
        logging.basicConfig(format="%(name)s %(message)s")
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra", zone=7)
        with telemetry.hop(method="GET", headers={"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}) as hop:
            assert hop.span.get_span_context().trace_id == int("1" * 32, 16)
        assert handle.force_flush(5) and handle.exported == 1
    """
    with collector() as here:
        out = run(
            code,
            OTEL_EXPORTER_OTLP_ENDPOINT=here.url,
            OTEL_PROPAGATORS="carrier-pigeon",
            OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="lots",
            OTEL_METRICS_EXEMPLAR_FILTER="sometimes",
            OTEL_BSP_MAX_QUEUE_SIZE="-3",
            OTEL_TRACES_SAMPLER="dice",
            OTEL_EXPORTER_OTLP_TIMEOUT="soon",
        )
    ours = [line for line in out.splitlines() if line.startswith("telemetry.sdk ")]
    for part in (
        "PROPAGATORS",
        "_LIMIT",
        "EXEMPLAR_FILTER",
        "MAX_QUEUE_SIZE",
        "OTLP_TIMEOUT",
        "cloud.availability_zone",
    ):
        assert sum(part in line for line in ours) == 1, out
    assert "Traceback" not in out


def test_a_second_configure_and_a_second_shutdown_are_harmless() -> None:
    code = """
        import telemetry
        first = telemetry.configure("a", "gateway", "fra")
        assert telemetry.configure("b", "api", "nyc") is first
        assert first.resource["service.name"] == "a"
        first.shutdown(1); first.shutdown(1)
        assert not first.force_flush(1) or first.exported == 0
        with telemetry.hop(method="GET"):
            pass
        assert first.dropped == 1
        again = telemetry.configure("c", "api", "nyc")
        assert again is not first and again.resource["service.name"] == "c"
    """
    run(code, OTEL_TRACES_EXPORTER="otlp", OTEL_METRICS_EXPORTER="none")


def test_a_hosts_own_providers_stay() -> None:
    code = """
        import logging
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        tracers, meters = TracerProvider(), MeterProvider()
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(meters)
        import telemetry
        handle = telemetry.configure("gateway", "gateway", "fra")
        assert trace.get_tracer_provider() is tracers and metrics.get_meter_provider() is meters
        with trace.get_tracer("host").start_as_current_span("outer"), telemetry.hop(method="GET"):
            pass
    """
    with collector() as here:
        out = run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
    assert "the host has a global TracerProvider" in out
    assert "the host has a global MeterProvider" in out
    assert [span.name for span in here.spans()] == ["GET"]


def test_without_a_host_the_providers_are_global_so_that_instrumentations_use_them() -> None:
    code = """
        import telemetry
        from opentelemetry import metrics, trace
        handle = telemetry.configure("gateway", "gateway", "fra")
        assert trace.get_tracer_provider() is handle.tracer_provider
        assert metrics.get_meter_provider() is handle.meter_provider
        with telemetry.hop(method="GET"), trace.get_tracer("httpx").start_as_current_span("call"):
            pass
    """
    with collector() as here:
        run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url)
    assert [span.name for span in here.spans()] == ["call", "GET"]


@pytest.mark.parametrize(("protocol", "unused"), [("http/protobuf", "grpc"), ("grpc", "requests")])
def test_import_is_lazy(protocol: str, unused: str) -> None:
    """Importing costs no exporter, no protobuf, nothing of the pipeline; not even OpenTelemetry's SDK."""
    code = """
        import json, sys
        import telemetry
        bare = set(sys.modules)
        telemetry.hop, telemetry.attempt, telemetry.ASGIMiddleware, telemetry.inject, telemetry.configure
        used = set(sys.modules)
        handle = telemetry.configure("gateway", "gateway", "fra")
        print(json.dumps([sorted(bare), sorted(used), sorted(sys.modules)]))
    """
    bare, used, configured = json.loads(run(code, OTEL_METRICS_EXPORTER="none", OTEL_EXPORTER_OTLP_PROTOCOL=protocol))
    assert not [name for name in bare if name.startswith("opentelemetry")]
    heavy = ("grpc", "requests", "google.protobuf", "opentelemetry.sdk", "opentelemetry.exporter")
    assert not [name for name in used if name.startswith(heavy)]
    pipeline = ("chdb", "kafka", "clickhouse_driver", "numpy", "click", "starlette", "httpx", "grafanalib")
    assert not [name for name in configured if name.startswith(pipeline)]
    assert unused not in configured
    ours = {name for name in configured if name.startswith("telemetry.")}
    assert all(name.split(".")[1] in ("vocabulary", "sdk", "redaction") for name in ours)


def test_public_names_are_closed() -> None:
    code = """
        import telemetry
        assert set(telemetry.__all__) <= set(dir(telemetry))
        for name in telemetry.__all__:
            assert getattr(telemetry, name).__name__ == name
        try:
            telemetry.nothing
        except AttributeError as error:
            assert "nothing" in str(error)
        else:
            raise SystemExit("an unknown name must not resolve")
        from telemetry import *
    """
    run(code)


@pytest.mark.skipif(sys.platform != "linux", reason="fork")
@pytest.mark.parametrize("before", ["", "with telemetry.hop('parent'): pass\nhandle.force_flush(5)"])
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_forked_worker_sends_its_own_spans_once(before: str, protocol: str) -> None:
    """As under gunicorn with preload: configured in the parent, before or after the parent has sent something."""
    code = f"""
import os, warnings
import telemetry
handle = telemetry.configure("gateway", "gateway", "fra")
{before}
with telemetry.hop("waiting"): pass
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of fork beside threads
child = os.fork()
with telemetry.hop("child" if child == 0 else "after"): pass
if child == 0:
    assert handle.force_flush(10)
    assert handle.exported == 1, handle.exported
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    environment = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_METRICS_EXPORTER": "none"}
    with grpc_collector() if protocol == "grpc" else collector() as here:
        run(code, OTEL_EXPORTER_OTLP_ENDPOINT=here.url, **environment)
    names = sorted(span.name for span in here.spans())
    assert names == sorted([*(["parent"] if before else []), "waiting", "after", "child"])
    instances = {r["service.instance.id"] for r in here.resources()}
    assert len(instances) == 2
