"""For all tests."""

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.real.parts.missing"]

# How fast the machine makes up inputs is not what is tested; the first text of a fresh clone takes seconds of a busy one.
settings.register_profile("edgepath", suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("edgepath")

_REAL = tuple(Path(__file__).with_name(name) for name in ("real", "faults"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """``make test-real`` looks nowhere else: what is marked ``real`` and lies elsewhere would never run."""
    astray = [one.nodeid for one in items if one.get_closest_marker("real") and not {*_REAL} & {*one.path.parents}]
    if astray:
        raise pytest.UsageError(
            f"tests that need a real part belong into tests/real or tests/faults: {', '.join(astray)}"
        )


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001 - pytest's
    """Bytes are no good as a test's name: they may differ from run to run (gzip writes the time), and from worker to worker."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) and not (val.isascii() and len(val) < 40) else None


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Commands that tests run in this process set up logging for a process of their own; the next test finds it as it was."""
    levels = {logger: logger.level for logger in _loggers()}
    hooks = sys.excepthook, threading.excepthook
    yield
    for logger in _loggers():
        if logger.level != (before := levels.get(logger, logging.NOTSET)):
            logger.setLevel(before)
    sys.excepthook, threading.excepthook = hooks


def _loggers() -> list[logging.Logger]:
    return [logging.root, *(one for one in logging.root.manager.loggerDict.values() if isinstance(one, logging.Logger))]
