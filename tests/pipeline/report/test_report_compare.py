"""Test the report's comparison in a real browser: zoom, difference, certainty.

Skipped where there is no Chromium with its driver; a failure with UNLAYER_REQUIRE_BROWSER=1.
The cut-out on a colour and the sound are part of the tours (``tests/tours``).
"""

from __future__ import annotations

import numpy as np
from browser import click, screenshot, wait
from browser_pages import Show, press, settled
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WIDTH = 160
"""Width of the clip in pixels."""


def zoom_of(browser: webdriver.Chrome) -> int:
    """Return the zoom that the page shows, in percent."""
    text = browser.find_element(By.ID, "zoom").text
    return int(text.removeprefix("fit, ").removesuffix(" %"))


def choose(browser: webdriver.Chrome, left: str, right: str) -> None:
    for place, name in (("left", left), ("right", right)):
        browser.find_element(By.ID, place).send_keys(name)
    press(browser, Keys.HOME, *["l"] * 2)
    settled(browser)


def test_the_comparison_zooms_to_pixels(show: Show) -> None:
    browser = show()
    whole = zoom_of(browser)
    shown = browser.execute_script("return document.getElementById('compare').clientWidth")
    assert whole == round(100 * shown / WIDTH)
    press(browser, "+")
    assert zoom_of(browser) == 800 > whole
    press(browser, "+", "+", "+")
    assert zoom_of(browser) == 1600
    press(browser, "-")
    assert zoom_of(browser) == 800
    press(browser, "0")
    assert zoom_of(browser) == whole
    click(browser, "[data-zoom=in]")
    assert zoom_of(browser) == 800


def test_a_zoomed_comparison_is_moved_and_its_divide_stays(show: Show) -> None:
    browser = show()
    choose(browser, "scene-001", "scene-001")
    press(browser, Keys.HOME)
    settled(browser)
    press(browser, "+", "+")
    before = screenshot(browser, "compare")
    box = browser.find_element(By.ID, "compare")
    aside = box.size["width"] // 4
    webdriver.ActionChains(browser).move_to_element_with_offset(
        box, aside, -box.size["height"] // 4
    ).click_and_hold().move_by_offset(-60, 40).release().perform()
    value = browser.execute_script("return document.getElementById('divide').value")
    assert value == "500"
    wait(lambda: np.abs(screenshot(browser, "compare") - before).mean() > 1)
    dragged = screenshot(browser, "compare")
    press(browser, Keys.SHIFT + Keys.ARROW_LEFT + Keys.NULL)
    wait(lambda: np.abs(screenshot(browser, "compare") - dragged).mean() > 1)
    assert browser.execute_script("return document.body.dataset.frame") == "0"


def test_the_difference_is_black_where_both_are_equal(show: Show) -> None:
    browser = show()
    press(browser, "d")
    choose(browser, "scene-001", "scene-001")
    wait(lambda: screenshot(browser, "compare")[60:-20].max() < 12)
    choose(browser, "scene-001", "scene-002")
    wait(lambda: screenshot(browser, "compare")[60:-20].mean() > 60)
    assert browser.find_element(By.ID, "gain").is_displayed()
    assert not browser.find_element(By.ID, "divide").is_enabled()
    # A frame that one of them does not have says so.
    press(browser, Keys.HOME)
    settled(browser)
    wait(lambda: "scene-002: not visible" in browser.find_element(By.ID, "tag-left").text)
    click(browser, "[data-view=split]")
    assert browser.find_element(By.ID, "divide").is_enabled()


def test_what_is_uncertain_is_drawn_in_a_color_that_scenes_lack(show: Show) -> None:
    browser = show("evil/report.html")
    choose(browser, "scene-001", "scene-001")
    plain = screenshot(browser, "compare")[60:-20].astype(int)
    press(browser, "u")

    def pink() -> float:
        """Return how much more red and blue than green the view has than the layer alone."""
        shown = screenshot(browser, "compare")[60:-20].astype(int)
        more = shown - plain
        return float((more[..., 0] + more[..., 2] - 2 * more[..., 1]).mean())

    wait(lambda: pink() > 25)
    assert browser.find_element(By.ID, "tag-left").text == "what is uncertain in scene-001"
    # A frame of the clean scene is certain.
    press(browser, Keys.HOME)
    settled(browser)
    press(browser, "u")
    plain = screenshot(browser, "compare")[60:-20].astype(int)
    press(browser, "u")
    wait(lambda: browser.find_element(By.ID, "tag-left").text.startswith("what"))
    assert abs(pink()) < 6
