"""The writer leaves nothing behind after an error, and says in one line what went wrong."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from writing import clip_of, leftovers

from stages.errors import UnlayerError
from stages.media.clip import Frames
from stages.media.formats import LayerFormat
from stages.media.write import LayerWriter


@pytest.mark.parametrize(
    "options", [{"lossless": False}, {"lossless": True}, {"lossless": False, "pictures": True}]
)
def test_nothing_is_left_after_an_exception(tmp_path: Path, options: dict[str, Any]) -> None:
    info, frames = clip_of(media.moving(1))
    (tmp_path / "layer.mkv").write_bytes(b"the one from before")
    with (
        pytest.raises(KeyboardInterrupt),
        LayerWriter(tmp_path / "layer", info, LayerFormat(**options)) as writer,
    ):
        writer.write(frames)
        raise KeyboardInterrupt
    assert leftovers(tmp_path) == ["layer.mkv"]
    with (
        pytest.raises(ValueError, match="no frame"),
        LayerWriter(tmp_path / "layer", info, LayerFormat(**options)),
    ):
        pass
    assert (tmp_path / "layer.mkv").read_bytes() == b"the one from before"
    assert leftovers(tmp_path) == ["layer.mkv"]


def test_frames_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    info, frames = clip_of(media.moving(3))
    for wrong, alpha in (
        (Frames(frames.pixels[..., :8], frames.times), None),
        (Frames(frames.pixels, frames.times[::-1]), None),
        (frames, torch.ones(3, 1, 48, 64)),
    ):
        with (
            pytest.raises(ValueError),
            LayerWriter(tmp_path / "layer", info, LayerFormat(lossless=True)) as writer,
        ):
            writer.write(wrong, alpha=alpha)
    with pytest.raises(ValueError, match="alpha"):
        LayerWriter(tmp_path / "layer", info, LayerFormat(lossless=True, alpha="qtrle"))
    assert leftovers(tmp_path) == []


@contextmanager
def small_disk(size: int) -> Iterator[None]:
    """Limit every file to ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 2000, 100_000])
@pytest.mark.parametrize(
    "options", [{"lossless": False}, {"lossless": True}, {"lossless": False, "alpha": "png"}]
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, size: int, options: dict[str, Any]
) -> None:
    info, frames = clip_of(np.random.default_rng(0).integers(0, 256, (20, 100, 100, 3), np.uint8))
    with (
        pytest.raises(UnlayerError) as caught,
        small_disk(size),
        LayerWriter(tmp_path / "layer", info, LayerFormat(**options)) as writer,
    ):
        writer.write(frames)
    message = str(caught.value)
    assert str(tmp_path) in message and "space" in message and "\n" not in message
    assert caught.value.settings == ("out",)
    assert leftovers(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    info, frames = clip_of(media.moving(1))
    for lossless, pictures in ((True, False), (False, False), (False, True)):
        with (
            pytest.raises(UnlayerError, match="nowhere"),
            LayerWriter(
                tmp_path / "nowhere" / "layer",
                info,
                LayerFormat(lossless=lossless, pictures=pictures),
            ) as writer,
        ):
            writer.write(frames)
    assert leftovers(tmp_path) == []
