"""Brighten dark stretches of frames, so that the search sees them as it sees others.

Many limits of the search are differences of encoded values: below them lies noise, or a plain
colour. A night scene stays below them although it holds as much structure as any other. All frames
between two cuts are multiplied by one gain. A mixture stays a mixture then, in encoded values as
well as in light. Noise grows, too, so a noisy stretch is brightened less.

Frames are ``(T, H, W, 3)`` float32, RGB in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.find.features import PLAIN, SCAN_BLOCKS, Array, blocked, color_name, plain_color

COARSE = 4
"""Step between the pixels that tell how bright or how even a frame is, roughly."""
NOT_PLAIN = 2 * PLAIN
"""Mean difference of these pixels from their mean above which a frame is not plain."""
DARK = 0.5
"""Brightness below which a stretch is dark, see :func:`brightness`."""
BLACK = 0.05
"""Brightness up to which it is black. What little it shows, such as a title, is no dark scene."""
SMALL_PART = 0.1
"""Part of a frame up to which a title, or a thing, on a plain dark colour is no dark scene."""
USUAL = 0.8
"""Brightness to which a dark stretch is brought."""
BRIGHT_PART = 0.98
"""Quantile of a frame's values that counts as its brightness; lamps at night are above it."""
MOST_GAIN = 8.0
"""Beyond this, steps of 8 bits become as large as noise that the search was tried with."""
MOST_NOISE = 0.012
"""Deviation of noise in a brightened frame: as much as film grain of 10 of 255 levels at full size,
at which all limits of the search hold."""
QUIET_PART = 0.1
"""Quantile of the blocks' changes from frame to frame that counts as noise; others move."""


@dataclass(frozen=True)
class BrightFrames:
    """Frames of which the dark stretches are brightened.

    frames: ``(T, H, W, 3)``. gains: of each frame, ``(T,)``. pairs: squared distances of their
    blocks, ``(T, T, K)``; they mean nothing across cuts.
    """

    frames: Array
    gains: npt.NDArray[np.float64]
    pairs: Array

    @classmethod
    def of(cls, frames: Array, pairs: Array, cuts: Sequence[int]) -> BrightFrames:
        """Return frames with their dark stretches brightened.

        frames, pairs: as they are in the clip. cuts: first frames of shots, as places.
        """
        gains = stretch_gains(frames, cuts)
        if not (gains > 1).any():
            return cls(frames, gains, pairs)
        bright = np.minimum(frames * gains[:, None, None, None], 1).astype(np.float32)
        scaled = pairs * (gains[:, None] * gains)[..., None]
        return cls(bright, gains, scaled.astype(np.float32))

    @property
    def are_changed(self) -> bool:
        """Whether any stretch was brightened."""
        return bool((self.gains > 1).any())

    def plain_color(self, place: int) -> str | None:
        """Return the colour ``#rrggbb`` that a plain frame has in the clip, None for others."""
        frame = self.frames[place]
        few = frame[::COARSE, ::COARSE]
        # Few pixels rule out most frames cheaply.
        if float(np.abs(few - few.mean((0, 1))).mean()) > NOT_PLAIN or plain_color(frame) is None:
            return None
        return color_name(np.median(frame, axis=(0, 1)) / self.gains[place])


def stretch_gains(frames: Array, cuts: Sequence[int]) -> npt.NDArray[np.float64]:
    """Return by what each frame is to be multiplied, ``(T,)``: 1 or more, equal between two cuts.

    cuts: first frames of shots, as places in the frames.
    """
    gains = np.ones(len(frames))
    edges = sorted({0, len(frames), *(cut for cut in cuts if 0 < cut < len(frames))})
    levels = brightness(frames)
    for first, end in zip(edges, edges[1:], strict=False):
        gains[first:end] = _gain(frames[first:end], float(levels[first:end].max()))
    return gains


def gain_around(frames: Sequence[Array], place: int, reach: int) -> float:
    """Return the gain of the frames ``(H, W, 3)`` around the step to frame ``place``.

    reach: how many frames before it and from it on are looked at.
    """
    around = np.stack(frames[max(0, place - reach) : place + reach])
    return _gain(around, float(brightness(around).max()))


def brightness(frames: Array) -> Array:
    """Return the brightness of each frame, ``(T,)``, in [0, 1]."""
    values = frames[:, ::COARSE, ::COARSE].max(-1).reshape(len(frames), -1)
    place = round(BRIGHT_PART * (values.shape[1] - 1))
    return np.asarray(np.partition(values, place, axis=1)[:, place])


def noise(frames: Array) -> float:
    """Return the deviation of the noise in the values of some frames, roughly.

    It is measured in the blocks that change least from frame to frame, because motion changes
    blocks, too. The darker half of the blocks does not count: black hides noise.
    """
    rows, columns = SCAN_BLOCKS
    height, width = (
        side // count * count for side, count in zip(frames.shape[1:3], SCAN_BLOCKS, strict=True)
    )
    if len(frames) < 2 or not height or not width:
        return 0.0
    blocks = blocked(frames[:, :height, :width], rows, columns)
    changes = np.square(np.diff(blocks, axis=0)).mean((2, 3))
    level = blocks.mean((0, 2, 3))
    bright = changes[:, level >= np.median(level)]
    # A difference of two frames has the variance of both.
    return float(np.sqrt(np.quantile(bright, QUIET_PART) / 2))


def _gain(frames: Array, level: float) -> float:
    """Return the gain of a stretch whose brightest frame has the brightness ``level``.

    It is 1 unless the stretch is dark, and not black.
    """
    if not BLACK < level < DARK:
        return 1.0
    gain = min(MOST_GAIN, USUAL / level)
    few = frames[:, ::COARSE, ::COARSE].max(-1).reshape(len(frames), -1)
    away = np.abs(few - np.median(few, axis=1, keepdims=True))
    if gain * float(np.quantile(away, 1 - SMALL_PART, axis=1).max()) <= NOT_PLAIN:
        return 1.0
    return max(1.0, min(gain, MOST_NOISE / max(noise(frames), 1e-6)))
