"""Hops and attempts: the two spans of which request paths are made (see docs/sdk.md).

A hop is one component's handling of one request; an attempt is one outbound call made for it, a retry or hedge too.
"""

import inspect
from collections.abc import Callable, Mapping, MutableMapping
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast, overload

from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, Context, set_value
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from telemetry import vocabulary as v
from telemetry.sdk import http, log, propagation, runtime
from telemetry.sdk.recording import Recording

P = ParamSpec("P")
R = TypeVar("R")


class Hop(Recording):
    """One component's handling of one request. Context manager, sync and async, and decorator: :func:`hop`."""

    __slots__ = ("_given", "_headers", "_load", "_method")

    def __init__(
        self,
        name: str | None = None,
        *,
        method: str | None = None,
        target: str | None = None,
        route: str | None = None,
        tenant: str | None = None,
        headers: propagation.Headers | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        own: http.Attributes = dict(attributes) if attributes else {}
        self._given = name
        self._method = http.put_method(own, method) if method else None
        if target:
            http.put_target(own, target)
        self._headers = headers
        self._load: http.Attributes | None = None
        super().__init__(own, route, tenant)

    def tenant(self, tenant: str) -> None:
        """Record on whose behalf the request came (a merchant, an account), once that is known."""
        self._tenant = tenant

    def route(self, route: str) -> None:
        """Record the route template (``/v1/customers/{id}``), once it is known."""
        self._route = route

    def _name(self) -> str:
        if self._given:
            return self._given
        if self._method:
            return f"{self._method} {self._route}" if self._route else self._method
        return self._route or "hop"

    def _kind(self, active: runtime.Runtime) -> SpanKind:
        return SpanKind.CLIENT if active.is_client else SpanKind.SERVER

    def _parent(self) -> Context | None:
        return None if self._headers is None else propagation.extract(self._headers)

    def _measure_start(self, active: runtime.Runtime) -> None:
        if self._method and not active.is_client:
            self._load = {key: self._attributes[key] for key in (v.METHOD[0], v.URL_SCHEME) if key in self._attributes}
            active.active_requests.add(1, self._load)

    def _measure_end(self, active: runtime.Runtime, seconds: float, error: str | None) -> None:
        load, self._load = self._load, None
        if load is None:
            return
        active.active_requests.add(-1, load)
        labels = dict(load)
        if self._route:
            labels[v.ROUTE[0]] = self._route
        if self._status:
            labels[v.STATUS[0]] = self._status
        if error is not None:
            labels[v.ERROR_TYPE[0]] = error
        labels[v.OUTCOME] = http.outcome(self._status, error, active.fault)
        active.server_duration.record(seconds, labels, self._context)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """``function``, each call of it a hop of its own. For plain and ``async`` functions.

        Raises:
            TypeError: ``function`` is a generator function, which has no moment at which it ends.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"hop() cannot decorate the generator function {function.__qualname__}; use it inside, as a context"
            )
        name = self._given or (None if self._method else getattr(function, "__qualname__", None))

        def fresh() -> Hop:
            one = Hop(name, route=self._route, tenant=self._tenant, headers=self._headers, attributes=self._attributes)
            one._method = self._method
            return one

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with fresh():
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with fresh():
                return function(*args, **kwargs)

        return run


@overload
def hop(name: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def hop(
    name: str | None = None,
    *,
    method: str | None = None,
    target: str | None = None,
    route: str | None = None,
    tenant: str | None = None,
    headers: propagation.Headers | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Hop: ...


def hop(
    name: str | Callable[P, R] | None = None,
    *,
    method: str | None = None,
    target: str | None = None,
    route: str | None = None,
    tenant: str | None = None,
    headers: propagation.Headers | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Hop | Callable[P, R]:
    """This component's handling of one request: a SERVER span; in tier ``client`` its root span, CLIENT.

    ::

        with telemetry.hop(method="POST", target=url, route="/v1/charges", headers=inbound) as hop:
            hop.status(201)

        @telemetry.hop("settle")            # also bare: @telemetry.hop; async functions too
        def settle(batch): ...

    Args:
        name: the span's name; by default method and route, or the decorated function's name.
        method: HTTP method. With one, the hop counts in the request metrics (in tier ``client`` its attempts do).
        target: URL, ``host[:port]`` or path of the request; its query string and user part are not kept.
        route: low-cardinality template of the path; :meth:`Hop.route` sets it later.
        tenant: on whose behalf it came: an id, never a name or an address; :meth:`Hop.tenant` sets it later.
        headers: inbound headers with the caller's trace context and baggage; without, the current context is the parent.
        attributes: further span attributes.

    An exception in the body is recorded as ``error.type`` (its class's name, never its text) and passes unchanged.
    """
    if callable(name):
        return Hop()(name)
    try:
        return Hop(
            name, method=method, target=target, route=route, tenant=tenant, headers=headers, attributes=attributes
        )
    except Exception as failure:  # noqa: BLE001 - a request must not fail because its description is odd
        log.internal("hop()", failure)
        return Hop()


class Attempt(Recording):
    """One outbound call. Context manager, ``with`` and ``async with``; see :func:`attempt`."""

    __slots__ = ("_word",)

    def __init__(
        self,
        method: str,
        target: str,
        resend_count: int,
        template: str | None,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> None:
        own: http.Attributes = dict(attributes) if attributes else {}
        self._word = http.put_method(own, method)
        http.put_target(own, target)
        if resend_count > 0:
            own[v.RESEND_COUNT] = resend_count
        super().__init__(own, None)
        self._word = f"{self._word} {template}" if template else self._word

    def headers(self, headers: MutableMapping[str, str] | None = None) -> MutableMapping[str, str]:
        """``headers`` (a new dict if none is given) with this attempt's trace context and the baggage. Never raises."""
        return propagation.inject(headers, self._context)

    def _name(self) -> str:
        return self._word

    def _kind(self, active: runtime.Runtime) -> SpanKind:  # noqa: ARG002 - the same in every tier
        return SpanKind.CLIENT

    def _current(self, context: Context) -> Context:
        # The call within is this attempt: an instrumentation of the client library must not make another one of it.
        return set_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY, True, context)

    def _measure_end(self, active: runtime.Runtime, seconds: float, error: str | None) -> None:
        labels = {key: self._attributes[key] for key in _CLIENT_LABELS if key in self._attributes}
        if self._status:
            labels[v.STATUS[0]] = self._status
        if error is not None:
            labels[v.ERROR_TYPE[0]] = error
        active.client_duration.record(seconds, labels, self._context)


# Required by the convention for http.client.request.duration.
_CLIENT_LABELS = (v.METHOD[0], v.SERVER_ADDRESS, v.SERVER_PORT, v.URL_SCHEME)


def attempt(
    method: str,
    target: str,
    *,
    resend_count: int = 0,
    template: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Attempt:
    """One outbound call made for the current hop: a CLIENT span. A retry or a hedge is an attempt of its own.

    ::

        with telemetry.attempt("POST", url, resend_count=0) as attempt:
            response = client.post(url, headers=attempt.headers())
            attempt.status(response.status_code)

    Args:
        method: HTTP method.
        target: URL or ``host[:port]``; its query string and user part are not kept.
        resend_count: 0 for the first try of a request, 1 for its first retry, and so on.
        template: low-cardinality template of the path, for the span's name.
        attributes: further span attributes.
    """
    try:
        return Attempt(method, target, resend_count, template, attributes)
    except Exception as failure:  # noqa: BLE001 - a call must not fail because its description is odd
        log.internal("attempt()", failure)
        return Attempt("_OTHER", "", 0, None, None)
