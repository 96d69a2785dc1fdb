"""The writer: layers are read back as they were, with their times and audio.

Equal layers are equal files.
"""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg
import media
import numpy as np
import pytest
import torch
from writing import back, clip_of, leftovers, levels

from stages.media.clip import ClipInfo, Frames, SourceSpan
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.write import LayerWriter

ALPHA = {"prores": ".mov", "vp9": ".webm", "ffv1": ".mkv", "png": ".mov"}


@pytest.mark.parametrize("size", [(48, 64), (1, 1), (33, 47), (64, 65), (2, 300)])
@pytest.mark.parametrize("count", [1, 9])
def test_lossless_is_exact(tmp_path: Path, size: tuple[int, int], count: int) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)
    info, frames = clip_of(pictures)
    with LayerWriter(tmp_path / "scene-001", info, LayerFormat(lossless=True)) as writer:
        for index in range(count):
            writer.write(
                Frames(frames.pixels[index : index + 1], frames.times[index : index + 1], index)
            )
    assert writer.path == tmp_path / "scene-001.mkv" and leftovers(tmp_path) == ["scene-001.mkv"]
    assert np.array_equal(levels(back(writer.path)), pictures)
    assert np.array_equal(media.load(writer.path, *size), pictures)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_lossless_keeps_more_bits(tmp_path: Path, bits: int) -> None:
    top = 2**bits - 1
    codes = torch.from_numpy(
        np.random.default_rng(0).integers(0, top + 1, (3, 3, 20, 30)).astype(np.float32)
    )
    info, frames = clip_of(np.zeros((3, 20, 30, 3), np.uint8))
    with LayerWriter(
        tmp_path / "layer", info, LayerFormat(lossless=True, bit_depth=bits)
    ) as writer:
        writer.write(Frames(codes / top, frames.times))
    got = open_clip([writer.path])
    assert got.info.bit_depth == bits
    assert torch.equal((got.frames(0, 2).pixels.double() * top).round(), codes.double())


@pytest.mark.parametrize("size", [(48, 64), (1, 1), (33, 47), (64, 65)])
def test_the_default_is_close_and_of_the_exact_size(tmp_path: Path, size: tuple[int, int]) -> None:
    info, frames = clip_of(media.moving(9, *size))
    with LayerWriter(tmp_path / "layer", info) as writer:
        writer.write(frames)
    assert writer.path.suffix == ".mp4"
    got = open_clip([writer.path])
    assert (got.info.height, got.info.width, got.info.color_space, got.info.full_range) == (
        *size,
        "bt709",
        False,
    )
    assert np.abs(levels(back(writer.path)).astype(int) - levels(frames)).mean() < 1.6
    # The other FFmpeg takes chroma to be between the columns, half a pixel from its true place.
    assert np.abs(media.load(writer.path, *size).astype(int) - levels(frames)).mean() < 3


@pytest.mark.parametrize(
    "options",
    [
        {"lossless": False},
        {"lossless": True},
        *({"lossless": False, "alpha": kind} for kind in ALPHA),
    ],
)
def test_colors_come_back_within_two_levels(tmp_path: Path, options: dict[str, Any]) -> None:
    columns = np.repeat(media.COLORS.astype(np.uint8), 32, axis=0)
    pictures = np.repeat(np.tile(columns, (1, 32, 1, 1)), 3, axis=0)
    info, frames = clip_of(pictures)
    with LayerWriter(tmp_path / "layer", info, LayerFormat(**options)) as writer:
        writer.write(frames)
    for got in (levels(back(writer.path)), media.load(writer.path, 32, 256)):
        assert np.abs(got[:, 16, 16::32].astype(int) - pictures[:, 16, 16::32]).max() <= 2


@pytest.mark.parametrize("lossless", [False, True])
def test_intervals_are_kept_from_zero(tmp_path: Path, lossless: bool) -> None:
    ticks = [90000, 93003, 93004 + 90, 99000, 120001, 180000, 180900]
    info, frames = clip_of(media.moving(len(ticks)), ticks)
    with LayerWriter(tmp_path / "layer", info, LayerFormat(lossless=lossless)) as writer:
        writer.write(frames)
    # Matroska holds times to 10 microseconds, finer than a tick here.
    error = max(
        abs(got - time + 1) for got, time in zip(back(writer.path).times, frames.times, strict=True)
    )
    assert error <= (Fraction(5, 10**6) if lossless else 0)
    with av.open(str(writer.path)) as container:
        # The last frame lasts as long as the one before.
        assert container.duration == pytest.approx((180900 - 90000 + 900) / 90000 * 1e6, abs=10)


def test_a_single_frame_lasts_one_frame(tmp_path: Path) -> None:
    info, frames = clip_of(media.moving(1))
    with LayerWriter(tmp_path / "layer", info) as writer:
        writer.write(frames)
    with av.open(str(writer.path)) as container:
        assert container.duration == 40_000


@pytest.mark.parametrize(
    "aspect", [Fraction(2, 3), Fraction(12, 11), Fraction(128, 117), Fraction(2)]
)
@pytest.mark.parametrize(
    "options",
    [
        {"lossless": False},
        {"lossless": True},
        {"lossless": True, "bit_depth": 10},
        {"lossless": True, "alpha": "ffv1"},
    ],
)
def test_the_pixel_aspect_ratio_is_kept(
    tmp_path: Path, aspect: Fraction, options: dict[str, Any]
) -> None:
    info, frames = clip_of(media.moving(2), pixel_aspect=aspect)
    with LayerWriter(tmp_path / "layer", info, LayerFormat(**options)) as writer:
        writer.write(frames)
    assert writer.warnings == []
    got = open_clip([writer.path])
    assert got.info.pixel_aspect == aspect and len(back(writer.path)) == 2


_TWICE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
import media
from writing import clip_of
from stages.media.formats import ALPHA_CONTAINERS, LayerFormat
from stages.media.write import LayerWriter
info, frames = clip_of(media.moving(30, 100, 100))
formats = {kind: LayerFormat(alpha=kind) for kind in ALPHA_CONTAINERS}
formats |= {"d": LayerFormat(), "l": LayerFormat(lossless=True)}
for name, layer_format in formats.items():
    with LayerWriter(Path(sys.argv[1]) / name, info, layer_format) as writer:
        writer.write(frames)
"""


@pytest.mark.slow
def test_equal_layers_are_equal_files_whatever_is_in_memory(tmp_path: Path) -> None:
    here = Path(__file__).parent
    folders = [str(here), str(here.parents[1]), str(here.parents[2])]
    for fill in ("0", "1"):
        (tmp_path / fill).mkdir()
        # glibc fills fresh memory with this, which reveals an encoder that reads unset memory.
        environment = {**os.environ, "MALLOC_PERTURB_": fill, "OMP_NUM_THREADS": "1"}
        subprocess.run(
            [sys.executable, "-c", _TWICE, str(tmp_path / fill), *folders],
            check=True,
            env=environment,
            timeout=100,
        )
    names = leftovers(tmp_path / "0")
    assert len(names) == 6
    for name in names:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a film of four seconds whose audio is silent except for a tone from 1.5 to 2 seconds."""
    folder = tmp_path_factory.mktemp("loud")
    pictures = media.moving(100, 32, 32)
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s="32x32", r=25)
    tone = ffmpeg.input("aevalsrc=0.5*sin(2764.6*t)*between(t\\,1.5\\,2):s=48000:d=4", f="lavfi")
    path = folder / "loud.mp4"
    media.run(
        ffmpeg.output(
            source, tone, str(path), **{"c:v": "libx264", "c:a": "aac", "pix_fmt": "yuv420p"}
        ),
        pictures.tobytes(),
    )
    return path


def heard(path: Path) -> tuple[float, float]:
    """Return when the tone begins and ends, in seconds on the file's clock, by the other FFmpeg."""
    data = media.run(
        ffmpeg.output(
            ffmpeg.input(str(path))["a:0"].filter("aresample", **{"async": 1, "first_pts": 0}),
            "pipe:",
            format="s16le",
            ac=1,
            ar=48000,
        )
    )
    places = np.flatnonzero(np.abs(np.frombuffer(data, "<i2").astype(int)) > 4000) / 48000
    return float(places[0]), float(places[-1])


@pytest.mark.usually(8)
@pytest.mark.parametrize(
    "codec,suffix",
    [
        ("copy", ".mp4"),
        ("pcm_s16le", ".mkv"),
        ("libmp3lame", ".mkv"),
        ("libopus", ".mkv"),
        ("libvorbis", ".mkv"),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        {"lossless": False},
        {"lossless": True},
        {"lossless": False, "alpha": "prores"},
        {"lossless": False, "alpha": "vp9"},
    ],
)
def test_audio_is_cut_to_the_span_and_stays_in_sync(
    tmp_path: Path, loud: Path, codec: str, suffix: str, options: dict[str, Any]
) -> None:
    path = tmp_path / f"film{suffix}"
    media.run(ffmpeg.output(ffmpeg.input(str(loud)), str(path), **{"c:v": "copy", "c:a": codec}))
    clip = open_clip([path])
    frames = clip.frames(25, 74)
    audio = clip.source_span(frames.times[0], frames.times[-1] + Fraction(1, 25))
    with LayerWriter(tmp_path / "layer", clip.info, LayerFormat(**options), source=audio) as writer:
        writer.write(frames)
    assert writer.warnings == []
    begin, end = heard(writer.path)
    assert begin == pytest.approx(0.5, abs=0.03) and end == pytest.approx(1, abs=0.03)
    assert abs(back(writer.path).times[0]) == 0
    with av.open(str(writer.path)) as container:
        assert container.duration == pytest.approx(2e6, abs=8e4)


def test_unusable_audio_is_a_warning(tmp_path: Path, loud: Path) -> None:
    info, frames = clip_of(media.moving(5))
    (tmp_path / "bad.mp4").write_bytes(b"no audio here")
    for path in (tmp_path / "bad.mp4", tmp_path / "missing.mp4"):
        with LayerWriter(
            tmp_path / "layer",
            info,
            LayerFormat(lossless=True),
            source=SourceSpan(path, Fraction(0), Fraction(1)),
        ) as writer:
            writer.write(frames)
        assert len(writer.warnings) == 1 and path.name in writer.warnings[0]
        assert len(back(writer.path)) == 5


@pytest.mark.parametrize("size", [(40, 64), (33, 47)])
@pytest.mark.parametrize("kind", ALPHA)
def test_alpha_comes_back(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    info, frames = clip_of(media.moving(3, *size))
    ramp = torch.linspace(0, 1, size[1]).expand(3, 1, *size)
    with LayerWriter(tmp_path / "layer", info, LayerFormat(alpha=kind)) as writer:
        writer.write(Frames(frames.pixels[:2], frames.times[:2]), alpha=ramp[:2])
        writer.write(Frames(frames.pixels[2:], frames.times[2:]))
    assert writer.path.suffix == ALPHA[kind]
    got = media.load(writer.path, *size, "libvpx-vp9" if kind == "vp9" else None, "rgba").astype(
        int
    )
    limit = {"prores": 1, "vp9": 3}.get(kind, 0)
    assert np.abs(got[:2, ..., 3] - np.rint(ramp[:2, 0].numpy() * 255)).max() <= limit
    assert (got[2, ..., 3] >= 255 - limit).all()
    error = np.abs(got[..., :3] - levels(frames)).mean()
    assert error <= {"prores": 0.1, "vp9": 4}.get(kind, 0)


@pytest.mark.parametrize("bits,alpha", [(8, None), (16, None), (8, "png"), (16, "png")])
def test_pictures_are_pngs(tmp_path: Path, bits: int, alpha: str | None) -> None:
    top = 2**bits - 1
    codes = torch.from_numpy(
        np.random.default_rng(0).integers(0, top + 1, (1, 3, 9, 7)).astype(np.float32)
    )
    info, _ = clip_of(np.zeros((1, 9, 7, 3), np.uint8))
    for name in ("a", "b"):
        with LayerWriter(
            tmp_path / name, info, LayerFormat(alpha=alpha, bit_depth=bits, pictures=True)
        ) as writer:
            writer.write(Frames(codes / top, (Fraction(0),)))
    assert leftovers(tmp_path) == ["a.png", "b.png"]
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    clip = open_clip([writer.path])
    assert clip.info.bit_depth == bits and clip.info.has_alpha == (alpha is not None)
    assert torch.equal((clip.frames(0, 0).pixels.double() * top).round(), codes.double())


@pytest.mark.parametrize("name", ["a:b", "-x", "%03d", "http:x"])
def test_strange_names_are_written_as_file_names(tmp_path: Path, name: str) -> None:
    info, frames = clip_of(media.moving(2))
    folder = tmp_path / name
    folder.mkdir()
    for layer_format in (LayerFormat(lossless=True), LayerFormat(), LayerFormat(pictures=True)):
        with LayerWriter(folder / name, info, layer_format) as writer:
            writer.write(Frames(frames.pixels[:1], frames.times[:1]))
        assert len(back(writer.path)) == 1
    assert len(leftovers(folder)) == 3


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (300, 1), (600, 2)])
@pytest.mark.parametrize(("bits", "alpha"), [(8, None), (8, "ffv1"), (10, None), (16, "ffv1")])
def test_narrow_layers_come_back_without_loss(
    tmp_path: Path, size: tuple[int, int], bits: int, alpha: str | None
) -> None:
    """FFV1's later versions have no slices of one column, and a single slice may be too high."""
    pixels = torch.from_numpy(
        np.random.default_rng(0).integers(0, 2**bits, (3, 3, *size))
    ).float() / (2**bits - 1)
    info = ClipInfo(Path("in"), size[1], size[0], 3, Fraction(25), Fraction(1, 25), bit_depth=bits)
    times = tuple(Fraction(index, 25) for index in range(3))
    with LayerWriter(
        tmp_path / "layer", info, LayerFormat(lossless=True, bit_depth=bits, alpha=alpha)
    ) as writer:
        writer.write(Frames(pixels, times, 0), pixels[:, :1] if alpha else None)
    assert torch.allclose(open_clip([writer.path]).frames(0, 2).pixels, pixels, atol=1e-6)
