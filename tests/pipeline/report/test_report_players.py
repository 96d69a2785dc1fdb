"""Test the report's players in a real browser.

Skipped where there is no Chromium with its driver; a failure with UNLAYER_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from browser import wait
from browser_pages import (
    BEGINS,
    COUNT,
    FIRST,
    LAST,
    STEP,
    Show,
    press,
    settled,
    state,
)
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WATCH = """
window.shown = {};
for (const video of document.querySelectorAll("video")) {
  const note = (now, about) => {
    window.shown[video.src.split("/").pop()] = about.mediaTime;
    video.requestVideoFrameCallback(note);
  };
  video.requestVideoFrameCallback(note);
}
"""
"""Script that notes the time of the frame that each player shows on the screen."""


def in_step(now: dict[str, Any]) -> None:
    """Assert that players with this frame stand in its middle, and that the others say so."""
    for each in now["videos"]:
        begin = BEGINS[each["name"]]
        inside = begin <= now["frame"] <= (LAST if each["name"] == "scene-001.mp4" else COUNT - 1)
        assert each["away"] != inside, (each, now["frame"])
        if inside:
            assert each["time"] == pytest.approx(
                (now["frame"] - begin + 0.5) * STEP, abs=STEP / 4
            ), (each, now["frame"])


def test_players_move_together_by_the_keyboard(show: Show) -> None:
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
    # The screen shows this frame too, not only the clocks.
    wait(lambda: len(state(browser)["shown"]) == 3)
    wait(
        lambda: all(
            abs(at - (21 - BEGINS[name]) * STEP) < STEP / 4
            for name, at in state(browser)["shown"].items()
        )
    )


def test_players_play_in_step(show: Show) -> None:
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
const begins = arguments[0], step = arguments[1];
const videos = [...document.querySelectorAll("video")];
const isInside = v => !v.closest("figure").classList.contains("is-away");
const frame = v => begins[v.src.split("/").pop()] + v.currentTime / step;
window.looks = [];
// The timeout comes after all that the page does for a frame of the screen.
const look = () => setTimeout(() => {
  if (document.body.classList.contains("playing")) {
    const shown = Number(document.body.dataset.frame);
    window.looks.push([shown, ...videos.filter(isInside).map(frame)]);
  }
  requestAnimationFrame(look);
});
requestAnimationFrame(look);
"""
"""Script that notes, while the page plays, the page's frame and each player's."""


def played(browser: webdriver.Chrome, speed: str, slow: bool) -> tuple[list[float], list[float]]:
    """Play from before the second scene begins, so that its player joins on the way.

    Return, for each look, how many frames the players were apart, and how many frames the
    farthest was off the clock.
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
def test_players_keep_step_at_every_speed(show: Show, speed: str) -> None:
    slow = float(speed) < 0.5
    for _ in range(3):
        apart, behind = played(show(), speed, slow)
        if slow:
            # Slow players seek from frame to frame: each stands in the middle of one.
            assert max(behind) < 0.05
            return
        # A player may be half a frame off the clock, which itself is up to half a frame off the
        # middle. Other programs may disturb one attempt, but not three.
        if (
            np.percentile(apart, 80) <= 0.5
            and np.percentile(behind, 80) <= 1
            and np.percentile(behind[:10], 60) <= 1
        ):
            return
    raise AssertionError((apart, behind))


def test_playing_ends_at_the_end_and_begins_again(show: Show) -> None:
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
