"""The writer's threads: the same bytes as with one, errors in the caller, nothing left behind."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
import torch
from test_write_failures import small_disk
from writing import clip_of, leftovers

from stages.errors import UnlayerError
from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.layer_sink import TimedFrames
from stages.media.read import open_clip
from stages.media.write import LayerWriter

FORMATS: list[dict[str, Any]] = [
    {},
    {"lossless": True},
    {"alpha": "prores"},
    {"alpha": "png"},
    {"codec": "png"},
    {"codec": "h265"},
]


@contextmanager
def threads(count: int) -> Iterator[None]:
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(1)


def drawn(seed: int) -> tuple[ClipInfo, Frames]:
    """Return a clip of noise that is large enough for the writer's threads."""
    draw = random.Random(seed)
    size = 2 * draw.randint(60, 90), 2 * draw.randint(80, 120)
    pictures = np.random.default_rng(seed).integers(0, 256, (draw.randint(5, 9), *size, 3))
    return clip_of(pictures.astype(np.uint8))


def bytes_in(path: Path) -> list[bytes]:
    return [file.read_bytes() for file in (sorted(path.iterdir()) if path.is_dir() else [path])]


def no_thread_is_left() -> bool:
    return not any(thread.name.startswith("work-queue") for thread in threading.enumerate())


@pytest.mark.parametrize("seed", range(len(FORMATS)))
def test_layers_are_the_same_bytes_for_one_thread_and_two(tmp_path: Path, seed: int) -> None:
    info, frames = drawn(seed)
    options = FORMATS[seed]
    alpha = frames.pixels[:, :1] if "alpha" in options else None
    found = []
    for count in (1, 2):
        with threads(count), LayerWriter(tmp_path / f"{count}", info, LayerFormat(**options)) as it:
            it.write(frames, alpha)
        found.append(bytes_in(it.path))
    assert found[0] == found[1] and no_thread_is_left()


def test_two_layers_of_the_same_stored_frames_are_written_side_by_side(tmp_path: Path) -> None:
    pictures = media.moving(8, 120, 160)
    source = media.save(tmp_path / "in.mp4", pictures, **{"c:v": "libx264", "pix_fmt": "yuv420p"})
    found = []
    for count in (1, 2):
        clip = open_clip([source])
        small = tmp_path / f"{count}-small"
        with (
            threads(count),
            LayerWriter(tmp_path / f"{count}", clip.info) as one,
            LayerWriter(small, clip.info, LayerFormat(lossless=True)) as other,
        ):
            for stored in clip.stored_frames():
                one.write_stored(stored)
                other.write_stored(stored)
        found.append((bytes_in(one.path), bytes_in(other.path)))
    assert found[0] == found[1]


@pytest.mark.parametrize("seed", range(4))
def test_a_fault_behind_the_caller_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """The fault is in a conversion or an encoding, at a drawn frame."""
    info, frames = drawn(seed)
    at = random.Random(seed).randrange(len(frames))
    name = ("_pass_on", "add")[seed % 2]
    do, calls = getattr(TimedFrames, name), []

    def failing(self: TimedFrames, *words: Any) -> None:
        calls.append(threading.get_ident())
        if len(calls) > at:
            raise OSError(28, "No space left on device")
        do(self, *words)

    monkeypatch.setattr(TimedFrames, name, failing)
    with (
        threads(2),
        pytest.raises(UnlayerError, match="space") as caught,
        LayerWriter(tmp_path / "layer", info) as writer,
    ):
        for place in range(len(frames)):
            part = slice(place, place + 1)
            writer.write(Frames(frames.pixels[part], frames.times[part]))
    assert caught.value.settings == ("out",)
    assert threading.get_ident() not in calls[:at] and len(calls) == at + 1
    assert leftovers(tmp_path) == [] and no_thread_is_left()


@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_a_full_disk_is_found_by_the_thread_that_writes(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    info, frames = drawn(7)
    with (
        threads(2),
        pytest.raises(UnlayerError, match="space"),
        small_disk(2000),
        LayerWriter(tmp_path / "layer", info, LayerFormat(**options)) as writer,
    ):
        writer.write(frames)
    assert leftovers(tmp_path) == [] and no_thread_is_left()


@pytest.mark.parametrize("seed", range(3))
def test_a_stop_leaves_nothing_and_waits_for_one_frame_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    info, frames = drawn(seed)
    count = random.Random(seed).randint(1, 3)
    encoded: list[int] = []
    goes_on = threading.Event()
    encode = TimedFrames._pass_on

    def slow(self: TimedFrames, *words: Any) -> None:
        encoded.append(0)
        goes_on.wait(20)
        encode(self, *words)

    monkeypatch.setattr(TimedFrames, "_pass_on", slow)
    with (
        threads(2),
        pytest.raises(KeyboardInterrupt),
        LayerWriter(tmp_path / "layer", info) as writer,
    ):
        part = slice(0, count)
        writer.write(Frames(frames.pixels[part], frames.times[part]))
        threading.Timer(0.05, goes_on.set).start()
        raise KeyboardInterrupt
    assert len(encoded) <= 1 and leftovers(tmp_path) == [] and no_thread_is_left()


def test_wrong_frames_are_refused_at_once(tmp_path: Path) -> None:
    info, frames = drawn(3)
    with (
        threads(2),
        pytest.raises(ValueError, match="rise"),
        LayerWriter(tmp_path / "layer", info) as writer,
    ):
        writer.write(frames)
        writer.write(frames)
    assert leftovers(tmp_path) == []
