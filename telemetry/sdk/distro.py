"""What ``opentelemetry-instrument`` finds by its entry points: a service takes part without any code of its own.

::

    export OTEL_SERVICE_NAME=charges OTEL_RESOURCE_ATTRIBUTES=edgepath.tier=api,edgepath.pop=fra
    opentelemetry-instrument gunicorn app:app

Only imported by that command: it needs ``opentelemetry-instrumentation``, which ``edgepath[instrument]`` brings.
"""

import os
from importlib.metadata import EntryPoint
from typing import Any, Final

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]  # it has no types

from telemetry.sdk.clients import OPT_IN
from telemetry.sdk.setup import configure

# Theirs would make spans of their own for every message between server and application.
_ONE_SPAN: Final = {"asgi", "fastapi", "starlette"}


class Distro(BaseDistro):  # type: ignore[misc]  # likewise
    """Current semantic conventions, and one SERVER span a request."""

    def _configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - the interface's
        os.environ.setdefault(OPT_IN, "http")

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:
        """Switch on one of OpenTelemetry's instrumentations."""
        if entry_point.name in _ONE_SPAN:
            kwargs.setdefault("exclude_spans", ["receive", "send"])
        super().load_instrumentor(entry_point, **kwargs)


class Configurator:
    """Sets up the SDK from the environment alone."""

    def configure(self, **kwargs: Any) -> None:  # noqa: ARG002 - the interface's
        """As :func:`telemetry.configure`, without arguments. Instrumentations are switched on by the command itself."""
        configure(instrument=False)
