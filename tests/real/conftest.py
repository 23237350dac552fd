"""Fixtures of the real parts. Every test in this folder is marked ``real``."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from tests.real.parts import chromium, clickhouse
from tests.real.parts.kafka import kafka_broker
from tests.real.parts.secure_kafka import secure_kafka

__all__ = ["kafka_broker", "secure_kafka"]

HERE = Path(__file__).parent
LONGEST = (
    "test_faults",
    "test_up",
    "test_watchers_on_server",
    "test_rule_engines",
    "test_kafka_to_clickhouse",
    "test_no_cards_in_storage",
    "test_drill",
    "test_operating",
    "test_kafka_group",
    "test_kafka_reading",
    "test_blocklog",
    "test_metrics_to_clickhouse",
)
"""Modules that take most of a minute or more, the longest first: begun last, they would run alone in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here ``real``, and put real tests into the order in which parallel runs begin them."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.real)
    real = [item for item in items if item.get_closest_marker("real")]
    order = {name: number for number, name in enumerate(LONGEST)}
    real.sort(key=lambda item: order.get(item.path.stem, len(order)))
    items[:] = real + [item for item in items if not item.get_closest_marker("real")]


@pytest.fixture(scope="session")
def clickhouse_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[clickhouse.Server]:
    """A real ClickHouse server for the whole run; its ``url`` is ``clickhouse://user:password@host:port/database``."""
    if url := os.environ.get("CLICKHOUSE_URL"):
        yield clickhouse.Given(url)
        return
    server = clickhouse.ClickHouseServer(tmp_path_factory.mktemp("clickhouse"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def clickhouse_url(clickhouse_server: clickhouse.Server) -> Iterator[str]:
    """URL of a new, empty database on a real ClickHouse server; dropped after the test."""
    with clickhouse.database(clickhouse_server.url) as url:
        yield url


@pytest.fixture
def own_clickhouse(tmp_path: Path) -> Iterator[clickhouse.ClickHouseServer]:
    """A started ClickHouse server for this test alone: it may be stopped, killed and started again."""
    server = clickhouse.ClickHouseServer(tmp_path / "clickhouse")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """A real Chromium with an empty profile; see also ``chromium.console``."""
    driver = chromium.open_browser(tmp_path / "profile")
    try:
        yield driver
    finally:
        driver.quit()
