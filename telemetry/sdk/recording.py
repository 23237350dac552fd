"""One timed span with HTTP meaning: what a hop and an attempt have in common."""

from time import perf_counter_ns, time_ns
from types import TracebackType
from typing import Final, Self

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.util.types import AttributeValue

from telemetry import vocabulary as v
from telemetry.sdk import http, log, runtime

_ERROR: Final = trace.Status(StatusCode.ERROR)


class Recording:
    """A span that is current while the context is entered, with setters for how it ended.

    Whatever goes wrong in here is logged once and swallowed; whatever the body of the ``with`` raises passes unchanged.
    Entering it again while it is active records nothing more. Not to be shared between threads or tasks.
    """

    __slots__ = (
        "_active",
        "_attributes",
        "_begun",
        "_context",
        "_depth",
        "_error",
        "_route",
        "_span",
        "_started",
        "_status",
        "_tenant",
        "_token",
    )

    def __init__(self, attributes: http.Attributes, route: str | None, tenant: str | None = None) -> None:
        self._attributes = attributes
        self._route = route
        self._tenant = tenant
        self._depth = 0
        self._clear()

    def _clear(self) -> None:
        self._span: trace.Span = trace.INVALID_SPAN
        self._context: Context | None = None
        self._token: object | None = None
        self._status = 0
        self._error: str | None = None
        self._begun = self._started = 0

    # --- what happened: called by the service -----------------------------------------------------------------------

    @property
    def span(self) -> trace.Span:
        """The OpenTelemetry span; a non-recording one outside the context."""
        return self._span

    def status(self, code: int) -> None:
        """Record the HTTP status of the answer. The last call counts; what is no status is logged once and ignored."""
        if isinstance(code, int) and 100 <= code <= 599:
            self._status = int(code)
        else:
            log.once("status() takes an HTTP status from 100 to 599; another value was ignored")

    def error(self, error: BaseException | type[BaseException] | str) -> None:
        """Record that it failed: an exception (its class alone is kept, not its text) or a short name (``timeout``)."""
        try:
            self._error = http.error_name(error)
        except Exception as failure:  # noqa: BLE001 - anything may be passed here
            log.internal("error()", failure)

    def set(self, key: str, value: AttributeValue) -> None:
        """Set one more attribute of the span."""
        try:
            self._span.set_attribute(key, value)
        except Exception as failure:  # noqa: BLE001 - a host's span processor may raise
            log.internal("set()", failure)

    # --- enter and exit ---------------------------------------------------------------------------------------------

    def _name(self) -> str:
        raise NotImplementedError

    def _kind(self, active: runtime.Runtime) -> SpanKind:
        raise NotImplementedError

    def _parent(self) -> Context | None:
        return None

    def _current(self, context: Context) -> Context:
        """What is current while the body runs, from the span's ``context``."""
        return context

    def _measure_start(self, active: runtime.Runtime) -> None:
        """Called once the span has begun."""

    def _measure_end(self, active: runtime.Runtime, seconds: float, error: str | None) -> None:
        """Called when the span has ended."""

    def _start(self) -> None:
        self._active = active = runtime.current()
        parent = self._parent()
        # The duration comes from the monotonic clock: a step of the wall clock must not change it.
        self._begun = begun = time_ns()
        self._started = perf_counter_ns()
        self._span = span = active.tracer.start_span(
            self._name(), parent, self._kind(active), self._attributes, start_time=begun, record_exception=False
        )
        self._context = context = trace.set_span_in_context(span, parent)
        self._token = otel_context.attach(self._current(context))
        self._measure_start(active)

    def _finish(self, raised: BaseException | None) -> None:
        took = perf_counter_ns() - self._started
        span, status = self._span, self._status
        error = self._error if raised is None else http.error_name(raised)
        if error is None and status >= (500 if self._kind(self._active) is SpanKind.SERVER else 400):
            error = str(status)
        if span.is_recording():
            if status:
                span.set_attribute(v.STATUS[0], status)
            if self._route:
                span.set_attribute(v.ROUTE[0], self._route)
                span.update_name(self._name())
            if self._tenant:
                span.set_attribute(v.TENANT[0], self._tenant)
            if error is not None:
                span.set_attribute(v.ERROR_TYPE[0], error)
                span.set_status(_ERROR)
        span.end(self._begun + took)
        self._measure_end(self._active, took / 1e9, error)

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            try:
                self._start()
            except Exception as failure:  # noqa: BLE001 - never reaches the host
                log.internal("starting a span", failure)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._depth -= 1
        if self._depth or self._token is None:
            return
        try:
            self._finish(error)
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("ending a span", failure)
        finally:
            otel_context.detach(self._token)  # type: ignore[arg-type]  # the token's type differs between API releases
            self._clear()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self.__exit__(kind, error, traceback)
