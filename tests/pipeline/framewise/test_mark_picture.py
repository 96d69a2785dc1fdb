"""`--mark`: the mark's picture, read with its alpha."""

from __future__ import annotations

from pathlib import Path

import cv2
import media
import numpy as np
import pytest
import torch

from pipeline.framewise.mark_picture import read_mark
from pipeline.settings import Settings
from stages.errors import UsageError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_alpha_is_read_where_there_is_one() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (6, 8, 4)).astype(np.uint8)
    cv2.imwrite("mark.png", pixels)
    cv2.imwrite("plain.png", pixels[..., :3])
    expected = torch.from_numpy(pixels[..., [2, 1, 0, 3]].copy()).permute(2, 0, 1).float() / 255
    found = read_mark(Settings(task="watermark", mark=Path("mark.png")))
    assert found is not None and torch.equal(found, expected)
    plain = read_mark(Settings(task="watermark", mark=Path("plain.png")))
    assert plain is not None and torch.equal(plain, expected[:3])
    assert read_mark(Settings(task="watermark")) is None


def test_a_clip_and_a_picture_that_shows_nothing_are_refused() -> None:
    cv2.imwrite("empty.png", np.zeros((6, 8, 4), np.uint8))
    cv2.imwrite("even.png", np.full((6, 8, 3), 200, np.uint8))
    for name in ("empty.png", "even.png"):
        with pytest.raises(UsageError, match=rf"^--mark {name}: is even or transparent everywhere"):
            read_mark(Settings(task="watermark", mark=Path(name)))
    media.save(Path("clip.mkv"), media.moving(3))
    with pytest.raises(UsageError, match=r"^--mark clip\.mkv: is a clip"):
        read_mark(Settings(task="watermark", mark=Path("clip.mkv")))
