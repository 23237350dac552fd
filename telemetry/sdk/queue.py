"""The bounded queue between the host's threads and the exporter.

It stands in for OpenTelemetry's ``BatchSpanProcessor``, with the same settings, because that one (1.45) flushes in the
caller's thread without a limit in time, does not say how much it dropped, and logs in the host's thread when it drops.
Here the host's threads only append to a deque; building the exporter, encoding and sending happen in one daemon thread.
"""

import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from telemetry.sdk import log

# Read by OpenTelemetry's instrumentations: the exporter's own HTTP calls must not make spans.
SUPPRESS: Final = "suppress_instrumentation"
_STOP: Final = threading.Event()
_REPORT_EVERY: Final = 60.0


class SpanQueue(SpanProcessor):
    """Hands ended, sampled spans to an exporter in batches; drops the newest when full.

    Safe to call from threads, signal handlers and forked children (a child starts with an empty queue and its own
    exporter).

    Args:
        build: makes the exporter; called in the sending thread, once a process.
        capacity: most spans that wait, those in the hands of the exporter not counted.
        batch: most spans an export.
        delay: longest time in seconds between exports.
    """

    def __init__(self, build: Callable[[], SpanExporter], *, capacity: int, batch: int, delay: float) -> None:
        self._build = build
        self._capacity = capacity
        self._batch = batch
        self._delay = delay
        self._reset()
        if hasattr(os, "register_at_fork"):
            reset = weakref.WeakMethod(self._reset)

            def after_in_child() -> None:
                method = reset()
                if method is not None:
                    method()

            os.register_at_fork(after_in_child=after_in_child)

    def _reset(self) -> None:
        self._waiting: deque[ReadableSpan] = deque()
        # SimpleQueue.put may be interrupted by itself (signal handlers); Event.set and Condition.notify may not.
        self._wake: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
        self._count_lock = threading.RLock()
        self._start_lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._exporter: SpanExporter | None = None
        self._dropped = 0
        self._exported = 0
        self._in_flight = 0
        self._closed = self._ended = False
        self._deadline = float("inf")
        self._reported = 0
        self._report_at = 0.0

    # --- in the host's threads --------------------------------------------------------------------------------------

    @property
    def dropped(self) -> int:
        """Spans lost in this process so far: queue full, export failed, or left over at shutdown."""
        return self._dropped

    @property
    def exported(self) -> int:
        """Spans that the exporter accepted in this process so far."""
        return self._exported

    def on_start(self, span: Span, parent_context: otel_context.Context | None = None) -> None:
        """Nothing to do."""

    def on_end(self, span: ReadableSpan) -> None:
        """Take ``span`` if it is sampled and there is room. Never waits, never raises."""
        context = span.context
        if context is None or not context.trace_flags.sampled:
            return
        waiting = self._waiting
        if self._closed or len(waiting) >= self._capacity:
            self._drop(1)
            return
        waiting.append(span)
        if self._thread is None:
            self._start()
        if len(waiting) >= self._batch and self._wake.empty():
            self._wake.put(None)

    def lost(self) -> None:
        """Count one span that was lost before it came here."""
        self._drop(1)

    def _drop(self, spans: int) -> None:
        with self._count_lock:
            self._dropped += spans

    def _start(self) -> None:
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="edgepath-spans", daemon=True)
                thread.start()
                self._thread = thread
        except RuntimeError as failure:
            # No more threads, or the interpreter is going down. The spans wait, and are dropped when the queue is full.
            log.internal("starting the export thread", failure)
        finally:
            self._start_lock.release()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Wait until what waits now has gone to the exporter, at most ``timeout_millis``. False if time ran out."""
        if self._closed or self._thread is None:
            return not self._waiting
        done = threading.Event()
        self._wake.put(done)
        return done.wait(timeout_millis / 1000)

    def begin_shutdown(self, timeout: float) -> None:
        """Take no more spans; let the sending thread send what waits for at most ``timeout`` seconds. Does not wait."""
        if self._closed:
            return
        self._closed = True
        self._deadline = time.monotonic() + timeout
        self._wake.put(_STOP)

    def shutdown(self, timeout_millis: int = 5_000) -> None:
        """Take no more spans, send what waits for at most ``timeout_millis``, drop and count the rest. Once."""
        self.begin_shutdown(timeout_millis / 1000)
        if self._ended:
            return
        self._ended = True
        thread = self._thread
        if thread is not None:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        left = len(self._waiting)
        self._waiting.clear()
        if thread is not None and thread.is_alive():
            left += self._in_flight
            self._in_flight = 0
        if left:
            self._drop(left)
        exporter = self._exporter
        if exporter is not None:
            try:
                exporter.shutdown()
            except Exception as failure:  # noqa: BLE001 - a third party's exporter
                log.internal("closing the exporter", failure)

    # --- in the sending thread --------------------------------------------------------------------------------------

    def _run(self) -> None:
        otel_context.attach(otel_context.set_value(SUPPRESS, True))
        while True:
            try:
                token = self._wake.get(timeout=self._delay)
            except queue.Empty:
                token = None
            if token is None and self._wake.empty():
                self._drain(len(self._waiting) or 1)
            elif token is not None:
                self._drain(len(self._waiting))
                token.set()
            self._report()
            if token is _STOP:
                return

    def _report(self) -> None:
        """Say how many spans were lost, at most once a minute."""
        now = time.monotonic()
        if self._dropped == self._reported or (now < self._report_at and not self._closed):
            return
        self._reported, self._report_at = self._dropped, now + _REPORT_EVERY
        log.logger.warning(
            "%d spans dropped so far: the queue was full, or the endpoint did not take them", self._reported
        )

    def _drain(self, spans: int) -> None:
        """Export ``spans`` spans, unless the time for it runs out at shutdown."""
        while spans > 0 and self._waiting and time.monotonic() < self._deadline:
            batch: list[ReadableSpan] = []
            while self._waiting and len(batch) < min(self._batch, spans):
                batch.append(self._waiting.popleft())
            spans -= len(batch)
            self._in_flight = len(batch)
            if self._export(batch):
                self._exported += len(batch)
            else:
                self._drop(self._in_flight)  # 0 when shutdown() has counted them already
            self._in_flight = 0

    def _export(self, batch: list[ReadableSpan]) -> bool:
        try:
            if self._exporter is None:
                self._exporter = self._build()
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception as failure:  # noqa: BLE001 - whatever an exporter, its transport or a hostile server makes
            log.internal("exporting spans", failure)
            return False
