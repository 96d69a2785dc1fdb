"""Seams: a jump is one; motion, and noise in all frames, are none."""

from __future__ import annotations

import numpy as np
from clips import drifting

from stages.media.thumbnails import Picture, levels
from stages.transition.seams import measure_seam


def frames(count: int = 5) -> list[Picture]:
    return [levels(each) for each in drifting(1, count, (1.5, 0.5), (72, 96))]


def test_a_scene_that_moves_on_is_steady() -> None:
    *clean, mixed = frames()
    found = measure_seam(clean, mixed)
    assert found is not None and found.is_steady and abs(found.clean_psnr - found.seam_psnr) < 3


def test_another_scene_jumps() -> None:
    clean = frames()
    found = measure_seam(clean, levels(drifting(2, 1, (0, 0), (72, 96))[0]))
    assert found is not None and not found.is_steady and found.seam_psnr < found.clean_psnr - 6


def test_a_change_of_brightness_jumps() -> None:
    *clean, mixed = frames()
    found = measure_seam(clean, np.clip(mixed.astype(int) + 30, 0, 255).astype(np.uint8))
    assert found is not None and not found.is_steady


def test_invisible_differences_are_steady_and_one_clean_frame_is_too_few() -> None:
    still = [np.full((20, 30, 3), 90, np.uint8)] * 3
    found = measure_seam(still, still[0] + np.uint8(2))
    assert found is not None and found.clean_psnr == 60 and found.is_steady
    assert measure_seam(still[:1], still[0]) is None
