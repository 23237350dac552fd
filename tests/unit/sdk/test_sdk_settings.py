"""The standard variables: what each means, and that a bad one is said once and replaced by its default."""

import pytest

from telemetry.sdk.settings import Settings, read

OTLP = "OTEL_EXPORTER_OTLP_"


def settings(**environment: str) -> tuple[Settings, list[str]]:
    """The settings of ``environment``, and what was complained about."""
    said: list[str] = []
    return read(environment, said.append), said


def test_defaults() -> None:
    """OpenTelemetry specification, environment variables."""
    asked, said = settings()
    assert said == []
    assert not asked.disabled
    assert asked.traces.enabled
    assert asked.traces.protocol == "http/protobuf"
    assert asked.traces.endpoint == "http://localhost:4318/v1/traces"
    assert asked.metrics.endpoint == "http://localhost:4318/v1/metrics"
    assert (asked.traces.timeout, asked.traces.compression) == (10, "none")
    assert (asked.queue_size, asked.batch_size, asked.schedule_delay, asked.metric_interval) == (2048, 512, 5, 60)


@pytest.mark.parametrize(
    ("environment", "protocol", "endpoint"),
    [
        ({f"{OTLP}ENDPOINT": "http://c:4318/"}, "http/protobuf", "http://c:4318/v1/traces"),
        ({f"{OTLP}ENDPOINT": "https://c/otlp"}, "http/protobuf", "https://c/otlp/v1/traces"),
        ({f"{OTLP}TRACES_ENDPOINT": "http://c:1/x"}, "http/protobuf", "http://c:1/x"),
        ({f"{OTLP}ENDPOINT": "http://c:4317"}, "grpc", "http://c:4317"),
        ({f"{OTLP}ENDPOINT": "c:4317"}, "grpc", "c:4317"),
        ({f"{OTLP}PROTOCOL": "grpc"}, "grpc", "http://localhost:4317"),
        ({f"{OTLP}PROTOCOL": "grpc", f"{OTLP}TRACES_PROTOCOL": "http/protobuf"}, "http/protobuf", None),
        ({f"{OTLP}ENDPOINT": "http://c:4317", f"{OTLP}PROTOCOL": "http/protobuf"}, "http/protobuf", None),
        ({"OTEL_TRACES_EXPORTER": "otlp_proto_grpc"}, "grpc", None),
    ],
)
def test_endpoint_and_protocol(environment: dict[str, str], protocol: str, endpoint: str | None) -> None:
    asked, said = settings(**environment)
    assert said == []
    assert asked.traces.protocol == protocol
    assert endpoint is None or asked.traces.endpoint == endpoint


@pytest.mark.parametrize(("value", "seconds"), [("10000", 10), ("250", 0.25), ("10", 10), ("2.5", 2.5)])
def test_a_timeout_is_in_milliseconds_unless_that_would_be_absurd(value: str, seconds: float) -> None:
    asked, _ = settings(**{f"{OTLP}TIMEOUT": value})
    assert asked.traces.timeout == seconds


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (f"{OTLP}ENDPOINT", "not a url"),
        (f"{OTLP}ENDPOINT", "http://"),
        (f"{OTLP}ENDPOINT", "ftp://host/"),
        (f"{OTLP}ENDPOINT", "http://host:port/"),
        (f"{OTLP}ENDPOINT", "http://[::1/"),
        (f"{OTLP}TRACES_ENDPOINT", "http://host:99999/"),
        (f"{OTLP}PROTOCOL", "http/json"),
        (f"{OTLP}TIMEOUT", "soon"),
        (f"{OTLP}TIMEOUT", "-1"),
        (f"{OTLP}TRACES_TIMEOUT", "nan"),
        (f"{OTLP}COMPRESSION", "zip"),
        (f"{OTLP}METRICS_TEMPORALITY_PREFERENCE", "sometimes"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "1.5"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "many"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
        ("OTEL_BSP_SCHEDULE_DELAY", ""),
        ("OTEL_BSP_SCHEDULE_DELAY", "inf"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "-5"),
        ("OTEL_SDK_DISABLED", "1"),
    ],
)
def test_a_bad_value_is_said_and_replaced_by_the_default(name: str, value: str) -> None:
    asked, said = settings(**{name: value})
    expected = settings()[0]
    if value == "4096":
        assert asked.batch_size == asked.queue_size == 2048
    else:
        assert asked == expected
    assert bool(said) is (value != "")
    assert all(line.startswith((name, f"{OTLP}ENDPOINT")) for line in said)


@pytest.mark.parametrize("name", [f"{OTLP}ENDPOINT", f"{OTLP}PROTOCOL", f"{OTLP}TIMEOUT", "OTEL_SDK_DISABLED"])
def test_what_is_said_does_not_hold_the_value(name: str) -> None:
    _, said = settings(**{name: "http://user:s3cret@[bad"})
    assert said
    assert "s3cret" not in str(said)


def test_off() -> None:
    asked, said = settings(OTEL_SDK_DISABLED="TRUE", OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="None")
    assert said == []
    assert (asked.disabled, asked.traces.enabled, asked.metrics.enabled) == (True, False, False)
