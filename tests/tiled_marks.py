"""Pictures under a mark that is tiled over them, and pictures that repeat without one, by seed.

Pictures are ``(H, W, 3)`` RGB, float32 in [0, 1]; mattes ``(H, W)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Matte = NDArray[np.float32]

FONTS = (
    cv2.FONT_HERSHEY_SIMPLEX,
    cv2.FONT_HERSHEY_DUPLEX,
    cv2.FONT_HERSHEY_COMPLEX,
    cv2.FONT_HERSHEY_TRIPLEX,
)
WORDS = ("SAMPLE", "Preview", "stock image", "(c) Studio", "PROOF", "Do not copy", "Archive 74")
FINE = 4  # stamps are drawn at so many times their size
LATTICES = ("grid", "offset rows", "turned steps", "turned layer")
"""How stamps lie: in rows and columns; with every other row set off by half a step; along turned
steps of whole pixels; or as a layer with rows and columns that was turned as a whole."""


@dataclass(frozen=True)
class TiledCase:
    """Hold a picture under a tiled mark, and what it is made of.

    clean, marked: the picture without and with the mark. matte: how opaque the mark is.
    color: of the mark. kind: how its stamps lie, and how the picture was saved.
    """

    clean: Picture
    marked: Picture
    matte: Matte
    color: NDArray[np.float32]
    kind: str


def tiled_case(
    clean: Picture,
    seed: int,
    *,
    lattice: str | None = None,
    opacity: float | None = None,
    quality: int | None = -1,
) -> TiledCase:
    """Return ``clean`` under a tiled mark that is drawn by ``seed``.

    lattice: one of :data:`LATTICES`; drawn by default. opacity: 0 to 1; 0.1 to 0.6 by default.
    quality: of a JPEG file that the picture is saved in, None for none; drawn by default.
    """
    random = np.random.default_rng(seed)
    height, width = clean.shape[:2]
    which = lattice or LATTICES[random.integers(len(LATTICES))]
    stamp = text_stamp(random, width) if random.random() < 0.7 else logo_stamp(random, width)
    turn = random.choice([0.0, 0.0, *(random.uniform(20, 45) * np.array([1, -1]))])
    if which != "turned layer":
        stamp = turned(stamp, turn)
    gap = random.uniform(1.15, 1.7, 2)
    steps = _steps(random, which, stamp.shape, gap)
    if which == "turned layer":
        coverage = _turned_layer(random, stamp, steps, turn or 30.0, (height, width))
    else:
        coverage = stamped(stamp, steps, random, (height, width))
    gray = random.uniform(0.35, 0.8)
    colors = ([1, 1, 1], [1, 1, 1], [gray] * 3, random.uniform(0, 1, 3))
    color = np.asarray(colors[random.integers(4)], np.float32)
    most = random.uniform(0.1, 0.6) if opacity is None else opacity
    matte = (most * coverage).astype(np.float32)
    mixed = (1 - matte[..., None]) * clean + matte[..., None] * color
    drawn = None if random.random() < 0.4 else int(random.integers(85, 96))
    quality = drawn if quality == -1 else quality
    marked = saved(mixed, quality)
    kind = f"{which}, {most:.2f} opaque, {'PNG' if quality is None else f'JPEG {quality}'}"
    return TiledCase(clean, marked, matte, color, kind)


def saved(picture: Picture, quality: int | None) -> Picture:
    """Return ``picture`` in 8 bits, after a JPEG file of this ``quality`` unless it is None."""
    pixels: Any = np.clip(np.round(255 * picture), 0, 255).astype(np.uint8)
    if quality is not None:
        flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
        read: Any = cv2.imdecode(cv2.imencode(".jpg", pixels[..., ::-1], flags)[1], 1)
        pixels = read[..., ::-1]
    return np.asarray(pixels, np.float32) / np.float32(255)


def text_stamp(random: Any, width: int) -> Matte:
    """Return the coverage of a word, for a picture of this ``width``."""
    word, font = WORDS[random.integers(len(WORDS))], FONTS[random.integers(len(FONTS))]
    wide = FINE * width * random.uniform(0.14, 0.3)
    thick = max(1, round(wide * random.uniform(0.012, 0.022)))
    (first, _), _ = cv2.getTextSize(word, font, 1.0, thick)
    scale = wide / first
    (wide, high), below = cv2.getTextSize(word, font, scale, thick)
    room = 2 * FINE + thick
    canvas = np.zeros((high + below + 2 * room, wide + 2 * room), np.uint8)
    cv2.putText(canvas, word, (room, room + high), font, scale, 255, thick, cv2.LINE_AA)
    return _reduced(canvas)


def logo_stamp(random: Any, width: int) -> Matte:
    """Return the coverage of a logo of simple shapes, for a picture of this ``width``."""
    side = int(FINE * width * random.uniform(0.08, 0.16))
    canvas = np.zeros((side + 8 * FINE, side + 8 * FINE), np.uint8)
    middle = canvas.shape[0] // 2
    thick = max(2 * FINE, side // 12)
    cv2.circle(canvas, (middle, middle), side // 2 - thick, 255, thick, cv2.LINE_AA)
    points = np.array(
        [
            [
                middle + 0.3 * side * math.cos(2.1 * n + 0.5),
                middle + 0.3 * side * math.sin(2.1 * n + 0.5),
            ]
            for n in range(int(random.integers(3, 6)))
        ]
    )
    cv2.polylines(
        canvas, [points.astype(np.int32)], bool(random.random() < 0.5), 255, thick, cv2.LINE_AA
    )
    return _reduced(canvas)


def _reduced(canvas: NDArray[np.uint8]) -> Matte:
    """Return a stamp that was drawn :data:`FINE` times as large as a matte."""
    size = canvas.shape[1] // FINE, canvas.shape[0] // FINE
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / np.float32(255)


def turned(stamp: Matte, degrees: float) -> Matte:
    """Return ``stamp`` turned by so many degrees, whole."""
    if degrees == 0:
        return stamp
    height, width = stamp.shape
    side = int(math.hypot(height, width)) + 4
    matrix: Any = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    matrix[:, 2] += np.array([side - width, side - height]) / 2
    whole = cv2.warpAffine(stamp, matrix, (side, side))
    rows, columns = (np.flatnonzero(whole.max(axis) > 0) for axis in (1, 0))
    return np.asarray(whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


def _steps(
    random: Any, which: str, stamp: tuple[int, ...], gap: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return the two steps ``(2, 2)`` between stamps of this size, (down, right)."""
    down, right = (int(round(side * more)) + 4 for side, more in zip(stamp, gap, strict=True))
    down, right = max(down, 24), max(right, 24)
    if which == "offset rows":
        return np.array([[0, right], [down, right // 2]])
    if which == "turned steps":
        slope = math.tan(math.radians(random.uniform(10, 35)))
        return np.array([[round(right * slope), right], [down, -round(down * slope)]])
    return np.array([[0, right], [down, 0]])


def stamped(stamp: Matte, steps: NDArray[np.int64], random: Any, size: tuple[int, int]) -> Matte:
    """Return the coverage ``(H, W)`` of stamps at whole pixels, those at the border cut off."""
    coverage = np.zeros(size, np.float32)
    height, width = stamp.shape
    start = random.integers(0, 1000, 2)
    reach = int(4 * max(size) / min(np.hypot(*steps.T).min(), 1e9)) + 60
    for first in range(-reach, reach + 1):
        for second in range(-reach, reach + 1):
            top, left = first * steps[0] + second * steps[1] + start % np.abs(steps).max(0)
            if top <= -height or left <= -width or top >= size[0] or left >= size[1]:
                continue
            rows = slice(max(0, top), min(size[0], top + height))
            columns = slice(max(0, left), min(size[1], left + width))
            part = stamp[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
            coverage[rows, columns] = np.maximum(coverage[rows, columns], part)
    return coverage


def _turned_layer(
    random: Any, stamp: Matte, steps: NDArray[np.int64], degrees: float, size: tuple[int, int]
) -> Matte:
    """Return the coverage of rows and columns of stamps, turned as a whole by so many degrees."""
    side = int(1.5 * math.hypot(*size))
    layer = stamped(stamp, steps, random, (side, side))
    matrix: Any = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
    matrix[:, 2] -= np.array([side - size[1], side - size[0]]) / 2
    return np.asarray(cv2.warpAffine(layer, matrix, (size[1], size[0])))


TEXTURES = ("bricks", "windows", "fence", "squares", "dots")


def textured(seed: int, size: tuple[int, int]) -> tuple[Picture, str]:
    """Return a clean picture of something that repeats by itself, and what it is.

    It has shading, noise and tones that differ from piece to piece, and may be turned.
    """
    random = np.random.default_rng(seed)
    which = TEXTURES[random.integers(len(TEXTURES))]
    side = 2 * max(size)
    down, right = random.integers(24, 70), random.integers(30, 110)
    y, x = np.mgrid[:side, :side]
    row = y // down
    across = x + (row % 2) * (right // 2) if which == "bricks" else x
    column = across // right
    below, beside = y % down, across % right
    tone = random.uniform(0, 1, (side // down + 2, side // right + 3, 1)) * random.uniform(0, 0.35)
    face, joint = random.uniform(0.15, 0.9, (2, 3))
    wide = random.integers(3, 9)
    picture = face + tone[row, column] - 0.15
    if which == "bricks" or which == "squares":
        inside = (below < wide) | (beside < wide)
    elif which == "windows":
        inside = (below > down * 0.3) & (beside > right * 0.35)
        joint = joint * 0.4
        picture = np.where(
            (inside & (np.abs(beside - right * 0.68) < 2))[..., None], face * 0.9, picture
        )
        joint = joint + 0.4 * tone[row, column] * random.uniform(0, 2)
    elif which == "fence":
        inside = beside < right * 0.4
        behind = cv2.resize(
            random.uniform(0, 1, (9, 9, 3)).astype(np.float32), (side, side), None, 0, 0, 2
        )
        picture = np.clip(behind, 0, 1)
    else:
        inside = (below - down / 2) ** 2 + (beside - right / 2) ** 2 < (min(down, right) / 3) ** 2
    picture = np.where(inside[..., None], joint, picture)
    light = cv2.resize(
        random.uniform(0.55, 1.15, (4, 4)).astype(np.float32), (side, side), None, 0, 0, 2
    )
    picture = picture * light[..., None] + random.normal(0, random.uniform(0, 0.03), picture.shape)
    degrees = random.choice([0.0, random.uniform(-40, 40)])
    matrix: Any = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, 1.0)
    matrix[:, 2] -= np.array([side - size[1], side - size[0]]) / 2
    picture = cv2.warpAffine(picture.astype(np.float32), matrix, (size[1], size[0]))
    drawn = None if random.random() < 0.4 else int(random.integers(85, 96))
    return saved(np.clip(picture, 0, 1), drawn), which
