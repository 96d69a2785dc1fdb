"""Pictures of every kind: their colours, their profiles, and warnings about transparency."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ffmpeg
import media
import numpy as np
import pytest
from PIL import Image, ImageCms

from pipeline.cli.main import main
from pipeline.run.input_notes import notes_of
from pipeline.settings import Settings
from stages.media.read import open_clip


def tiles(seed: int) -> Image.Image:
    """Return a picture ``(48, 64)`` of random tiles."""
    draw = np.random.default_rng(seed)
    return Image.fromarray(
        np.kron(draw.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
    )


def with_alpha(picture: Image.Image, alpha: int) -> Image.Image:
    """Return the picture with one opacity everywhere."""
    picture = picture.convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, alpha))
    return picture


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("kind", "transparent"),
    [
        ("rgb", False),
        ("gray", False),
        ("palette", False),
        ("palette with alpha", True),
        ("alpha", True),
        ("opaque alpha", False),
    ],
)
def test_colors_are_taken_as_they_are_stored(
    tmp_path: Path, seed: int, kind: str, transparent: bool
) -> None:
    picture = tiles(seed)
    path = tmp_path / "in.png"
    if kind == "gray":
        picture = picture.convert("L")
    if kind.startswith("palette"):
        picture = picture.quantize(32)
    elif kind.endswith("alpha"):
        picture = with_alpha(picture, 255 if kind == "opaque alpha" else 90)
    more: dict[str, Any] = {"transparency": 3} if kind == "palette with alpha" else {}
    picture.save(path, **more)
    clip = open_clip([path])
    got = np.rint(clip.frames(0, 0).pixels[0].permute(1, 2, 0).numpy() * 255)
    # Colours are straight: not multiplied by alpha.
    assert np.array_equal(got, np.asarray(picture.convert("RGBA"))[..., :3])
    assert clip.transparent == transparent


def test_deep_gray_keeps_its_depth(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).integers(0, 65536, (16, 24)).astype(np.uint16)
    Image.fromarray(levels).save(tmp_path / "in.png")
    clip = open_clip([tmp_path / "in.png"])
    assert clip.info.bit_depth == 16
    assert np.array_equal(np.rint(clip.frames(0, 0).pixels[0, 1].numpy() * 65535), levels)


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, suffix: str) -> None:
    picture = tiles(1).convert("CMYK")
    more: dict[str, Any] = {"quality": 98, "subsampling": 0} if suffix == "jpg" else {}
    picture.save(tmp_path / f"in.{suffix}", **more)
    got = (
        open_clip([tmp_path / f"in.{suffix}"]).frames(0, 0).pixels[0].permute(1, 2, 0).numpy() * 255
    )
    assert np.abs(got - np.asarray(picture.convert("RGB"), float)).mean() < 2


def test_a_profile_that_is_not_rgb_is_left_out_with_a_warning(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    tiles(0).save(tmp_path / "in.jpg", icc_profile=profile)
    info = open_clip([tmp_path / "in.jpg"]).info
    assert info.icc is None and info.foreign_profile
    assert ["profile" in note for note in notes_of(info, Settings(task="dehaze"))] == [True]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_a_profile_goes_through_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    tiles(0).save(f"in.{suffix}", icc_profile=profile)
    words = f"run in.{suffix} --task dehaze --preset fast --out out --no-progress"
    assert main(words.split()) == 0
    # The values of a transmission are not colours.
    for name, wanted in (("clear", profile), ("airlight", profile), ("transmission", None)):
        with Image.open(f"out/{name}.png") as made:
            assert made.info.get("icc_profile") == wanted


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".webm", {"c:v": "libvpx-vp9", "pix_fmt": "yuva420p"}),
        (".mov", {"c:v": "prores_ks", "pix_fmt": "yuva444p10le"}),
        (".apng", {"c:v": "apng", "pix_fmt": "rgba", "plays": 0}),
    ],
)
def test_a_run_warns_that_transparency_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: dict[str, object]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = (
        ffmpeg.input("testsrc2=s=64x48:r=25:d=0.4", format="lavfi")
        .filter("format", "rgba")
        .filter("colorchannelmixer", aa=0.5)
    )
    media.run(ffmpeg.output(source, f"in{suffix}", **codec))
    words = f"run in{suffix} --task transition --preset fast --out out --no-progress"
    assert main(words.split()) == 0
    warnings = json.loads(Path("out/manifest.json").read_text())["warnings"]
    assert sum("transparen" in text for text in warnings) == 1
