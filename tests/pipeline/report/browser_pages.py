"""A headless Chromium that opens report pages as files, for the browser tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import media
import pytest
from browser import wait
from clips import dissolve, moving, plain_answer
from selenium import webdriver
from selenium.webdriver.common.by import By

from pipeline.cli.main import main

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)<\u2215script>';alert(3);'.mp4"
FIRST, LAST, COUNT = 16, 35, 50
"""First and last mixed frame of the clip, and its frames."""

STEP = 0.04
"""Seconds between two frames."""

BEGINS = {"preview-input.mp4": 0, "scene-001.mp4": 0, "scene-002.mp4": FIRST}
"""The first frame of each player's file."""

Show = Callable[..., webdriver.Chrome]


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with two finished runs.

    ``out`` is a plain one; the input of ``evil`` has a hostile name, and it says how sure it is.
    """
    folder = tmp_path_factory.mktemp("report runs #1")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
        scenes = moving(1, COUNT, (120, 160)), moving(2, COUNT, (120, 160))
        media.save(Path("in.mkv"), dissolve(*scenes, FIRST, LAST - FIRST + 1)[0])
        shutil.copy("in.mkv", EVIL)
        words = ["run", "--task", "transition", "--transition", f"{FIRST}:{LAST}", "--no-progress"]
        assert main([*words, "--out", "out", "--", "in.mkv"]) == 0
        assert main([*words, "--out", "evil", "--lossless", "--confidence", "--", EVIL]) == 0
        # The page needs nothing but the run's own folder.
        Path("in.mkv").unlink()
    return folder


@pytest.fixture
def show(chromium: webdriver.Chrome, runs: Path) -> Iterator[Show]:
    """Return a function that opens a page at a size.

    After the test there must be no error in the console and no dialog.
    """
    all_loaded = """
      return [...document.querySelectorAll("video")].every(v => v.readyState >= 2 && !v.seeking)
    """

    def opened(
        page: str = "out/report.html",
        size: tuple[int, int] = (1200, 900),
        scheme: str = "light",
        medium: str = "",
    ) -> webdriver.Chrome:
        screen = {
            "width": size[0],
            "height": size[1],
            "deviceScaleFactor": 1,
            "mobile": size[0] < 500,
        }
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        chromium.execute_cdp_cmd(
            "Emulation.setEmulatedMedia", {"media": medium, "features": features}
        )
        chromium.get((runs / page).as_uri())
        wait(lambda: chromium.execute_script("return document.body.dataset.ready") == "yes")
        wait(lambda: chromium.execute_script(all_loaded))
        return chromium

    chromium.get_log("browser")
    yield opened
    assert chromium.get_log("browser") == []
    foreign = "return document.querySelectorAll('[onerror], script[src], iframe').length"
    assert chromium.execute_script(foreign) == 0


STATE = """
const player = v => ({
  time: v.currentTime, paused: v.paused, seeking: v.seeking,
  away: v.closest("figure").classList.contains("is-away"), name: v.src.split("/").pop(),
});
return {
  frame: Number(document.body.dataset.frame),
  playing: document.body.classList.contains("playing"),
  scrub: Number(document.getElementById("scrub").value),
  shown: {...window.shown},
  videos: [...document.querySelectorAll("video")].map(player),
};
"""


def state(browser: webdriver.Chrome) -> dict[str, Any]:
    """Return what the page shows now."""
    found: dict[str, Any] = browser.execute_script(STATE)
    return found


def settled(browser: webdriver.Chrome) -> dict[str, Any]:
    """Return what the page shows once no player seeks any more."""
    wait(lambda: not any(each["seeking"] for each in state(browser)["videos"]))
    return state(browser)


def press(browser: webdriver.Chrome, *keys: str) -> None:
    """Press keys."""
    browser.find_element(By.TAG_NAME, "body").send_keys(*keys)
