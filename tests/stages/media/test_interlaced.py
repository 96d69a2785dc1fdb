"""Interlaced clips are recognised by flags and picture and made progressive; others stay."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import media
import numpy as np
import pytest

from stages.errors import UnlayerError
from stages.media.deinterlace import examine, scan_type
from stages.media.fields import ScanEvidence, collect_evidence
from stages.media.formats import LayerFormat
from stages.media.read import Clip, open_clip
from stages.media.write import LayerWriter
from stages.mixing.psnr import psnr_of


def scene(seed: int, count: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Return ``(T, H, W, 3)`` uint8: a textured picture that moves sideways and a little down."""
    rng = np.random.default_rng(seed)
    wide = rng.uniform(30, 225, (height // 12 + 12, width // 12 + 12, 3))
    large = np.kron(wide, np.ones((12, 12, 1)))
    # Soften it as a camera does: no detail is finer than two lines.
    for axis in (0, 1):
        large = (np.roll(large, 1, axis) + 2 * large + np.roll(large, -1, axis)) / 4
    right, down = rng.integers(2, 5), rng.integers(0, 2)
    frames = [
        np.roll(large, (-down * (t // 2), -right * t), (0, 1))[:height, :width]
        for t in range(count)
    ]
    return np.asarray(np.rint(np.stack(frames)), np.uint8)


def interlace(fields: np.ndarray, first: str) -> np.ndarray:
    """Interlace pairs of pictures: ``(2T, H, W, 3)`` to ``(T, H, W, 3)``.

    first: the field that comes first, ``tff`` or ``bff``.
    """
    frames = fields[::2].copy()
    later = 1 if first == "tff" else 0
    frames[:, later::2] = fields[1::2, later::2]
    return frames


def film(fields: np.ndarray) -> np.ndarray:
    """Turn each four pictures into five frames by 3:2 pulldown, the top field first."""
    out = []
    for at in range(0, len(fields) - 3, 4):
        a, b, c, d = fields[at : at + 4]
        mixed = [b.copy(), c.copy()]
        mixed[0][1::2], mixed[1][1::2] = c[1::2], d[1::2]
        out += [a, b, *mixed, d]
    return np.stack(out)


def save(path: Path, frames: np.ndarray, flag: str, codec: str, **options: Any) -> Path:
    """Encode frames as they are, flagged ``tff``, ``bff`` or ``prog``."""
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=size, r=25)
    source = source.filter(
        "scale", out_color_matrix="bt601", flags="accurate_rnd+full_chroma_int"
    ).filter("setfield", flag)
    fields = {} if flag == "prog" else {"flags": "+ildct+ilme"}
    if codec == "libx264" and fields:
        options["x264-params"] = f"{flag}=1"
    media.run(
        ffmpeg.output(source, str(path), **{"c:v": codec, **fields, **options}), frames.tobytes()
    )
    return path


def decoded(clip: Clip, first: int = 0) -> np.ndarray:
    """Return all frames from ``first`` on as ``(T, H, W, 3)`` in [0, 255]."""
    return np.concatenate(
        [block.pixels.permute(0, 2, 3, 1).numpy() * 255 for block in clip.blocks(first)]
    )


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return psnr_of(float(np.mean((one.astype(float) - other) ** 2)) / 255**2)


CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "mpeg2video": (".mpg", {"q:v": 1, "pix_fmt": "yuv422p"}),
    "libx264": (".mp4", {"qp": 4, "pix_fmt": "yuv444p"}),
    "prores_ks": (".mov", {"pix_fmt": "yuv422p10le"}),
    "ffv1": (".mkv", {"pix_fmt": "yuv444p10le"}),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(
    ("first", "flagged"),
    [
        ("tff", False),
        ("bff", True),
        pytest.param("tff", True, marks=pytest.mark.slow),
        pytest.param("bff", False, marks=pytest.mark.slow),
    ],
)
def test_fields_become_progressive(tmp_path: Path, codec: str, first: str, flagged: bool) -> None:
    seed = sorted(CODECS).index(codec) * 4 + 2 * (first == "bff") + flagged
    fields = scene(seed, 40)
    suffix, options = CODECS[codec]
    path = save(
        tmp_path / f"clip{suffix}",
        interlace(fields, first),
        first if flagged else "prog",
        codec,
        **options,
    )
    clip, kept = open_clip([path]), open_clip([path], interlaced="keep")
    assert (clip.info.scan.kind, clip.info.scan.parity, clip.info.scan.deinterlaced) == (
        "interlaced",
        first,
        True,
    )
    assert not kept.info.scan.deinterlaced and (kept.info.scan.kind == "interlaced") == flagged
    # A frame keeps the field that comes first, so the true picture is the one at that time.
    treated, plain = decoded(clip), decoded(kept)
    assert len(treated) == len(plain) == 20
    assert psnr(treated[1:-1], fields[::2][1:-1]) > psnr(plain[1:-1], fields[::2][1:-1]) + 3
    times = [block.times for each in (clip, kept) for block in each.blocks()]
    assert times[: len(times) // 2] == times[len(times) // 2 :]


@pytest.mark.slow
def test_dv_flags_its_fields_only_in_its_frames(tmp_path: Path) -> None:
    fields = scene(3, 28, 576, 720)
    path = save(tmp_path / "clip.dv", interlace(fields, "bff"), "bff", "dvvideo", pix_fmt="yuv420p")
    clip = open_clip([path])
    assert clip.info.scan.deinterlaced and clip.info.scan.parity == "bff"
    # Half-height chroma mixes the fields before encoding, so compare the means of the channels.
    truth = fields[2:-2:2].mean(3)
    kept = decoded(open_clip([path], interlaced="keep"))[1:-1].mean(3)
    assert psnr(decoded(clip)[1:-1].mean(3), truth) > psnr(kept, truth) + 2


def test_a_wrong_field_order_flag_is_corrected(tmp_path: Path) -> None:
    path = save(
        tmp_path / "clip.mkv", interlace(scene(5, 40), "bff"), "tff", "ffv1", pix_fmt="yuv444p"
    )
    assert open_clip([path]).info.scan.parity == "bff"


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_frames_from_the_middle_are_those_from_the_start(tmp_path: Path, seed: int) -> None:
    frames = interlace(scene(seed, 240), "tff")
    flag = "tff"
    if seed % 2:
        # Film with pulldown, where only the combed frames are changed.
        frames = film(scene(seed, 96))
        flag = "prog"
    path = save(
        tmp_path / "clip.mp4", frames, flag, "libx264", qp=10, g=12, bf=2, pix_fmt="yuv420p"
    )
    clip = open_clip([path])
    assert clip.info.scan.kind == ("telecined" if seed % 2 else "interlaced")
    whole = list(clip.blocks())
    pixels = np.concatenate([block.pixels.numpy() for block in whole])
    assert len(pixels) == 120
    for first in np.random.default_rng(seed).integers(0, 120, 4):
        last = min(119, int(first) + 5)
        # A clip that was read before seeks; one that was just opened decodes from the start.
        for each in (clip, open_clip([path])):
            some = each.frames(int(first), last)
            assert some.first == first and np.array_equal(
                some.pixels.numpy(), pixels[first : last + 1]
            )


def test_outputs_are_flagged_progressive(tmp_path: Path) -> None:
    path = save(
        tmp_path / "clip.mkv", interlace(scene(1, 40), "tff"), "tff", "ffv1", pix_fmt="yuv444p"
    )
    clip = open_clip([path])
    for lossless, alpha in ((True, None), (False, None), (False, "prores")):
        with LayerWriter(
            tmp_path / "layer", clip.info, LayerFormat(lossless=lossless, alpha=alpha)
        ) as writer:
            writer.write(clip.frames(0, 19))
        scan = open_clip([writer.path]).info.scan
        assert (scan.kind, scan.flagged, scan.deinterlaced) == ("progressive", "progressive", False)
    kept = open_clip([path], interlaced="keep")
    with LayerWriter(tmp_path / "kept", kept.info, LayerFormat(lossless=True)) as writer:
        writer.write(kept.frames(0, 19))
    assert open_clip([writer.path]).info.scan.flagged == "interlaced"
    assert np.array_equal(decoded(open_clip([writer.path], interlaced="keep")), decoded(kept))


def test_film_with_pulldown_keeps_its_whole_frames(tmp_path: Path) -> None:
    pictures = scene(9, 24)
    path = save(tmp_path / "film.mkv", film(pictures), "prog", "ffv1", pix_fmt="yuv444p")
    clip = open_clip([path])
    assert clip.info.scan.kind == "telecined" and clip.info.scan.deinterlaced
    treated, plain = decoded(clip), decoded(open_clip([path], interlaced="keep"))
    assert treated.shape == plain.shape
    same = [bool(np.array_equal(one, other)) for one, other in zip(treated, plain, strict=True)]
    # Three of every five frames are whole and must not change.
    assert (
        sum(same[5:25]) == 12
        and [place % 5 for place in range(5, 25) if not same[place]] == [2, 3] * 4
    )
    truth = np.concatenate([pictures[at : at + 4][[0, 1, 1, 2, 3]] for at in range(0, 24, 4)])
    assert psnr(treated[5:25], truth[5:25]) > psnr(plain[5:25], truth[5:25]) + 1


def lines(seed: int, count: int) -> list[np.ndarray]:
    """Return progressive luma ``(96, 128)`` with fine horizontal lines and noise.

    The lines stand still or drift down.
    """
    rng = np.random.default_rng(seed)
    period, speed, across = rng.integers(2, 5), rng.choice([0, 0.25, 0.5, 1, 2]), rng.uniform(0, 3)
    y, x = np.mgrid[0:96, 0:128]
    frames = []
    for t in range(count):
        stripes = 128 + 90 * np.sign(np.sin(2 * np.pi * (y - speed * t + 0.25) / period))
        thing = 40 * np.sin((x - across * t) / 7) * (y > 40)
        frames.append(
            np.clip(stripes + thing + rng.normal(0, rng.uniform(0, 4), y.shape), 0, 255).astype(
                np.int16
            )
        )
    return frames


@pytest.mark.parametrize("seed", range(20))
def test_fine_lines_are_not_taken_for_fields(seed: int) -> None:
    evidence = collect_evidence(lines(seed, 24), 255)
    assert evidence.scan in ("", "progressive"), evidence.counts


@pytest.mark.parametrize("seed", range(6))
def test_progressive_clips_stay_as_they_are(tmp_path: Path, seed: int) -> None:
    frames = scene(seed, 24)
    flag = ("prog", "tff", "bff")[seed % 3]
    if seed % 2 == 0:
        frames = np.repeat(np.stack(lines(seed, 24))[..., None], 3, axis=3).astype(np.uint8)
        flag = "prog"
    path = save(tmp_path / "clip.mkv", frames, flag, "ffv1", pix_fmt="yuv444p")
    clip = open_clip([path])
    assert not clip.info.scan.deinterlaced and clip.info.scan.kind == "progressive"
    assert np.array_equal(decoded(clip), decoded(open_clip([path], interlaced="keep")))
    assert open_clip([path], interlaced="deinterlace").info.scan.deinterlaced


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_clip_of_a_few_frames(tmp_path: Path, count: int) -> None:
    path = save(
        tmp_path / "clip.mkv",
        interlace(scene(2, 2 * count), "tff"),
        "tff",
        "ffv1",
        pix_fmt="yuv444p",
    )
    clip = open_clip([path])
    assert clip.info.scan.deinterlaced and len(decoded(clip)) == count


def test_a_still_clip_gives_no_evidence() -> None:
    still = [np.full((16, 16), 90, np.int16)] * 24
    assert collect_evidence(still, 255).scan == ""
    assert scan_type(1, [False] * 24, collect_evidence(still, 255), "auto").kind == "progressive"
    assert scan_type(2, [True] * 24, collect_evidence(still, 255), "auto").deinterlaced
    assert examine(iter(())) == ([], ScanEvidence())


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv420p", "yuv422p"])
def test_tiny_pictures_of_noise_are_read_as_they_are(
    tmp_path: Path, seed: int, pixels: str
) -> None:
    """Noise in a few lines can look like fields by chance, and bwdif has a minimum size."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(4, 14, 2) & ~1
    noise = rng.integers(0, 256, (24, height, width, 3), np.uint8)
    path = save(tmp_path / "clip.mkv", noise, ["prog", "tff"][seed % 2], "ffv1", pix_fmt=pixels)
    assert decoded(open_clip([path])).shape == noise.shape
    try:
        assert decoded(open_clip([path], interlaced="deinterlace")).shape == noise.shape
    except UnlayerError as error:
        assert "too small to be deinterlaced" in str(error) and min(height, width) < 8


def test_noise_in_tiny_pictures_is_not_taken_for_fields() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        clip = [rng.integers(0, 256, (6, 8)).astype(np.int16) for _ in range(24)]
        assert collect_evidence(clip, 255).scan == ""


def test_salvage_and_trim_keep_indices(tmp_path: Path) -> None:
    path = save(
        tmp_path / "clip.mp4",
        interlace(scene(4, 60), "tff"),
        "tff",
        "libx264",
        qp=8,
        g=10,
        pix_fmt="yuv420p",
    )
    whole = decoded(open_clip([path]))
    part = open_clip([path], start=Fraction(10, 25), end=Fraction(20, 25))
    blocks = list(part.blocks())
    assert blocks[0].first == 10 and sum(len(block) for block in blocks) == 10
    assert np.array_equal(
        np.concatenate([block.pixels.permute(0, 2, 3, 1).numpy() * 255 for block in blocks]),
        whole[10:20],
    )
    assert np.array_equal(decoded(open_clip([path], salvage=True)), whole)
