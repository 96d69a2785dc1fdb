"""A fade out of a colour may be the second half of a zoom into the outgoing scene."""

from __future__ import annotations

import numpy as np
import pytest
from find_clips import Stack, blocks, mixed, shot, texture, weights
from prefer_clips import moved

from stages.find.search import find
from stages.find.stretch import TransitionFit
from stages.find.zooms import zoom_around_fade

SIZE = (36, 64)
PRE, STEPS = 8, 11
FADE = TransitionFit(PRE + STEPS // 2, PRE + STEPS, np.linspace(0, 1, STEPS // 2 + 1)[1:-1], "fade")
"""The second half of a transition of the frames ``PRE..PRE + STEPS - 1``."""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_zoom_is_found_around_its_fade(seed: int) -> None:
    found = zoom_around_fade(moved(seed, "zoom", "zoomin", PRE, STEPS, SIZE), FADE)
    assert found is not None and found.effect == "zoomin"
    assert abs(found.before - (PRE - 1)) <= 1 and found.after == PRE + STEPS


@pytest.mark.parametrize("is_own_color", [True, False])
def test_a_cut_to_a_color_before_a_fade_is_no_zoom(is_own_color: bool) -> None:
    """The outgoing scene does not move, even where its middle has the colour."""
    frames = moved(3, "zoom", "zoomin", PRE, STEPS, SIZE)
    if not is_own_color:
        frames[: FADE.before] = texture(11, *SIZE)
    frames[: FADE.before] = frames[0]
    assert zoom_around_fade(frames, FADE) is None


@pytest.mark.parametrize("seed", range(4))
def test_a_box_that_closes_to_black_is_no_zoom(seed: int) -> None:
    """It shows the middle of the outgoing scene as a zoom does, but in its place."""
    frames = moved(seed, "zoom", "zoomin", PRE, STEPS, SIZE)
    frames[FADE.before :] *= np.linspace(0, 1, len(frames) - FADE.before)[:, None, None, None]
    scene = np.clip(1.5 * frames[0] - 0.5, 0, 1)
    scene[16:20, 28:36] *= 0.1
    for time in range(FADE.before):
        part = max(0.0, (time - PRE + 1) / (FADE.before - PRE + 1))
        top, left = (round(part * side / 2) for side in SIZE)
        frames[time] = 0
        frames[time, top : SIZE[0] - top, left : SIZE[1] - left] = scene[
            top : SIZE[0] - top, left : SIZE[1] - left
        ]
    assert zoom_around_fade(frames, FADE) is None


def events(frames: Stack) -> list[tuple[str, int, int]]:
    """Return the kind, the first and the last frame of each transition that the search finds."""
    transitions = find(blocks(frames)).transitions
    return [(one.kind, one.first_frame, one.last_frame) for one in transitions]


@pytest.mark.parametrize("seed", [10, 12])
def test_a_dark_scene_that_fades_to_black_is_no_zoom(seed: int) -> None:
    """What is left of a night scene in a fade looks like its enlarged black middle."""
    dark = np.clip(1.6 * texture(seed, *SIZE) - 0.75, 0, 1)
    out, back = weights("linear", 10)[::-1, None, None, None], weights("linear", 10)
    night = np.concatenate([np.stack([dark] * 20), out * dark, 0 * np.stack([dark] * 2)])
    day = shot(seed + 50, 40, SIZE, (0.5, 0.0), thing=False)
    day[:10] *= back[:, None, None, None].astype(np.float32)
    frames = np.round(np.concatenate([night, day]) * 255) / 255
    assert events(frames.astype(np.float32)) == [("fade", 20, 29), ("fade", 32, 41)]


@pytest.mark.parametrize(("seed", "color"), [(23, 0.0), (22, 0.4), (25, 0.6)])
def test_a_fade_to_a_color_under_a_camera_that_zooms_in_is_no_zoom(seed: int, color: float) -> None:
    fast = shot(seed, 30, SIZE, zoom=0.04, thing=False)
    fast[:, 14:22, 26:38] = color + 0.1 * (fast[:, 14:22, 26:38] - color)
    fast[20:] = color + (fast[20:] - color) * weights("linear", 10)[::-1, None, None, None]
    day = shot(seed + 50, 40, SIZE, (0.5, 0.0), thing=False)
    day[:10] = color + (day[:10] - color) * weights("linear", 10)[:, None, None, None]
    frames = np.concatenate([fast, np.full_like(day[:2], color), day])
    found = events(np.asarray(np.round(frames * 255) / 255, np.float32))
    assert [kind for kind, _, _ in found] == ["fade", "fade"]


def test_a_camera_that_slowly_zooms_in_before_a_cut_to_a_color_is_no_zoom() -> None:
    day = moved(8, "zoom", "zoomin", PRE, STEPS, SIZE)[PRE + STEPS // 2 :]
    color = day[0, 0, 0]
    slow = shot(5, 40, SIZE, zoom=0.01, thing=False)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    away = np.hypot(rows - SIZE[0] / 2, columns - SIZE[1] / 2)[..., None] / SIZE[0]
    slow = color + (slow - color) * np.clip((away - 0.15) / 0.2, 0, 1)
    frames = np.concatenate([slow.astype(np.float32), day, np.stack([day[-1]] * 20)])
    assert all(kind != "zoom" for kind, _, _ in events(frames))


@pytest.mark.parametrize("seed", [4, 5])
def test_a_dissolve_shortly_before_a_zoom_is_kept(seed: int) -> None:
    zoom = moved(seed, "zoom", "zoomin", 3, STEPS, SIZE)
    before = shot(seed + 1, 42, SIZE, (0.5, 0.0), thing=False)
    between = mixed(before, np.stack([zoom[0]] * 42), 30, weights("linear", 12))
    frames = np.concatenate([between, zoom[1:], np.stack([zoom[-1]] * 30)])
    (kind, first, last), zoomed = events(frames)
    assert (kind, first) == ("dissolve", 30) and abs(last - 41) <= 2
    assert zoomed == ("zoom", 44, 43 + STEPS)
