"""Measure how well two repeating textures come apart, and which other pictures are taken for them.

    python tests/measure_textures.py --seed 2 --count 40 [PICTURE]...

Each case is half the sum of two textures (`textures.py`), in 8 bits, at 128x96. The layers
are judged by PSNR with the gain and the offset that fit the truth best, in the better order. For
PICTUREs, ordinary ones, it prints how many are taken for a sum of two textures.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import cv2
import numpy as np
import torch
from task_cases import either, two_layers
from textures import stripes, tiles
from torch import Tensor

from stages.mixing.layer_sum import to_space
from stages.transparency.repeats import SIDE, find_textures, middle, separate_textures

SIZE = (96, 128)
"""Height and width of the drawn pictures."""

KINDS = {"stripes": stripes, "tiles": tiles}


def main(words: Sequence[str] | None = None) -> int:
    """Print a line for each pair of kinds, and one for the pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", nargs="*", type=Path, metavar="PICTURE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=40, help="cases of each pair of kinds")
    options = parser.parse_args(words)
    pairs = itertools.combinations_with_replacement(KINDS, 2) if options.count else ()
    for pair in pairs:
        scores: dict[str, list[float]] = defaultdict(list)
        for number in range(options.count):
            random = torch.Generator().manual_seed(1000 * options.seed + number)
            truth = [0.5 * KINDS[kind](random, SIZE) for kind in pair]
            mixed = (255 * (truth[0] + truth[1])).round() / 255
            textures = find_textures(mixed)
            layers = (mixed, mixed)
            if textures is not None:
                layers = separate_textures(mixed, textures)
            scores["left as it is"].append(judged((mixed, mixed), truth))
            scores["taken apart"].append(judged(layers, truth))
            scores["found"].append(float(textures is not None))
        means = {name: float(np.mean(values)) for name, values in scores.items()}
        print(
            f"{' and '.join(pair)}: {means['left as it is']:.1f} -> {means['taken apart']:.1f} dB, "
            f"{means['found']:.0%} found, the worst {min(scores['taken apart']):.1f} dB",
            flush=True,
        )
    if options.pictures:
        taken = [path for path in options.pictures if is_taken_for_textures(path)]
        print(f"{len(taken)} of {len(options.pictures)} pictures are taken for two textures")
        for path in taken:
            print(f"  {path}")
    return 0


def judged(layers: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Return the mean PSNR of two layers ``(3, H, W)`` in dB."""
    given, real = (
        [each.permute(1, 2, 0).double().numpy() for each in pair] for pair in (layers, truth)
    )
    return either(two_layers(given[0], given[1]), (real[0], real[1]))


def is_taken_for_textures(path: Path) -> bool:
    """Return whether a picture counts as a sum of two textures, in either space."""
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if picture is None:
        raise SystemExit(f"{path}: cannot be read")
    values = torch.from_numpy(picture).permute(2, 0, 1)
    values = middle(values, min(SIDE, *values.shape[-2:])).float() / 255
    return any(find_textures(to_space(values, space)) is not None for space in ("gamma", "linear"))


if __name__ == "__main__":
    raise SystemExit(main())
