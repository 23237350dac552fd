"""For all tests."""

import pytest

pytest_plugins = ["tests.real.parts.missing"]


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:  # noqa: ARG001 - pytest's
    """Bytes are no good as a test's name: they may differ from run to run (gzip writes the time), and from worker to worker."""
    return f"{argname}-{len(val)}-bytes" if isinstance(val, bytes) and not (val.isascii() and len(val) < 40) else None
