"""uvicorn ends by the very signal that asked it to, without the interpreter's exit handlers: what waits is sent before."""

from functools import wraps
from importlib.util import find_spec
from typing import Any

from telemetry.sdk import log
from telemetry.sdk.handle import Handle


def watch(handle: Handle) -> None:
    """When uvicorn is imported, let its ``Server.shutdown`` end with a flush. Nothing if ``wrapt`` is not there.

    An application in :class:`telemetry.ASGIMiddleware` that takes part in the lifespan protocol does not need it: Django does
    not, and a service without code has no middleware.
    """
    if find_spec("wrapt") is None:
        return
    from wrapt import register_post_import_hook  # noqa: PLC0415 - only there with the instrumentations

    def imported(module: Any) -> None:
        try:
            _flush_at_the_end(module.Server, handle)
        except Exception as failure:  # noqa: BLE001 - another uvicorn than we know
            log.internal("watching uvicorn", failure)

    register_post_import_hook(imported, "uvicorn.server")


def _flush_at_the_end(server: Any, handle: Handle) -> None:
    shutdown = server.shutdown

    @wraps(shutdown)
    async def flushed(*args: Any, **kwargs: Any) -> None:
        try:
            await shutdown(*args, **kwargs)
        finally:
            handle.force_flush(handle.exit_timeout)

    server.shutdown = flushed
