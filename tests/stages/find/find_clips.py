"""Made clips of known shots and transitions, at the search's own size."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from clips import through_camera

from stages.media.clip import Frames

Stack = npt.NDArray[np.float32]


def texture(seed: int, height: int, width: int) -> Stack:
    """Return a random coloured picture with structure at several scales, ``(H, W, 3)``."""
    rng = np.random.default_rng(seed)
    scales = (rng.random((2**k + 1, 2**k + 1, 3), np.float32) for k in (1, 3, 5))
    coarse, middle, fine = (
        cv2.resize(scale, (width, height), interpolation=cv2.INTER_CUBIC) for scale in scales
    )
    picture = 0.6 * coarse + 0.5 * middle + 0.3 * fine - 0.2
    return np.asarray(np.clip(picture, 0.02, 0.98), np.float32)


def shot(
    seed: int,
    count: int,
    size: tuple[int, int] = (54, 96),
    pan: tuple[float, float] = (0.0, 0.0),
    zoom: float = 0.0,
    thing: bool = True,
) -> Stack:
    """Return what a camera sees of a texture, ``(count, H, W, 3)``.

    pan: its motion in pixels a frame. zoom: its growth a frame. thing: whether an object with a
    motion of its own crosses the picture.
    """
    height, width = size
    scene = texture(seed, 2 * height, 2 * width)
    other = texture(seed + 1000, height // 3, width // 6)
    frames = []
    for time in range(count):
        frame = through_camera(scene, size, time, pan, zoom)
        if thing:
            left = round(0.9 * time + 11 * seed) % (width - other.shape[1])
            frame[height // 3 : height // 3 + other.shape[0], left : left + other.shape[1]] = other
        frames.append(frame)
    return np.stack(frames).astype(np.float32)


def weights(kind: str, steps: int) -> npt.NDArray[np.float64]:
    """Return the weights of ``steps`` mixed frames, ``(steps,)``."""
    x = np.arange(1, steps + 1) / (steps + 1)
    return {"linear": x, "ease": x * x * (3 - 2 * x), "late": x**2, "early": 1 - (1 - x) ** 2}[kind]


def mattes(kind: str, steps: int, size: tuple[int, int], soft: float = 0.12) -> Stack:
    """Return soft edges ``(steps, H, W, 1)`` that pass over the picture."""
    y, x = np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32)
    place = {
        "right": x,
        "down": y,
        "slant": x + y,
        "open": np.hypot(x - size[1] / 2, y - size[0] / 2),
    }[kind.split("-")[0]]
    if kind.endswith("-back"):
        place = -place
    place = (place - place.min()) / np.ptp(place)
    edge = (np.arange(1, steps + 1) / (steps + 1))[:, None, None] * (1 + soft)
    return np.asarray(np.clip((edge - place) / soft, 0, 1)[..., None], np.float32)


def mixed(a: Stack, b: Stack, pre: int, inner: npt.NDArray[Any], power: float = 1.0) -> Stack:
    """Return ``a`` turning into ``b`` after ``pre`` clean frames, rounded to bytes.

    inner: weights of the mixed frames, ``(T,)`` or ``(T, H, W, 1)``. power: 2.2 mixes in linear
    light.
    """
    inner = inner.reshape(len(inner), *(inner.shape[1:] or (1, 1, 1)))
    weight = np.zeros((len(a), *inner.shape[1:]))
    weight[pre : pre + len(inner)] = inner
    weight[pre + len(inner) :] = 1
    both = ((1 - weight) * a**power + weight * b**power) ** (1 / power)
    return np.asarray(np.round(both * 255) / 255, np.float32)


def blocks(frames: Stack, length: int = 17) -> Iterator[Frames]:
    """Yield the frames in blocks of ``length``, as a clip's reader does."""
    pixels = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2)))
    for first in range(0, len(pixels), length):
        part = pixels[first : first + length]
        yield Frames(part, tuple(Fraction(first + i, 25) for i in range(len(part))), first)


def curve_error(guess: tuple[float, ...], truth: npt.NDArray[np.float64]) -> float:
    """Return the mean error of a curve.

    Asserts that it is inside (0, 1) and rises, except at repeated frames: in :func:`shot` every
    tenth is one.
    """
    assert all(0 < low <= high < 1 for low, high in zip(guess, guess[1:], strict=False))
    assert len(set(guess)) >= len(guess) - 1 - len(guess) // 8
    guessed = np.interp(np.linspace(0, 1, len(truth)), np.linspace(0, 1, len(guess)), guess)
    return float(np.abs(guessed - truth).mean())
