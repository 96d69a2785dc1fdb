"""A film that several tests of the reader share."""

from __future__ import annotations

from pathlib import Path

import media
import numpy as np
import pytest


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """Make a lossless film of 60 frames; return its path and its pictures ``(60, 48, 64, 3)``."""
    pictures = media.moving(60)
    return media.save(tmp_path_factory.mktemp("film") / "film.mp4", pictures), pictures
