"""The report in a real browser: headless Chromium opens the page as a file, as whoever is sent one does.

Skipped where there is no Chromium with its driver; under UNLAYER_REQUIRE_BROWSER=1 that is a failure.
"""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import dissolve, moving, plain_answer
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from pipeline.cli.main import main
from pipeline.report.index import write_index

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)<\u2215script>';alert(3);'.mp4"
FIRST, LAST, COUNT = 16, 35, 50
STEP = 0.04


@pytest.fixture(scope="session")
def chromium() -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    program = (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        missing = "no Chromium" if program is None else "no chromedriver"
        if os.environ.get("UNLAYER_REQUIRE_BROWSER") == "1":
            pytest.fail(f"UNLAYER_REQUIRE_BROWSER=1, but there is {missing}", pytrace=False)
        pytest.skip(f"{missing} here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for word in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    yield browser
    browser.quit()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished runs: ``out``, a plain one, and ``evil``, of a file with a hostile name."""
    folder = tmp_path_factory.mktemp("report runs #1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("pipeline.tasks.transition.run.separate_transition", plain_answer)
        frames = dissolve(
            moving(1, COUNT, (120, 160)), moving(2, COUNT, (120, 160)), FIRST, LAST - FIRST + 1
        )[0]
        media.save(Path("in.mkv"), frames)
        shutil.copy("in.mkv", EVIL)
        for source, out in (("in.mkv", "out"), (EVIL, "evil")):
            words = [
                "run",
                "--task",
                "transition",
                "--transition",
                f"{FIRST}:{LAST}",
                "--no-progress",
                "--out",
                out,
            ]
            assert main([*words, *(["--lossless"] if out == "evil" else []), "--", source]) == 0
        # Nothing but the run's own folder is needed.
        Path("in.mkv").unlink()
    return folder


@pytest.fixture
def show(chromium: webdriver.Chrome, runs: Path) -> Iterator[Callable[..., webdriver.Chrome]]:
    """Opens a page at a size; behind the test there must be no error in the console and no dialog."""

    def opened(
        page: str = "out/report.html",
        size: tuple[int, int] = (1200, 900),
        scheme: str = "light",
        medium: str = "",
    ) -> webdriver.Chrome:
        narrow = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size[0] < 500,
        }
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        chromium.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": medium, "features": features}
        )
        chromium.get((runs / page).as_uri())
        wait(lambda: chromium.execute_script("return document.body.dataset.ready") == "yes")
        wait(
            lambda: chromium.execute_script(
                "return [...document.querySelectorAll('video')].every(v => v.readyState >= 2 && !v.seeking)"
            )
        )
        return chromium

    chromium.get_log("browser")
    yield opened
    assert chromium.get_log("browser") == []
    assert (
        chromium.execute_script(
            "return document.querySelectorAll('[onerror], script[src], iframe').length"
        )
        == 0
    )


def wait(done: Callable[[], object], seconds: float = 15) -> None:
    """Waits until something is so."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


WATCH = """
window.shown = {};
for (const video of document.querySelectorAll("video")) {
  const note = (now, about) => { window.shown[video.src.split("/").pop()] = about.mediaTime; video.requestVideoFrameCallback(note); };
  video.requestVideoFrameCallback(note);
}
"""
STATE = """
return {frame: Number(document.body.dataset.frame), playing: document.body.classList.contains("playing"),
  scrub: Number(document.getElementById("scrub").value), shown: {...window.shown},
  videos: [...document.querySelectorAll("video")].map(v => ({time: v.currentTime, paused: v.paused, seeking: v.seeking,
    away: v.closest("figure").classList.contains("is-away"), name: v.src.split("/").pop()}))};
"""
BEGINS = {"preview-input.mp4": 0, "scene-001.mp4": 0, "scene-002.mp4": FIRST}


def state(browser: webdriver.Chrome) -> dict[str, Any]:
    """What the page shows at this moment."""
    told: dict[str, Any] = browser.execute_script(STATE)
    return told


def settled(browser: webdriver.Chrome) -> dict[str, Any]:
    """The same once no player seeks any more."""
    wait(lambda: not any(each["seeking"] for each in state(browser)["videos"]))
    return state(browser)


def press(browser: webdriver.Chrome, *keys: str) -> None:
    browser.find_element(By.TAG_NAME, "body").send_keys(*keys)


def press_middle(browser: webdriver.Chrome, selector: str) -> None:
    """Clicks on an element's middle, away from what floats at the window's edge."""
    element = browser.find_element(By.CSS_SELECTOR, selector)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def in_step(now: dict[str, Any]) -> None:
    """Holds that every player that has the frame stands in the middle of it, and that the others say that they have it not."""
    for each in now["videos"]:
        begin = BEGINS[each["name"]]
        inside = begin <= now["frame"] <= (LAST if each["name"] == "scene-001.mp4" else COUNT - 1)
        assert each["away"] != inside, (each, now["frame"])
        if inside:
            assert each["time"] == pytest.approx(
                (now["frame"] - begin + 0.5) * STEP, abs=STEP / 4
            ), (each, now["frame"])


def test_players_move_together_by_the_keyboard(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show()
    browser.execute_script(WATCH)
    assert [each["name"] for each in state(browser)["videos"]] == list(BEGINS)
    press(browser, Keys.HOME)
    for keys, frame in (
        ((Keys.ARROW_RIGHT,) * 3, 3),
        (("l", "l"), 23),
        ((Keys.ARROW_LEFT,), 22),
        (("j",), 12),
        (("]",), FIRST),
        ((Keys.END,), COUNT - 1),
        (("[",), FIRST),
        ((Keys.HOME, Keys.ARROW_LEFT), 0),
        (("l", "l", Keys.ARROW_RIGHT), 21),
    ):
        press(browser, *keys)
        now = settled(browser)
        assert now["frame"] == now["scrub"] == frame and not now["playing"]
        in_step(now)
    # What the screen shows is the frame, not only what the clocks say.
    wait(lambda: len(state(browser)["shown"]) == 3)
    wait(
        lambda: all(
            abs(at - (21 - BEGINS[name]) * STEP) < STEP / 4
            for name, at in state(browser)["shown"].items()
        )
    )


def test_players_play_in_step(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show()
    press(browser, Keys.HOME, *["l"] * 2)
    settled(browser)
    press(browser, Keys.SPACE)
    wait(lambda: state(browser)["frame"] >= 22)
    looks = []
    while (now := state(browser))["frame"] < LAST - 1 and now["playing"]:
        looks.append(now)
    press(browser, "k")
    assert looks and looks[-1]["frame"] > looks[0]["frame"]
    now = settled(browser)
    assert not now["playing"]
    in_step(now)


LOOKS = """
const begins = arguments[0], videos = [...document.querySelectorAll("video")];
window.looks = [];
// Behind all that the page does for a frame of the screen.
const look = () => setTimeout(() => {
  const inside = v => !v.closest("figure").classList.contains("is-away");
  const at = videos.filter(inside).map(v => [begins[v.src.split("/").pop()], v]);
  if (document.body.classList.contains("playing"))
    window.looks.push([Number(document.body.dataset.frame), ...at.map(([begin, v]) => begin + v.currentTime / arguments[1])]);
  requestAnimationFrame(look);
});
requestAnimationFrame(look);
"""


def played(browser: webdriver.Chrome, speed: str, slow: bool) -> tuple[list[float], list[float]]:
    """Play from before the second scene's begin, so that a player joins on the way.

    Return how many frames the players were apart, and the farthest was off the clock, at each look.
    """
    press(browser, Keys.HOME, *([Keys.ARROW_RIGHT] * (FIRST - 2 if slow else FIRST - 12)))
    settled(browser)
    browser.find_element(By.ID, "speed").send_keys(speed)
    browser.execute_script(LOOKS, BEGINS, STEP)
    browser.find_element(By.ID, "toggle").click()
    wait(lambda: state(browser)["frame"] >= FIRST + (4 if slow else 16), 30)
    press(browser, "k")
    looks = browser.execute_script("return window.looks")
    assert len(looks) > 10 and {len(look) for look in looks} == {3, 4} and looks[0][0] < FIRST
    apart = [max(players) - min(players) for _, *players in looks]
    behind = [max(abs(at - frame - 0.5) for at in players) for frame, *players in looks]
    return apart, behind


@pytest.mark.parametrize("speed", ["0.1", "0.25", "0.5", "1", "2"])
def test_players_keep_step_at_every_speed(
    show: Callable[..., webdriver.Chrome], speed: str
) -> None:
    slow = float(speed) < 0.5
    for _ in range(3):
        apart, behind = played(show(), speed, slow)
        if slow:
            # Sent from frame to frame: each stands in the middle of it.
            assert max(behind) < 0.05
            return
        # Half a frame off the clock, which itself is up to half a frame off the middle. Other programs may disturb one play, not three.
        if (
            np.percentile(apart, 80) <= 0.5
            and np.percentile(behind, 80) <= 1
            and np.percentile(behind[:10], 60) <= 1
        ):
            return
    raise AssertionError((apart, behind))


def test_playing_ends_at_the_end_and_begins_again(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show()
    press(browser, Keys.END, "j")
    settled(browser)
    browser.find_element(By.ID, "toggle").click()
    wait(lambda: state(browser)["frame"] == COUNT - 1 and not state(browser)["playing"])
    in_step(settled(browser))
    browser.find_element(By.ID, "toggle").send_keys(Keys.SPACE)
    wait(lambda: 0 < state(browser)["frame"] < COUNT - 1 and state(browser)["playing"])
    browser.find_element(By.ID, "toggle").click()
    in_step(settled(browser))


def picture(browser: webdriver.Chrome) -> np.ndarray:
    """What the screen shows of the comparison, ``(H, W, 3)`` RGB."""
    script = "const c = document.getElementById('compare'); c.scrollIntoView({block: 'start'}); const b = c.getBoundingClientRect();"
    x, y, width, height = browser.execute_script(
        f"{script} return [b.x + scrollX, b.y + scrollY, b.width, b.height / 2]"
    )
    clip = {"x": x, "y": y, "width": width, "height": height, "scale": 0.5}
    png = base64.b64decode(
        browser.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip})["data"]
    )
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))[
        ..., ::-1
    ].astype(int)


def test_the_slider_divides_any_frame(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show()
    for choose, name in (("left", "scene-001"), ("right", "scene-002")):
        browser.find_element(By.ID, choose).send_keys(name)
    press(browser, Keys.HOME, *["l"] * 2, Keys.ARROW_RIGHT)
    settled(browser)

    def parts() -> tuple[float, float]:
        shown = picture(browser)[30:-20]
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
    # Its keys are its own.
    assert state(browser)["frame"] == 21
    box = browser.find_element(By.ID, "compare")
    webdriver.ActionChains(browser).move_to_element(box).click_and_hold().move_by_offset(
        -box.size["width"] // 4, 0
    ).release().perform()
    assert int(
        browser.execute_script("return document.getElementById('divide').value")
    ) == pytest.approx(250, abs=20)
    wait(lambda: parts()[1] > 0.6)


def test_curves_and_the_whole_clip_have_the_playhead(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show()
    press_middle(browser, "[data-to]")
    assert state(browser)["frame"] == FIRST
    heads = "return [...document.querySelectorAll('.playhead')].map(h => [h.classList.contains('on'), h.getAttribute('x1')])"
    assert browser.execute_script(heads) == [[True, "2.5%"]]
    press(browser, Keys.HOME)
    assert browser.execute_script(heads)[0][0] is False
    press_middle(browser, ".whole")
    assert state(browser)["frame"] == pytest.approx(COUNT / 2, abs=1)


def test_a_hostile_name_does_nothing(show: Callable[..., webdriver.Chrome]) -> None:
    browser = show("evil/report.html")
    assert browser.find_element(By.TAG_NAME, "h1").text == EVIL
    assert EVIL in browser.title
    names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#left option")]
    assert (
        names[0] == EVIL
        and browser.execute_script("return document.querySelectorAll('video').length") == 3
    )
    assert browser.execute_script("return document.scripts.length") == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["out/report.html", "evil/report.html"])
def test_phones_in_dark_and_light(
    show: Callable[..., webdriver.Chrome], scheme: str, page: str
) -> None:
    browser = show(page, (360, 740), scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper[4:-1].split(","))) > 380) == (scheme == "light")
    assert browser.find_element(By.ID, "toggle").size["height"] >= 36


def test_it_prints_stills_instead_of_players(show: Callable[..., webdriver.Chrome]) -> None:
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


def test_everything_is_named_for_those_who_do_not_see(
    show: Callable[..., webdriver.Chrome],
) -> None:
    browser = show()
    nameless = """
    return [...document.querySelectorAll("button, input, select, video, canvas, svg[role=img], img:not([alt=''])")]
      .filter(e => !(e.getAttribute("aria-label") || e.getAttribute("alt") || e.textContent.trim())).map(e => e.outerHTML)"""
    assert browser.execute_script(nameless) == []
    press(browser, Keys.TAB)
    assert (
        browser.execute_script("return getComputedStyle(document.activeElement).outlineStyle")
        == "solid"
    )


def test_the_index_filters_its_runs(show: Callable[..., webdriver.Chrome], runs: Path) -> None:
    clips = [
        {
            "path": "clips/in.mkv",
            "out": str(runs / "out"),
            "status": "done",
            "seconds": 3.2,
            "error": "",
            "warnings": [],
        },
        {
            "path": f"clips/{EVIL}",
            "out": str(runs / "evil"),
            "status": "done",
            "seconds": 3.2,
            "error": "",
            "warnings": ["careful"],
        },
        {
            "path": "clips/bad.mkv",
            "out": str(runs / "bad"),
            "status": "failed",
            "seconds": 0.1,
            "error": EVIL,
            "warnings": [],
        },
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
