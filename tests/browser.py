"""A headless Chromium for tests: the one that is there, as none is downloaded."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

OPTIONS = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars"


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """Start one browser for all tests."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        missing = "no Chromium" if program is None else "no chromedriver"
        if os.environ.get("UNLAYER_REQUIRE_BROWSER") == "1":
            pytest.fail(f"UNLAYER_REQUIRE_BROWSER=1, but there is {missing}", pytrace=False)
        pytest.skip(f"{missing} here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for option in OPTIONS.split():
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


def wait(done: Callable[[], object], seconds: float = 15) -> None:
    """Wait until ``done`` returns something true."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def screenshot(browser: webdriver.Chrome, name: str) -> np.ndarray:
    """Return what the screen shows of the upper half of an element, ``(H, W, 3)`` RGB.

    name: the element's id. It is half as large as on the screen.
    """
    x, y, width, height = browser.execute_script(
        """
        const element = document.getElementById(arguments[0]);
        element.scrollIntoView({block: "start"});
        const box = element.getBoundingClientRect();
        return [box.x + scrollX, box.y + scrollY, box.width, box.height / 2];
        """,
        name,
    )
    clip = {"x": x, "y": y, "width": width, "height": height, "scale": 0.5}
    png = base64.b64decode(
        browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})["data"]
    )
    pixels = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
    return pixels[..., ::-1].astype(int)


def click(browser: webdriver.Chrome, selector: str) -> None:
    """Click on the middle of an element, away from what floats at the window's edge."""
    element = browser.find_element("css selector", selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()
