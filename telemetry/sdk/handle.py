"""What :func:`telemetry.configure` returns."""

import atexit
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from opentelemetry.util.types import AttributeValue

from telemetry.sdk import log

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from telemetry.sdk.queue import SpanQueue


class Handle:
    """The SDK at work. Nothing here raises.

    Attributes:
        resource: the resource attributes on everything that is sent.
        tracer_provider: the provider of the spans; ``None`` when the SDK is disabled.
        meter_provider: the provider of the metrics; ``None`` when the SDK is disabled.
        exit_timeout: longest time in seconds that sending what is left may hold up an exit.
    """

    def __init__(
        self,
        resource: Mapping[str, AttributeValue],
        *,
        tracer_provider: "TracerProvider | None" = None,
        meter_provider: "MeterProvider | None" = None,
        spans: "SpanQueue | None" = None,
        exit_timeout: float = 2.0,
        on_shutdown: Callable[["Handle"], None],
    ) -> None:
        self.resource = resource
        self.tracer_provider = tracer_provider
        self.meter_provider = meter_provider
        self._spans = spans
        self.exit_timeout = exit_timeout
        self._on_shutdown = on_shutdown
        self._down = False

    @property
    def enabled(self) -> bool:
        """False when ``OTEL_SDK_DISABLED`` is set, or when setting up failed (that was logged)."""
        return self.tracer_provider is not None

    @property
    def closed(self) -> bool:
        """Whether :meth:`shutdown` was called: nothing more is sent."""
        return self._down

    @property
    def dropped(self) -> int:
        """Spans lost in this process: queue full, export failed, left over at shutdown.

        Also a metric, ``edgepath.sdk.spans.dropped``.
        """
        return 0 if self._spans is None else self._spans.dropped

    @property
    def exported(self) -> int:
        """Spans that the endpoint accepted from this process."""
        return 0 if self._spans is None else self._spans.exported

    def force_flush(self, timeout: float = 5.0) -> bool:
        """Send what waits now, spans and metrics, within ``timeout`` seconds. False if that did not do."""
        deadline = time.monotonic() + timeout
        meters = self.meter_provider
        flusher = None
        if meters is not None and not self._down:
            flusher = threading.Thread(
                target=_flush_metrics, args=(meters, timeout), name="edgepath-flush", daemon=True
            )
            try:
                flusher.start()
            except RuntimeError:
                flusher = None  # the interpreter is going down: shutdown() sends the metrics
        done = True if self._spans is None else self._spans.force_flush(int(timeout * 1000))
        if flusher is not None:
            flusher.join(max(0.0, deadline - time.monotonic()))
            done = done and not flusher.is_alive()
        return done

    def shutdown(self, timeout: float = 5.0) -> None:
        """Send what waits, within ``timeout`` seconds, and stop. Called at exit; a second call does nothing."""
        if self._down:
            return
        self._down = True
        atexit.unregister(self.at_exit)
        deadline = time.monotonic() + timeout
        if self._spans is not None:
            self._spans.begin_shutdown(timeout)
        try:
            if self.meter_provider is not None:
                self.meter_provider.shutdown(timeout_millis=timeout * 1000)
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("stopping the metrics", failure)
        try:
            if self._spans is not None:
                self._spans.shutdown(int(max(0.0, deadline - time.monotonic()) * 1000))
            if self.tracer_provider is not None:
                self.tracer_provider.shutdown()
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("stopping the spans", failure)
        self._on_shutdown(self)

    def at_exit(self) -> None:
        """Called by the interpreter at its end."""
        self.shutdown(self.exit_timeout)


def _flush_metrics(meters: "MeterProvider", timeout: float) -> None:
    try:
        meters.force_flush(timeout * 1000)
    except Exception as failure:  # noqa: BLE001 - never reaches the host
        log.internal("flushing metrics", failure)
