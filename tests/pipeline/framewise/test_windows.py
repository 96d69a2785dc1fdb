"""Test that the windows of a clip are equally long and cover every frame."""

from __future__ import annotations

from pathlib import Path

import media
import numpy as np
import pytest

from pipeline.framewise.windows import window_lengths, windows
from stages.media.read import open_clip


@pytest.mark.parametrize("seed", range(8))
def test_windows_are_equally_long_and_as_few_as_possible(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(100):
        length = int(random.integers(2, 60))
        overlap = int(random.integers(0, length // 3 + 1))
        count = int(random.integers(overlap + 1, 400))
        lengths = window_lengths(count, length, overlap)
        assert max(lengths) <= length
        assert max(lengths) - min(lengths) <= 1
        assert sum(lengths) - overlap * (len(lengths) - 1) == count
        # One window less would not cover the clip.
        assert (len(lengths) - 1) * (length - overlap) + overlap < count or len(lengths) == 1


@pytest.mark.parametrize("said", (3, 9, 15, 22))
def test_windows_have_every_frame_whatever_the_count_says(tmp_path: Path, said: int) -> None:
    clip = open_clip([media.save(tmp_path / "in.mkv", media.moving(15))])
    found = list(windows(clip, 6, 2, said))
    assert all(2 < len(window) <= 6 for window in found)
    assert [window.first for window in found[1:]] == [window.last - 1 for window in found[:-1]]
    assert (found[0].first, found[-1].last) == (0, 14)
    if said == len(media.moving(15)):
        assert [len(window) for window in found] == [5, 5, 5, 6]
