"""HDR, wide gamut, time code and profiles.

Lossless layers keep them, MP4 layers are converted, and warnings say so.
"""

from __future__ import annotations

import json
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import ffmpeg
import media
import numpy as np
import pytest
import torch

from pipeline.cli.main import main
from pipeline.run.input_notes import notes_of, properties_of
from pipeline.settings import Settings
from stages.media.clip import ClipInfo, Frames, ScanType
from stages.media.color_tags import ColorTags, mastering_values
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.stream_facts import StreamFacts, crop_from_clap
from stages.media.timecode import advance
from stages.media.tone import (
    WHITE,
    compress_gamut,
    compress_range,
    hlg_to_light,
    light_to_pq,
    pq_to_light,
    to_display,
)
from stages.media.write import LayerWriter

PQ, HLG = ColorTags(9, 16, 9), ColorTags(9, 18, 9)
MASTERING = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"


def hdr(path: Path, transfer: str = "smpte2084", frames: int = 6, **more: Any) -> Path:
    """Make a 10-bit HEVC clip in BT.2020 with HDR's static metadata."""
    tags = {"color_primaries": "bt2020", "color_trc": transfer, "colorspace": "bt2020nc"}
    words = (
        f"log-level=error:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:"
        f"master-display={MASTERING}:max-cll=1000,400"
    )
    source = ffmpeg.input(f"testsrc2=s=96x64:r=25:d={frames / 25}", format="lavfi")
    settings = {"c:v": "libx265", "pix_fmt": "yuv420p10le", "x265-params": words, **tags, **more}
    media.run(ffmpeg.output(source, str(path), **settings))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".hevc"])
def test_hdr_is_read_from_any_container(tmp_path: Path, suffix: str) -> None:
    info = open_clip([hdr(tmp_path / f"clip{suffix}")]).info
    color = info.color
    assert (color.primaries, color.transfer, color.matrix) == (9, 16, 9) and color.is_hdr
    assert color.mastering is not None and color.light == (1000, 400)
    values = mastering_values(color.mastering)
    assert values["red"] == [0.68, 0.32]
    assert (values["max_luminance"], values["min_luminance"]) == (1000, 0.005)
    assert "HDR (PQ, BT.2020)" in properties_of(info).values()


@pytest.mark.parametrize(
    "kind", [(True, None), (False, "ffv1"), (False, "prores"), (False, "vp9"), (False, "png")]
)
@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_layers_that_keep_values_keep_their_tags(
    tmp_path: Path, kind: tuple[bool, str | None], transfer: str
) -> None:
    clip = open_clip([hdr(tmp_path / "clip.mp4", transfer)])
    frames = clip.frames(0, 5)
    with LayerWriter(
        tmp_path / "layer", clip.info, LayerFormat(lossless=kind[0], alpha=kind[1], bit_depth=10)
    ) as writer:
        writer.write(frames)
    assert writer.warnings == []
    again = open_clip([writer.path])
    color = again.info.color
    assert (color.primaries, color.transfer) == (9, {"smpte2084": 16, "arib-std-b67": 18}[transfer])
    assert color.mastering == clip.info.color.mastering and color.light == (1000, 400)
    got = again.frames(0, 5).pixels
    if kind[0]:
        assert float((got - frames.pixels).abs().max()) <= 0.51 / 1023
    else:
        # These formats have half-size chroma, or 8 bits.
        assert float((got - frames.pixels).abs().mean()) < 0.05
    # Another decoder finds a whole file.
    size = again.info.height, again.info.width
    assert len(media.load(writer.path, *size)) == 6


def test_mp4_layers_of_hdr_are_sdr(tmp_path: Path) -> None:
    clip = open_clip([hdr(tmp_path / "clip.mp4")])
    frames = clip.frames(0, 5)
    with LayerWriter(tmp_path / "layer", clip.info) as writer:
        writer.write(frames)
    again = open_clip([writer.path])
    color = again.info.color
    assert (color.primaries, color.transfer, color.matrix) == (1, 1, 1)
    shown = to_display(frames.pixels, clip.info.color)
    assert float((again.frames(0, 5).pixels - shown).abs().mean()) < 0.04
    assert float((shown - frames.pixels).abs().mean()) > 0.04
    # A matte's values are not colours and stay as they are.
    with LayerWriter(tmp_path / "matte", clip.info, LayerFormat(data=True, gray=True)) as writer:
        writer.write(Frames(torch.full_like(frames.pixels, 0.5), frames.times))
    assert float((open_clip([writer.path]).frames(0, 5).pixels - 0.5).abs().max()) < 0.002


def test_a_run_warns_about_hdr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hdr(Path("clip.mp4"), frames=8)
    for more, warned in (([], True), (["--lossless"], False)):
        words = "run clip.mp4 --task transition --preset fast --out out --no-progress"
        assert main([*words.split(), *more]) == 0
        manifest = json.loads(Path("out/manifest.json").read_text())
        said = [
            text
            for text in manifest["warnings"]
            if "HDR (PQ, BT.2020)" in text and "--lossless" in text
        ]
        assert len(said) == warned and manifest["input"][0]["color"] == "HDR (PQ, BT.2020)"
        color = open_clip([Path("out") / manifest["layers"][0]["path"]]).info.color
        assert (color.transfer, color.light) == ((1, None) if warned else (16, (1000, 400)))
        preview = Path("out/report/preview-input.mp4")
        assert open_clip([preview]).info.color.transfer == 1
        for path in sorted(Path("out").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


def gray(*levels: float) -> torch.Tensor:
    """Return grey pixels of these levels as ``(1, 3, 1, N)``."""
    return torch.tensor(levels, dtype=torch.float32).view(1, 1, 1, -1).expand(1, 3, 1, -1)


def test_pq_and_hlg_follow_the_standards() -> None:
    # BT.2100 and BT.2408: PQ 0.58 and, on a display of 1000 cd/m2, HLG 0.75 are 203 cd/m2.
    assert float(pq_to_light(gray(0.5807))[0, 0]) == pytest.approx(203, rel=0.005)
    assert float(pq_to_light(gray(1.0))[0, 0]) == pytest.approx(10_000)
    assert float(hlg_to_light(gray(0.75), HLG)[0, 0]) == pytest.approx(203, rel=0.01)
    assert float(hlg_to_light(gray(1.0), HLG)[0, 0]) == pytest.approx(1000, rel=0.001)
    values = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(light_to_pq(pq_to_light(values)), values, atol=1e-4)


@pytest.mark.parametrize(
    "tags",
    [PQ, HLG, ColorTags(9, 14, 9), ColorTags(12, 13, 1), ColorTags(11, 17, 1), ColorTags(1, 8, 1)],
)
def test_grays_stay_gray_in_order_and_in_range(tags: ColorTags) -> None:
    ramp = gray(*np.linspace(0, 1, 65))
    shown = to_display(ramp, tags)
    assert torch.allclose(shown[:, :1].expand_as(shown), shown, atol=1e-4)
    assert bool((shown[..., 1:] >= shown[..., :-1] - 1e-5).all())
    assert float(shown[..., 0].abs().max()) == 0 and float(shown[..., -1].min()) > 0.999
    if not tags.is_hdr and tags.transfer != 8:
        assert torch.allclose(shown, ramp, atol=1e-4)


def test_the_tone_curve_keeps_shadows_and_hues() -> None:
    light = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 1000
    mapped = compress_range(light, 1000.0)
    assert float(mapped.max()) <= WHITE + 0.01
    assert torch.allclose(
        mapped / mapped.amax(1, keepdim=True), light / light.amax(1, keepdim=True), atol=1e-4
    )
    dark = light / 1000 * 60
    assert torch.allclose(compress_range(dark, 1000.0), dark, rtol=1e-3)


def test_gamut_compression_changes_only_colors_outside() -> None:
    generator = torch.Generator().manual_seed(2)
    inside = 0.3 + 0.2 * torch.rand(1, 3, 16, 16, generator=generator)
    assert torch.allclose(compress_gamut(inside, 2.0), inside, atol=1e-6)
    outside = torch.rand(1, 3, 32, 32, generator=generator) * 1.4 - 0.3
    drawn = compress_gamut(outside, 2.0)
    luminance = (outside * torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)).sum(1)
    kept = (luminance > 0.02) & (luminance < 0.98)
    assert float(drawn.amin(1)[kept].min()) > -1e-4 and float(drawn.amax(1)[kept].max()) < 1 + 1e-4


def test_ordinary_clips_keep_their_bytes_and_tags(tmp_path: Path) -> None:
    path = media.save(tmp_path / "clip.mp4", media.moving())
    clip = open_clip([path])
    frames = clip.frames(0, 5)
    assert to_display(frames.pixels, clip.info.color) is frames.pixels
    assert notes_of(clip.info, Settings(task="transition")) == []
    with LayerWriter(tmp_path / "layer", clip.info, LayerFormat(lossless=True)) as writer:
        writer.write(frames)
    color = open_clip([writer.path]).info.color
    assert (color.primaries, color.transfer) == (1, 1)


def test_tags_of_bt601_go_with_the_values(tmp_path: Path) -> None:
    tags = "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"
    path = media.save(
        tmp_path / "clip.mp4",
        media.moving(),
        **{"c:v": "libx264", "pix_fmt": "yuv420p", "x264-params": tags},
    )
    clip = open_clip([path])
    for lossless, matrix in ((True, 0), (False, 6)):
        with LayerWriter(tmp_path / "layer", clip.info, LayerFormat(lossless=lossless)) as writer:
            writer.write(clip.frames(0, 5))
        color = open_clip([writer.path]).info.color
        assert (color.primaries, color.transfer, color.matrix) == (6, 6, matrix)


@pytest.mark.parametrize(
    ("label", "rate"), [("01:02:03;15", Fraction(30000, 1001)), ("10:00:00:05", Fraction(25))]
)
@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".mp4"])
def test_time_code_goes_on_in_layers(
    tmp_path: Path, label: str, rate: Fraction, suffix: str
) -> None:
    path = tmp_path / f"clip{suffix}"
    source = ffmpeg.input(f"testsrc2=s=64x48:r={rate}:d=1", format="lavfi")
    media.run(ffmpeg.output(source, str(path), **{"c:v": "libx264", "timecode": label}))
    clip = open_clip([path])
    assert clip.info.timecode == label
    for lossless in (True, False):
        with LayerWriter(
            tmp_path / "layer", clip.info, LayerFormat(lossless=lossless), first_frame=12
        ) as writer:
            writer.write(clip.frames(12, 20))
        assert open_clip([writer.path]).info.timecode == advance(label, 12, rate)


def counted(frames: int, each: int, dropped: int) -> str:
    """Return the time code after ``frames`` frames from zero, counted one by one."""
    minute = second = frame = 0
    for _ in range(frames):
        frame += 1
        if frame == each:
            frame, second = 0, second + 1
        if second == 60:
            second, minute = 0, minute + 1
            frame = dropped if minute % 10 else 0
    return f"{minute // 60:02d}:{minute % 60:02d}:{second:02d}{';' if dropped else ':'}{frame:02d}"


@pytest.mark.parametrize(
    ("rate", "dropped"), [(Fraction(25), 0), (Fraction(30000, 1001), 2), (Fraction(60000, 1001), 4)]
)
def test_time_code_counts_like_one_by_one(rate: Fraction, dropped: int) -> None:
    zero = f"00:00:00{';' if dropped else ':'}00"
    draw = np.random.default_rng(0)
    for frames in [
        0,
        1,
        1798,
        1799,
        1800,
        3596,
        17981,
        17982,
        *map(int, draw.integers(0, 40_000, 6)),
    ]:
        label = counted(frames, round(rate), dropped)
        assert advance(zero, frames, rate) == label
        assert advance(label, 24 * 3600 * round(rate), rate)[:2] == label[:2] or dropped
    with pytest.raises(ValueError, match="is not a time code"):
        advance("00:00:00:77", 1, rate)


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Return the content of each chunk of a PNG, by kind, after checking its checksum."""
    found: dict[bytes, bytes] = {}
    at = 8
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        found[kind] = data[at + 8 : at + 8 + size]
        assert (
            zlib.crc32(data[at + 4 : at + 8 + size])
            == struct.unpack_from(">I", data, at + 8 + size)[0]
        )
        at += 12 + size
    return found


def test_profiles_and_color_tags_are_written_to_pngs(tmp_path: Path) -> None:
    pixels = media.moving(1)[0]
    profile = b"\0" * 36 + b"acsp" + b"profile" * 40
    info = ClipInfo(
        Path("in.png"), 64, 48, 1, Fraction(25), Fraction(1, 25), is_picture=True, icc=profile
    )
    frames = Frames(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255, (Fraction(0),))
    for each, wanted in (
        (info, b"iCCP"),
        (ClipInfo(Path("in.png"), 64, 48, 1, Fraction(25), Fraction(1, 25), color=PQ), b"cICP"),
    ):
        with LayerWriter(tmp_path / "layer", each, LayerFormat(pictures=True)) as writer:
            writer.write(frames)
        found = chunks(writer.path.read_bytes())
        assert wanted in found
        if wanted == b"iCCP":
            assert zlib.decompress(found[wanted].partition(b"\0")[2][1:]) == profile
        else:
            assert found[wanted] == bytes([9, 16, 0, 1])
        assert np.array_equal(media.load(writer.path, 48, 64)[0], pixels)


def test_a_clean_aperture_becomes_a_crop() -> None:
    assert crop_from_clap((702, 1, 576, 1, 0, 1, 0, 1), (576, 720)) == (9, 0, 9, 0)
    assert crop_from_clap((700, 1, 560, 1, 2, 1, -4, 1), (576, 720)) == (12, 4, 8, 12)
    assert crop_from_clap((720, 1, 576, 1, 0, 1, 0, 1), (576, 720)) is None
    assert crop_from_clap((900, 1, 576, 1, 0, 1, 0, 1), (576, 720)) is None
    assert crop_from_clap((702, 0, 576, 1, 0, 1, 0, 1), (576, 720)) is None


def with_clap(path: Path, values: tuple[int, ...]) -> None:
    """Add a clean aperture to an MP4 whose index comes last."""
    data = bytearray(path.read_bytes())
    box = struct.pack(">I4s8i", 40, b"clap", *values)
    at = data.index(b"avc1", data.index(b"stsd")) - 4
    end = at + struct.unpack_from(">I", data, at)[0]
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        place = data.index(kind, data.index(b"moov")) - 4 if kind != b"avc1" else at
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + len(box))
    data[end:end] = box
    path.write_bytes(data)


@pytest.mark.parametrize("values", [(56, 1, 40, 1, 0, 1, 0, 1), (51, 1, 33, 1, 1, 2, -5, 2)])
def test_a_clean_aperture_is_applied(tmp_path: Path, values: tuple[int, ...]) -> None:
    path = media.save(
        tmp_path / "clip.mp4", media.moving(), **{"c:v": "libx264", "qp": 0, "pix_fmt": "yuv444p"}
    )
    whole = open_clip([path]).frames(0, 3).pixels
    with_clap(path, values)
    clip = open_clip([path])
    left = (64 - values[0]) // 2 + (values[4] + 1) // 2
    top = int((48 - values[2]) / 2 + values[6] / 2)
    assert (clip.info.width, clip.info.height) == (values[0], values[2])
    assert torch.equal(
        clip.frames(0, 3).pixels, whole[:, :, top : top + values[2], left : left + values[0]]
    )
    assert len(media.load(path, values[2], values[0])) == 12
    assert any(
        "clean aperture" in note for note in notes_of(clip.info, Settings(task="transition"))
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"facts": StreamFacts(dolby_vision=8)}, "Dolby Vision"),
        ({"facts": StreamFacts(dolby_vision=5)}, "wrong colours"),
        ({"facts": StreamFacts(dynamic=True)}, "HDR10+"),
        ({"facts": StreamFacts(stereo="side by side")}, "two views"),
        ({"facts": StreamFacts(spherical=True)}, "sphere"),
        ({"scan": ScanType("interlaced", "tff", "interlaced", True)}, "bwdif"),
        ({"scan": ScanType("interlaced", "tff", "progressive", True)}, "not flagged so"),
        ({"scan": ScanType("interlaced", "tff", "interlaced")}, "stays so"),
        ({"scan": ScanType("telecined", "tff", "", True)}, "pulldown"),
        ({"scan": ScanType("progressive", "tff", "interlaced")}, "flagged as interlaced"),
        ({"color": ColorTags(12, 13, 1)}, "Display P3"),
    ],
)
def test_what_layers_do_not_keep_is_one_warning(change: dict[str, Any], words: str) -> None:
    info = ClipInfo(Path("in.mp4"), 64, 48, 9, Fraction(25), Fraction(1, 25), **change)
    notes = notes_of(info, Settings(task="transition"))
    assert len(notes) == 1 and words in notes[0]
    assert "\n" not in notes[0] and notes[0].startswith("in.mp4: ")
    assert json.dumps(properties_of(info))
