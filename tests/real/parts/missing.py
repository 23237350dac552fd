"""What happens when a machine cannot have a real part. This module is also the pytest plugin that acts on it.

A fixture (or a test) raises :class:`Missing`. The test is then skipped, and a section at the end of the run lists every
missing part, why it is missing and how to get it. With ``CI=true`` in the environment the test fails instead: on CI a
missing part must not look like a pass.
"""

import os
from collections import defaultdict
from collections.abc import Generator

import pytest

PROPERTY = "missing_part"


class Missing(Exception):  # noqa: N818 - it skips a test, as pytest's own Skipped does
    """A real part cannot be had on this machine.

    Attributes:
        part: what is missing, e.g. ``"ClickHouse server"``.
        why: what was tried and what came of it, in one line.
        how: what a person can do to get it, in one line.
    """

    def __init__(self, part: str, why: str, how: str) -> None:
        self.part = part
        self.why = " ".join(why.split())
        self.how = how
        super().__init__(f"{part} is missing: {self.why}. To get it: {how}")


def fatal() -> bool:
    """Whether a missing part fails the run: on CI it does."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a :class:`Missing` into a skip, or on CI into a failure of one line."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, Missing):
        missing = call.excinfo.value
        # Travels with the report from an xdist worker to the process that prints the summary.
        report.user_properties.append((PROPERTY, (missing.part, missing.why, missing.how)))
        if fatal():
            report.longrepr = str(missing)
        else:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), (item.location[1] or 0) + 1, f"Skipped: {missing}")
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List every missing part with the number of tests that were not run for it."""
    tests: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == PROPERTY:
                    part, why, how = value
                    tests[part, why, how].add(report.nodeid)
    if not tests:
        return
    terminalreporter.section("MISSING REAL PARTS: these tests did NOT run", sep="!", red=True, bold=True)
    for (part, why, how), nodes in sorted(tests.items()):
        terminalreporter.line(f"{part}: {len(nodes)} test(s) not run")
        terminalreporter.line(f"    why:       {why}")
        terminalreporter.line(f"    to get it: {how}")
    if not fatal():
        terminalreporter.line("With CI=true each of these is a failure.")
