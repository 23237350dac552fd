"""A real browser: Chromium and its driver, from PATH, else Debian's packages unpacked, else on CI installed."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

from tests.real.parts import debian
from tests.real.parts.missing import Missing

PART = "Chromium"
HOW = "install Chromium and chromedriver of the same version (Debian: apt-get install chromium chromium-driver)"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1440,1000",
    "--force-device-scale-factor=1",
    "--lang=en-US",
)


@dataclass(frozen=True)
class Browser:
    """Where the programs are, and the variables that they need."""

    chromium: Path
    driver: Path
    env: Mapping[str, str] = field(default_factory=dict)


def installed() -> Browser | None:
    """The browser on PATH."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    driver = shutil.which("chromedriver")
    return Browser(Path(chromium), Path(driver)) if chromium and driver else None


def unpacked() -> Browser:
    """Debian's packages, unpacked without root (about 120 MB, 500 MB unpacked).

    Raises:
        Missing: they cannot be fetched.
    """
    root = debian.unpack(PART, HOW, "chromium", "chromium-driver")
    return Browser(root / "usr/lib/chromium/chromium", root / "usr/bin/chromedriver", debian.environment(root))


def find() -> Browser:
    """The browser on PATH, else Debian's.

    Raises:
        Missing: there is none, and it cannot be fetched.
    """
    return installed() or unpacked()


def open_browser(profile: Path) -> webdriver.Chrome:
    """Start a browser with ``profile``, an empty directory, as its own. The caller quits it.

    Raises:
        Missing: this machine cannot have one.
    """
    if there := installed():
        return start(there, profile)
    try:
        return start(unpacked(), profile)
    except (Missing, WebDriverException) as error:
        try:
            debian.install(PART, HOW, "chromium", "chromium-driver")
        except Missing:
            if isinstance(error, Missing):
                raise error from None
            reason = (error.msg or type(error).__name__).splitlines()[0]
            raise Missing(PART, f"Debian's packages, unpacked, do not run here: {reason}", HOW) from error
    if there := installed():
        return start(there, profile)
    raise Missing(PART, "apt-get installed it, and still it is not on PATH", HOW)


def start(browser: Browser, profile: Path) -> webdriver.Chrome:
    """Start ``browser``. :func:`console` has what a page writes to its console.

    Raises:
        WebDriverException: it does not run.
    """
    options = Options()
    options.binary_location = str(browser.chromium)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # With the driver's path given, selenium looks for none and fetches none.
    return webdriver.Chrome(options, Service(str(browser.driver), env={**os.environ, **browser.env}))


def console(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """What pages wrote to the console since the last call: ``level`` (SEVERE for an error), ``message``, ``source``."""
    return list(browser.get_log("browser"))  # type: ignore[no-untyped-call] # selenium has no types there
