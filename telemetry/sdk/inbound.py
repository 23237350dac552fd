"""One request on its way through a service: what the ASGI and the WSGI middleware have in common.

Source: semantic conventions, HTTP server spans and metrics.
"""

from asyncio import CancelledError
from time import perf_counter_ns, time_ns
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from telemetry import vocabulary as v
from telemetry.sdk import http, log, propagation, runtime

_ERROR: Final = trace.Status(StatusCode.ERROR)
MARK: Final = "edgepath.hop"
"""Key in a scope or environ that has its hop already: an application wrapped twice makes one hop."""
ROUTE: Final = "edgepath.route"
"""Key in a scope or environ under which a framework or an application may leave its route's template."""

TENANT: Final = v.TENANT[0]
"""Key in a scope or environ under which an application may leave on whose behalf a request came."""


class Inbound:
    """A SERVER span, current from its beginning on, and the request metrics."""

    __slots__ = (
        "_active", "_begun", "_context", "_disconnected", "_done", "_labels", "_span", "_started", "_status", "_token", "_took",
        "_word",
    )  # fmt: skip

    def _begin(self, method: str, scheme: str, attributes: http.Attributes, headers: propagation.Headers) -> None:
        self._active = active = runtime.current()
        self._status = self._took = 0
        self._done = self._disconnected = False
        self._word = http.put_method(attributes, method)
        attributes[v.URL_SCHEME] = scheme
        self._labels: http.Attributes = {v.METHOD[0]: attributes[v.METHOD[0]], v.URL_SCHEME: scheme}
        parent = propagation.extract(headers)
        # Durations come from the monotonic clock: a step of the wall clock must not change them.
        self._begun = begun = time_ns()
        self._started = perf_counter_ns()
        self._span = active.tracer.start_span(
            self._word, parent, SpanKind.SERVER, attributes, start_time=begun, record_exception=False
        )
        self._context = trace.set_span_in_context(self._span, parent)
        active.active_requests.add(1, self._labels)
        self._token = otel_context.attach(self._context)

    def _route(self) -> str | None:
        """The template of the route that the framework matched; ``None`` if it left none."""
        raise NotImplementedError

    def _tenant(self) -> str | None:
        """What the application left under :data:`TENANT`; ``None`` if it left nothing."""
        raise NotImplementedError

    def _stop(self) -> None:
        """The answer is complete now, whatever the application still does."""
        self._took = perf_counter_ns() - self._started

    def finish(self, raised: BaseException | None) -> None:
        """End the span, once, as of the last chunk of the answer if it was sent. Never raises."""
        if self._done:
            return
        self._done = True
        try:
            self._finish(raised)
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("ending a span", failure)

    def _finish(self, raised: BaseException | None) -> None:
        took = self._took or perf_counter_ns() - self._started
        span, status, labels = self._span, self._status, self._labels
        error: str | None = None
        if self._disconnected or isinstance(raised, CancelledError):
            error = v.CANCELLED
        elif raised is not None:
            error = http.error_name(raised)
        elif not self._took:
            error = v.INCOMPLETE
        elif status >= 500:
            error = str(status)
        self._active.active_requests.add(-1, labels)
        late: http.Attributes = {}
        route = self._route()
        if route is not None:
            late[v.ROUTE[0]] = route
        if status:
            late[v.STATUS[0]] = status
        if error is not None:
            late[v.ERROR_TYPE[0]] = error
        if span.is_recording():
            tenant = self._tenant()
            span.set_attributes(late if tenant is None else {**late, TENANT: tenant})
            if route is not None:
                span.update_name(f"{self._word} {route}")
            if error is not None:
                span.set_status(_ERROR)
        span.end(self._begun + took)
        outcome = http.outcome(status, error, self._active.fault)
        self._active.server_duration.record(took / 1e9, {**labels, **late, v.OUTCOME: outcome}, self._context)

    def detach(self) -> None:
        """The span is no longer current."""
        otel_context.detach(self._token)
