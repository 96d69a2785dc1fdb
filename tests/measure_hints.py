"""Measure how well `segment` cuts out what hints mark, beside GrabCut with the same hints.

    python tests/measure_hints.py FOLDER --seeds 307 308 --frames 3

FOLDER holds one folder for each clip, with `frames/` and `masks/`, as DAVIS has them. Hints are
drawn at random from the mask of a frame, as a user might draw them:

- strokes: two paths through the thing; strokes+bg: and three through what is far from it
- points: three dots on the thing; points+bg: and strokes of the background
- box: a box around it, 1 to 8 % too large on each side
- blob: an ellipse inside it; blob+bg: and strokes of the background
- rough: the mask with an edge that is wrong by about a tenth of its size

The figure is the mean intersection over union. With `--paper SECONDS`, the published method gets
the same hints, and so much time for each.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from pipeline import separate
from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.hints.marked_frames import marked_frames

Mask = NDArray[np.bool_]

KINDS = ("strokes", "strokes+bg", "points", "points+bg", "box", "blob", "blob+bg", "rough")
SIZE = (424, 240)
"""Width and height at which frames are measured, the size of the task's own work."""
GRABCUT_ROUNDS = 5
BRUSH = 2  # radius of a stroke in pixels
LONGEST = 120  # pixels of a stroke
POINTS = 3  # dots on the thing
LEAST_AREA = 100  # pixels of a thing that is measured
FAR = 12.0  # least distance in pixels of the background's strokes from the thing


def main() -> None:
    """Print a table for each clip and kind of hint."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[307, 308])
    parser.add_argument("--clips", nargs="*")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument("--frames", type=int, default=1, help="of each clip, evenly spread")
    parser.add_argument("--paper", type=float, metavar="SECONDS", help="run --preset paper, too")
    asked = parser.parse_args()
    methods = ("ours", "GrabCut") if asked.paper is None else ("ours", "GrabCut", "paper")
    clips = asked.clips or sorted(path.parent.name for path in asked.folder.glob("*/masks"))
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for clip in clips:
        for place, (frame, mask) in enumerate(some_frames(asked.folder / clip, asked.frames)):
            for kind, seed in itertools.product(asked.kinds, asked.seeds):
                drawing = [seed, *kind.encode()] + ([place] if place else [])
                ours, theirs = drawn(kind, mask, np.random.default_rng(drawing))
                answers = {
                    "ours": cut(frame, ours, theirs),
                    "GrabCut": grabcut(frame, ours, theirs, kind),
                }
                if asked.paper is not None:
                    answers["paper"] = published(frame, ours, theirs, asked.paper)
                for method, found in answers.items():
                    scores[method, kind, clip].append(overlap(found, mask))
    print("| hint | method | mean |", " | ".join(clips), "|")
    print("|---" * (len(clips) + 3), "|", sep="")
    for kind in asked.kinds:
        for method in methods:
            means = [float(np.mean(scores[method, kind, clip])) for clip in clips]
            shown = " | ".join(f"{mean:.2f}" for mean in means)
            print(f"| {kind} | {method} | {np.mean(means):.3f} | {shown} |")


def some_frames(folder: Path, count: int) -> Iterator[tuple[NDArray[np.uint8], Mask]]:
    """Yield frames of a clip ``(H, W, 3)`` in RGB with their masks, at :data:`SIZE`.

    The first frame is one of them. Frames that show less of the thing than a stroke are left out.
    """
    frames, masks = (sorted((folder / name).iterdir()) for name in ("frames", "masks"))
    for place in range(count):
        paths = [each[place * len(each) // count] for each in (frames, masks)]
        frame, mask = cv2.imread(str(paths[0])), cv2.imread(str(paths[1]), cv2.IMREAD_GRAYSCALE)
        assert frame is not None and mask is not None, f"{paths[0]}: cannot be read"
        frame, mask = (
            cv2.resize(each, SIZE, interpolation=cv2.INTER_AREA) for each in (frame, mask)
        )
        inside = np.asarray(mask > 127)
        if inside.sum() > LEAST_AREA:
            yield np.ascontiguousarray(frame[..., ::-1]).astype(np.uint8), inside


def cut(frame: NDArray[np.uint8], ours: Mask, theirs: Mask) -> Mask:
    """Return what the task's own solver cuts out."""
    picture = torch.from_numpy(frame).permute(2, 0, 1).float() / 255
    marks = [HintRegion(torch.from_numpy(ours))]
    if theirs.any():
        marks.append(HintRegion(torch.from_numpy(theirs), foreground=False))
    context = SeparationContext(FitSettings(), hint_regions=tuple(marks))
    found: Mask = marked_frames(picture[None], context, moving=False)[0].odds.numpy() > 0
    return found


def published(frame: NDArray[np.uint8], ours: Mask, theirs: Mask, seconds: float) -> Mask:
    """Return what the published networks cut out within a time budget."""
    hints: dict[str, Any] = {"hint": ours}
    if theirs.any():
        hints["hint_background"] = theirs
    with separate(frame, "segment", preset="paper", max_seconds=seconds, **hints) as made:
        matte = made.layers["matte"].frames[0]
    found: Mask = matte.reshape(*ours.shape, -1)[..., 0] > np.iinfo(matte.dtype).max / 2
    return found


def grabcut(frame: NDArray[np.uint8], ours: Mask, theirs: Mask, kind: str) -> Mask:
    """Return what OpenCV's GrabCut cuts out; unmarked pixels begin as probable background."""
    sides = np.full(ours.shape, cv2.GC_PR_BGD, np.uint8)
    if kind == "box":
        sides[:] = cv2.GC_BGD
    sides[ours] = cv2.GC_PR_FGD if kind in ("box", "rough") else cv2.GC_FGD
    if kind == "rough":
        sides[depth(ours) > 0.5 * depth(ours).max()] = cv2.GC_FGD
    sides[theirs] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    back, front = np.zeros((1, 65)), np.zeros((1, 65))
    bgr, way = frame[..., ::-1].copy(), cv2.GC_INIT_WITH_MASK
    try:
        cv2.grabCut(bgr, sides, (0, 0, 0, 0), back, front, GRABCUT_ROUNDS, way)
    except cv2.error:  # It needs more marked pixels than a few dots have.
        return ours
    found: Mask = (sides == cv2.GC_FGD) | (sides == cv2.GC_PR_FGD)
    return found


def drawn(kind: str, mask: Mask, random: np.random.Generator) -> tuple[Mask, Mask]:
    """Return marks of the foreground and of the background, each ``(H, W)``."""
    draw = {"strokes": strokes, "points": points, "box": box, "blob": blob, "rough": rough}
    ours = draw[kind.removesuffix("+bg")](mask, random)
    theirs = np.zeros_like(mask)
    if kind.endswith("+bg"):
        theirs = strokes(~mask, random, count=3, distance=FAR)
    return ours, theirs


def depth(mask: Mask) -> NDArray[np.float32]:
    """Return each pixel's distance to the outside, which begins at the picture's outer edge."""
    padded = np.pad(mask.astype(np.uint8), 1)
    return np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def strokes(mask: Mask, random: np.random.Generator, count: int = 2, distance: float = 2.0) -> Mask:
    """Return paths between random pixels, which keep to the middle of the mask."""
    deep = depth(mask)
    region = deep > min(distance, 0.5 * float(deep.max()))
    _, labels = cv2.connectedComponents(region.astype(np.uint8))
    rows, columns = np.nonzero(region)
    out = np.zeros(mask.shape, np.uint8)
    for _ in range(count):
        begin, end = (int(place) for place in random.integers(len(rows), size=2))
        if labels[rows[begin], columns[begin]] != labels[rows[end], columns[end]]:
            end = begin
        ends = [(int(rows[place]), int(columns[place])) for place in (begin, end)]
        for row, column in path(region, np.minimum(deep, 40), ends[0], ends[1])[:LONGEST]:
            cv2.circle(out, (column, row), BRUSH, 255, -1)
    return np.asarray((out > 0) & mask)


def path(
    region: Mask, deep: NDArray[np.float32], begin: tuple[int, int], end: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the cheapest path of pixels through the region (Dijkstra); deep pixels are cheap."""
    best = {begin: 0.0}
    before: dict[tuple[int, int], tuple[int, int]] = {}
    queue = [(0.0, begin)]
    while queue:
        cost, here = heapq.heappop(queue)
        if here == end:
            break
        if cost > best[here]:
            continue
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
            there = here[0] + down, here[1] + right
            inside = 0 <= there[0] < region.shape[0] and 0 <= there[1] < region.shape[1]
            if not inside or not region[there]:
                continue
            further = cost + float(np.hypot(down, right)) * (0.2 + 3 / (1 + float(deep[there])))
            if further < best.get(there, np.inf):
                best[there], before[there] = further, here
                heapq.heappush(queue, (further, there))
    found = [end]
    while found[-1] in before:
        found.append(before[found[-1]])
    return found


def points(mask: Mask, random: np.random.Generator) -> Mask:
    """Return dots on the mask, not on its very edge."""
    deep = depth(mask)
    rows, columns = np.nonzero(deep > min(3.0, 0.5 * float(deep.max())))
    out = np.zeros(mask.shape, np.uint8)
    for place in random.integers(len(rows), size=POINTS):
        cv2.circle(out, (int(columns[place]), int(rows[place])), BRUSH, 255, -1)
    return np.asarray((out > 0) & mask)


def box(mask: Mask, random: np.random.Generator) -> Mask:
    """Return a box around the mask, too large on each side by 1 to 8 % of its size."""
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    more = random.uniform(0.01, 0.08, 4) * np.repeat([bottom - top, right - left], 2) + 1
    out = np.zeros_like(mask)
    out[
        max(0, int(top - more[0])) : int(bottom + more[1]),
        max(0, int(left - more[2])) : int(right + more[3]),
    ] = True
    return out


def blob(mask: Mask, random: np.random.Generator) -> Mask:
    """Return an ellipse around a pixel deep inside the mask, cut off where the mask ends."""
    deep = depth(mask)
    rows, columns = np.nonzero(deep > 0.6 * deep.max())
    place = int(random.integers(len(rows)))
    radius = float(deep[rows[place], columns[place]])
    axes = [max(2, int(radius * random.uniform(*span))) for span in ((0.9, 1.8), (0.6, 0.9))]
    out = np.zeros(mask.shape, np.uint8)
    center = int(columns[place]), int(rows[place])
    cv2.ellipse(out, center, (axes[0], axes[1]), random.uniform(0, 180), 0, 360, 255, -1)
    return np.asarray((out > 0) & mask)


def rough(mask: Mask, random: np.random.Generator) -> Mask:
    """Return the mask with a smooth random error of its edge."""
    height, width = mask.shape
    noise = random.normal(size=(height // 24 + 2, width // 24 + 2)).astype(np.float32)
    smooth = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    error = 0.12 * np.sqrt(mask.sum()) * (0.6 * smooth + 0.2)
    return np.asarray(depth(mask) - outside + error > 0)


def overlap(found: Mask, mask: Mask) -> float:
    """Return intersection over union; 1 where both are empty."""
    union = int((found | mask).sum())
    return float((found & mask).sum()) / union if union else 1.0


if __name__ == "__main__":
    main()
