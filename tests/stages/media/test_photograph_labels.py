"""Photographs keep their EXIF data, profile and resolution, whatever they are stored as."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

from stages.media.exif import read_dpi, read_exif, upright_block
from stages.media.formats import LayerFormat
from stages.media.read import open_clip
from stages.media.tiff_directories import MAX_EXIF, packed_directories, read_directories
from stages.media.write import LayerWriter

MAKER, DATE, ORIENTATION, EXIF, GPS = 0x010F, 0x0132, 0x0112, 0x8769, 0x8825
EXPOSURE, LATITUDE = 0x829A, 2
SUFFIXES = ("jpg", "png", "tif", "webp")
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def block(orientation: int, endian: str = "<") -> Image.Exif:
    """Return EXIF data with a tag in each directory."""
    found = Image.Exif()
    found.endian = endian
    found[ORIENTATION] = orientation
    found[MAKER], found[DATE] = "A maker of cameras", "2024:05:06 07:08:09"
    found.get_ifd(EXIF)[EXPOSURE] = IFDRational(1, 125)
    found.get_ifd(GPS)[LATITUDE] = (48.0, 12.0, 30.5)
    return found


def photograph(path: Path, seed: int, orientation: int = 1, endian: str = "<") -> Image.Image:
    """Save a smooth picture of a drawn size with all labels, and return it as it is stored."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(20, 60)), int(rng.integers(20, 60))
    coarse = Image.fromarray(rng.integers(0, 256, (4, 5, 3)).astype(np.uint8))
    picture = coarse.resize(size, Image.Resampling.BICUBIC)
    labels: dict[str, Any] = {"exif": block(orientation, endian), "icc_profile": PROFILE}
    if path.suffix == ".jpg":
        labels |= {"quality": 100, "subsampling": 0}
    if path.suffix == ".tif":
        # Pillow writes the inner directories of a TIFF only from plain ones.
        exif = labels.pop("exif")
        labels["tiffinfo"] = ImageFileDirectory_v2()
        for tag, value in exif.items():
            labels["tiffinfo"][tag] = value
        for tag in (EXIF, GPS):
            labels["tiffinfo"][tag] = dict(exif.get_ifd(tag))
    if path.suffix == ".webp":
        labels |= {"lossless": True}
    else:
        labels |= {"dpi": (300, 300)}
    picture.save(path, **labels)
    return picture


def written(path: Path, codec: str, *, data: bool = False) -> Path:
    """Write a picture as a layer of a run would, and return its file."""
    clip = open_clip([path])
    form = LayerFormat(codec=codec, pictures=True, data=data)
    with LayerWriter(path.with_name(f"layer-{path.stem}"), clip.info, form) as writer:
        (frames,) = clip.blocks()
        writer.write(frames)
    assert writer.warnings == []
    return writer.path


@pytest.mark.parametrize("codec", ["png", "jpeg", "tiff"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_photograph_keeps_what_it_says_about_itself(
    suffix: str, codec: str, tmp_path: Path
) -> None:
    for seed, endian in enumerate("<>"):
        path = tmp_path / f"in{seed}.{suffix}"
        photograph(path, seed, endian=endian)
        with Image.open(written(path, codec)) as found:
            exif = found.getexif()
            assert (exif[MAKER], exif[DATE]) == ("A maker of cameras", "2024:05:06 07:08:09")
            assert float(exif.get_ifd(EXIF)[EXPOSURE]) == pytest.approx(1 / 125)
            assert tuple(map(float, exif.get_ifd(GPS)[LATITUDE])) == (48.0, 12.0, 30.5)
            assert found.info["icc_profile"] == PROFILE
            if suffix != "webp":
                assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "codec"), [("jpg", "png"), ("png", "jpeg"), ("jpg", "tiff")])
def test_the_orientation_is_applied_once(
    suffix: str, codec: str, orientation: int, tmp_path: Path
) -> None:
    path = tmp_path / f"in.{suffix}"
    photograph(path, orientation, orientation)
    with Image.open(path) as stored, Image.open(written(path, codec)) as found:
        shown, again = ImageOps.exif_transpose(stored), ImageOps.exif_transpose(found)
        assert found.getexif().get(ORIENTATION, 1) == 1
        assert shown.size == found.size == again.size
        pictures = [np.asarray(each.convert("RGB"), float) for each in (shown, again)]
    if codec != "tiff":  # Pillow does not read 16 bits
        assert np.abs(pictures[0] - pictures[1]).mean() < 2


def test_the_resolution_of_a_picture_on_its_side_is_turned_too(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    for orientation, expected in ((1, (300, 150)), (6, (150, 300))):
        picture = Image.new("RGB", (40, 20))
        picture.save(path, dpi=(300, 150), exif=block(orientation))
        assert read_dpi(path) == pytest.approx(expected)


WIDTH, HEIGHT, PLANE_X, PLANE_Y = 0xA002, 0xA003, 0xA20E, 0xA20F
MAIN_WIDTH, MAIN_HEIGHT = 0x0100, 0x0101


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize(("suffix", "codec"), [("jpg", "png"), ("jpg", "jpeg"), ("tif", "jpeg")])
def test_the_sides_in_the_labels_are_those_of_the_upright_picture(
    suffix: str, codec: str, orientation: int, tmp_path: Path
) -> None:
    for endian in "<>":
        path = tmp_path / f"in{orientation}.{suffix}"
        exif = block(orientation, endian)
        exif[MAIN_WIDTH], exif[MAIN_HEIGHT] = 40, 20
        camera = exif.get_ifd(EXIF)
        camera[WIDTH], camera[HEIGHT] = 40, 20
        camera[PLANE_X], camera[PLANE_Y] = IFDRational(3000, 7), IFDRational(2000, 7)
        picture = Image.new("RGB", (40, 20), (9, 99, 199))
        if suffix == "tif":
            information = ImageFileDirectory_v2()
            information[ORIENTATION] = orientation
            information[EXIF] = dict(camera)
            picture.save(path, tiffinfo=information)
        else:
            picture.save(path, exif=exif)
        with Image.open(written(path, codec)) as found:
            camera = found.getexif().get_ifd(EXIF)
            assert (camera[WIDTH], camera[HEIGHT]) == found.size
            resolution = camera[PLANE_X], camera[PLANE_Y]
            is_turned = found.size == (20, 40)
            assert is_turned == (orientation > 4)
            expected = (2000 / 7, 3000 / 7) if is_turned else (3000 / 7, 2000 / 7)
            assert tuple(map(float, resolution)) == pytest.approx(expected)
            main = found.getexif()
            if suffix == "jpg":
                assert (main[MAIN_WIDTH], main[MAIN_HEIGHT]) == found.size


def test_a_damaged_inner_directory_keeps_the_rest() -> None:
    data = bytearray(block(6).tobytes().removeprefix(b"Exif\0\0"))
    at = data.index(struct.pack("<H", EXIF))
    struct.pack_into("<I", data, at + 8, len(data) + 99)
    found = upright_block(bytes(data))
    orientation = found.index(struct.pack("<HH", ORIENTATION, 3)) + 8
    assert len(found) == len(data) and struct.unpack_from("<H", found, orientation) == (1,)


def test_a_matte_has_the_resolution_alone(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    photograph(path, 1)
    with Image.open(written(path, "jpeg", data=True)) as found:
        assert found.format == "PNG" and not dict(found.getexif())
        assert found.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_what_a_format_cannot_hold_is_said(tmp_path: Path) -> None:
    path = tmp_path / "in.jpg"
    photograph(path, 1)
    clip = open_clip([path])
    form = LayerFormat(codec="exr", pictures=True)
    with LayerWriter(tmp_path / "layer", clip.info, form) as writer:
        (frames,) = clip.blocks()
        writer.write(frames)
    assert any("do not keep the EXIF data" in text for text in writer.warnings)


def test_the_thumbnail_is_left_out_and_the_rest_stays_in_place() -> None:
    data = bytearray(block(6, ">").tobytes().removeprefix(b"Exif\0\0"))
    (count,) = struct.unpack_from(">H", data, 8)
    struct.pack_into(">I", data, 10 + 12 * count, len(data))
    data += struct.pack(">HI", 0, 0)
    found = upright_block(bytes(data))
    assert len(found) == len(data) and struct.unpack_from(">I", found, 10 + 12 * count) == (0,)
    differing = [at for at in range(len(data)) if found[at] != data[at]]
    assert len(differing) <= 4 + 4
    main, parts = read_directories(found)
    again = b"II*\0" + struct.pack("<I", 8) + packed_directories(main, parts, 8)
    assert read_directories(again) == (main, parts)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_metadata_never_raise(suffix: str, tmp_path: Path) -> None:
    photograph(tmp_path / f"in.{suffix}", 3)
    whole = (tmp_path / f"in.{suffix}").read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    for seed in range(150):
        chance = random.Random(seed)
        data = bytearray(whole[: chance.choice([len(whole), chance.randrange(len(whole))])])
        for _ in range(chance.randrange(1, 12)):
            if data:
                data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(bytes(data))
        exif, dpi = read_exif(path), read_dpi(path)
        assert exif is None or len(exif) <= MAX_EXIF
        assert dpi is None or min(dpi) >= 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_without_labels_gets_none(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"in.{suffix}"
    Image.new("RGB", (32, 24), (200, 30, 90)).save(path)
    assert read_exif(path) is None and read_dpi(path) is None
    with Image.open(io.BytesIO(written(path, "png").read_bytes())) as found:
        assert not dict(found.getexif()) and "icc_profile" not in found.info
