"""Compare the memory of a separation with what the plan expects.

    python tests/measure_memory.py

Each row separates a transition of noise in a process of its own, with a small plan that uses every
part. Memory that the plan does not foresee would end a run at its worst moment.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from unittest import mock

import torch

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from pipeline.runtime.memory import peak_memory
from stages.context import FitSettings
from stages.media.clip import Frames
from stages.shots import Transition
from stages.transition.plan import LARGEST_WORK_PIXELS, Plan, bytes_of
from stages.transition.separate import separate_transition
from stages.transition.window import Window

CLEAN = 24
ROWS = (
    (270, 480, 8, LARGEST_WORK_PIXELS),
    (270, 480, 24, LARGEST_WORK_PIXELS),
    (270, 480, 72, LARGEST_WORK_PIXELS),
    (540, 960, 24, LARGEST_WORK_PIXELS),
    (1080, 1920, 8, 270 * 480),
    (2160, 3840, 8, 270 * 480),
)


def peak(height: int, width: int, mixed: int, pixels: int) -> int:
    """Separate ``mixed`` frames of noise, and return the peak memory of this process in bytes."""
    noise = torch.Generator().manual_seed(0)

    def blocks(first: int, last: int) -> Iterator[Frames]:
        for begin in range(first, last + 1, 4):
            count = min(4, last + 1 - begin)
            rough = torch.rand(1, 3, height // 8, width // 8, generator=noise).expand(
                count, -1, -1, -1
            )
            pixels = torch.nn.functional.interpolate(rough, size=(height, width), mode="bilinear")
            yield Frames(pixels, tuple(Fraction(index) for index in range(count)), begin)

    first = CLEAN // 2
    weights = tuple((index + 1) / (mixed + 1) for index in range(mixed))
    with mock.patch("stages.transition.alternate.MOTION_SUFFICES", -1.0):
        separate_transition(
            Window(blocks, 0, mixed + CLEAN - 1, (height, width)),
            Transition(first, first + mixed - 1, "dissolve", weights, "gamma", 0, 1),
            settings=FitSettings(),
            progress=lambda done, note: None,
            put=lambda place, frame: None,
            plan=Plan(pixels, ((4, 1), (2, 1), (1, 1)), 1, ((2, 1), (1, 1)), 0, 1),
        )
    return peak_memory() or 0


def main() -> int:
    """Print the table."""
    if len(sys.argv) > 1:
        print(peak(*map(int, sys.argv[1:])))
        return 0
    print(
        "   size    mixed  worked on   measured   expected (MiB; the second without "
        "Python and PyTorch)"
    )
    for row in ROWS:
        done = subprocess.run(
            [sys.executable, __file__, *map(str, row)], capture_output=True, text=True, check=True
        )
        height, width, mixed, pixels = row
        expected = bytes_of(pixels, mixed, CLEAN, height * width)
        print(
            f"{width:5d}x{height:<4d} {mixed:6d} {min(pixels, height * width):9d} "
            f"{int(done.stdout) >> 20:10d} {expected >> 20:10d}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
