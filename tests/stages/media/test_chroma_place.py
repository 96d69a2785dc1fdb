"""Where the chroma of a decoded frame lies, told by what its conversion does."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame

from stages.media.chroma_place import is_chroma_left


def decoded(options: dict[str, str], size: tuple[int, int] = (48, 64)) -> list[VideoFrame]:
    """Return the frames of a short H.264 clip of noise. size: height and width."""
    file = io.BytesIO()
    noise = np.random.default_rng(1)
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for _ in range(4):
            picture = noise.integers(0, 255, (*size, 3), np.uint8)
            out.mux(stream.encode(VideoFrame.from_ndarray(picture, "rgb24")))
        out.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as clip:
        return [frame for frame in clip.decode(video=0) if isinstance(frame, VideoFrame)]


@pytest.mark.parametrize(("place", "is_left"), [(0, True), (1, False), (2, False)])
def test_the_tag_of_the_stream_is_seen(place: int, is_left: bool) -> None:
    frames = decoded({"x264-params": f"chromaloc={place}"})
    assert [is_chroma_left(frame) for frame in frames] == [is_left] * len(frames)


def test_a_stream_without_a_tag_has_chroma_at_the_left_and_keeps_its_pixels() -> None:
    frames = decoded({})
    before = [frame.to_ndarray() for frame in frames]
    assert all(is_chroma_left(frame) for frame in frames)
    assert all(
        np.array_equal(frame.to_ndarray(), kept) for frame, kept in zip(frames, before, strict=True)
    )


def test_what_is_too_small_to_tell_counts_as_elsewhere() -> None:
    assert not is_chroma_left(decoded({}, (8, 8))[0])


@pytest.mark.parametrize("name", ["yuv444p", "yuv422p", "yuv420p10le", "yuv444p10le", "gray"])
def test_other_formats_count_as_elsewhere(name: str) -> None:
    assert not is_chroma_left(decoded({})[0].reformat(format=name))
