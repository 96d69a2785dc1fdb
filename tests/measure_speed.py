"""Show where the seconds of a transition go, and how close each step is to the machine's limits.

    python tests/measure_speed.py [--height 144] [--width 256]

The limits are operations per second (a product of large matrices) and bytes per second (a sum of
two large tensors into a third). A step's operations are those of its convolutions. Its traffic is
what all operations read and write, counted by tensors. With these operations no step can be faster
than the stricter limit; fused operations would move less. A step's time is what more of them cost,
in CPU time of one thread, so that other programs hardly count.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).parents[1]))

from clips import drifting

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture, mix
from stages.motion.carry import CarriedLayers, carry
from stages.motion.flow import flows
from stages.optim.fit import FitPlan
from stages.transition.fitted_transition import no_motion
from stages.transition.networks import KnownLayers, fill
from stages.transition.plan import PLANS
from stages.transition.sweep import relink_and_sweep
from stages.transition.tie import improve_by_ties

CLEAN, MIXED = 12, 12
"""Clean frames at each side, and mixed frames."""


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write. Views move nothing and are not counted."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        places = {leaf.untyped_storage().data_ptr() for leaf in given}
        in_place = func._schema.is_mutable
        if in_place or not all(leaf.untyped_storage().data_ptr() in places for leaf in made):
            self.bytes += sum(leaf.numel() * leaf.element_size() for leaf in (*given, *made))
        return out


@dataclass(frozen=True)
class Kind:
    """A kind of step.

    work: does ``count`` of them. steps: how many the default plan has.
    """

    name: str
    work: Callable[[int], object]
    steps: int


def mixture(height: int, width: int) -> tuple[Mixture, tuple[Tensor, Tensor]]:
    """Return a dissolve of two moving scenes, and its true layers ``(MIXED, 3, H, W)``."""
    count = 2 * CLEAN + MIXED
    one, other = (
        drifting(1, count, (0.4, 0.2), (height, width)),
        drifting(2, count, (-0.3, 0.2), (height, width)),
    )
    weight = ((torch.arange(count) - CLEAN + 1) / (MIXED + 1)).clamp(0, 1).view(-1, 1, 1, 1)
    inside = slice(CLEAN, CLEAN + MIXED)
    return Mixture(mix(one, other, weight, "gamma"), weight, CLEAN, CLEAN + MIXED - 1), (
        one[inside],
        other[inside],
    )


def kinds(given: Mixture, truth: tuple[Tensor, Tensor]) -> list[Kind]:
    """Return the steps of the default plan, at the size of ``given``."""
    plan = PLANS["balanced"]
    size = given.frames.shape[-2:]
    over = given.over_window(truth)
    flat = torch.full((len(given.frames), 1, *size), 0.2)
    known = KnownLayers(over, flat)
    carried = CarriedLayers(no_motion(given), (CLEAN - 1, CLEAN + MIXED), truth)
    pairs = [(CLEAN, CLEAN + 1)]
    found = [
        Kind(f"motion, 1/{scale} of the sides", partial(_carry, given, scale), steps)
        for scale, steps in plan.levels
    ]
    found.append(
        Kind(
            "networks",
            lambda count: fill(given, known, plan=FitPlan(count), scale=8),
            plan.fit_steps,
        )
    )
    found.append(
        Kind(
            "sweeps, a turn",
            lambda count: [
                relink_and_sweep(given, over, truth, flat[:MIXED]) for _ in range(count)
            ],
            plan.turns,
        )
    )
    found.append(
        Kind(
            "of it: a flow (OpenCV)",
            lambda count: [flows(given.frames, pairs) for _ in range(count)],
            0,
        )
    )
    found += [
        Kind(
            f"ties, 1/{scale} of the sides",
            partial(_tie, given, over, carried, scale),
            steps,
        )
        for scale, steps in plan.ties
    ]
    return found


def _tie(given: Mixture, over: Pair, carried: CarriedLayers, scale: int, count: int) -> object:
    return improve_by_ties(given, over, carried, [(scale, count)])


def _carry(given: Mixture, scale: int, count: int) -> object:
    return carry(given, [(scale, count)])


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that ``work`` takes."""
    began = time.process_time()
    work()
    return time.process_time() - began


def peak() -> tuple[float, float]:
    """Return the operations and bytes per second, the best of a few tries."""
    one, other = torch.rand(1024, 1024), torch.rand(1024, 1024)
    long, more, into = torch.rand(2**24), torch.rand(2**24), torch.empty(2**24)
    fast = min(seconds(lambda: one @ other) for _ in range(8))
    wide = min(seconds(lambda: torch.add(long, more, out=into)) for _ in range(8))
    return 2 * 1024**3 / fast, 3 * 4 * 2**24 / wide


def counted(work: Callable[[int], object]) -> tuple[float, float]:
    """Return the operations and bytes of a step."""
    totals = []
    for count in (1, 3):
        with FlopCounterMode(display=False) as operations:
            work(count)
        with Traffic() as traffic:
            work(count)
        totals.append((operations.get_total_flops(), traffic.bytes))
    return (totals[1][0] - totals[0][0]) / 2, (totals[1][1] - totals[0][1]) / 2


def main(words: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--height", type=int, default=144)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    operations, stream = peak()
    print(
        f"one thread: {operations / 1e9:.0f} G operations, {stream / 1e9:.1f} GB a second at most, "
        "in float32"
    )
    print(f"a dissolve of {MIXED} frames of {options.width}x{options.height}, the default plan")
    print(
        "| step | steps | ms each | of all | M operations | MB moved | bound, ms | reached |\n"
        "|---|---|---|---|---|---|---|---|"
    )
    given, truth = mixture(options.height, options.width)
    rows = []
    for kind in kinds(given, truth):
        kind.work(1)
        few, more = (min(seconds(partial(kind.work, count)) for _ in range(2)) for count in (1, 5))
        rows.append((kind, max(more - few, 1e-9) / 4, *counted(kind.work)))
    total = sum(kind.steps * spent for kind, spent, _, _ in rows)
    for kind, spent, done, moved in rows:
        bound = max(done / operations, moved / stream)
        share = f"{100 * kind.steps * spent / total:.0f} %" if kind.steps else ""
        reached = f"{1000 * bound:.2f} | {100 * bound / spent:.0f} %" if moved else " | "
        print(
            f"| {kind.name} | {kind.steps or ''} | {1000 * spent:.2f} | {share} "
            f"| {done / 1e6:.0f} | {moved / 1e6:.1f} | {reached} |"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
