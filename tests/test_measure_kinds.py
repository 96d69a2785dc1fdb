"""The measurement of transitions: what it makes is what FFmpeg makes, and its figures are right."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import measure_kinds
import numpy as np
import pytest
import xfade_cases
from clips import moving

SIZE = (36, 64)
PRE, STEPS, POST = 6, 8, 6


def case(folder: Path, name: str) -> dict[str, object]:
    """Return a case of two still scenes, whose files lie in ``folder``."""
    rng = np.random.default_rng(1)
    for side in ("a", "b"):
        picture = rng.integers(20, 230, (*SIZE, 3), dtype=np.uint8)
        frames = np.broadcast_to(picture, (PRE + STEPS + POST, *picture.shape))
        measure_kinds.write_lossless(folder / f"{side}.mkv", frames)
    scenes = {side: {"file": f"{side}.mkv"} for side in ("a", "b")}
    steps = {"pre": PRE, "steps": STEPS, "post": POST}
    return {"xfade": name, "size": list(SIZE), "clips": str(folder), **steps, **scenes}


@pytest.mark.parametrize(("name", "outgoing_shown"), [("fade", 7), ("circlecrop", 4)])
def test_a_made_clip_is_mixed_in_the_frames_of_its_transition(
    tmp_path: Path, name: str, outgoing_shown: int
) -> None:
    clip = measure_kinds.made(measure_kinds.listed(case(tmp_path, name)))
    assert (clip.first, clip.last) == (PRE + 1, PRE + STEPS - 1)
    assert np.array_equal(clip.frames[PRE - 1], clip.scenes[0][PRE - 1])
    assert np.array_equal(clip.frames[-1], clip.scenes[1][-1])
    assert clip.shown[0] == list(range(clip.first, clip.first + outgoing_shown))
    assert clip.held() == [measure_kinds.MOST, measure_kinds.MOST]


def test_a_scene_that_lacks_frames_counts_five_decibels() -> None:
    rows = [{"name": "fade", "overlap": 1.0, "psnr": [30.0, 5.0], "held": [20.0, 20.0]}]
    rows += [{**rows[0], "name": "fadewhite", "psnr": [30.0, 30.0]}]
    text = measure_kinds.summary(rows)
    assert "2 found as one" in text and "23.8 dB, held 20.0, 1 below holding" in text
    assert text.endswith("| dissolves and fades | 2 | 20.0 | 23.8 | +3.8 | -2.5 |")


def test_every_transition_of_the_filter_is_in_one_group() -> None:
    names = xfade_cases.xfade_names()
    counts = Counter(map(xfade_cases.group_of, names))
    assert len(names) == 58 and list(counts.values()) == [6, 12, 4, 2, 2, 15, 3, 2, 4, 4, 4]
    assert set(counts) == set(xfade_cases.groups())


@pytest.mark.usually(1)
@pytest.mark.parametrize("seed", range(4))
def test_a_drawn_case_follows_from_its_seed(seed: int) -> None:
    one, again = (xfade_cases.draw_case("wipeup", seed) for _ in range(2))
    assert all(map(np.array_equal, one.scenes, again.scenes))
    other = xfade_cases.draw_case("wipedown", seed)
    assert not np.array_equal(other.scenes[0][0], one.scenes[0][0])
    assert {scene.shape for scene in one.scenes} == {(2 * 12 + one.steps, 180, 320, 3)}
    # The camera moves, and no frame is like another scene's.
    steps = np.abs(np.diff(one.scenes[0].astype(int), axis=0)).mean((1, 2, 3))
    assert steps.min() > 0 and steps.max() < np.abs(one.scenes[0] - 1.0 * one.scenes[1]).mean()


def test_footage_is_drawn_from_films_and_folders_of_pictures(tmp_path: Path) -> None:
    frames = np.repeat(moving(1, 1, (36, 64)), 60, 0)
    measure_kinds.write_lossless(tmp_path / "film.mkv", frames)
    for name in ("clip/frames", "clip/masks", "short"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(60 if name.startswith("clip") else 5):
            cv2.imwrite(str(tmp_path / name / f"{number:03d}.png"), frames[0][..., ::-1])
    clips = xfade_cases.long_enough(tmp_path, 50)
    assert [len(clip) for clip in clips] == [1, 60]
    case = xfade_cases.draw_case("fade", 1, tmp_path)
    expected = xfade_cases.covering(frames[0], xfade_cases.SIZE)
    assert all(np.array_equal(scene[3], expected) for scene in case.scenes)
    with pytest.raises(ValueError, match="has 0 clips of"):
        xfade_cases.draw_case("fade", 1, tmp_path / "short")
