"""Effects that no model of the search knows, drawn between two scenes, and plain transitions.

Each function returns the frame at a progress from 0 to 1. Scenes are ``(H, W, 3)`` float32 in
[0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from skimage import data
from xfade_cases import PHOTOGRAPHS, filmed

Picture = npt.NDArray[np.float32]
Effect = Callable[[Picture, Picture, float], Picture]

SIZE = (54, 96)
"""Height and width of the frames."""
CLEAN = 14
"""Clean frames before and after an effect."""


def scene(rng: np.random.Generator, count: int, photograph: str) -> Picture:
    """Return what a drawn camera sees of a photograph, ``(count, H, W, 3)``."""
    assert hasattr(data, photograph)
    frames = [
        cv2.resize(frame, SIZE[::-1], interpolation=cv2.INTER_AREA)
        for frame in filmed(photograph, count, rng)
    ]
    return np.asarray(np.stack(frames) / 255, np.float32)


def clip(seed: int, effect: Effect, steps: int) -> Picture:
    """Return ``steps`` frames of an effect between two drawn scenes, and clean ones beside them."""
    rng = np.random.default_rng(seed)
    count = 2 * CLEAN + steps
    one, other = rng.permutation(PHOTOGRAPHS)[:2].tolist()
    sides = scene(rng, count, one), scene(rng, count, other)
    frames = []
    for time, (a, b) in enumerate(zip(*sides, strict=True)):
        progress = (time - CLEAN + 1) / (steps + 1)
        frames.append(a if progress <= 0 else b if progress >= 1 else effect(a, b, progress))
    return np.asarray(np.round(np.clip(np.stack(frames), 0, 1) * 255) / 255, np.float32)


def _seen(picture: Picture, x: Picture, y: Picture) -> Picture:
    """Return a picture at places ``x``, ``y`` in pixels; it is mirrored at its borders."""
    places = x.astype(np.float32), y.astype(np.float32)
    flags = cv2.INTER_LINEAR
    return np.asarray(cv2.remap(picture, *places, flags, borderMode=cv2.BORDER_REFLECT_101))


def _polar() -> tuple[Picture, Picture]:
    """Return the distance of each pixel from the middle and its angle."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    x, y = x - SIZE[1] / 2, y - SIZE[0] / 2
    return np.asarray(np.hypot(x, y)), np.asarray(np.arctan2(y, x))


def swirl(a: Picture, b: Picture, progress: float) -> Picture:
    """Turn the middle of both scenes while one dissolves into the other."""
    distance, angle = _polar()

    def turned(picture: Picture, amount: float) -> Picture:
        way = angle + amount * np.clip(1 - 2 * distance / SIZE[1], 0, 1)
        x, y = distance * np.cos(way), distance * np.sin(way)
        return _seen(picture, x + SIZE[1] / 2, y + SIZE[0] / 2)

    mixed = (1 - progress) * turned(a, 6 * progress) + progress * turned(b, 6 * (progress - 1))
    return np.asarray(mixed, np.float32)


def doors(a: Picture, b: Picture, progress: float) -> Picture:
    """Squeeze both halves of the outgoing scene to the sides, as two doors that open."""
    half = SIZE[1] // 2
    width = round(half * (1 - progress))
    frame = b.copy()
    if width:
        frame[:, :width] = cv2.resize(a[:, :half], (width, SIZE[0]))
        frame[:, SIZE[1] - width :] = cv2.resize(a[:, half:], (width, SIZE[0]))
    return frame


def light_leak(a: Picture, b: Picture, progress: float) -> Picture:
    """Pass a warm light over the picture, behind which the scenes change at once."""
    x = np.arange(SIZE[1], dtype=np.float32) / SIZE[1]
    light = 1.2 * np.exp(-2 * np.square((x + 0.5 - 2 * progress) / 0.5)) * np.sin(np.pi * progress)
    color = np.array([1.0, 0.5, 0.2], np.float32)
    return np.asarray((a if progress < 0.5 else b) + light[:, None] * color, np.float32)


def dissolve(a: Picture, b: Picture, progress: float) -> Picture:
    """Mix both scenes with one weight."""
    return np.asarray((1 - progress) * a + progress * b, np.float32)


def wipe(a: Picture, b: Picture, progress: float) -> Picture:
    """Uncover the incoming scene from left to right, with a soft edge."""
    x = (np.arange(SIZE[1], dtype=np.float32) + 0.5) / SIZE[1]
    weight = np.clip((1.1 * progress - x) / 0.1, 0, 1)[:, None]
    return np.asarray((1 - weight) * a + weight * b, np.float32)


def iris(a: Picture, b: Picture, progress: float) -> Picture:
    """Uncover the incoming scene from the middle."""
    distance = _polar()[0]
    weight = np.clip(progress * distance.max() - distance + 0.5, 0, 1)[..., None]
    return np.asarray((1 - weight) * a + weight * b, np.float32)


def crash_zoom(a: Picture, b: Picture, progress: float) -> Picture:
    """Rush towards the middle of the outgoing scene, and dissolve into the incoming one."""
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]].astype(np.float32)
    weight = np.clip((progress - 0.5) / 0.2 + 0.5, 0, 1)

    def near(picture: Picture, times: float) -> Picture:
        return _seen(
            picture,
            (x - SIZE[1] / 2) / times + SIZE[1] / 2,
            (y - SIZE[0] / 2) / times + SIZE[0] / 2,
        )

    outgoing, incoming = near(a, 1 + 6 * progress**2), near(b, 1 + 6 * (1 - progress) ** 2)
    return np.asarray((1 - weight) * outgoing + weight * incoming, np.float32)
