"""Frames for the encoder: codes that fit are taken over, all others go through RGB."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from writing import clip_of

from stages.media.color_tags import ColorTags
from stages.media.encoder_frames import EncoderFrames
from stages.media.formats import LayerFormat, can_take_codes, encoding_for, output_colors
from stages.media.orientation import Crop, Orientation
from stages.media.stored_frame import StoredFrame

BT709, BT601, LIMITED, FULL = 1, 6, 1, 2  # FFmpeg's numbers


@pytest.fixture(autouse=True)
def _chroma_as_in_h264(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the chroma of made frames to lie where a decoder of H.264 says that it lies."""
    monkeypatch.setattr("stages.media.encoder_frames.is_chroma_left", lambda frame: True)


def noise(height: int, width: int, pixel_format: str = "yuv420p") -> VideoFrame:
    """Return a frame of random codes, limited range, BT.709."""
    frame = VideoFrame(width, height, pixel_format)
    draw = np.random.default_rng(height * width)
    for plane in frame.planes:
        plane.update(draw.integers(16, 236, plane.buffer_size).astype(np.uint8).tobytes())
    frame.colorspace, frame.color_range = BT709, LIMITED
    return frame


def made_for(height: int, width: int, **options: Any) -> EncoderFrames:
    """Return what makes frames of a layer of a clip in H.264. options: of the layer's format."""
    info, _ = clip_of(np.zeros((1, height, width, 3), np.uint8))
    encoding = encoding_for(info, LayerFormat(**options))
    return EncoderFrames(encoding, output_colors(encoding, ColorTags(), False), ColorTags(), "h264")


def codes(frame: VideoFrame) -> list[np.ndarray]:
    """Return the planes of a frame without padding."""
    return [
        np.frombuffer(plane, np.uint8).reshape(plane.height, -1)[:, : plane.width]  # type: ignore[call-overload]
        for plane in frame.planes
    ]


def same(one: VideoFrame, other: VideoFrame) -> bool:
    pairs = zip(codes(one), codes(other), strict=True)
    return one.format.name == other.format.name and all(np.array_equal(*pair) for pair in pairs)


def drawn_size(seed: int) -> tuple[int, int]:
    draw = random.Random(seed)
    return 2 * draw.randint(1, 40), 2 * draw.randint(1, 40)


@pytest.mark.parametrize("seed", range(4))
def test_codes_that_mean_the_same_are_taken_over(seed: int) -> None:
    size = drawn_size(seed)
    stored = StoredFrame(0, Fraction(0), noise(*size))
    assert same(made_for(*size).of_stored(stored, size), stored.frame)
    half = size[0] // 2, size[1] // 2
    assert (made_for(*half).of_stored(stored, half).height, stored.frame.height) == (
        half[0],
        size[0],
    )


@pytest.mark.parametrize(("matrix", "tag"), [(2, 2), (5, 5), (BT601, 6), (BT709, BT709)])
def test_codes_of_untagged_frames_and_of_bt601_are_taken_over_with_their_matrix(
    matrix: int, tag: int
) -> None:
    size = drawn_size(matrix)
    info, _ = clip_of(
        np.zeros((1, *size, 3), np.uint8),
        codec="h264",
        pixel_format="yuv420p",
        color=ColorTags(matrix=matrix),
    )
    encoding = encoding_for(info, LayerFormat())
    colors = output_colors(encoding, info.color, False, takes_codes=can_take_codes(encoding, info))
    stored = StoredFrame(0, Fraction(0), noise(*size))
    stored.frame.colorspace = matrix
    frames = EncoderFrames(encoding, colors, info.color, "h264")
    assert colors.tags == (BT709, BT709, tag)
    assert same(frames.of_stored(stored, size), stored.frame)
    # Mixed frames come as pixels. They get codes of the same matrix.
    made = frames.of_pixels(stored.pixels, None)

    def error(shown_as: int) -> float:
        made.colorspace = shown_as
        shown = StoredFrame(0, Fraction(0), made).pixels
        return float((shown - stored.pixels).abs().mean())

    assert error(tag) < error(BT601 if tag == BT709 else BT709)


@pytest.mark.parametrize(
    "change",
    [
        {"pixel_format": "yuv422p"},
        {"codec": "mjpeg"},
        {"full_range": True},
        {"rotation": 90},
        {"crop": (0, 2, 0, 2)},
        {"color": ColorTags(9, 14, 2)},
    ],
)
def test_other_clips_without_a_matrix_become_bt709(change: dict[str, Any]) -> None:
    about = {"codec": "h264", "pixel_format": "yuv420p", **change}
    info, _ = clip_of(np.zeros((1, 32, 48, 3), np.uint8), **about)
    encoding = encoding_for(info, LayerFormat())
    takes = can_take_codes(encoding, info)
    assert output_colors(encoding, info.color, False, takes_codes=takes).tags[2] == BT709


def test_chroma_that_lies_elsewhere_goes_through_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.media.encoder_frames.is_chroma_left", lambda frame: False)
    stored = StoredFrame(0, Fraction(0), noise(32, 48))
    assert not same(made_for(32, 48).of_stored(stored, (32, 48)), stored.frame)


@pytest.mark.parametrize("change", ["matrix", "range", "turned", "cropped", "codec", "lossless"])
def test_other_frames_are_what_their_pixels_are(change: str) -> None:
    size = drawn_size(len(change))
    stored = StoredFrame(0, Fraction(0), noise(*size))
    frames = made_for(*size, lossless=change == "lossless")
    if change == "matrix":
        stored.frame.colorspace = BT601
    elif change == "range":
        stored.frame.color_range = FULL
    elif change == "turned":
        stored.frame.opaque = Orientation(mirror_x=True)
    elif change == "cropped":
        stored = replace(stored, crop=Crop(top=1, bottom=1))
    elif change == "codec":
        frames = replace(frames, codec="mjpeg")
    made = frames.of_stored(stored, stored.size)
    assert same(made, frames.of_pixels(stored.pixels, None))
    assert not same(made, stored.frame)
