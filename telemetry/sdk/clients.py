"""Outgoing calls become attempts: OpenTelemetry's own instrumentations, each switched on when its library is first imported.

None of the libraries is imported here: a service that has httpx installed and does not use it must not pay for it.
"""

import os
from collections.abc import Callable, Collection, Iterator
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, Final

from telemetry.sdk import log
from telemetry.sdk.handle import Handle

# Names of the instrumentations' entry points by the module whose import switches them on.
_BY_LIBRARY: Final = {
    "httpx": ("httpx",),
    "requests": ("requests",),
    "aiohttp": ("aiohttp-client",),
    "grpc": ("grpc_client", "grpc_aio_client"),
}
ALL: Final = tuple(_BY_LIBRARY)
OPT_IN: Final = "OTEL_SEMCONV_STABILITY_OPT_IN"


def watch(libraries: Collection[str], handle: Handle) -> None:
    """Instrument each of ``libraries`` once it is imported, now if it is already. Nothing if the packages are not there."""
    for unknown in set(libraries) - set(ALL):
        log.once(f"configure(): instrument={unknown!r} is none of {', '.join(ALL)}; ignored")
    if find_spec("opentelemetry.instrumentation") is None or find_spec("wrapt") is None:
        return
    from wrapt import register_post_import_hook  # noqa: PLC0415 - only there with the instrumentations

    # Instrumentations that were written before the conventions became stable still speak the old ones by default.
    os.environ.setdefault(OPT_IN, "http")
    for library in ALL:
        if library in libraries:
            register_post_import_hook(_switch(library, handle), library)


def _switch(library: str, handle: Handle) -> Callable[[Any], None]:
    def imported(_: Any) -> None:
        if handle.closed:
            return
        for entry in _entries(_BY_LIBRARY[library]):
            try:
                instrumentor = entry.load()()
                if instrumentor.is_instrumented_by_opentelemetry:
                    continue  # by `opentelemetry-instrument`, or by the service itself
                instrumentor.instrument(tracer_provider=handle.tracer_provider, meter_provider=handle.meter_provider)
            except Exception as failure:  # noqa: BLE001 - whatever a third party's code raises while it loads
                log.internal(f"instrumenting {library}", failure)

    return imported


def _entries(names: Collection[str]) -> Iterator[EntryPoint]:
    for name in names:
        yield from entry_points(group="opentelemetry_instrumentor", name=name)
