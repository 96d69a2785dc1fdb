"""Run the search over many random stories and print how often it is right.

    python tests/measure_stories.py --count 5000 --seed 100

See :mod:`stories` for what is drawn. It prints the recall of cuts by the length of the shorter
neighbour, the boundaries that are invented, how well dissolves and fades are matched, and the seeds
of the clips in which something is wrong. It fails where a frame is in no part or in two.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from stories import blocks, compare, drawn

from stages.find.search import find

GROUPS = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 60))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first story; the others follow"
    )
    parser.add_argument("--verbose", action="store_true", help="print what is wrong in each clip")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    drawn_cuts, missed, right, frames = Counter[int](), Counter[int](), 0, 0
    invented, outside, overlaps, wrong = 0, 0, [], []
    spent = 0.0
    for seed in range(options.seed, options.seed + options.count):
        story = drawn(seed)
        frames += len(story.frames)
        began = time.process_time()
        analysis = find(blocks(story.frames))
        spent += time.process_time() - began
        result = compare(story, analysis)
        shortest = dict(zip(story.cuts, story.shortest, strict=True))
        drawn_cuts.update(shortest.values())
        missed.update(shortest[cut] for cut in result.missed)
        right += result.right
        invented += len(result.invented)
        outside += len(result.outside)
        overlaps += list(zip(story.kinds, result.found, strict=True))
        if not result.right:
            wrong.append(seed)
        done = seed - options.seed + 1
        if done % 250 == 0:
            print(
                f"{done} stories, {right} right, {sum(missed.values())} cuts missed, "
                f"{invented} invented, {outside} outside",
                flush=True,
            )
        if options.verbose and not result.right:
            cuts = [(cut, shortest[cut]) for cut in result.missed]
            print(
                f"{seed} ({story.repeated}): missed {cuts} invented {result.invented} "
                f"outside {result.outside}; drawn {story.cuts} {story.spans}",
                flush=True,
            )
    print(
        f"{options.count} stories from seed {options.seed}, {frames} frames, {spent:.0f} s: "
        f"every frame covered; {right} with all cuts right"
    )
    for low, high in GROUPS:
        total, lost = (
            sum(count for length, count in counts.items() if low <= length <= high)
            for counts in (drawn_cuts, missed)
        )
        name = f"{low}" if low == high else f"{low} to {high}"
        print(f"  shorter neighbour of {name:8s} frames: {total - lost} of {total} cuts found")
    print(f"  cuts invented {invented}, other transitions where nothing is mixed {outside}")
    for kind in ("dissolve", "fade"):
        values = np.array([overlap for name, overlap in overlaps if name == kind])
        if len(values):
            met, well = np.mean(values > 0), np.mean(values >= 0.8)
            print(
                f"  {kind}: {len(values)}, matched {met:.3f}, "
                f"overlap of 0.8 or more {well:.3f}, mean {values.mean():.3f}"
            )
    print(f"  seeds of clips with something wrong: {wrong[:60]}")


if __name__ == "__main__":
    main()
