"""Draw clips of real objects that move over real scenes, with known mattes.

Objects are cut out by their masks from one clip's sequence and pasted, along a drawn path, over the
frames of another clip where that shows no object of its own, or over a photograph under a drawn
camera. Everything follows from the seed. The footage is a folder of clips, each with its pictures
in ``frames/`` and a mask of the same name in ``masks/``, as in DAVIS 2016, and a folder of
photographs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Stack = NDArray[np.float32]
COUNT = 24
"""Frames of a clip."""
SIZE = (240, 424)
"""Height and width of a clip."""
STORIES = ("through", "through", "stops", "enters", "leaves", "tiny")
"""What an object does: it stays in the picture and moves, or does that and something more."""
FREE_TRIES = 40
"""Drawn windows of a clip among which one without an object is looked for."""
PATH_TRIES = 2000
"""Drawn paths of an object across another one; after that many, any path does."""
EDGE_PIXELS = 1
"""Pixels that are taken off a mask's edge, at the footage's size: there lies the old background."""
LEAST_OBJECT, MOST_OBJECT = 0.25, 0.55
"""Height of an object as a part of the picture's."""
TINY_OBJECT = (0.06, 0.1)
"""Height of a tiny object as a part of the picture's."""


@dataclass(frozen=True)
class Mover:
    """Hold one object as it is pasted.

    colors: ``(T, H, W, 3)`` in [0, 1]. alpha: its own matte, ``(T, H, W)`` in [0, 1], whatever
    hides it. source: the clip that it comes from. story: one of :data:`STORIES`.
    """

    colors: Stack
    alpha: Stack
    source: str
    story: str


@dataclass(frozen=True)
class MovingScene:
    """Hold a drawn clip.

    frames: ``(T, H, W, 3)`` of uint8. alphas: what is seen of each object, ``(N, T, H, W)`` in
    [0, 1]; together at most 1. The first object is farthest from the camera. kind: words on what
    was drawn.
    """

    frames: NDArray[np.uint8]
    alphas: Stack
    kind: str

    @property
    def matte(self) -> Stack:
        """Return the matte of all objects together, ``(T, H, W)`` in [0, 1]."""
        return np.asarray(self.alphas.sum(0), np.float32)


@dataclass(frozen=True)
class Footage:
    """Where the material lies: a folder of clips with masks, and a folder of photographs."""

    clips: Path
    photos: Path

    @property
    def names(self) -> list[str]:
        """Return the names of the clips that have frames and masks."""
        return sorted(each.name for each in self.clips.iterdir() if (each / "masks").is_dir())


@lru_cache(maxsize=400)
def _mask(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert picture is not None, f"{path}: not a picture"
    return np.asarray(picture > 127, np.uint8)


def _picture(path: Path) -> Stack:
    picture = cv2.imread(str(path))
    assert picture is not None, f"{path}: not a picture"
    return np.asarray(picture[..., ::-1] / 255, np.float32)


def drawn_scene(seed: int, movers: int, footage: Footage) -> MovingScene:
    """Draw a clip of :data:`COUNT` frames with ``movers`` objects.

    With two or more, the second one crosses before or behind the first one.
    """
    rng = np.random.default_rng((seed, movers))
    names = footage.names
    ground, camera, kind = _background(rng, footage)
    sources = rng.permutation([name for name in names if name != kind])[:movers]
    objects: list[Mover] = []
    for source in sources:
        crossed = objects[0] if objects and rng.random() < 0.7 else None
        objects.append(_mover(rng, footage, str(source), camera, crossed))
    seen: list[Stack] = []
    frames = ground
    for one in objects:
        alpha = one.alpha[..., None]
        frames = frames + alpha * (one.colors - frames)
        seen = [each * (1 - one.alpha) for each in seen] + [one.alpha]
    noise = rng.uniform(0, 0.01) * rng.standard_normal(frames.shape)
    words = [kind, *(f"{one.source} {one.story}" for one in objects)]
    alphas = np.stack(seen) if seen else np.zeros((0, *frames.shape[:3]), np.float32)
    rounded = np.clip(np.rint(255 * (frames + noise)), 0, 255).astype(np.uint8)
    return MovingScene(rounded, np.asarray(alphas, np.float32), ", ".join(words))


def _background(rng: np.random.Generator, footage: Footage) -> tuple[Stack, Stack, str]:
    """Draw the scene behind the objects.

    Returns its frames ``(T, H, W, 3)``, the camera's way in pixels ``(T, 2)``, x and y, and the
    clip's name or the photograph's camera.
    """
    if rng.random() < 0.5:
        found = _free_window(rng, footage)
        if found is not None:
            return found
    height, width = SIZE
    photos = sorted(path for path in footage.photos.iterdir() if path.suffix == ".jpg")
    picture = _picture(photos[rng.integers(len(photos))])
    kind = str(rng.choice(["still", "panned", "panned", "zoomed", "relief"]))
    speed = 0.0 if kind == "still" else rng.uniform(0.3, 4.0)
    angle = rng.uniform(0, 2 * np.pi)
    way = np.outer(
        np.linspace(-0.5, 0.5, COUNT) * (COUNT - 1) * speed, [np.cos(angle), 0.3 * np.sin(angle)]
    )
    way = way + (0.0 if kind == "still" else 0.4) * rng.standard_normal((COUNT, 2))
    zoom = np.exp(
        np.linspace(-0.5, 0.5, COUNT) * (rng.uniform(-0.3, 0.3) if kind == "zoomed" else 0.0)
    )
    margin = np.abs(way).max(0) * 1.6 + 12
    scale = max(
        (width + 2 * margin[0]) / picture.shape[1], (height + 2 * margin[1]) / picture.shape[0]
    )
    scale *= float(zoom.max())
    wide = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    depth = np.zeros(SIZE, np.float32)
    if kind == "relief":
        coarse = rng.random((4, 5)).astype(np.float32)
        depth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) - 0.5
        depth = 0.5 * depth + 0.6 * (y / height - 0.5)
    frames = []
    for (right, down), grown in zip(way, zoom, strict=True):
        at_x = wide.shape[1] / 2 + (x - width / 2) / grown + right * (1 + depth)
        at_y = wide.shape[0] / 2 + (y - height / 2) / grown + down * (1 + depth)
        frames.append(
            cv2.remap(
                wide,
                at_x.astype(np.float32),
                at_y.astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REFLECT,
            )
        )
    return np.clip(np.stack(frames), 0, 1).astype(np.float32), np.asarray(-way, np.float32), kind


def _free_window(rng: np.random.Generator, footage: Footage) -> tuple[Stack, Stack, str] | None:
    """Return a part of a clip's pictures and time that shows no object, or ``None``.

    The camera's way is not known and returned as zero.
    """
    names = footage.names
    height, width = SIZE
    for _ in range(FREE_TRIES):
        name = str(names[rng.integers(len(names))])
        paths = sorted((footage.clips / name / "frames").iterdir())
        begin = int(rng.integers(0, len(paths) - COUNT + 1))
        chosen = paths[begin : begin + COUNT]
        covered = np.max(
            [_mask(footage.clips / name / "masks" / f"{path.stem}.png") for path in chosen], axis=0
        )
        scale = rng.uniform(1.0, 1.4)
        high, wide = round(height * scale), round(width * scale)
        # The sum over each window, from sums over everything above and to the left of a corner.
        sums = cv2.integral(covered)
        inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide]
        tops, lefts = (inside + sums[:-high, :-wide] == 0).nonzero()
        if not len(tops):
            continue
        chosen_corner = int(rng.integers(len(tops)))
        top, left = int(tops[chosen_corner]), int(lefts[chosen_corner])
        parts = [_picture(path)[top : top + high, left : left + wide] for path in chosen]
        frames = [cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA) for part in parts]
        return np.stack(frames), np.zeros((COUNT, 2), np.float32), name
    return None


def _mover(
    rng: np.random.Generator,
    footage: Footage,
    source: str,
    camera: Stack,
    crossed: Mover | None,
) -> Mover:
    """Cut an object out of a clip and paste it along a drawn path.

    camera: the scene's way over the picture, ``(T, 2)``. crossed: an object whose middle it crosses
    in the clip's middle.
    """
    height, width = SIZE
    story = str(rng.choice(STORIES))
    low, high = TINY_OBJECT if story == "tiny" else (LEAST_OBJECT, MOST_OBJECT)
    target = float(rng.uniform(low, high))
    cutouts, masks = _cutouts(rng, footage, source)
    gain, flip = float(rng.uniform(0.75, 1.25)), bool(rng.random() < 0.5)
    boxes = [_box_of(mask) for mask in masks]
    tall = float(np.median([box[1] - box[0] for box in boxes]))
    broad = float(np.median([box[3] - box[2] for box in boxes]))
    broadest = max(box[3] - box[2] for box in boxes)
    scale = min(target * height / tall, 1.3 * target * width / broad)
    path = _path(rng, story, camera, crossed, scale * broadest)
    stop = int(rng.integers(COUNT // 3, 2 * COUNT // 3)) if story == "stops" else COUNT
    colors, alphas = [], []
    for t in range(COUNT):
        # What stops keeps its shape, too, and moves with the scene from then on.
        at = min(t, stop)
        place = path[at] + camera[t] - camera[at]
        top, bottom, left, right = boxes[at]
        center = (left + right) / 2, (top + bottom) / 2
        across = -scale if flip else scale
        matrix = np.array(
            [[across, 0, place[0] - across * center[0]], [0, scale, place[1] - scale * center[1]]],
            np.float64,
        )
        alpha = cv2.erode(masks[at], np.ones((3, 3), np.uint8), iterations=EDGE_PIXELS)
        # Shrink by areas first, as warping alone would alias.
        alphas.append(_placed(alpha.astype(np.float32), matrix, scale))
        colors.append(_placed(cutouts[at], matrix, scale))
    return Mover(
        np.clip(gain * np.stack(colors), 0, 1), np.clip(np.stack(alphas), 0, 1), source, story
    )


def _placed(picture: Stack, matrix: NDArray[np.float64], scale: float) -> Stack:
    """Return ``picture`` ``(h, w)`` or ``(h, w, 3)`` moved by an affine ``matrix`` ``(2, 3)``."""
    height, width = SIZE
    blur = max(0.0, 0.45 * (1 / scale - 1))
    soft = cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.1 else picture
    return np.asarray(
        cv2.warpAffine(soft, matrix, (width, height), flags=cv2.INTER_LINEAR), np.float32
    )


def _cutouts(
    rng: np.random.Generator, footage: Footage, source: str
) -> tuple[list[Stack], list[NDArray[np.uint8]]]:
    """Return pictures and masks of :data:`COUNT` consecutive frames of a clip.

    Of several drawn stretches, the one is taken whose masks touch the picture's outer edge least.
    """
    paths = sorted((footage.clips / source / "frames").iterdir())
    best: tuple[int, int] | None = None
    for begin in rng.integers(0, len(paths) - COUNT + 1, 6).tolist():
        masks = [
            _mask(footage.clips / source / "masks" / f"{path.stem}.png")
            for path in paths[begin : begin + COUNT]
        ]
        touching = sum(
            int(each[0].sum() + each[-1].sum() + each[:, 0].sum() + each[:, -1].sum())
            for each in masks
        )
        empty = sum(not each.any() for each in masks)
        if best is None or (touching + 10**6 * empty, begin) < best:
            best = touching + 10**6 * empty, begin
    assert best is not None
    chosen = paths[best[1] : best[1] + COUNT]
    masks = [_mask(footage.clips / source / "masks" / f"{path.stem}.png") for path in chosen]
    return [_picture(path) for path in chosen], masks


def _box_of(mask: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of a mask ``(h, w)``; the whole picture if it is empty."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    if not len(rows):
        return 0, mask.shape[0], 0, mask.shape[1]
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _path(
    rng: np.random.Generator,
    story: str,
    camera: Stack,
    crossed: Mover | None,
    broad: float,
) -> Stack:
    """Draw an object's way: its middle in every frame, ``(T, 2)``, x and y in pixels.

    broad: its largest width in pixels. Against the scene it moves at least 0.12 of the width.
    """
    height, width = SIZE
    for tries in itertools.count():
        begin = rng.uniform([0.2, 0.35], [0.8, 0.75]) * [width, height]
        end = rng.uniform([0.2, 0.35], [0.8, 0.75]) * [width, height]
        if story == "enters":
            begin[0] = rng.choice([-broad / 2 - 4, width + broad / 2 + 4])
        if story == "leaves":
            end[0] = rng.choice([-broad / 2 - 4, width + broad / 2 + 4])
        if crossed is not None and tries < PATH_TRIES:
            middle = _center_of(crossed.alpha[COUNT // 2])
            end = 2 * middle - begin
        moved = np.hypot(*(end - begin - (camera[-1] - camera[0])))
        if 0.12 * width < moved < 0.9 * width + broad:
            break
    progress = np.linspace(0, 1, COUNT)
    if story == "enters":
        progress = np.clip((progress - 0.3) / 0.7, 0, 1)
    if story == "leaves":
        progress = np.clip(progress / 0.7, 0, 1)
    bend = rng.uniform(-0.05, 0.05) * height * np.sin(np.pi * progress)
    way = begin + progress[:, None] * (end - begin)
    way[:, 1] += bend
    return np.asarray(way, np.float32)


def _center_of(alpha: Stack) -> NDArray[np.float64]:
    """Return x and y of the middle of a matte ``(H, W)``; the picture's middle if it is empty."""
    rows, columns = (alpha > 0.5).nonzero()
    if not len(rows):
        return np.array([alpha.shape[1] / 2, alpha.shape[0] / 2])
    return np.array([columns.mean(), rows.mean()])
