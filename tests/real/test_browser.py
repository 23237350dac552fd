"""A real browser opens the page over a real embedded ClickHouse and sees drawn panels."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from telemetry.store import schema
from telemetry.store.base import Store
from telemetry.store.chdb import ChdbEngine
from telemetry.store.embedded import EmbeddedStore
from telemetry.web.app import create_app, default_dashboards
from telemetry.web.server import WebServer
from tests.real.parts import chromium
from tests.unit.dashboards.sample_data import Sample, insert

HOSTILE = (
    '/<img src=x onerror="window.hacked=1"><script>window.hacked=1</script><a href="https://evil.example">&lt;%{x}'
)
PAGES = [
    {
        "slo": "edge-availability",
        "severity": "page",
        "summary": f"fra: edge is to blame {HOSTILE}",
        "since": "2026-01-01T00:00:00+00:00",
        "link": "/d/edgepath-path?var-pop=fra",
    },
    {"slo": "edge-time", "severity": "ticket", "summary": "slow", "since": "?", "link": "javascript:window.hacked=1"},
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Half an hour of traffic with an incident, and a few requests whose names want to be HTML."""
    embedded = EmbeddedStore(ChdbEngine(tmp_path_factory.mktemp("chdb")))
    schema.apply(embedded)
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=32)
    insert(embedded, Sample(start=start, minutes=31, per_second=10, incident=(12, 18)))
    hostile = HOSTILE.replace("'", "\\'")
    embedded.execute(
        "INSERT INTO path_feed (trace_id, start, environment, pop, route, method, outcome, blamed_tier, blamed_component, "
        "blamed_pop, blame_reason, total_ns, edge_ns, weight, block, hops.tier, hops.component, hops.pop, hops.duration_ns, "
        "hops.self_ns, hops.failed, hops.offset_ns, hops.retry_ns, hops.network_ns, hops.unattributed_ns, hops.status, "
        "hops.flags, hops.error, hops.attempts, hops.span_id) "
        f"SELECT toFixedString(unhex(repeat('a{'b'}', 16)), 16), now64(9) - 300 - number, 'production', '{hostile}', "
        f"'{hostile}', 'GET', 'edge_error', 'edge', '{hostile}', '{hostile}', '{hostile}', 900000000000, 900000000000, 1, 2, "
        f"['edge'], ['{hostile}'], ['{hostile}'], [900000000000], [900000000000], [true], [0], [0], [0], [0], [500], "
        f"['{hostile}'], ['{hostile}'], [1], [1] FROM numbers(20)"
    )
    yield embedded
    embedded.close()


@pytest.fixture(scope="module")
def url(store: Store) -> Iterator[str]:
    """The page's address."""
    server = WebServer(create_app(store, pages=lambda: PAGES, status=lambda: {"paths stored": HOSTILE}), port=0)
    server.start()
    yield server.url
    server.stop()


def wait(browser: webdriver.Chrome, condition: Callable[[], Any], what: str) -> Any:
    """Until the condition holds; at most half a minute. A panel that is not there yet, or not any more, is waited for."""
    soon = (KeyError, StaleElementReferenceException)
    return WebDriverWait(browser, 30, poll_frequency=0.1, ignored_exceptions=soon).until(lambda _: condition(), what)


def panels(browser: webdriver.Chrome) -> dict[str, WebElement]:
    """The panels by title."""
    found = browser.find_elements(By.CSS_SELECTOR, ".panel")
    return {str(panel.get_attribute("aria-label")): panel for panel in found}


def draw_everything(browser: webdriver.Chrome) -> dict[str, tuple[str, int]]:
    """Make the window as high as the page, so that every panel is in sight; state and count drawn of each panel."""
    wait(browser, lambda: panels(browser), "panels")
    height = browser.execute_script("return document.documentElement.scrollHeight")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 1440, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )

    def states() -> dict[str, tuple[str, int]]:
        return {
            name: (str(panel.get_attribute("data-state")), int(panel.get_attribute("data-drawn") or 0))
            for name, panel in panels(browser).items()
        }

    wait(browser, lambda: all(state != "loading" for state, _ in states().values()), "all panels loaded")
    return states()


def complaints(browser: webdriver.Chrome) -> list[str]:
    """What the console holds against the page."""
    return [entry["message"] for entry in chromium.console(browser) if entry["level"] in {"SEVERE", "WARNING"}]


@pytest.mark.parametrize("uid", ["edgepath-overview", "edgepath-path"])
def test_every_panel_is_drawn(browser: webdriver.Chrome, url: str, uid: str) -> None:
    """No panel fails or stays empty, the drawn lines and rows are there, and the console is silent."""
    browser.get(f"{url}d/{uid}?from=now-30m&to=now&refresh=off")

    states = draw_everything(browser)

    layout = json.loads((default_dashboards() / f"{uid}.json").read_text())
    assert set(states) == {panel["title"] for panel in layout["panels"] if panel["type"] != "row"}
    assert {name: state for name, (state, drawn) in states.items() if state != "drawn" or drawn < 1} == {}
    for panel in browser.find_elements(By.CSS_SELECTOR, ".panel.timeseries"):
        lines = panel.find_elements(By.CSS_SELECTOR, ".scatterlayer .trace")
        assert len(lines) == int(panel.get_attribute("data-drawn") or 0)
    assert complaints(browser) == []
    assert browser.get_screenshot_as_png()


def test_what_the_store_says_is_text(browser: webdriver.Chrome, url: str) -> None:
    """Names that are HTML, in tables, legends, pickers, hover labels, waterfall and pages: shown, never run."""
    for uid in ("edgepath-overview", "edgepath-path"):
        browser.get(f"{url}d/{uid}?from=now-30m&to=now&refresh=off&var-trace={'ab' * 16}")
        draw_everything(browser)
        for plot in browser.find_elements(By.CSS_SELECTOR, ".plot .nsewdrag"):
            ActionChains(browser).move_to_element(plot).perform()
        assert browser.execute_script("return window.hacked") is None
        assert browser.find_elements(By.CSS_SELECTOR, "main img, main script, header script, #pages img") == []
        links = [a.get_attribute("href") or "" for a in browser.find_elements(By.CSS_SELECTOR, "a, svg a")]
        assert all(link.startswith(url) for link in links)
        assert "<img src=x" in str(browser.execute_script("return document.querySelector('main').textContent"))
        assert complaints(browser) == []
    assert "edge-availability" in browser.find_element(By.ID, "pages").text


def test_a_row_leads_to_its_waterfall(browser: webdriver.Chrome, url: str) -> None:
    """From the overview's PoP to its request path to one request, by clicks alone; the address carries all of it."""
    browser.get(f"{url}d/edgepath-overview?from=now-30m&to=now&refresh=off&var-outcome=edge_error&var-pop=fra")
    draw_everything(browser)
    panels(browser)["By PoP"].find_element(By.LINK_TEXT, "fra").click()
    wait(browser, lambda: "/d/edgepath-path" in browser.current_url and "Slowest requests" in panels(browser), "path")
    draw_everything(browser)
    link = panels(browser)["Slowest requests"].find_element(By.CSS_SELECTOR, "td a")
    trace = link.text
    link.click()

    wait(browser, lambda: f"var-trace={trace}" in browser.current_url, "the trace in the address")
    wait(browser, lambda: trace in panels(browser)["Request"].text, "the request")
    wait(browser, lambda: "edge-fra ✗ 503" in panels(browser)["Waterfall"].text, "its hops")
    assert {"from=now-30m", "to=now", "var-pop=fra", "var-outcome=edge_error"} <= set(
        browser.current_url.split("?")[1].split("&")
    )
    assert browser.find_element(By.CSS_SELECTOR, ".textbox input").get_attribute("value") == trace
    browser.back()
    wait(browser, lambda: "var-trace" not in browser.current_url, "back")
    assert complaints(browser) == []


def test_pickers_change_what_is_drawn(browser: webdriver.Chrome, url: str) -> None:
    """One PoP, a shorter range: panels follow; a range without data says so; dragging over a chart zooms."""
    browser.get(f"{url}d/edgepath-overview?from=now-30m&to=now&refresh=off")
    wait(browser, lambda: "iad" in panels(browser)["Failed share by PoP"].text, "all PoPs")
    browser.find_element(By.CSS_SELECTOR, "[data-variable=pop] summary").click()
    wait(browser, lambda: browser.find_elements(By.XPATH, "//label[span='iad']/input"), "the options")[0].click()
    wait(browser, lambda: "fra" not in panels(browser)["Failed share by PoP"].text, "one PoP")
    assert "var-pop=iad" in browser.current_url

    browser.find_element(By.XPATH, "//div[@role='group']/button[text()='15m']").click()
    wait(browser, lambda: "from=now-15m" in browser.current_url, "a shorter range")

    wait(browser, lambda: panels(browser)["Edge time"].find_elements(By.CSS_SELECTOR, ".scatterlayer .trace"), "lines")
    chart = panels(browser)["Edge time"].find_element(By.CSS_SELECTOR, ".nsewdrag")
    ActionChains(browser).move_to_element(chart).click_and_hold().move_by_offset(120, 0).release().perform()
    wait(browser, lambda: "from=1" in browser.current_url, "a zoom")

    browser.get(f"{url}d/edgepath-overview?from=now-3d&to=now-2d&refresh=off")
    states = draw_everything(browser)
    assert {state for state, _ in states.values()} == {"empty"}
    assert "No data in this range" in panels(browser)["Requests by outcome"].text
    assert complaints(browser) == []


def test_a_failed_panel_says_why_and_the_rest_goes_on(browser: webdriver.Chrome, store: Store, tmp_path: Path) -> None:
    """ClickHouse's own words stand in the panel."""
    board = json.loads((default_dashboards() / "edgepath-overview.json").read_text())
    broken = next(panel for panel in board["panels"] if panel["title"] == "Edge time")
    broken["targets"][0]["rawSql"] = "SELECT no_such_column FROM request_paths"
    (tmp_path / "board.json").write_text(json.dumps(board))
    server = WebServer(create_app(store, tmp_path), port=0)
    server.start()
    try:
        browser.get(f"{server.url}?refresh=off")
        wait(browser, lambda: panels(browser), "panels")
        states = draw_everything(browser)
    finally:
        server.stop()

    assert states.pop("Edge time") == ("failed", 0)
    assert {state for state, _ in states.values()} == {"drawn"}
    assert "no_such_column" in panels(browser)["Edge time"].text


def test_a_narrow_window_has_one_column(browser: webdriver.Chrome, url: str) -> None:
    """Nothing is wider than the window."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 430, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    )
    browser.get(f"{url}d/edgepath-overview?from=now-30m&to=now&refresh=off")
    wait(browser, lambda: panels(browser)["Requests by outcome"].get_attribute("data-state") == "drawn", "a chart")

    assert browser.execute_script("return document.documentElement.scrollWidth") <= 430
    assert panels(browser)["Requests by outcome"].size["width"] > 380
