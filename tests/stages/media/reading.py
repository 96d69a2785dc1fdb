"""Read whole files, or expect that they are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest

from stages.errors import UnlayerError
from stages.media.read import Clip, open_clip


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Make a lossless film of 60 frames; return its path and its pictures ``(60, 48, 64, 3)``."""
    pictures = media.moving(60)
    return media.save(tmp_path_factory.mktemp("film") / "film.mp4", pictures), pictures


def whole(clip: Clip) -> np.ndarray:
    """Return all frames as ``(T, H, W, 3)`` in [0, 255]."""
    return (
        np.concatenate([block.pixels.permute(0, 2, 3, 1).numpy() for block in clip.blocks()]) * 255
    )


def refusal(path: Path | list[Path], **options: Any) -> UnlayerError:
    """Return the error that reading all frames raises; it must be one printable line."""
    paths = path if isinstance(path, list) else [path]
    with pytest.raises(UnlayerError) as caught:
        for _ in open_clip(paths, **options).blocks():
            pass
    text = str(caught.value)
    assert "\n" not in text and text.isprintable()
    return caught.value


def complaint(path: Path | list[Path], **options: Any) -> str:
    """Return the message of :func:`refusal`."""
    return str(refusal(path, **options))
