"""Draw scenes without anything laid over them: photographs under a drawn camera, pieces of clips.

A camera stands still, is held in a hand, pans, zooms or turns, or passes a scene with depth. Every
camera but the still one shakes a little. Everything follows from the generator. The footage is a
folder with ``photos``, ``segment`` (see :mod:`movers`) and, if there are some, more clear pictures.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from movers import COUNT, SIZE, Footage, drawn_scene
from numpy.typing import NDArray

Stack = NDArray[np.float32]
Rng = np.random.Generator
PICTURES = (
    "photos/*.jpg",
    "dehaze/pairs/*_gt.png",
    "transparency/sirr_pairs/*_transmission.png",
    "watermark/swcnn/clean_*.jpg",
)
"""Clear photographs, beside each other in one folder."""
CAMERAS = ("still", "held", "held", "pan", "pan", "zoom", "turn", "relief")
"""What a camera does; the commoner ones stand twice."""
RIM = 0.03
"""Part of a photograph's sides that is cut off: some have a frame."""


def plain_scene(seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return the frames ``(T, H, W, 3)`` in [0, 1] of a scene without anything, and its kind."""
    scene = drawn_scene(seed, 0, footage)
    return np.asarray(scene.frames / 255, np.float32), scene.kind


def scene_with_mover(seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return the frames ``(T, H, W, 3)`` in [0, 1] of a scene in which an object moves."""
    scene = drawn_scene(seed, 1, footage)
    return np.asarray(scene.frames / 255, np.float32), scene.kind


def still_or_moved(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene in which nothing moves by itself, but perhaps the camera does."""
    if rng.random() < 0.4:
        return plain_scene(seed, footage)
    return photographed(rng, footage)


def any_scene(rng: Rng, seed: int, footage: Footage) -> tuple[Stack, str]:
    """Return a scene of any kind, in which things may move."""
    kind = rng.integers(5)
    if kind == 0:
        return plain_scene(seed, footage)
    if kind == 1:
        return scene_with_mover(seed, footage)
    if kind == 2:
        return piece_of_clip(rng, footage)
    return photographed(rng, footage)


def piece_of_clip(rng: Rng, footage: Footage) -> tuple[Stack, str]:
    """Return :data:`movers.COUNT` consecutive frames of a clip of the footage, with its object."""
    name = str(rng.choice(footage.names))
    paths = sorted((footage.clips / name / "frames").iterdir())
    begin = int(rng.integers(0, len(paths) - COUNT + 1))
    height, width = SIZE
    frames = [
        cv2.resize(_read(path), (width, height), interpolation=cv2.INTER_AREA)
        for path in paths[begin : begin + COUNT]
    ]
    return np.stack(frames), f"{name} from {begin}"


def photographed(rng: Rng, footage: Footage, kind: str = "") -> tuple[Stack, str]:
    """Return a photograph under a drawn camera. kind: one of :data:`CAMERAS`; empty draws one."""
    paths = _pictures(footage.photos.parent)
    path = paths[int(rng.integers(len(paths)))]
    picture = _read(path)
    rim = [round(RIM * side) for side in picture.shape[:2]]
    picture = picture[rim[0] : -rim[0], rim[1] : -rim[1]]
    kind = kind or str(rng.choice(CAMERAS))
    frames = _frames(picture, *_ways(rng, kind))
    if rng.random() < 0.3:
        # The light or the exposure drifts.
        frames *= np.linspace(1, rng.uniform(0.93, 1.07), COUNT, dtype=np.float32)[
            :, None, None, None
        ]
    frames += (rng.uniform(0, 0.012) * rng.standard_normal(frames.shape)).astype(np.float32)
    return frames.clip(0, 1), f"{path.stem} {kind}"


def _ways(rng: Rng, kind: str) -> tuple[Stack, Stack, Stack, Stack]:
    """Draw a camera's way.

    Returns its place in pixels ``(T, 2)``, its enlargement and its turn in radians ``(T,)``, and
    how far each pixel's depth stretches its place, ``(H, W)``.
    """
    height, width = SIZE
    time = np.linspace(-0.5, 0.5, COUNT)
    # A hand shakes smoothly; a support hardly does.
    shake = rng.uniform(0.5, 3.0) if kind == "held" else rng.uniform(0, 0.6)
    steps = cv2.GaussianBlur(rng.standard_normal((COUNT, 3)), (1, 0), 0.1, sigmaY=1.2)
    moves = steps / max(1e-6, steps.std()) * (0.0 if kind == "still" else shake)
    way = moves[:, :2].copy()
    zoom, turn = np.ones(COUNT), moves[:, 2] * 0.001
    if kind in ("pan", "relief"):
        angle = rng.uniform(0, 2 * np.pi)
        speed = rng.uniform(0.3, 5.0)
        way += np.outer(time * (COUNT - 1) * speed, [np.cos(angle), 0.4 * np.sin(angle)])
    if kind == "zoom":
        zoom = np.exp(time * rng.choice([-1, 1]) * rng.uniform(0.05, 0.35))
    if kind == "turn":
        turn = turn + time * rng.choice([-1, 1]) * rng.uniform(0.03, 0.2)
    depth: Stack = np.zeros(SIZE, np.float32)
    if kind == "relief":
        coarse = rng.random((4, 5)).astype(np.float32)
        bumps = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))
        down = np.arange(height, dtype=np.float32)[:, None] / height
        depth = np.asarray(0.5 * (bumps - 0.5) + 0.6 * (down - 0.5), np.float32)
    return (
        way.astype(np.float32),
        zoom.astype(np.float32),
        turn.astype(np.float32),
        depth.astype(np.float32),
    )


def _frames(picture: Stack, way: Stack, zoom: Stack, turn: Stack, depth: Stack) -> Stack:
    """Return what a camera sees of ``picture``; see :func:`_ways`."""
    height, width = SIZE
    margin = np.abs(way).max(0) * (1 + np.abs(depth).max()) + np.abs(turn).max() * width / 2 + 4
    high, wide = picture.shape[:2]
    scale = max((width + 2 * margin[0]) / wide, (height + 2 * margin[1]) / high)
    scale = float(scale * zoom.max())
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = x - width / 2, y - height / 2
    frames = []
    for (right, down), grown, turned in zip(way, zoom, turn, strict=True):
        cosine, sine = np.cos(turned) / grown, np.sin(turned) / grown
        at_x = large.shape[1] / 2 + cosine * x - sine * y + right * (1 + depth)
        at_y = large.shape[0] / 2 + sine * x + cosine * y + down * (1 + depth)
        seen = cv2.remap(
            large,
            at_x.astype(np.float32),
            at_y.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT,
        )
        frames.append(seen)
    return np.clip(np.stack(frames), 0, 1).astype(np.float32)


@lru_cache(maxsize=4)
def _pictures(folder: Path) -> tuple[Path, ...]:
    """Return the clear photographs under ``folder``."""
    return tuple(path for pattern in PICTURES for path in sorted(folder.glob(pattern)))


def _read(path: Path) -> Stack:
    picture = cv2.imread(str(path))
    assert picture is not None, f"{path}: not a picture"
    return np.asarray(picture[..., ::-1] / 255, np.float32)
