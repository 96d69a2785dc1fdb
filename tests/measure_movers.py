"""Measure `segment` on drawn clips with 0 to 3 objects that move, without the networks.

    python tests/measure_movers.py --movers 1 --count 20 --seed 7 [--footage FOLDER] [--look DIR]

See :mod:`movers` for what is drawn. FOLDER has the folders ``segment`` and ``photos``; by default
it is the project's development footage. Each clip is surveyed, voted on and cut in this process, in
the way of ``run`` but without training the networks, which move hardly anything: that takes a few
seconds a clip.

A row has the seed, J, the number of things that ``--layers auto`` would find, the seconds of
processor time, what was drawn, and J in every fourth frame. J is the intersection over union of the
matte above 0.5 and the true one, its mean over the frames. Where nothing moves, the part of the
picture that was taken for a foreground stands in its place. The last line has the mean over the
clips, and in how many the number of things is right. ``--look`` draws the true and found mattes.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from media import SHARED
from movers import Footage, MovingScene, drawn_scene
from numpy.typing import NDArray
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.motion.flow import resize, shrunk
from stages.segment.cut import SURE_MOVING, SURE_STILL, cut
from stages.segment.foreground_odds import foreground_odds
from stages.segment.layers import WORK_PIXELS
from stages.segment.motion import WindowMotion, find_motion
from stages.segment.survey import survey
from stages.segment.things import find_things
from stages.segment.votes import VOTE_PIXELS, local_vote

LOOKED_AT = (0, 5, 11, 17, 23)
"""Frames of the pictures to look at."""


def pixels_of(scene: MovingScene) -> Tensor:
    """Return a drawn clip's frames as ``(T, 3, H, W)`` in [0, 1]."""
    return torch.from_numpy(scene.frames).permute(0, 3, 1, 2).float() / 255


def found(frames: Tensor) -> tuple[Tensor, int, WindowMotion | None]:
    """Return the hard matte ``(T, 1, h, w)`` without networks, its number of things, the motion.

    frames: ``(T, 3, H, W)`` in [0, 1].
    """
    context = SeparationContext(FitSettings())
    facts = survey(frames, context)
    work = shrunk(frames, WORK_PIXELS)
    motion = None if facts.still else find_motion(work)
    small = shrunk(work, VOTE_PIXELS)
    odds = foreground_odds(small, motion, facts, context, {})
    odds = resize(odds[:, None], (work.shape[-2], work.shape[-1]))[:, 0]
    if motion is None:
        return cut(work, odds, SURE_STILL), 0, None
    sure = SURE_MOVING if facts.plate is None else SURE_STILL
    matte = cut(work, local_vote(work, odds), sure)
    size = (small.shape[-2], small.shape[-1])
    things = find_things(small, resize(matte, size)[:, 0] > 0.5, motion.resized(size))
    return matte, len(things.numbers), motion


def overlaps(mask: NDArray[np.bool_], true: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return J of every frame of two stacks of masks ``(T, H, W)``; 1 where both are empty."""
    both, either = (mask & true).sum((1, 2)), (mask | true).sum((1, 2))
    return np.where(either == 0, 1.0, both / np.maximum(either, 1))


def look(path: Path, scene: MovingScene, mask: NDArray[np.bool_]) -> None:
    """Draw some frames with the true matte's outline (green) and the found one's (red)."""
    rows = []
    for t in LOOKED_AT:
        picture = np.ascontiguousarray(scene.frames[t][..., ::-1])
        for each, color in ((scene.matte[t] > 0.5, (0, 255, 0)), (mask[t], (0, 0, 255))):
            outline, _ = cv2.findContours(
                each.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, outline, -1, color, 1)
        rows.append(picture)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.concatenate(rows, 1))


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--footage", type=Path, default=SHARED)
    parser.add_argument("--movers", type=int, default=1)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--look", type=Path, help="a folder for pictures of what was found")
    options = parser.parse_args()
    footage = Footage(options.footage / "segment", options.footage / "photos")
    if not footage.clips.is_dir() or not footage.photos.is_dir():
        print(f"skipped: {options.footage} holds no segment/ and photos/")
        return
    torch.set_num_threads(1)
    figures, right = [], 0
    for number in range(options.count):
        seed = 1000 * options.seed + number
        scene = drawn_scene(seed, options.movers, footage)
        began = time.process_time()
        matte, count, _ = found(pixels_of(scene))
        spent = time.process_time() - began
        mask = matte[:, 0].numpy() > 0.5
        shares = overlaps(mask, scene.matte > 0.5)
        figure = float(shares.mean()) if options.movers else float(mask.mean())
        right += count == options.movers
        figures.append(figure)
        each = " ".join(f"{100 * share:.0f}" for share in shares[::4])
        print(
            f"{seed:7d} {figure:6.3f} {count} {spent:5.0f} s  {scene.kind:<60} {each}", flush=True
        )
        if options.look:
            look(options.look / f"{options.movers}-{seed}.png", scene, mask)
    print(
        f"{options.count} clips with {options.movers} movers: mean {np.mean(figures):.3f}, "
        f"number of things right in {right}"
    )


if __name__ == "__main__":
    main()
