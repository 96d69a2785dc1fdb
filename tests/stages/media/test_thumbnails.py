"""Thumbnails: the child that reads a file once, and the reader, give the same pictures."""

from __future__ import annotations

import random
from pathlib import Path

import media
import numpy as np
import pytest

from stages.media import thumbnails
from stages.media.thumbnails import MIN_CHILD_PIXELS, ThumbnailRequest, read_thumbnails

HEIGHT, WIDTH, COUNT = 64, 96, 20


@pytest.mark.parametrize("case", range(4))
def test_requests_of_one_file_get_their_own_frames_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: int
) -> None:
    rng = random.Random(case)
    films = [
        media.save(tmp_path / f"{name}.mp4", media.moving(COUNT, HEIGHT, WIDTH)) for name in "ab"
    ]
    requests = [
        ThumbnailRequest(
            rng.choice(films),
            tuple(rng.sample(range(COUNT), rng.randint(0, 3))),
            # Rows of 8, 24, 48 and 72 pixels are those that decord pads to whole channels.
            rng.choice([(6, 8), (16, 24), (27, 40), (32, 48), (48, 72), (HEIGHT, WIDTH)]),
            MIN_CHILD_PIXELS,
        )
        for _ in range(6)
    ]
    by_child = read_thumbnails(requests)
    monkeypatch.setattr(thumbnails, "_by_child", lambda *words: None)
    by_reader = read_thumbnails(requests)
    for request, one, other in zip(requests, by_child, by_reader, strict=True):
        assert set(one) == set(other) == set(request.indices)
        for index in request.indices:
            assert one[index].shape == other[index].shape == (*request.size, 3)
            error = np.abs(one[index].astype(float) - other[index].astype(float)).mean()
            assert error < 6, (request, index, error)
