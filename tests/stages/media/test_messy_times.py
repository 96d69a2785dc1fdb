"""Sizes, counts, rates and times of messy files agree with an independent FFmpeg.

That is the binary of imageio-ffmpeg.
"""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path

import ffmpeg
import media
import numpy as np
import pytest
from test_messy import GOOD, MESSY

from stages.media.read import Clip, open_clip

# These take seconds each.
LARGE = (
    "yuv444_cockatoo_720p.mp4",
    "vfr_flir_thermal_portrait.mp4",
    "rot180_phone_10fps.mp4",
    "fullrange_bt709_720p.mp4",
)
needs_messy = pytest.mark.skipif(not MESSY.is_dir(), reason=f"{MESSY} is missing")


def shown(path: Path, stream: int) -> list[tuple[Fraction, int, int]]:
    """Return time, width and height of every upright frame, by the other FFmpeg's showinfo."""
    command = [
        media.FFMPEG,
        "-hide_banner",
        "-copyts",
        "-i",
        str(path),
        "-map",
        f"0:{stream}",
        "-vf",
        "showinfo",
    ]
    printed = subprocess.run(
        [*command, "-fps_mode", "passthrough", "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    unit = re.search(r"config in time_base: (\d+)/(\d+)", printed)
    assert unit is not None
    tick = Fraction(int(unit[1]), int(unit[2]))
    return [
        (int(pts) * tick, int(w), int(h))
        for pts, w, h in re.findall(r"n: *\d+ pts: *(-?\d+).*? s:(\d+)x(\d+)", printed)
    ]


def ours(clip: Clip) -> list[Fraction]:
    """Return the times of all frames as we read them."""
    small = max(1, clip.info.height // 8), max(1, clip.info.width // 8)
    return [time for block in clip.blocks(size=small, length=64) for time in block.times]


def rate_of(path: Path, stream: int) -> Fraction:
    """Return the average rate that the other FFmpeg prints, rounded to two decimals."""
    printed = subprocess.run(
        [media.FFMPEG, "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False
    ).stderr
    match = re.search(rf"Stream #0:{stream}\b.*? ([\d.]+)(k?) fps", printed)
    assert match is not None
    return Fraction(match[1]) * (1000 if match[2] else 1)


@pytest.mark.usually(10)
@needs_messy
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in GOOD]
)
def test_another_ffmpeg_agrees(name: str) -> None:
    clip = open_clip([MESSY / name])
    info, times, theirs = clip.info, ours(clip), shown(MESSY / name, clip.info.stream)
    assert {(width, height) for _, width, height in theirs} == {(info.width, info.height)}
    assert len(times) == len(theirs)
    # Compare intervals: layers do not keep the time at which a clip begins on its own clock.
    off = [
        abs((mine - times[0]) - (other[0] - theirs[0][0]))
        for mine, other in zip(times, theirs, strict=True)
    ]
    assert max(off) <= Fraction(1, 1000), (
        f"{name}: {float(max(off))} s off at frame {off.index(max(off))}"
    )
    assert abs(float(info.rate) - float(rate_of(MESSY / name, info.stream))) <= 0.01


@pytest.mark.parametrize("suffix", [".h264", ".hevc"])
@pytest.mark.parametrize("rate", [24, 30, 50, "30000/1001"])
def test_a_raw_stream_has_the_rate_of_its_own_header(
    tmp_path: Path, suffix: str, rate: int | str
) -> None:
    codec = {
        ".h264": {"c:v": "libx264"},
        ".hevc": {"c:v": "libx265", "x265-params": "log-level=error"},
    }[suffix]
    path = media.save(tmp_path / f"clip{suffix}", media.moving(), rate, **codec)
    clip = open_clip([path])
    assert abs(clip.info.rate - Fraction(rate)) < Fraction(1, 100)
    assert np.allclose(
        np.diff([float(time) for time in ours(clip)]), 1 / float(Fraction(rate)), atol=1e-4
    )


@pytest.mark.parametrize("codec", ["libxvid", "mpeg4", "libx264"])
def test_reordered_frames_in_avi_have_even_times(tmp_path: Path, codec: str) -> None:
    # AVI has no presentation times. Xvid packs two frames into one packet, and then the library's
    # guess is off by a frame.
    path = media.save(
        tmp_path / "clip.avi",
        media.moving(40),
        30,
        **{"c:v": codec, "bf": 2, "pix_fmt": "yuv420p"},
    )
    clip = open_clip([path])
    whole = clip.frames(0, len(ours(clip)) - 1)
    theirs = shown(path, 0)
    assert [time - whole.times[0] for time in whole.times] == [
        Fraction(index, 30) for index in range(len(theirs))
    ]
    # Seeking lands on the same frames.
    assert bool((clip.frames(34, 36).pixels == whole.pixels[34:37]).all())


@pytest.mark.parametrize("seed", range(6))
def test_reordered_frames_edit_lists_and_late_starts_agree(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    suffix = str(draw.choice([".mp4", ".mov", ".mkv", ".avi", ".ts"]))
    codec = "mpeg4" if suffix == ".avi" else str(draw.choice(["libx264", "mpeg4"]))
    options = {"c:v": codec, "bf": 2, "g": int(draw.integers(4, 30)), "pix_fmt": "yuv420p"}
    whole = media.save(tmp_path / f"whole{suffix}", media.moving(40, seed=seed), 25, **options)
    path = whole
    if suffix in (".mp4", ".mov"):
        # Copy from the middle: an edit list hides the frames before the wanted one.
        path = tmp_path / f"part{suffix}"
        media.run(
            ffmpeg.output(
                ffmpeg.input(str(whole), ss=float(draw.integers(5, 20)) / 25), str(path), c="copy"
            )
        )
    clip = open_clip([path])
    times, theirs = ours(clip), shown(path, 0)
    assert len(times) == len(theirs), path.name
    off = [
        abs((mine - times[0]) - (other[0] - theirs[0][0]))
        for mine, other in zip(times, theirs, strict=True)
    ]
    assert max(off) <= Fraction(1, 1000), path.name
