"""Runs the search over many random stories and says how often every cut was right and every frame covered.

    python tests/measure_stories.py --count 5000 --seed 100

See :mod:`stories` for what is drawn. Prints recall of cuts by the length of the shorter neighbour, invented boundaries, how well the
dissolves and fades were met, and the seeds of the clips in which something was wrong.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path
from sys import path

path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import cv2
import numpy as np
import torch
from stories import blocks, drawn, verdict

from stages.find.search import find

GROUPS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 60))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first story; each has the next one"
    )
    parser.add_argument("--verbose", action="store_true", help="say what was wrong in each clip")
    words = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    drawn_cuts, missed, right, frames = Counter[int](), Counter[int](), 0, 0
    invented, outside, overlaps, wrong = 0, 0, [], []
    spent = 0.0
    for seed in range(words.seed, words.seed + words.count):
        story = drawn(seed)
        frames += len(story.frames)
        began = time.process_time()
        analysis = find(blocks(story.frames))
        spent += time.process_time() - began
        said = verdict(story, analysis)
        shortest = dict(zip(story.cuts, story.shortest, strict=True))
        drawn_cuts.update(shortest.values())
        missed.update(shortest[cut] for cut in said.missed)
        right += said.right
        invented += len(said.invented)
        outside += len(said.outside)
        overlaps += list(zip(story.kinds, said.found, strict=True))
        if not said.right:
            wrong.append(seed)
        done = seed - words.seed + 1
        if done % 250 == 0:
            print(
                f"{done} stories, {right} right, {sum(missed.values())} cuts missed, {invented} invented, {outside} outside",
                flush=True,
            )
        if words.verbose and not said.right:
            cuts = [(cut, shortest[cut]) for cut in said.missed]
            print(
                f"{seed} ({story.repeated}): missed {cuts} invented {said.invented} outside {said.outside};",
                end=" ",
            )
            print(f"drawn {story.cuts} {story.spans}", flush=True)
    print(
        f"{words.count} stories from seed {words.seed}, {frames} frames, {spent:.0f} s: every frame covered; {right} with all cuts right"
    )
    for low, high in GROUPS:
        total, lost = (
            sum(count for length, count in counts.items() if low <= length <= high)
            for counts in (drawn_cuts, missed)
        )
        name = f"{low}" if low == high else f"{low} to {high}"
        print(f"  shorter neighbour of {name:8s} frames: {total - lost} of {total} cuts found")
    print(f"  cuts invented {invented}, other boundaries where nothing is mixed {outside}")
    for kind in ("dissolve", "fade"):
        values = np.array([overlap for name, overlap in overlaps if name == kind])
        if len(values):
            met, well = np.mean(values > 0), np.mean(values >= 0.8)
            print(
                f"  {kind}: {len(values)}, met {met:.3f}, overlap of 0.8 or more {well:.3f}, mean {values.mean():.3f}"
            )
    print(f"  seeds of clips with something wrong: {wrong[:60]}")


if __name__ == "__main__":
    main()
