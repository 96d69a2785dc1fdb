"""Every messy file of ../shared/data decodes as its README says, or ends in one clear line."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest

from stages.errors import UnlayerError
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter

MESSY = media.SHARED / "messy"
pytestmark = pytest.mark.skipif(not MESSY.is_dir(), reason=f"{MESSY} is missing")

# Upright width and height, frames.
GOOD = {
    "10bit_h264.mp4": (200, 200, 30),
    "10bit_h265.mp4": (200, 200, 30),
    "alpha_vp9_200x200.webm": (200, 200, 150),
    "apng_iss634.apng": (245, 245, 41),
    "av1.mkv": (640, 360, 125),
    "corrupt_unordered_50x50.mov": (50, 50, 4),
    "coverart_second_video_stream.mp4": (640, 360, 60),
    "delayed_start_1s.mp4": (480, 320, 24),
    "fullrange_bt709_720p.mp4": (1280, 720, 30),
    "gif_newtonscradle_vardelay.gif": (200, 150, 36),
    "mjpeg_canon_dashcam.avi": (640, 480, 78),
    "no_duration_vp9.webm": (1280, 720, 74),
    "one_by_one_pixel_dash_name.mp4": (1, 1, 5),
    "rot180_phone_10fps.mp4": (1280, 720, 25),
    "rot270_tiny.mov": (320, 568, 3),
    "rot90_iphone_gps.mov": (320, 568, 120),
    "rot90_tiny.mov": (320, 568, 3),
    "sar_2by3.mp4": (640, 360, 60),
    "vfr_flir_thermal_portrait.mp4": (1080, 1440, 84),
    "vfr_phone_h263.3gp": (176, 144, 222),
    "vfr_torchcodec_yuv444.mp4": (128, 128, 300),
    "webcam_realshort_audio.mp4": (320, 240, 36),
    "yuv422p.mp4": (640, 360, 60),
    "yuv444_cockatoo_720p.mp4": (1280, 720, 280),
}
BAD = {
    "corrupt_truncated_decord.mp4": "is damaged at frame 28",
    "sizechange_raw.h264": "changes its size at frame",
    "webp_anim_iss634.webp": "cannot be decoded",
}


def test_the_tables_name_every_file() -> None:
    assert {path.name for path in MESSY.iterdir()} == {*GOOD, *BAD}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_decodes_whole(name: str) -> None:
    clip = open_clip([MESSY / name])
    # A small size is quick, and every frame is still decoded.
    height, width = clip.info.height, clip.info.width
    blocks = list(clip.blocks(size=(max(1, height // 8), max(1, width // 8)), length=64))
    times = [time for block in blocks for time in block.times]
    assert (width, height, len(times)) == GOOD[name]
    assert all(before < after for before, after in zip(times, times[1:], strict=False))
    assert [block.first for block in blocks] == list(range(0, len(times), 64))
    assert all(
        bool(block.pixels.isfinite().all()) and block.pixels.min() >= 0 and block.pixels.max() <= 1
        for block in blocks
    )
    assert clip.salvaged is None


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_clear_line(name: str) -> None:
    with pytest.raises(UnlayerError) as caught:
        for _ in open_clip([MESSY / name]).blocks(size=(8, 8)):
            pass
    text = str(caught.value)
    assert "\n" not in text and name in text and BAD[name] in text


def test_salvage_says_how_many_frames_there_were() -> None:
    clip = open_clip([MESSY / "corrupt_truncated_decord.mp4"], salvage=True)
    assert sum(len(block) for block in clip.blocks(size=(72, 128))) == clip.salvaged == 28


@pytest.mark.parametrize(
    "name",
    [
        "rot90_tiny.mov",
        "rot270_tiny.mov",
        "rot180_phone_10fps.mp4",
        "fullrange_bt709_720p.mp4",
        "sar_2by3.mp4",
    ],
)
def test_another_ffmpeg_sees_the_same_picture(name: str) -> None:
    clip = open_clip([MESSY / name])
    ours = clip.frames(0, 1).pixels.permute(0, 2, 3, 1).numpy() * 255
    theirs = media.load(MESSY / name, clip.info.height, clip.info.width)[:2].astype(np.float32)
    # Both round colours differently, but a wrong matrix, range or rotation is far more than this.
    assert np.abs(ours - theirs).mean() < 1


@pytest.mark.usually(5)
@pytest.mark.parametrize("lossless", [True, False])
@pytest.mark.parametrize(
    "name",
    [
        "vfr_phone_h263.3gp",
        "sar_2by3.mp4",
        "mjpeg_canon_dashcam.avi",
        "one_by_one_pixel_dash_name.mp4",
        "rot90_iphone_gps.mov",
    ],
)
def test_a_messy_file_goes_through_reader_and_writer(
    tmp_path: Path, name: str, lossless: bool
) -> None:
    clip = open_clip([MESSY / name])
    count = min(GOOD[name][2], 20)
    frames = clip.frames(0, count - 1)
    with LayerWriter(
        tmp_path / "layer",
        clip.info,
        LayerFormat(lossless=lossless),
        source=clip.source_span(frames.times[0], frames.times[-1]),
    ) as writer:
        writer.write(frames)
    assert writer.warnings == []
    again = open_clip([writer.path])
    assert (
        again.info.pixel_aspect == clip.info.pixel_aspect
        and again.info.audio_streams == clip.info.audio_streams
    )
    got = again.frames(0, count - 1)
    assert max(
        abs(a - b + frames.times[0]) for a, b in zip(got.times, frames.times, strict=True)
    ) <= (5e-6 if lossless else 0)
    if lossless:
        assert bool((got.pixels == frames.pixels).all())


def _decord_frame(name: str, index: int, answer: Any) -> None:
    import decord

    answer.put(decord.VideoReader(name)[index].asnumpy())


@pytest.mark.usually(1)
@pytest.mark.parametrize("name,index", [("yuv422p.mp4", 17), ("vfr_torchcodec_yuv444.mp4", 123)])
def test_decord_agrees(name: str, index: int) -> None:
    pytest.importorskip("decord")
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=_decord_frame, args=(str(MESSY / name), index, answer))
    child.start()
    # decord can loop forever. The picture does not fit a pipe: fetch it before the child ends.
    for _ in range(300):
        child.join(0.1)
        if not answer.empty() or not child.is_alive():
            break
    if answer.empty():
        child.kill()
        child.join()
        pytest.skip("decord gave no frame within 30 seconds")
    theirs = answer.get().astype(np.float32)
    child.join(5)
    child.kill()
    ours = open_clip([MESSY / name]).frames(index, index).pixels[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - theirs).mean() < 3
