"""Make the clips of ``bench`` with known layers, from numbers alone, without any files.

A scene is a rough texture with sharp-edged shapes under a camera that sways; a disc with another
texture crosses it. Content and motion are the same at every size, in parts of the picture.
Frames are ``(H, W, 3)`` float32 RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from stages.media.clip import ClipInfo, Frames
from stages.media.formats import LayerFormat
from stages.media.write import LayerWriter
from stages.mixing.blend import blend
from stages.mixing.light_dissolve import GAMMA
from stages.optim.threads import map_in_threads, workers

Picture = NDArray[np.float32]

RATE = Fraction(25)
"""Frames a second."""

MARGIN = 0.15
"""Margin around what the camera sees at rest, as a part of the width."""

SWAY = 0.08
"""Amplitude of the camera's motion, as a part of the width."""

PERIOD = 160.0
"""Period of all motion in frames: the camera moves at most 0.3 % of the width in a frame."""

SHAPES = 40
"""Ellipses in a texture."""

ELLIPSE_RIM = 4
"""Pixels beyond the axes of an ellipse within which all of it is drawn."""

BASE_COLOR_RANGE = 0.15
"""Largest difference of a texture's colour from middle grey, in each channel."""

SMALLEST_AXIS, AXIS_RANGE = 0.01, 0.05
"""Half-axes of an ellipse, as parts of the width: the least, and how much longer they may be."""

ELLIPSE_OPACITY = 0.6
"""Opacity of the ellipses."""

DISC_PATH = (0.3, 0.2)
"""Half-axes of the disc's way around the middle, as parts of the width and of the height."""

OCTAVES = (4, 8, 16, 32, 64, 128, 256)
"""Cells of noise across the width, from coarse to fine."""

COARSEST_STRENGTH, FALL_OFF = 0.22, 0.62
"""Amplitude of the coarsest octave, and that of each finer one relative to the one before."""

HAZE_LIGHT = (0.86, 0.88, 0.92)
"""Airlight of the hazy clip, RGB."""

MARK_OPACITY = 0.6
"""Opacity of the watermark."""

REFLECTION = 0.25
"""The part of the light that the second scene of the pane has."""


def width_of(height: int) -> int:
    """Return the width of a 16:9 picture, even."""
    return 2 * round(height * 8 / 9)


def texture(seed: int, height: int, width: int) -> Picture:
    """Return coloured noise with :data:`SHAPES` ellipses of one colour each, ``(H, W, 3)``."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(-BASE_COLOR_RANGE, BASE_COLOR_RANGE, 3).astype(np.float32)
    picture = np.full((height, width, 3), 0.5, np.float32) + base
    strength = COARSEST_STRENGTH
    for cells in OCTAVES:
        noise = rng.uniform(-1, 1, (cells * 9 // 16 + 1, cells, 3)).astype(np.float32)
        if cells <= width / 3:  # finer noise would look different at every size
            picture += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        strength *= FALL_OFF
    shape = np.zeros((height, width), np.float32)
    for x, y, wide, high, turn, *color in rng.uniform(0, 1, (SHAPES, 8)):
        center = int(x * width), int(y * height)
        axes = (
            int((SMALLEST_AXIS + AXIS_RANGE * wide) * width),
            int((SMALLEST_AXIS + AXIS_RANGE * high) * width),
        )
        cv2.ellipse(shape, center, axes, 180 * turn, 0, 360, 1.0, -1, cv2.LINE_AA)
        # Only the square around it: an ellipse is small, and nothing else changes.
        reach = max(axes) + ELLIPSE_RIM
        rows = slice(max(0, center[1] - reach), center[1] + reach)
        columns = slice(max(0, center[0] - reach), center[0] + reach)
        place, drawn = picture[rows, columns], shape[rows, columns]
        place += ELLIPSE_OPACITY * drawn[..., None] * (np.array(color, np.float32) - place)
        drawn[:] = 0
    return picture.clip(0, 1)


class Scene:
    """A moving scene of any length: a background that sways and a disc before it."""

    def __init__(self, seed: int, height: int) -> None:
        self.seed = seed
        self.height = height
        self.width = width_of(height)

    @cached_property
    def _pictures(self) -> tuple[Picture, Picture, Picture]:
        """The wide background, the disc's texture and the disc's alpha ``(d, d, 1)``."""
        margin = int(MARGIN * self.width)
        side = max(8, self.height // 2)
        y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
        alpha = np.clip(side / 2 - 1 - np.hypot(x, y), 0, 1).astype(np.float32)[..., None]
        return (
            texture(self.seed, self.height + 2 * margin, self.width + 2 * margin),
            texture(self.seed + 100, side, side),
            alpha,
        )

    def draw(self) -> None:
        """Draw what all frames are made of, which happens once."""
        assert self._pictures

    def matte(self, index: int) -> Picture:
        """Return how far the disc covers each pixel of frame ``index``, ``(H, W, 1)``."""
        return self._placed(self._pictures[2], index)[..., None]

    def background(self, index: int) -> Picture:
        """Return frame ``index`` without the disc."""
        phase = 2 * np.pi * index / PERIOD + self.seed
        x = (MARGIN + SWAY * np.sin(phase)) * self.width
        y = (MARGIN + 0.5 * SWAY * np.cos(phase)) * self.width
        camera = np.array([[1, 0, x], [0, 1, y]])
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        size = (self.width, self.height)
        return np.asarray(
            cv2.warpAffine(self._pictures[0], camera, size, flags=flags), np.float32
        ).clip(0, 1)

    def disc(self, index: int) -> Picture:
        """Return the disc's own picture in frame ``index``, black elsewhere."""
        return self._placed(self._pictures[1], index).clip(0, 1)

    def frame(self, index: int) -> Picture:
        """Return frame ``index``: the disc in front of the background."""
        matte = self.matte(index)
        return blend(self.background(index), self.disc(index), matte)

    def _placed(self, picture: Picture, index: int) -> Picture:
        """Return a picture of the disc's size, moved to the disc's place in frame ``index``."""
        side = picture.shape[0]
        turn = 2 * np.pi * index / PERIOD + 2 * self.seed
        x = (0.5 + DISC_PATH[0] * np.cos(turn)) * self.width - side / 2
        y = (0.5 + DISC_PATH[1] * np.sin(turn)) * self.height - side / 2
        move = np.array([[1, 0, x], [0, 1, y]])
        size = (self.width, self.height)
        return np.asarray(cv2.warpAffine(picture, move, size, flags=cv2.INTER_LINEAR), np.float32)


@dataclass(frozen=True)
class KnownClip:
    """A clip whose layers are known.

    judged: first and last frame whose layers are judged.
    mixed: returns a frame as it is written, given its number.
    truth: returns the judged layers of a frame by role or name, in the order of the clip.
    baseline: returns what a plain method gives for them.
    options: more options for the command line.
    """

    height: int
    frames: int
    judged: tuple[int, int]
    mixed: Callable[[int], Picture]
    truth: Callable[[int], Mapping[str, Picture]]
    baseline: Callable[[int], Mapping[str, Picture]]
    options: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Write the clip losslessly; return its path, which is ``path`` with a suffix."""
        info = ClipInfo(path, width_of(self.height), self.height, self.frames, RATE, 1 / RATE)
        with LayerWriter(path, info, LayerFormat(lossless=True)) as writer:
            for begin in range(0, self.frames, workers()):
                part = range(begin, min(self.frames, begin + workers()))
                for index, pixels in zip(part, map_in_threads(self._pixels, part), strict=True):
                    writer.write(Frames(pixels, (index / RATE,), index))
        return writer.path

    def _pixels(self, index: int) -> torch.Tensor:
        """Return a frame as ``(1, 3, H, W)``."""
        return torch.from_numpy(np.ascontiguousarray(self.mixed(index).transpose(2, 0, 1)))[None]


def rounded(picture: Picture) -> Picture:
    """Return the picture as a file with 8 bits a value holds it."""
    return np.asarray(np.rint(255 * picture) / 255, np.float32)


def dissolve(height: int, frames: int) -> KnownClip:
    """Return a clip whose middle half is a linear dissolve, with clean frames at both sides.

    The judged layers are ``scene-001`` and ``scene-002``. The baseline holds the last clean frame
    of each and distributes the residual by the true weights.
    """
    count = frames // 2
    first = (frames - count) // 2
    scenes = Scene(1, height), Scene(2, height)
    map_in_threads(Scene.draw, scenes)

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

    def baseline(index: int) -> Mapping[str, Picture]:
        w = weight(index)
        rest = (rounded(mixed(index)) - (1 - w) * ends[0] - w * ends[1]) / ((1 - w) ** 2 + w**2)
        return {"scene-001": ends[0] + (1 - w) * rest, "scene-002": ends[1] + w * rest}

    last = first + count - 1
    # The search does not always find a slow dissolve in which everything moves; then nothing
    # would be measured. So the run is told where it is.
    options = ("--transition", f"{first}:{last}")
    return KnownClip(
        height=height,
        frames=frames,
        judged=(first, last),
        mixed=mixed,
        truth=truth,
        baseline=baseline,
        options=options,
    )


def _one_layer(
    height: int,
    frames: int,
    role: str,
    layer: Callable[[int], Picture],
    mixed: Callable[[int], Picture],
) -> KnownClip:
    """Return a clip of which one layer is judged; the baseline is the input as it is."""
    return KnownClip(
        height=height,
        frames=frames,
        judged=(0, frames - 1),
        mixed=mixed,
        truth=lambda index: {role: rounded(layer(index))},
        baseline=lambda index: {role: rounded(mixed(index))},
    )


def haze(height: int, frames: int) -> KnownClip:
    """Return a scene behind haze that thickens upwards."""
    scene = Scene(1, height)
    light = np.array(HAZE_LIGHT, np.float32)
    transmission = np.linspace(0.35, 0.85, height, dtype=np.float32)[:, None, None]

    def mixed(index: int) -> Picture:
        return blend(light, scene.frame(index), transmission)

    return _one_layer(height, frames, "clear", scene.frame, mixed)


def watermark(height: int, frames: int) -> KnownClip:
    """Return a scene under a white, half-transparent word."""
    scene, width = Scene(1, height), width_of(height)
    word = np.zeros((height, width), np.uint8)
    place, size, thickness = (width // 3, height // 2), height / 144, max(1, height // 48)
    font = cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(word, "BENCH", place, font, size, 255, thickness, cv2.LINE_AA)
    opacity = np.float32(MARK_OPACITY / 255) * word[..., None]
    white = np.ones(3, np.float32)

    def mixed(index: int) -> Picture:
        return blend(scene.frame(index), white, opacity)

    return _one_layer(height, frames, "clean", scene.frame, mixed)


def reflection(height: int, frames: int) -> KnownClip:
    """Return two scenes whose light adds up, as in a pane of glass."""
    scenes = Scene(1, height), Scene(2, height)

    def light(index: int) -> tuple[Picture, Picture]:
        behind = (1 - REFLECTION) * scenes[0].frame(index) ** GAMMA
        return behind, REFLECTION * scenes[1].frame(index) ** GAMMA

    def mixed(index: int) -> Picture:
        behind, reflected = light(index)
        return np.asarray((behind + reflected) ** (1 / GAMMA), np.float32)

    def transmission(index: int) -> Picture:
        return np.asarray(light(index)[0] ** (1 / GAMMA), np.float32)

    return _one_layer(height, frames, "transmission", transmission, mixed)


def foreground(height: int, frames: int) -> KnownClip:
    """Return a disc before a background; the background is judged, behind the disc too."""
    scene = Scene(1, height)
    return _one_layer(height, frames, "background", scene.background, scene.frame)


def layer_frames(blocks: Iterator[Frames]) -> Generator[Picture, None, None]:
    """Yield the frames of a layer's file one after another."""
    for block in blocks:
        for pixels in block.pixels:
            yield np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
