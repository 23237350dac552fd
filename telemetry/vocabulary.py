"""The closed vocabulary: every name that leaves the process stands here and nowhere else.

Attribute names are OpenTelemetry semantic conventions where one exists (https://opentelemetry.io/docs/specs/semconv/);
``edgepath.*`` is ours. Where two generations of a convention are in use, the current name comes first.
Imports nothing but the standard library: the SDK uses it.
"""

from enum import IntEnum, StrEnum
from typing import Final

# --- resource attributes ------------------------------------------------------------------------------------------------

TIER: Final = "edgepath.tier"
POP: Final = "edgepath.pop"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ENVIRONMENT: Final = ("deployment.environment.name", "deployment.environment")
REGION: Final = ("cloud.region",)
ZONE: Final = ("cloud.availability_zone", "zone")

# --- span attributes (current name first) -------------------------------------------------------------------------------

METHOD: Final = ("http.request.method", "http.method")
STATUS: Final = ("http.response.status_code", "http.status_code")
ROUTE: Final = ("http.route",)
TENANT: Final = ("edgepath.tenant",)
URL_PATH: Final = ("url.path", "http.target")
URL_FULL: Final = ("url.full", "http.url")
ERROR_TYPE: Final = ("error.type",)
RESPONSE_FLAGS: Final = ("response_flags", "envoy.response_flags")
CLIENT_ADDRESS: Final = ("client.address", "http.client_ip", "peer.address")
# A CLIENT span with one of these is a call beside the way (a database, a queue), never an attempt to reach the API.
SIDE_CALL: Final = ("db.system.name", "db.system", "messaging.system")
RESEND_COUNT: Final = "http.request.resend_count"


class SpanKind(IntEnum):
    """OTLP ``Span.SpanKind`` (opentelemetry-proto, trace.proto)."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Tier(StrEnum):
    """Where in the way a component stands, in the order in which a request meets them."""

    CLIENT = "client"
    EDGE = "edge"
    BALANCER = "balancer"
    GATEWAY = "gateway"
    API = "api"


DEFAULT_TIERS: Final[tuple[str, ...]] = tuple(Tier)
UNKNOWN_TIER: Final = "unknown"
"""The tier of a component that neither names a configured tier nor matches a configured pattern."""


class Outcome(StrEnum):
    """How a request ended, seen from the client's side of the way."""

    OK = "ok"
    CLIENT_ERROR = "client_error"
    THROTTLED = "throttled"
    BLOCKED = "blocked"
    EDGE_ERROR = "edge_error"
    API_ERROR = "api_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


# --- topics (the OpenTelemetry Collector's Kafka exporter's defaults) ----------------------------------------------------

SPANS_TOPIC: Final = "otlp_spans"
METRICS_TOPIC: Final = "otlp_metrics"
DEAD_LETTER_SUFFIX: Final = ".dead"

# --- what the SDK adds (OpenTelemetry semantic conventions 1.30+: resource, HTTP spans, HTTP metrics) ----------------------

INSTANCE_ID: Final = "service.instance.id"
METHOD_ORIGINAL: Final = "http.request.method_original"
URL_SCHEME: Final = "url.scheme"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
USER_AGENT: Final = "user_agent.original"
PROTOCOL_VERSION: Final = "network.protocol.version"
SERVER_DURATION: Final = "http.server.request.duration"
CLIENT_DURATION: Final = "http.client.request.duration"
ENVOY_REQUESTS: Final = "http.downstream_rq_total"
"""What Envoy counts its requests under when its stats go over OTLP (``envoy.stat_sinks.open_telemetry``): a sum."""
ENVOY_LISTENER: Final = "envoy.http_conn_manager_prefix"
"""Envoy's ``stat_prefix``; ``admin`` is its own admin page."""
ACTIVE_REQUESTS: Final = "http.server.active_requests"
OUTCOME: Final = "edgepath.outcome"
"""Attribute of the duration metric: how the request ended, as far as the component alone can know."""
SDK_DROPPED: Final = "edgepath.sdk.spans.dropped"
CANCELLED: Final = "cancelled"
"""Value of ``error.type`` when the caller went away before the answer was complete."""
INCOMPLETE: Final = "incomplete_response"
"""Value of ``error.type`` when a handler returned without an answer, or with half of one."""

# --- what a consumer tells of itself (telemetry.observe) -------------------------------------------------------------------

CONSUMER_SERVICE: Final = "edgepath-consume"


class ConsumerMetric(StrEnum):
    """OpenTelemetry names. Prometheus sees them with ``_`` for ``.``, the unit, and ``_total`` on counters."""

    LAG = "edgepath.consumer.lag"
    OPEN_TRACES = "edgepath.consumer.traces.open"
    OPEN_SPANS = "edgepath.consumer.spans.open"
    RECORDS = "edgepath.consumer.records"
    BYTES = "edgepath.consumer.read"
    SPANS = "edgepath.consumer.spans"
    INVALID_SPANS = "edgepath.consumer.spans.invalid"
    DUPLICATE_SPANS = "edgepath.consumer.spans.duplicate"
    REPLAYED_SPANS = "edgepath.consumer.spans.replayed"
    LATE_SPANS = "edgepath.consumer.spans.late"
    PATHS = "edgepath.consumer.paths"
    COMPLETE_PATHS = "edgepath.consumer.paths.complete"
    RESTATED_PATHS = "edgepath.consumer.paths.restated"
    DEAD_LETTERS = "edgepath.consumer.dead_letters"
    BLOCKS = "edgepath.consumer.blocks"
    BLOCK_FAILURES = "edgepath.consumer.blocks.failures"
    WAITING_BLOCKS = "edgepath.consumer.blocks.waiting"
    INSERT = "edgepath.consumer.insert.duration"
    BLOCK_ROWS = "edgepath.consumer.block.rows"
    FLUSH = "edgepath.consumer.flush.duration"
    FRESHNESS = "edgepath.consumer.freshness"
    PAUSES = "edgepath.consumer.pauses"
    PAUSED = "edgepath.consumer.paused"
    PARTITIONS = "edgepath.consumer.partitions"
    FENCED_PARTITIONS = "edgepath.consumer.partitions.fenced"
    STALE_TAKEOVERS = "edgepath.consumer.takeovers.stale"
    MENDED_PARTS = "edgepath.consumer.parts.mended"
    SPLIT_TRACES = "edgepath.consumer.traces.split"
    METRIC_RECORDS = "edgepath.consumer.metrics.records"
    METRIC_BYTES = "edgepath.consumer.metrics.read"
    METRIC_POINTS = "edgepath.consumer.metrics.points"
    INVALID_METRIC_POINTS = "edgepath.consumer.metrics.points.invalid"
    METRIC_DEAD_LETTERS = "edgepath.consumer.metrics.dead_letters"
    METRIC_BLOCKS = "edgepath.consumer.metrics.blocks"
    METRIC_BLOCK_FAILURES = "edgepath.consumer.metrics.blocks.failures"
    METRIC_WAITING_BLOCKS = "edgepath.consumer.metrics.blocks.waiting"
    METRIC_FENCED_PARTITIONS = "edgepath.consumer.metrics.partitions.fenced"
    KEYING = "edgepath.consumer.keying"
    READY = "edgepath.consumer.ready"
    ROUND_AGE = "edgepath.consumer.round.age"
    RSS = "process.memory.usage"
    CPU = "process.cpu.time"
    BUILD = "edgepath.build.info"


TOPIC_LABEL: Final = "topic"
PARTITION_LABEL: Final = "partition"
VERDICT_LABEL: Final = "verdict"
