"""The standard ``OTEL_*`` variables, read once. What cannot be used is logged once and replaced by its default.

Source: OpenTelemetry specification, "Environment Variable Specification" and "OpenTelemetry Protocol Exporter".
"""

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final, Literal, cast
from urllib.parse import urlsplit

Protocol = Literal["grpc", "http/protobuf"]
Histogram = Literal["base2_exponential_bucket_histogram", "explicit_bucket_histogram"]
Warn = Callable[[str], None]

_PROTOCOLS: Final = ("grpc", "http/protobuf")
_TEMPORALITIES: Final = ("cumulative", "delta", "lowmemory")
# opentelemetry-python's own names for one exporter a protocol.
_EXPORTERS: Final = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}
_HISTOGRAMS: Final = ("base2_exponential_bucket_histogram", "explicit_bucket_histogram")
_COMPRESSIONS: Final = ("none", "gzip", "deflate")
_PREFIX: Final = "OTEL_EXPORTER_OTLP_"


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how one signal is sent. ``endpoint`` is the full URL for HTTP; ``timeout`` in seconds."""

    enabled: bool
    protocol: Protocol
    endpoint: str
    timeout: float
    compression: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment asks for. Times in seconds; ``sampler`` is empty if nothing was asked for."""

    disabled: bool
    traces: Target
    metrics: Target
    queue_size: int
    batch_size: int
    schedule_delay: float
    metric_interval: float
    temporality: str
    histogram: Histogram
    sampler: str
    ratio: float


class _Reader:
    def __init__(self, environment: Mapping[str, str], warn: Warn) -> None:
        self.environment = environment
        self.warn = warn

    def text(self, *names: str) -> tuple[str, str]:
        """The first of ``names`` that is set and not empty, and its value; two empty strings if none is."""
        for name in names:
            value = self.environment.get(name, "").strip()
            if value:
                return name, value
        return "", ""

    def choice(self, default: str, allowed: tuple[str, ...], *names: str) -> str:
        name, value = self.text(*names)
        if not value or value.lower() in allowed:
            return value.lower() or default
        self.warn(f"{name} must be one of {', '.join(allowed)}; using {default}")
        return default

    def number(self, default: float, *names: str) -> float:
        """A positive, finite number."""
        name, value = self.text(*names)
        if not value:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number) and number > 0:
            return number
        self.warn(f"{name} must be a number above 0; using {default:g}")
        return default

    def ratio(self, name: str) -> float:
        """A number of 0 to 1; 1 if there is none."""
        _, value = self.text(name)
        if not value:
            return 1.0
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if 0 <= number <= 1:
            return number
        self.warn(f"{name} must be a number from 0 to 1; using 1")
        return 1.0

    def whole(self, default: int, name: str) -> int:
        number = self.number(default, name)
        if number == int(number):
            return int(number)
        self.warn(f"{name} must be a whole number; using {default}")
        return default

    def flag(self, name: str) -> bool:
        """True only for ``true``, as the specification says; anything but ``false`` is worth a warning."""
        return self.choice("false", ("true", "false"), name) == "true"

    def exporter(self, name: str) -> str:
        return self.choice("otlp", ("otlp", "none", *_EXPORTERS), name)

    def endpoint(self, signal: str) -> tuple[str, bool]:
        """The endpoint, or an empty string, and whether it was given for this signal alone."""
        own = f"{_PREFIX}{signal}_ENDPOINT"
        for name in (own, f"{_PREFIX}ENDPOINT"):
            _, value = self.text(name)
            if not value:
                continue
            if _usable(value):
                return value, name == own
            self.warn(f"{name} is no http:// or https:// URL with a host; using the default endpoint")
        return "", False

    def target(self, signal: str) -> Target:
        endpoint, own = self.endpoint(signal)
        # An endpoint on gRPC's well-known port, or without a scheme, says which protocol is meant.
        guess = "grpc" if endpoint and ("://" not in endpoint or urlsplit(endpoint).port == 4317) else "http/protobuf"
        exporter = self.exporter(f"OTEL_{signal}_EXPORTER")
        guess = _EXPORTERS.get(exporter, guess)
        protocol = cast("Protocol", self.choice(guess, _PROTOCOLS, f"{_PREFIX}{signal}_PROTOCOL", f"{_PREFIX}PROTOCOL"))
        if protocol == "grpc":
            endpoint = endpoint or "http://localhost:4317"
        else:
            if endpoint and "://" not in endpoint:
                self.warn(f"{_PREFIX}ENDPOINT is no http:// or https:// URL with a host; using the default endpoint")
                endpoint, own = "", False
            endpoint = endpoint or "http://localhost:4318"
            if not own:
                endpoint = f"{endpoint.rstrip('/')}/v1/{signal.lower()}"
        timeout = self.number(10_000, f"{_PREFIX}{signal}_TIMEOUT", f"{_PREFIX}TIMEOUT")
        return Target(
            enabled=exporter != "none",
            protocol=protocol,
            endpoint=endpoint,
            # The specification says milliseconds, opentelemetry-python reads seconds; nobody means 10 ms, or 100 s.
            timeout=timeout / 1000 if timeout >= 100 else timeout,
            compression=self.choice("none", _COMPRESSIONS, f"{_PREFIX}{signal}_COMPRESSION", f"{_PREFIX}COMPRESSION"),
        )


def _usable(endpoint: str) -> bool:
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"http://{endpoint}")
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not any(map(str.isspace, endpoint))


def read(environment: Mapping[str, str], warn: Warn) -> Settings:
    """The settings that ``environment`` holds; ``warn`` gets one line for each that cannot be used.

    Values are never part of the lines: headers and endpoints may hold secrets.
    """
    reader = _Reader(environment, warn)
    queue_size = reader.whole(2048, "OTEL_BSP_MAX_QUEUE_SIZE")
    batch_size = reader.whole(512, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE")
    if batch_size > queue_size:
        if reader.text("OTEL_BSP_MAX_EXPORT_BATCH_SIZE")[1]:
            warn("OTEL_BSP_MAX_EXPORT_BATCH_SIZE is above OTEL_BSP_MAX_QUEUE_SIZE; using the queue's size")
        batch_size = queue_size
    return Settings(
        disabled=reader.flag("OTEL_SDK_DISABLED"),
        traces=reader.target("TRACES"),
        metrics=reader.target("METRICS"),
        queue_size=queue_size,
        batch_size=batch_size,
        schedule_delay=reader.number(5000, "OTEL_BSP_SCHEDULE_DELAY") / 1000,
        metric_interval=reader.number(60_000, "OTEL_METRIC_EXPORT_INTERVAL") / 1000,
        temporality=reader.choice("cumulative", _TEMPORALITIES, f"{_PREFIX}METRICS_TEMPORALITY_PREFERENCE"),
        histogram=cast(
            "Histogram", reader.choice(_HISTOGRAMS[0], _HISTOGRAMS, f"{_PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION")
        ),
        sampler=reader.text("OTEL_TRACES_SAMPLER")[1].lower(),
        ratio=reader.ratio("OTEL_TRACES_SAMPLER_ARG") if "ratio" in reader.text("OTEL_TRACES_SAMPLER")[1] else 1.0,
    )


# What OpenTelemetry's own code reads, some of it while it is imported, and raises on.
_LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)
_TIMEOUTS: Final = tuple(f"{_PREFIX}{signal}TIMEOUT" for signal in ("", "TRACES_", "METRICS_"))
_FILTERS: Final = ("trace_based", "always_on", "always_off")


def repair(environment: MutableMapping[str, str], warn: Warn) -> None:
    """Take out of ``environment`` what OpenTelemetry's own code would raise on, with one line for each."""
    bad = [(name, "a whole number of at least 0") for name in _LIMITS if not _whole(environment.get(name, ""))]
    bad += [(name, "a number") for name in _TIMEOUTS if not _number(environment.get(name, "0"))]
    name = "OTEL_METRICS_EXEMPLAR_FILTER"
    if environment.get(name, _FILTERS[0]) not in _FILTERS:
        bad.append((name, f"one of {', '.join(_FILTERS)}"))
    for name, wanted in bad:
        warn(f"{name} must be {wanted}; using the default")
        del environment[name]


def _whole(value: str) -> bool:
    value = value.strip()
    return not value or (value.isascii() and value.isdigit())


def _number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
