"""Trace context and baggage in and out of headers: W3C by default, ``OTEL_PROPAGATORS`` otherwise.

Sources: W3C Trace Context, W3C Baggage, OpenTelemetry environment variable specification.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Final

from opentelemetry import baggage
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from telemetry.redaction import redact_attributes
from telemetry.sdk import log

Headers = Mapping[str, str] | Sequence[tuple[bytes, bytes]]
"""Inbound headers: a map of names in any case, or an ASGI scope's list of byte pairs."""


class _MappingGetter(Getter[Mapping[str, str]]):
    """Header names are not case-sensitive; a plain dict is."""

    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key)
        if value is not None:
            return [value]
        values = [value for name, value in carrier.items() if name.lower() == key]
        return values or None

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


class _PairsGetter(Getter[Sequence[tuple[bytes, bytes]]]):
    def get(self, carrier: Sequence[tuple[bytes, bytes]], key: str) -> list[str] | None:
        wanted = key.encode("latin-1")
        values = [value.decode("latin-1") for name, value in carrier if name.lower() == wanted]
        return values or None

    def keys(self, carrier: Sequence[tuple[bytes, bytes]]) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier]


_MAPPING: Final = _MappingGetter()
_PAIRS: Final = _PairsGetter()
_find: Callable[[], TextMapPropagator] | None = None


class Redacting(TextMapPropagator):
    """Another propagator, whose outgoing baggage holds no card numbers and secrets."""

    def __init__(self, inner: TextMapPropagator) -> None:
        self._inner = inner

    def extract(
        self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter
    ) -> Context:
        """As the other one does."""
        return self._inner.extract(carrier, context, getter)

    def inject(
        self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter
    ) -> None:
        """As the other one does, with clean baggage."""
        self._inner.inject(carrier, _clean(context), setter)

    @property
    def fields(self) -> set[str]:
        """The other one's header names."""
        return self._inner.fields


def _clean(context: Context | None) -> Context | None:
    entries = baggage.get_all(context)
    changed = redact_attributes(entries) if entries else None
    if changed is None:
        return context
    for name, value in changed.items():
        # What stands for a name that held something is no valid baggage name: such a member goes.
        if value is None or name not in entries:
            context = baggage.remove_baggage(name, context)
        else:
            context = baggage.set_baggage(name, value, context)
    return context


def guard_globally() -> None:
    """Let official instrumentations, which use the global propagator, send clean baggage, too.

    Raises:
        Exception: whatever a propagator that ``OTEL_PROPAGATORS`` names raises while it loads.
    """
    from opentelemetry import propagate  # noqa: PLC0415 - this import can fail

    if not isinstance(propagate.get_global_textmap(), Redacting):
        propagate.set_global_textmap(Redacting(propagate.get_global_textmap()))


def _propagator() -> TextMapPropagator:
    """The host's propagator; W3C's when ``OTEL_PROPAGATORS`` names one that is not there (OpenTelemetry raises)."""
    global _find  # noqa: PLW0603 - importing what failed once more on every request would be dear
    if _find is None:
        try:
            from opentelemetry.propagate import get_global_textmap  # noqa: PLC0415 - this import can fail, see above

            _find = get_global_textmap
        except Exception:  # noqa: BLE001 - whatever a third party's propagator raises while it loads
            log.once("OTEL_PROPAGATORS cannot be used; using tracecontext,baggage")
            w3c = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
            _find = lambda: w3c  # noqa: E731 - one line says it
    found = _find()
    return found if isinstance(found, Redacting) else Redacting(found)


def inject(headers: MutableMapping[str, str] | None = None, context: Context | None = None) -> MutableMapping[str, str]:
    """Write trace context and baggage of ``context``, by default the current one, into ``headers`` and return them.

    Without ``headers``, into a new dict. Card numbers and secrets in baggage are taken out. Never raises.
    """
    carrier: MutableMapping[str, str] = {} if headers is None else headers
    try:
        _propagator().inject(carrier, context)
    except Exception as error:  # noqa: BLE001 - telemetry never breaks the call it rides on
        log.internal("inject", error)
    return carrier


def extract(headers: Headers) -> Context:
    """The context that inbound ``headers`` carry; an empty one when they carry none or rubbish. Never raises."""
    try:
        if isinstance(headers, Mapping):
            return _propagator().extract(headers, Context(), getter=_MAPPING)
        return _propagator().extract(headers, Context(), getter=_PAIRS)
    except Exception as error:  # noqa: BLE001 - hostile headers reach this
        log.internal("extract", error)
        return Context()
