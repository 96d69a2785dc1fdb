"""The published method against the default, on the sample's scenes at 128x72 with the true mixing curve given to both.

    python tests/compare_paper.py [--quiet-minutes 10] [--seconds N]

``--preset paper``'s fit goes on until its layers' PSNR has not risen for ``--quiet-minutes`` (or for ``--seconds`` in all); then the
default runs, whole, and ``fast`` for comparison. Exit status 1 where the default is not at least 20 times sooner at least as good. The
true layers judge the results and are told to neither.
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
from stages.transition.networks import FitResult
from stages.transition.paper import fit_paper

HEIGHT, WIDTH = 72, 128
CLEAN, MIXED = 8, 12
SOONER = 20.0  # times
RISE = 0.05  # dB that count as one
CHECK = (
    25  # steps of the published fit between two looks; rendering then costs it about two per cent
)

Pair = tuple[Tensor, Tensor]


def case(height: int = HEIGHT, width: int = WIDTH) -> Case:
    """The sample's scenes in a linear dissolve."""
    return scenes("the sample", 1, (height, width), CLEAN, MIXED)


def score(layers: Pair, truth: Pair) -> float:
    """Mean PSNR of both layers in dB."""
    return sum(psnr(layer.clamp(0, 1), real) for layer, real in zip(layers, truth, strict=True)) / 2


@dataclass
class Record:
    """A fit's best PSNR over time. ``seconds``: when it last rose by :data:`RISE`; ``peak``: the highest ever seen, rise or not."""

    quiet: float
    limit: float | None = None
    best: float = -float("inf")
    seconds: float = 0.0
    steps: int = 0
    peak: float = -float("inf")
    spent: float = 0.0
    history: list[tuple[int, float, float]] = field(default_factory=list)

    def add(self, steps: int, seconds: float, reached: float) -> bool:
        """Notes what was reached; whether that is enough: no rise for ``quiet`` seconds, or the limit."""
        self.history.append((steps, seconds, reached))
        self.peak, self.spent = max(self.peak, reached), seconds
        if reached > self.best + RISE:
            self.best, self.seconds, self.steps = reached, seconds, steps
        return self.done or (self.limit is not None and seconds >= self.limit)

    @property
    def done(self) -> bool:
        """Whether the fit has come to rest, rather than been cut short."""
        return self.spent - self.seconds >= self.quiet


def watch_paper(
    given: Case,
    record: Record,
    *,
    check: int = CHECK,
    say: Callable[[str], None] = print,
    clock: Callable[[], float] = time.monotonic,
) -> Record:
    """Runs the published fit until ``record`` has seen enough. The layers' projection and PSNR are not on its clock."""
    mixture, judged, began = given.mixture, 0.0, clock()

    def look(steps: int, result: FitResult) -> bool:
        nonlocal judged
        now = clock()
        layers = project(mixture, result.outgoing[mixture.mixed], result.incoming[mixture.mixed])
        before = record.best
        enough = record.add(steps, now - began - judged, score(layers, given.truth))
        if record.best > before or enough:
            say(f"paper   {record.spent:8.1f} s  {steps:6d} steps  {record.history[-1][2]:6.2f} dB")
        judged += clock() - now
        return enough

    fit_paper(mixture, steps=10**9, check_every=check, on_check=look)
    return record


def whole_run(given: Case, preset: str) -> tuple[float, float]:
    """Seconds and PSNR of a preset, from the window to the finished layers."""
    began = time.monotonic()
    result = apart(given.window, given.transition, settings=FitSettings(preset))
    return time.monotonic() - began, score((result.outgoing, result.incoming), given.truth)


def verdict(record: Record, seconds: float, reached: float) -> bool:
    """Whether a preset is at least as good as the published fit ever was, :data:`SOONER` times before that last rose."""
    return reached >= record.peak and record.seconds >= SOONER * seconds


def main(words: Sequence[str] | None = None) -> int:
    """Runs the comparison and prints it; 0 where the default holds its promise."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quiet-minutes",
        type=float,
        default=10.0,
        help="the published fit ends when it has not risen for so long",
    )
    parser.add_argument(
        "--seconds", type=float, default=None, help="or after so many seconds, risen or not"
    )
    options = parser.parse_args(words)

    def say(line: str) -> None:
        print(line, flush=True)

    given = case()
    mixed = given.window.pixels[given.mixture.mixed]
    say(
        f"{WIDTH}x{HEIGHT}, {CLEAN} clean, {MIXED} mixed, {CLEAN} clean frames; {torch.get_num_threads()} threads"
    )
    say(f"the mixture itself has {score((mixed, mixed), given.truth):.2f} dB")
    record = watch_paper(given, Record(60 * options.quiet_minutes, options.seconds), say=say)
    ending = (
        f"no rise for {record.spent - record.seconds:.0f} s"
        if record.done
        else "CUT SHORT while it may still have risen"
    )
    say(
        f"paper: best {record.peak:.2f} dB, last rise at {record.seconds:.1f} s ({record.steps} steps); {ending}"
    )
    kept = {}
    for preset in ("balanced", "fast"):
        seconds, reached = whole_run(given, preset)
        kept[preset] = verdict(record, seconds, reached)
        against = f"{reached - record.peak:+.2f} dB against paper, {record.seconds / seconds:.1f} times sooner"
        say(f"{preset}: {reached:.2f} dB after {seconds:.1f} s: {against}")
    say(
        f"the default is {'' if kept['balanced'] else 'NOT '}{SOONER:.0f} times sooner at least as good"
    )
    return 0 if kept["balanced"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
