"""``telemetry.configure``: OpenTelemetry providers with Edgepath's resource, a bounded queue and OTLP exporters."""

import atexit
import logging
import os
import threading
from collections.abc import Iterable, Mapping

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider

from telemetry import vocabulary as v
from telemetry.sdk import exporters, log, runtime, settings
from telemetry.sdk import resource as resources
from telemetry.sdk.handle import Handle
from telemetry.sdk.queue import SpanQueue

_lock = threading.Lock()
_handle: Handle | None = None


def configure(
    component: str | None = None,
    tier: str | None = None,
    pop: str | None = None,
    *,
    environment: str | None = None,
    region: str | None = None,
    zone: str | None = None,
    version: str | None = None,
    attributes: Mapping[str, str] | None = None,
    exit_timeout: float = 2.0,
) -> Handle:
    """Set up telemetry for this process. Never raises; a second call changes nothing and returns the same handle.

    Args:
        component: the service's name (``service.name``); ``OTEL_SERVICE_NAME`` wins over it.
        tier: where in the way it stands: ``client``, ``edge``, ``balancer``, ``gateway``, ``api``.
        pop: point of presence, e.g. ``fra``.
        environment: e.g. ``production`` (``deployment.environment.name``).
        region: ``cloud.region``.
        zone: ``cloud.availability_zone``.
        version: ``service.version``.
        attributes: further resource attributes; ``OTEL_RESOURCE_ATTRIBUTES`` wins over all of these.
        exit_timeout: longest time in seconds that sending what is left may hold up the interpreter's exit.
    """
    global _handle  # noqa: PLW0603 - a process has one SDK
    with _lock:
        if _handle is not None:
            log.once("configure() was called again; the first call's settings stay", logging.INFO)
            return _handle
        given = {
            **(attributes or {}),
            v.SERVICE_NAME: component,
            v.TIER: tier,
            v.POP: pop,
            v.ENVIRONMENT[0]: environment,
            v.REGION[0]: region,
            v.ZONE[0]: zone,
            v.SERVICE_VERSION: version,
        }
        try:
            _handle = _set_up(given, exit_timeout)
        except Exception as failure:  # noqa: BLE001 - a service starts, with or without telemetry
            log.internal("configure()", failure)
            _handle = Handle(Resource.get_empty(), on_shutdown=_forget)
        atexit.register(_handle.at_exit)
        return _handle


def _forget(handle: Handle) -> None:
    global _handle  # noqa: PLW0603 - see configure()
    if _handle is handle:
        _handle = None


def _set_up(given: Mapping[str, str | None], exit_timeout: float) -> Handle:
    asked = settings.read(os.environ, log.once)
    resource = resources.build(given)
    tier = resource.attributes.get(v.TIER)
    if tier is None:
        log.once("no tier was given: the pipeline must know this component by its service.name", logging.INFO)
    elif tier not in v.DEFAULT_TIERS:
        log.once(
            f"tier is none of {', '.join(v.DEFAULT_TIERS)}: kept, but the pipeline must be told of it", logging.INFO
        )
    is_client = tier == v.Tier.CLIENT
    if asked.disabled:
        off = runtime.build(trace.NoOpTracer(), metrics.NoOpMeter(runtime.SCOPE), is_client=is_client)
        runtime.replace(off)
        return Handle(resource, on_shutdown=_forget)

    spans: SpanQueue | None = None
    tracers = _tracer_provider(resource)
    if asked.traces.enabled:
        spans = SpanQueue(
            lambda: exporters.span_exporter(asked.traces),
            capacity=asked.queue_size,
            batch=asked.batch_size,
            delay=asked.schedule_delay,
        )
        tracers.add_span_processor(spans)
    readers: list[MetricReader] = []
    if asked.metrics.enabled:
        exporter = exporters.LazyMetricExporter(lambda: exporters.metric_exporter(asked.metrics), asked.temporality)
        readers.append(
            PeriodicExportingMetricReader(exporter, asked.metric_interval * 1000, asked.metrics.timeout * 1000)
        )
    meters = _meter_provider(resource, readers)
    meter = meters.get_meter(runtime.SCOPE)
    if spans is not None:
        _report_drops(meter, spans)
    runtime.replace(runtime.build(tracers.get_tracer(runtime.SCOPE), meter, is_client=is_client))
    try:
        _offer_globally(tracers, meters)
    except Exception as failure:  # noqa: BLE001 - asking for the host's provider loads what OTEL_PYTHON_*_PROVIDER name
        log.internal("looking for the host's providers", failure)
    return Handle(
        resource,
        tracer_provider=tracers,
        meter_provider=meters,
        spans=spans,
        exit_timeout=exit_timeout,
        on_shutdown=_forget,
    )


def _tracer_provider(resource: Resource) -> TracerProvider:
    try:
        limits = SpanLimits()
    except ValueError:
        log.once("an OTEL_*_LIMIT variable is no whole number of at least 0; using the default limits")
        unset = SpanLimits.UNSET
        limits = SpanLimits(
            max_attributes=128,
            max_events=128,
            max_links=128,
            max_span_attributes=128,
            max_event_attributes=128,
            max_link_attributes=128,
            max_attribute_length=unset,
            max_span_attribute_length=unset,
        )
    return TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)


def _meter_provider(resource: Resource, readers: list[MetricReader]) -> MeterProvider:
    try:
        return MeterProvider(readers, resource, shutdown_on_exit=False)
    except ValueError:
        log.once("OTEL_METRICS_EXEMPLAR_FILTER cannot be used; using always_off")
        return MeterProvider(readers, resource, AlwaysOffExemplarFilter(), shutdown_on_exit=False)


def _report_drops(meter: metrics.Meter, spans: SpanQueue) -> None:
    def observe(_: CallbackOptions) -> Iterable[Observation]:
        return (Observation(spans.dropped),)

    meter.create_observable_counter(
        v.SDK_DROPPED, (observe,), unit="{span}", description="Spans that the SDK lost: queue full, or export failed."
    )


def _offer_globally(tracers: TracerProvider, meters: MeterProvider) -> None:
    """Become the global providers, so that official instrumentations use them, unless the host has its own."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        trace.set_tracer_provider(tracers)
    else:
        log.once(
            "the host has a global TracerProvider: it stays, Edgepath's spans go through a provider of their own",
            logging.INFO,
        )
    # The API has no public name for its placeholder.
    if type(metrics.get_meter_provider()).__name__ == "_ProxyMeterProvider":
        metrics.set_meter_provider(meters)
    else:
        log.once(
            "the host has a global MeterProvider: it stays, Edgepath's metrics go through a provider of their own",
            logging.INFO,
        )
