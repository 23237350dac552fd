"""For all tests."""

pytest_plugins = ["tests.real.parts.missing"]
