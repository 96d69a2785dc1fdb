"""Clips with known layers for ``bench``: made from numbers alone, so that an installed program has them too.

A scene is a rough texture with sharp-edged shapes under a camera that sways, and a disc with another texture that crosses it. Its content
and its motion are the same at every size, in parts of the picture. Frames are ``(H, W, 3)`` float32 RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.media.clip import ClipInfo, Frames
from stages.media.write import LayerWriter
from stages.mixing.mixing import GAMMA

Picture = NDArray[np.float32]
RATE = Fraction(25)
MARGIN = 0.15  # of the width, around what the camera sees at rest
SWAY, PERIOD = 0.08, 160.0  # of the width, frames: at most 0.3 % of the width a frame
SHAPES = 40


def width_of(height: int) -> int:
    """The width of a 16:9 picture, even."""
    return 2 * round(height * 8 / 9)


def texture(seed: int, height: int, width: int) -> Picture:
    """Coloured noise of falling octaves with :data:`SHAPES` ellipses of one colour each, ``(height, width, 3)``."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 0.5, np.float32) + rng.uniform(-0.15, 0.15, 3).astype(
        np.float32
    )
    strength = 0.22
    for cells in (4, 8, 16, 32, 64, 128, 256):
        noise = rng.uniform(-1, 1, (cells * 9 // 16 + 1, cells, 3)).astype(np.float32)
        if cells <= width / 3:  # a finer one would be different at every size
            picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        strength *= 0.62
    for x, y, wide, high, turn, *colour in rng.uniform(0, 1, (SHAPES, 8)):
        centre, axes = (
            (int(x * width), int(y * height)),
            (int((0.01 + 0.05 * wide) * width), int((0.01 + 0.05 * high) * width)),
        )
        shape = np.zeros((height, width), np.float32)
        cv2.ellipse(shape, centre, axes, 180 * turn, 0, 360, 1.0, -1, cv2.LINE_AA)
        picture += 0.6 * shape[..., None] * (np.array(colour, np.float32) - picture)
    return picture.clip(0, 1)


class Scene:
    """A moving scene of any length."""

    def __init__(self, seed: int, height: int) -> None:
        self.seed, self.height, self.width = seed, height, width_of(height)

    @cached_property
    def _wide(self) -> tuple[Picture, Picture, Picture]:
        """What the camera sways over, the disc's texture and its alpha ``(d, d, 1)``."""
        margin = int(MARGIN * self.width)
        side = max(8, self.height // 2)
        y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
        alpha = np.clip(side / 2 - 1 - np.hypot(x, y), 0, 1).astype(np.float32)[..., None]
        return (
            texture(self.seed, self.height + 2 * margin, self.width + 2 * margin),
            texture(self.seed + 100, side, side),
            alpha,
        )

    def matte(self, index: int) -> Picture:
        """How far the disc covers each pixel, ``(H, W, 1)``."""
        return self._placed(self._wide[2], index)[..., None]

    def background(self, index: int) -> Picture:
        """Frame ``index`` without the disc."""
        phase = 2 * np.pi * index / PERIOD + self.seed
        x, y = (
            (MARGIN + SWAY * np.sin(phase)) * self.width,
            (MARGIN + 0.5 * SWAY * np.cos(phase)) * self.width,
        )
        back = np.array([[1, 0, x], [0, 1, y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(self._wide[0], back, (self.width, self.height), flags=flags), np.float32
        ).clip(0, 1)

    def disc(self, index: int) -> Picture:
        """The disc's own picture where it is, black elsewhere."""
        return self._placed(self._wide[1], index).clip(0, 1)

    def frame(self, index: int) -> Picture:
        """Frame ``index``: the disc before the background."""
        matte = self.matte(index)
        return matte * self.disc(index) + (1 - matte) * self.background(index)

    def _placed(self, what: Picture, index: int) -> Picture:
        side = what.shape[0]
        turn = 2 * np.pi * index / PERIOD + 2 * self.seed
        x, y = (
            (0.5 + 0.3 * np.cos(turn)) * self.width - side / 2,
            (0.5 + 0.2 * np.sin(turn)) * self.height - side / 2,
        )
        move = np.array([[1, 0, x], [0, 1, y]])
        return np.asarray(
            cv2.warpAffine(what, move, (self.width, self.height), flags=cv2.INTER_LINEAR),
            np.float32,
        )


@dataclass(frozen=True)
class Known:
    """A clip whose layers are known. scored: its frames that are judged, first and last.

    mixed: frame ``i`` as it is written. truth: the layers by role at frame ``i``, those that are judged, in the order of the clip.
    start: what a method that does nothing clever gives for them. options: further words for the command line.
    """

    height: int
    frames: int
    scored: tuple[int, int]
    mixed: Callable[[int], Picture]
    truth: Callable[[int], Mapping[str, Picture]]
    start: Callable[[int], Mapping[str, Picture]]
    options: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Writes the clip without loss beside ``path`` and returns where."""
        info = ClipInfo(path, width_of(self.height), self.height, self.frames, RATE, 1 / RATE)
        with LayerWriter(path, info, lossless=True) as writer:
            for index in range(self.frames):
                pixels = torch.from_numpy(
                    np.ascontiguousarray(self.mixed(index).transpose(2, 0, 1))
                )[None]
                writer.write(Frames(pixels, (index / RATE,), index))
        return writer.path


def rounded(picture: Picture) -> Picture:
    """As a file of 8 bits a value holds it."""
    return np.asarray(np.rint(255 * picture) / 255, np.float32)


def dissolve(height: int, frames: int) -> Known:
    """Half of the frames are a linear dissolve, with clean ones at both sides. Layers ``scene-001`` and ``scene-002``; the start is the
    last clean frame of each, held, with what is left over shared out by the true weights. The run is told which frames are mixed."""
    count = frames // 2
    first = (frames - count) // 2
    scenes = Scene(1, height), Scene(2, height)

    def weight(index: int) -> float:
        return float(np.clip((index - first + 1) / (count + 1), 0, 1))

    def mixed(index: int) -> Picture:
        w = weight(index)
        return (1 - w) * rounded(scenes[0].frame(index)) + w * rounded(scenes[1].frame(index))

    def truth(index: int) -> Mapping[str, Picture]:
        return {
            f"scene-{number:03d}": rounded(scene.frame(index))
            for number, scene in enumerate(scenes, 1)
        }

    ends = [
        rounded(scene.frame(index))
        for scene, index in zip(scenes, (first - 1, first + count), strict=True)
    ]

    def start(index: int) -> Mapping[str, Picture]:
        w = weight(index)
        rest = (rounded(mixed(index)) - (1 - w) * ends[0] - w * ends[1]) / ((1 - w) ** 2 + w**2)
        return {"scene-001": ends[0] + (1 - w) * rest, "scene-002": ends[1] + w * rest}

    # Told, not searched for: a slow dissolve of scenes in which everything moves is not always found, and then nothing would be measured.
    words = ("--transition", f"{first}:{first + count - 1}")
    return Known(height, frames, (first, first + count - 1), mixed, truth, start, words)


def _one_layer(
    height: int,
    frames: int,
    role: str,
    layer: Callable[[int], Picture],
    mixed: Callable[[int], Picture],
) -> Known:
    """A clip of which one layer is judged, against the input left as it is."""
    return Known(
        height,
        frames,
        (0, frames - 1),
        mixed,
        lambda index: {role: rounded(layer(index))},
        lambda index: {role: rounded(mixed(index))},
    )


def haze(height: int, frames: int) -> Known:
    """A scene behind haze that thickens upwards."""
    scene = Scene(1, height)
    light = np.array([0.86, 0.88, 0.92], np.float32)
    clear_air = np.linspace(0.35, 0.85, height, dtype=np.float32)[:, None, None]
    return _one_layer(
        height,
        frames,
        "clear",
        scene.frame,
        lambda index: clear_air * scene.frame(index) + (1 - clear_air) * light,
    )


def mark(height: int, frames: int) -> Known:
    """A scene under a white word, half transparent."""
    scene, width = Scene(1, height), width_of(height)
    word = np.zeros((height, width), np.uint8)
    place = (width // 3, height // 2)
    cv2.putText(
        word,
        "BENCH",
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        height / 144,
        255,
        max(1, height // 48),
        cv2.LINE_AA,
    )
    share = np.float32(0.6 / 255) * word[..., None]
    return _one_layer(
        height, frames, "clean", scene.frame, lambda index: (1 - share) * scene.frame(index) + share
    )


def pane(height: int, frames: int) -> Known:
    """Two scenes whose light adds up."""
    scenes = Scene(1, height), Scene(2, height)

    def parts(index: int) -> tuple[Picture, Picture]:
        return 0.75 * scenes[0].frame(index) ** GAMMA, 0.25 * scenes[1].frame(index) ** GAMMA

    def mixed(index: int) -> Picture:
        behind, before = parts(index)
        return np.asarray((behind + before) ** (1 / GAMMA), np.float32)

    return _one_layer(
        height,
        frames,
        "transmission",
        lambda index: np.asarray(parts(index)[0] ** (1 / GAMMA), np.float32),
        mixed,
    )


def thing(height: int, frames: int) -> Known:
    """A disc before a background; what is judged is the background, behind the disc too."""
    scene = Scene(1, height)
    return _one_layer(height, frames, "background", scene.background, scene.frame)


def layer_frames(blocks: Iterator[Frames]) -> Iterator[Picture]:
    """Frames of a layer's file one after another."""
    for block in blocks:
        for pixels in block.pixels:
            yield np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
