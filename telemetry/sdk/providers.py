"""OpenTelemetry providers with Edgepath's resource, a bounded queue and OTLP exporters."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation

from telemetry import vocabulary as v
from telemetry.sdk import log, propagation, runtime, settings
from telemetry.sdk.handle import Handle

# OpenTelemetry's SDK reads some variables while it is imported, and raises on a bad one.
settings.repair(os.environ, log.once)

from opentelemetry.sdk.metrics import MeterProvider  # noqa: E402 - after the repair
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader  # noqa: E402 - after the repair
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402 - after the repair

from telemetry.sdk import exporters, redaction  # noqa: E402 - after the repair
from telemetry.sdk import resource as resources  # noqa: E402 - after the repair
from telemetry.sdk import sampling as samplers  # noqa: E402 - after the repair
from telemetry.sdk.queue import SpanQueue  # noqa: E402 - after the repair


def set_up(
    given: Mapping[str, object], sampling: float, exit_timeout: float, on_shutdown: Callable[[Handle], None]
) -> Handle:
    """Providers for a component with the resource attributes ``given``, in use from now on.

    Raises:
        Exception: whatever OpenTelemetry raises on surroundings that it cannot use.
    """
    asked = settings.read(os.environ, log.once)
    resource = redaction.resource(resources.build(given))
    redaction.quiet_logs()
    tier = resource.attributes.get(v.TIER)
    if tier is None:
        log.once("no tier was given: the pipeline must know this component by its service.name", logging.INFO)
    elif tier not in v.DEFAULT_TIERS:
        log.once(
            f"tier is none of {', '.join(v.DEFAULT_TIERS)}: kept, but the pipeline must be told of it", logging.INFO
        )
    if asked.disabled:
        off = runtime.build(trace.NoOpTracer(), metrics.NoOpMeter(runtime.SCOPE), tier)
        runtime.replace(off)
        return Handle(resource.attributes, on_shutdown=on_shutdown)

    spans: SpanQueue | None = None
    # One that we do not know may be a third party's, which OpenTelemetry's SDK looks up by itself.
    chosen = samplers.sampler(asked.sampler or "parentbased_traceidratio", asked.ratio if asked.sampler else sampling)
    tracers = TracerProvider(chosen, resource, shutdown_on_exit=False)
    if asked.traces.enabled:
        spans = SpanQueue(
            exporters.load(asked.traces, spans=True),
            capacity=asked.queue_size,
            batch=asked.batch_size,
            delay=asked.schedule_delay,
        )
        tracers.add_span_processor(redaction.Redacting(spans, spans.lost))
    readers: list[MetricReader] = []
    if asked.metrics.enabled:
        exporter = exporters.LazyMetricExporter(
            exporters.load(asked.metrics, spans=False), asked.temporality, asked.histogram
        )
        readers.append(
            PeriodicExportingMetricReader(exporter, asked.metric_interval * 1000, asked.metrics.timeout * 1000)
        )
    meters = MeterProvider(readers, resource, shutdown_on_exit=False)
    meter = meters.get_meter(runtime.SCOPE)
    if spans is not None:
        _report_drops(meter, spans)
    runtime.replace(runtime.build(tracers.get_tracer(runtime.SCOPE), meter, tier))
    try:
        _offer_globally(tracers, meters)
        propagation.guard_globally()
    except Exception as failure:  # noqa: BLE001 - asking for the host's provider loads what OTEL_PYTHON_*_PROVIDER name
        log.internal("looking for the host's providers and propagators", failure)
    return Handle(
        resource.attributes,
        tracer_provider=tracers,
        meter_provider=meters,
        spans=spans,
        exit_timeout=exit_timeout,
        on_shutdown=on_shutdown,
    )


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
