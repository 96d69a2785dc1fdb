"""Test the report's page and the index in a real browser.

Skipped where there is no Chromium with its driver; a failure with UNLAYER_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from browser import click, screenshot, wait
from browser_pages import (
    COUNT,
    EVIL,
    FIRST,
    Show,
    press,
    settled,
    state,
)
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.report.index import write_index


def test_the_slider_divides_any_frame(show: Show) -> None:
    browser = show()
    for choose, name in (("left", "scene-001"), ("right", "scene-002")):
        browser.find_element(By.ID, choose).send_keys(name)
    press(browser, Keys.HOME, *["l"] * 2, Keys.ARROW_RIGHT)
    settled(browser)

    def parts() -> tuple[float, float]:
        shown = screenshot(browser, "compare")[30:-20]
        red, green = (
            (shown[..., one] > 180) & (shown[..., other] < 80) for one, other in ((0, 1), (1, 0))
        )
        return float(red.mean()), float(green.mean())

    wait(lambda: min(parts()) > 0.4)
    divide = browser.find_element(By.ID, "divide")
    divide.send_keys(Keys.HOME)
    wait(lambda: parts()[1] > 0.9)
    divide.send_keys(Keys.END)
    wait(lambda: parts()[0] > 0.9)
    # Keys that the slider uses do not move the players.
    assert state(browser)["frame"] == 21
    box = browser.find_element(By.ID, "compare")
    webdriver.ActionChains(browser).move_to_element(box).click_and_hold().move_by_offset(
        -box.size["width"] // 4, 0
    ).release().perform()
    assert int(
        browser.execute_script("return document.getElementById('divide').value")
    ) == pytest.approx(250, abs=20)
    wait(lambda: parts()[1] > 0.6)


def test_curves_and_the_whole_clip_have_the_playhead(show: Show) -> None:
    browser = show()
    click(browser, "[data-to]")
    assert state(browser)["frame"] == FIRST
    heads = """
      return [...document.querySelectorAll(".playhead")].map(
        h => [h.classList.contains("on"), h.getAttribute("x1")]);
    """
    assert browser.execute_script(heads) == [[True, "2.5%"]]
    press(browser, Keys.HOME)
    assert browser.execute_script(heads)[0][0] is False
    click(browser, ".whole")
    assert state(browser)["frame"] == pytest.approx(COUNT / 2, abs=1)


def test_a_hostile_name_does_nothing(show: Show) -> None:
    browser = show("evil/report.html")
    assert browser.find_element(By.TAG_NAME, "h1").text == EVIL
    assert EVIL in browser.title
    names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#left option")]
    assert (
        names[0] == EVIL
        and browser.execute_script("return document.querySelectorAll('video').length") == 5
    )
    assert browser.execute_script("return document.scripts.length") == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["out/report.html", "evil/report.html"])
def test_phones_in_dark_and_light(show: Show, scheme: str, page: str) -> None:
    browser = show(page, (360, 740), scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 380) == (scheme == "light")
    assert browser.find_element(By.ID, "toggle").size["height"] >= 36


def test_it_prints_stills_instead_of_players(show: Show) -> None:
    browser = show(medium="print", scheme="dark")
    display = "return getComputedStyle(document.querySelector(arguments[0])).display"
    assert (
        browser.execute_script(display, ".transport")
        == browser.execute_script(display, "video")
        == "none"
    )
    assert browser.execute_script(display, "img.paper") == "block"
    assert all(
        browser.execute_script(
            "return [...document.querySelectorAll('img.paper')].map(i => i.naturalWidth > 0)"
        )
    )
    assert (
        browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        == "rgb(255, 255, 255)"
    )
    assert len(base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", {})["data"])) > 10_000


def test_every_element_has_a_name_for_screen_readers(
    show: Show,
) -> None:
    browser = show()
    nameless = """
      const visible = "button, input, select, video, canvas, svg[role=img], img:not([alt=''])";
      const label = e => e.getAttribute("aria-label") || e.getAttribute("alt");
      return [...document.querySelectorAll(visible)]
        .filter(e => !(label(e) || e.textContent.trim())).map(e => e.outerHTML);
    """
    assert browser.execute_script(nameless) == []
    press(browser, Keys.TAB)
    assert (
        browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        == "solid"
    )


def test_the_index_filters_its_runs(show: Show, runs: Path) -> None:
    done = {"status": "done", "seconds": 3.2, "error": ""}
    failed = {"status": "failed", "seconds": 0.1, "error": EVIL, "warnings": []}
    clips = [
        {"path": "clips/in.mkv", "out": str(runs / "out"), **done, "warnings": []},
        {"path": f"clips/{EVIL}", "out": str(runs / "evil"), **done, "warnings": ["careful"]},
        {"path": "clips/bad.mkv", "out": str(runs / "bad"), **failed},
    ]
    write_index(runs, {"task": "transition", "folder": "clips", "clips": clips})
    browser = show("index.html", (360, 740))

    def shown() -> list[str]:
        return [
            each.text
            for each in browser.find_elements(By.CSS_SELECTOR, ".run h3")
            if each.is_displayed()
        ]

    assert shown() == ["bad.mkv", EVIL, "in.mkv"]
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    wait(
        lambda: browser.execute_script("return [...document.images].every(i => i.naturalWidth > 0)")
    )
    browser.find_element(By.CSS_SELECTOR, "[data-show='failed']").click()
    assert shown() == ["bad.mkv"]
    browser.find_element(By.CSS_SELECTOR, "[data-show='warned']").click()
    assert shown() == [EVIL]
    browser.find_element(By.CSS_SELECTOR, "[data-show='']").click()
    browser.find_element(By.ID, "search").send_keys("in.mk")
    assert shown() == ["in.mkv"]
    browser.find_element(By.LINK_TEXT, "in.mkv").click()
    wait(
        lambda: (
            browser.execute_script("return document.body.dataset.ready") == "yes"
            and "report.html" in browser.current_url
        )
    )
