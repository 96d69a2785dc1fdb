"""Metadata of pictures: profiles are read exactly from every kind of file; no file does harm."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from stages.media.picture_metadata import MAX_PROFILE, count_pages, read_icc_profile

KINDS = ("png", "jpg", "tif", "webp", "avif")


def picture(path: Path, profile: bytes | None, mode: str = "RGB") -> Path:
    """Write a small picture with Pillow."""
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, icc_profile=profile)
    return path


def srgb() -> bytes:
    """Return an sRGB profile."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_is_read(tmp_path: Path, kind: str) -> None:
    assert read_icc_profile(picture(tmp_path / f"with.{kind}", srgb())) == srgb()
    assert read_icc_profile(picture(tmp_path / f"without.{kind}", None)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_profile_of_many_segments_is_read(tmp_path: Path, kind: str) -> None:
    profile = srgb()[4:] + np.random.default_rng(2).bytes(200_000)
    profile = struct.pack(">I", len(profile) + 4) + profile
    assert read_icc_profile(picture(tmp_path / f"long.{kind}", profile)) == profile


def test_a_profile_that_is_not_rgb_counts_as_none(tmp_path: Path) -> None:
    profile = srgb()
    path = picture(tmp_path / "grey.png", profile[:16] + b"GRAY" + profile[20:], "L")
    assert read_icc_profile(path) is None


def test_a_profile_that_unpacks_to_megabytes_counts_as_none(tmp_path: Path) -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    path = picture(tmp_path / "bomb.png", None)
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"iCCP", b"icc\0\0" + packed) + data[33:])
    assert len(packed) < MAX_PROFILE and read_icc_profile(path) is None


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_do_no_harm(tmp_path: Path, kind: str) -> None:
    data = picture(tmp_path / f"good.{kind}", srgb()).read_bytes()
    path = tmp_path / f"spoiled.{kind}"
    answers = set()
    for seed in range(200):
        rng = np.random.default_rng(seed)
        made = bytearray(data[: int(rng.integers(1, len(data)))] if seed % 4 == 0 else data)
        for place in rng.integers(0, min(len(made), 1200), 6):
            made[place] = rng.choice([0, 255, int(rng.integers(256))])
        path.write_bytes(made)
        answers.add(type(read_icc_profile(path)))
    assert type(None) in answers and answers <= {type(None), bytes}
    assert read_icc_profile(tmp_path) is None and read_icc_profile(tmp_path / "missing.png") is None


@pytest.mark.parametrize("pages", [1, 2, 12])
def test_the_pages_of_a_tiff_are_counted(tmp_path: Path, pages: int) -> None:
    first, *rest = [
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)) for number in range(pages)
    ]
    first.save(tmp_path / "some.tif", save_all=True, append_images=rest)
    assert count_pages(tmp_path / "some.tif") == pages
    whole = (tmp_path / "some.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[:-3])
    assert 1 <= count_pages(tmp_path / "cut.tif") <= pages
    # A file whose first page points to itself has one page.
    (tmp_path / "circle.tif").write_bytes(b"II*\0" + struct.pack("<IHI", 8, 0, 8))
    assert count_pages(tmp_path / "circle.tif") == 1
