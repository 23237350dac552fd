"""``telemetry.configure``. Light to import: OpenTelemetry's SDK is loaded by the call, where a failure can be caught."""

import atexit
import logging
import threading
from collections.abc import Collection, Mapping

from telemetry import vocabulary as v
from telemetry.sdk import log
from telemetry.sdk.handle import Handle

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
    sampling: float = 1.0,
    instrument: bool | Collection[str] = True,
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
        sampling: share of the requests that begin here whose spans are kept, 0 to 1; ``OTEL_TRACES_SAMPLER`` wins over it.
            Those that began elsewhere are kept if they were kept there. Request metrics count all.
        instrument: whether outgoing calls of httpx, requests, aiohttp and grpc become attempts, by OpenTelemetry's own
            instrumentations as far as they are installed (``edgepath[instrument]``); or which of them.
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
            from telemetry.sdk import clients, providers, servers  # noqa: PLC0415 - see this module's head

            _handle = providers.set_up(given, _share(sampling), exit_timeout, _forget)
            if _handle.enabled:
                servers.watch(_handle)
            if instrument and _handle.enabled:
                clients.watch(clients.ALL if instrument is True else instrument, _handle)
        except Exception as failure:  # noqa: BLE001 - a service starts, with or without telemetry
            log.internal("configure()", failure)
            _handle = Handle({}, on_shutdown=_forget)
        atexit.register(_handle.at_exit)
        return _handle


def flush() -> None:
    """Send what waits, if anything was configured, within ``exit_timeout``. Never raises."""
    handle = _handle
    if handle is not None:
        handle.force_flush(handle.exit_timeout)


def _share(sampling: object) -> float:
    if isinstance(sampling, (int, float)) and 0 <= sampling <= 1:
        return float(sampling)
    log.once("configure(): sampling must be a number from 0 to 1; using 1")
    return 1.0


def _forget(handle: Handle) -> None:
    global _handle  # noqa: PLW0603 - see configure()
    if _handle is handle:
        _handle = None
