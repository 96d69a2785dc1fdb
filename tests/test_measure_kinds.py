"""The measurement of transitions: what it makes is what FFmpeg makes, and its figures are right."""

from __future__ import annotations

from pathlib import Path

import measure_kinds
import numpy as np
import pytest

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
    clip = measure_kinds.made(case(tmp_path, name))
    assert (clip.first, clip.last) == (PRE + 1, PRE + STEPS - 1)
    assert np.array_equal(clip.frames[PRE - 1], clip.scenes[0][PRE - 1])
    assert np.array_equal(clip.frames[-1], clip.scenes[1][-1])
    assert clip.shown[0] == list(range(clip.first, clip.first + outgoing_shown))
    assert clip.held() == [measure_kinds.MOST, measure_kinds.MOST]


def test_a_scene_that_lacks_frames_counts_five_decibels() -> None:
    rows = [{"overlap": 1.0, "psnr": [30.0, 5.0], "held": [20.0, 20.0]}]
    text = measure_kinds.summary(rows)
    assert "1 found as one" in text and "17.5 dB, held 20.0, 1 below holding" in text
