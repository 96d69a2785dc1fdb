"""A folder with an input of every form."""

from __future__ import annotations

from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from clips import moving


@pytest.fixture
def inputs_of_every_form(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go to a folder with a clip, a folder of pictures, single pictures, and files for options."""
    monkeypatch.chdir(tmp_path)
    frames = moving(1, 4, (24, 32))
    media.save(Path("clip.mkv"), frames)
    Path("folder").mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(f"folder/{number:04d}.png", frame[..., ::-1])
        cv2.imwrite(f"{number}.png", frame[..., ::-1])
    cv2.imwrite("mark.png", np.full((24, 32, 3), 255, np.uint8))
    Path("my.toml").write_text("seed = 4\n")
    Path("list.csv").write_text("kind,first_frame\nshot,0\n")
