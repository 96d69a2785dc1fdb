"""How much memory a transition takes, measured: ``python tests/measure_memory.py``. ``stages/transition/plan.py`` counts with it.

Each row is a process of its own, with a step or two of every kind: how many steps there are makes no difference to the memory.
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
from stages.transition.plan import LARGEST, Plan, bytes_of
from stages.transition.separate import separate_transition
from stages.transition.window import Window

CLEAN = 24
ROWS = (
    (270, 480, 8, LARGEST),
    (270, 480, 24, LARGEST),
    (270, 480, 72, LARGEST),
    (540, 960, 24, LARGEST),
    (1080, 1920, 8, 270 * 480),
    (2160, 3840, 8, 270 * 480),
)


def peak(height: int, width: int, mixed: int, pixels: int) -> int:
    """Bytes that this process has had at most, after a transition of ``mixed`` frames of noise was taken apart."""
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
    with mock.patch("stages.transition.alternate.OPEN", -1.0):
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
    """Prints the table."""
    if len(sys.argv) > 1:
        print(peak(*map(int, sys.argv[1:])))
        return 0
    print(
        "   size    mixed  worked on   measured   reckoned (MiB, the second without Python and PyTorch)"
    )
    for row in ROWS:
        done = subprocess.run(
            [sys.executable, __file__, *map(str, row)], capture_output=True, text=True, check=True
        )
        height, width, mixed, pixels = row
        reckoned = bytes_of(pixels, mixed, CLEAN, height * width)
        print(
            f"{width:5d}x{height:<4d} {mixed:6d} {min(pixels, height * width):9d} {int(done.stdout) >> 20:10d} {reckoned >> 20:10d}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
