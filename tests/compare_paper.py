"""Compare the published method with the default, on the sample's scenes at 128x72.

    python tests/compare_paper.py [--quiet-minutes 10] [--seconds N]

Both get the true weights. The fit of ``--preset paper`` goes on until the PSNR of its layers has
not risen for ``--quiet-minutes``, or for ``--seconds`` in all. Then the default runs, and ``fast``
for comparison. The exit status is 1 unless the default is at least as good in a 20th of the time.
The true layers are used only to judge the results.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from clips import apart, psnr
from torch import Tensor

from samples.ablation import Case
from samples.ablation import case as scenes
from stages.context import FitSettings
from stages.mixing.mixture import project
from stages.published.transition import PeriodicCheck, PublishedScenes, fit_transition

HEIGHT, WIDTH = 72, 128
"""Size of the pictures."""

CLEAN, MIXED = 8, 12
"""Clean frames at each side, and mixed frames."""

SOONER = 20.0
"""How many times as fast the default has to be."""

RISE = 0.05
"""Least rise of the PSNR that counts, in dB."""

CHECK = 25
"""Steps of the published fit between two looks, which cost it about two per cent in rendering."""

Pair = tuple[Tensor, Tensor]


def case(height: int = HEIGHT, width: int = WIDTH) -> Case:
    """Return the sample's scenes in a linear dissolve."""
    return scenes("the sample", 1, (height, width), CLEAN, MIXED)


def score(layers: Pair, truth: Pair) -> float:
    """Return the mean PSNR of both layers, in dB."""
    return sum(psnr(layer.clamp(0, 1), real) for layer, real in zip(layers, truth, strict=True)) / 2


@dataclass
class Record:
    """The best PSNR of a fit over time.

    quiet: seconds without a rise that end it. limit: seconds that end it in any case.
    best, seconds, steps: at the last rise by :data:`RISE`. peak: the highest PSNR of all.
    spent: seconds so far. history: steps, seconds and PSNR of each look.
    """

    quiet: float
    limit: float | None = None
    best: float = -float("inf")
    seconds: float = 0.0
    steps: int = 0
    peak: float = -float("inf")
    spent: float = 0.0
    history: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, steps: int, seconds: float, reached: float) -> bool:
        """Record what was reached, and return whether the fit may end."""
        self.history.append((steps, seconds, reached))
        self.peak, self.spent = max(self.peak, reached), seconds
        if reached > self.best + RISE:
            self.best, self.seconds, self.steps = reached, seconds, steps
        return self.done or (self.limit is not None and seconds >= self.limit)

    @property
    def done(self) -> bool:
        """Whether the fit has stopped rising, rather than been cut short."""
        return self.spent - self.seconds >= self.quiet


def watch_paper(
    given: Case,
    record: Record,
    *,
    check: int = CHECK,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> Record:
    """Run the published fit until ``record`` says that it may end.

    The time to project the layers and to compute their PSNR does not count.
    """
    mixture, judged, began = given.mixture, 0.0, clock()

    def look(steps: int, result: PublishedScenes) -> bool:
        nonlocal judged
        now = clock()
        layers = project(mixture, result.outgoing[mixture.mixed], result.incoming[mixture.mixed])
        before = record.best
        enough = record.add(steps, now - began - judged, score(layers, given.truth))
        if record.best > before or enough:
            say(f"paper   {record.spent:8.1f} s  {steps:6d} steps  {record.history[-1][2]:6.2f} dB")
        judged += clock() - now
        return enough

    fit_transition(mixture, steps=10**9, check=PeriodicCheck(check, look))
    return record


def whole_run(given: Case, preset: str) -> tuple[float, float]:
    """Return seconds and PSNR of a preset, from the window to the finished layers."""
    began = time.monotonic()
    result = apart(given.window, given.transition, settings=FitSettings(preset))
    return time.monotonic() - began, score((result.outgoing, result.incoming), given.truth)


def verdict(record: Record, seconds: float, reached: float) -> bool:
    """Return whether a preset beats the published fit.

    It must be as good as the fit ever was, :data:`SOONER` times before its last rise.
    """
    return reached >= record.peak and record.seconds >= SOONER * seconds


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison and print it; return 0 where the default wins."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quiet-minutes",
        type=float,
        default=10.0,
        help="end the published fit when it has not risen for so long",
    )
    parser.add_argument(
        "--seconds", type=float, default=None, help="or after so many seconds in any case"
    )
    options = parser.parse_args(words)

    def say(line: str) -> None:
        print(line, flush=True)

    given = case()
    mixed = given.window.pixels[given.mixture.mixed]
    say(
        f"{WIDTH}x{HEIGHT}, {CLEAN} clean, {MIXED} mixed, {CLEAN} clean frames; "
        f"{torch.get_num_threads()} threads"
    )
    say(f"the mixture itself has {score((mixed, mixed), given.truth):.2f} dB")
    record = watch_paper(given, Record(60 * options.quiet_minutes, options.seconds), say=say)
    ending = (
        f"no rise for {record.spent - record.seconds:.0f} s"
        if record.done
        else "CUT SHORT while it may still have risen"
    )
    say(
        f"paper: best {record.peak:.2f} dB, last rise at {record.seconds:.1f} s "
        f"({record.steps} steps); {ending}"
    )
    kept = {}
    for preset in ("balanced", "fast"):
        seconds, reached = whole_run(given, preset)
        kept[preset] = verdict(record, seconds, reached)
        against = f"{reached - record.peak:+.2f} dB against paper"
        sooner = f"{record.seconds / seconds:.1f} times sooner"
        say(f"{preset}: {reached:.2f} dB after {seconds:.1f} s: {against}, {sooner}")
    wins = "" if kept["balanced"] else "NOT "
    say(f"the default is {wins}{SOONER:.0f} times sooner at least as good")
    return 0 if kept["balanced"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
