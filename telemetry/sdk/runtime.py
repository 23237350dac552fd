"""What hops and attempts record with: one tracer and the request metrics' instruments.

Before :func:`telemetry.configure` they come from the OpenTelemetry API's global providers, so that an unconfigured
service records nothing, and a host that brought its own providers gets its spans there.
"""

from dataclasses import dataclass
from typing import Final

from opentelemetry import metrics, trace

from telemetry import vocabulary as v

SCOPE: Final = "edgepath"

# Semantic conventions, http.server.request.duration: "ExplicitBucketBoundaries SHOULD be", in seconds.
DURATION_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


@dataclass(frozen=True, slots=True)
class Runtime:
    """The tracer and instruments in use, and what this component's tier means.

    Attributes:
        is_client: its hops are of kind CLIENT.
        fault: what an error of its own is in the outcomes.
    """

    tracer: trace.Tracer
    server_duration: metrics.Histogram
    client_duration: metrics.Histogram
    active_requests: metrics.UpDownCounter
    is_client: bool
    fault: v.Outcome


def build(tracer: trace.Tracer, meter: metrics.Meter, tier: object) -> Runtime:
    """A runtime whose instruments come from ``meter``, for a component of ``tier`` (``None``: unknown)."""
    return Runtime(
        tracer=tracer,
        server_duration=meter.create_histogram(
            v.SERVER_DURATION,
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        ),
        client_duration=meter.create_histogram(
            v.CLIENT_DURATION,
            unit="s",
            description="Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=DURATION_BUCKETS,
        ),
        active_requests=meter.create_up_down_counter(
            v.ACTIVE_REQUESTS, unit="{request}", description="Number of active HTTP server requests."
        ),
        is_client=tier == v.Tier.CLIENT,
        fault=v.Outcome.API_ERROR if tier == v.Tier.API else v.Outcome.EDGE_ERROR,
    )


_runtime: Runtime | None = None


def current() -> Runtime:
    """The runtime in use; one over the API's global providers if nothing was configured."""
    global _runtime  # noqa: PLW0603 - instrumented code has no other way to reach what configure() set up
    if _runtime is None:
        _runtime = build(trace.get_tracer(SCOPE), metrics.get_meter(SCOPE), None)
    return _runtime


def replace(runtime: Runtime | None) -> Runtime | None:
    """Use ``runtime`` from now on; returns the one used until now."""
    global _runtime
    previous, _runtime = _runtime, runtime
    return previous
