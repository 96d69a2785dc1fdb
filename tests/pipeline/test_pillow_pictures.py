"""Pictures of Pillow come in as arrays do, in every mode, and turned as their EXIF data say."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import moving
from PIL import Image, ImageOps

from pipeline.arrays import hint_words, input_files
from pipeline.pillow_pictures import COLORS, ORIENTATION, is_pillow, pillow_pixels, turned
from stages.errors import UsageError

PICTURE = moving(1, 1, (20, 28))[0]
RGB = Image.fromarray(PICTURE)


@pytest.mark.parametrize("mode", sorted(COLORS - {"La", "RGBa", "RGBX", "PA", "LAB"}))
def test_every_mode_is_what_pillow_shows(mode: str) -> None:
    given = RGB.convert(mode)
    found = pillow_pixels(given, "source")
    assert found.shape == PICTURE.shape and found.dtype == np.uint8
    assert np.array_equal(found, np.asarray(given.convert("RGB")))
    if mode in ("RGB", "RGBA", "CMYK"):
        assert np.array_equal(found, PICTURE)


def test_a_transparent_picture_keeps_its_colors() -> None:
    given = RGB.convert("RGBA")
    given.putalpha(40)
    assert np.array_equal(pillow_pixels(given, "source"), PICTURE)


def test_sixteen_bits_of_gray_stay() -> None:
    levels = np.arange(560, dtype=np.uint16).reshape(20, 28) * 117
    found = pillow_pixels(Image.fromarray(levels), "source")
    assert found.dtype == np.uint16 and all(
        np.array_equal(found[..., channel], levels) for channel in range(3)
    )


def test_values_without_a_range_are_refused() -> None:
    with pytest.raises(UsageError, match="source is a Pillow picture of mode I; convert"):
        pillow_pixels(RGB.convert("I"), "source")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_data_say(orientation: int) -> None:
    given = RGB.copy()
    given.getexif()[ORIENTATION] = orientation
    expected = np.asarray(ImageOps.exif_transpose(given))
    assert np.array_equal(pillow_pixels(given, "source"), expected)
    assert np.array_equal(turned(PICTURE, orientation), expected)


def test_other_things_are_no_pictures_of_pillow() -> None:
    assert is_pillow(RGB) and not any(map(is_pillow, (PICTURE, "a.png", None, Image)))


def test_pictures_become_the_files_that_arrays_become(tmp_path: Path) -> None:
    for name, kinds in (("one", (RGB, PICTURE)), ("two", ([RGB, RGB], [PICTURE, PICTURE]))):
        written = []
        for kind, source in zip(("pillow", "array"), kinds, strict=True):
            folder = tmp_path / name / kind
            folder.mkdir(parents=True)
            written.append([path.read_bytes() for path in input_files(source, folder, None)])
        assert written[0] == written[1] and len(written[0]) == (1 if name == "one" else 2)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P"])
def test_a_picture_is_a_hint(tmp_path: Path, mode: str) -> None:
    mark = np.zeros((24, 32), np.uint8)
    mark[4:12, 4:16] = 255
    words = hint_words({3: Image.fromarray(mark).convert(mode)}, "hint", tmp_path)
    frame, path = words[0].split(":", 1)
    found = cv2.imread(path, cv2.IMREAD_GRAYSCALE)
    assert frame == "3" and found is not None and np.array_equal(found, mark)
