"""What motion and networks bring, each alone and both together, at equal time, on real footage with known layers.

    python tests/compare_partners.py [--case NAME]... [--seeds 0 1]

Needs the development footage beside the project (``../shared``). Every method gets the true mixing curve and the seconds that ``both``
took: motion spends them on more turns of its sweeps, the networks on more steps. ``both`` runs the networks on every clip, even where the
pipeline would leave them out because motion explains most of the picture; the mean trust that decides this is printed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from clips import opened, psnr
from numpy.typing import NDArray
from torch import Tensor

from stages.context import FitSettings
from stages.media.clip import Frames
from stages.mixing.mixture import Mixture, project
from stages.optim.fit import FitPlan
from stages.shots import Transition
from stages.transition import alternate as heart
from stages.transition.alternate import alternate
from stages.transition.networks import fit_layers
from stages.transition.plan import PLANS

SHARED = Path(__file__).parents[2] / "shared"
CASES = ("bunny_x_street", "flower_x_friday", "carphone_x_apollo")
TRIAL = 20  # steps of the networks that measure what one costs

Pair = tuple[Tensor, Tensor]


def bench() -> ModuleType:
    """The scoring script, as a module."""
    spec = importlib.util.spec_from_file_location("score", SHARED / "bench" / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def eight_bits(stack: NDArray[np.float32]) -> Tensor:
    """Frames ``(T, H, W, 3)`` in [0, 1] as a lossless file holds them: ``(T, 3, H, W)``, rounded to 8 bits."""
    return (
        torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2), np.float32))
        .mul(255)
        .round()
        .clamp(0, 255)
        / 255
    )


def build(case: dict[str, Any]) -> tuple[Mixture, Pair]:
    """The mixture of a case, with its true curve, and its true layers in the mixed frames."""
    mixed, a, b, weight = bench().build_transition(case, SHARED / "data")
    pre, steps = case["pre"], case["steps"]
    curve = torch.as_tensor(weight).float().reshape(len(mixed), -1).mean(1)
    window = Frames(eight_bits(mixed), tuple(Fraction(index, 25) for index in range(len(mixed))))
    found = Transition(
        pre, pre + steps - 1, "dissolve", tuple(curve[pre : pre + steps].tolist()), "gamma", 0, 1
    )
    mixture = opened(window, found)
    return mixture, (eight_bits(a)[mixture.mixed], eight_bits(b)[mixture.mixed])


def by_motion(
    mixture: Mixture, seed: int, *, networks: bool, turns: int | None = None
) -> tuple[Pair, float, dict[str, float]]:
    """The layers, the mean trust in motion and the seconds by stage of the default plan, with the networks forced on or left out."""
    plan = PLANS["balanced"] if networks else replace(PLANS["balanced"], fit_steps=0)
    seconds: dict[str, float] = dict.fromkeys(("motion", "networks", "sweeps", "ties"), 0.0)
    with mock.patch.object(heart, "OPEN", 2.0):
        plan = replace(plan, turns=turns or plan.turns)
        done = alternate(
            mixture, "dissolve", plan, FitSettings(seed=seed), lambda done, note: None, seconds
        )
    return project(mixture, *done.layers), done.trust, seconds


def by_networks(mixture: Mixture, seed: int, seconds: float) -> Pair:
    """The generators alone for about so many seconds: fitted to the mixture, the residual shared out."""
    fit_layers(
        mixture, plan=FitPlan(1), learn_weight=False
    )  # the first call also probes the precision
    began = time.monotonic()
    fit_layers(mixture, plan=FitPlan(TRIAL), seed=seed, learn_weight=False)
    steps = max(TRIAL, round(TRIAL * seconds / (time.monotonic() - began)))
    found = fit_layers(mixture, plan=FitPlan(steps), seed=seed, learn_weight=False)
    return project(mixture, found.outgoing[mixture.mixed], found.incoming[mixture.mixed])


def score(layers: Pair, truth: Pair) -> float:
    """Mean PSNR of both layers in dB."""
    return sum(psnr(layer.clamp(0, 1), real) for layer, real in zip(layers, truth, strict=True)) / 2


def main(words: Sequence[str] | None = None) -> int:
    """Runs the comparison and prints a line for each case and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", action="append", choices=CASES, help="one of them alone; may be given again"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(words)
    cases = {
        case["name"]: case for case in json.loads((SHARED / "bench" / "cases.json").read_text())
    }
    print(f"{torch.get_num_threads()} threads; PSNR of both layers in dB", flush=True)
    for name in options.case or CASES:
        mixture, truth = build(cases[name])
        for seed in options.seeds:
            both, trust, spent = by_motion(mixture, seed, networks=True)
            total = sum(spent.values())
            turns = PLANS["balanced"].turns
            motion, _, plain = by_motion(mixture, seed, networks=False)
            more = turns + round((total - sum(plain.values())) / max(plain["sweeps"] / turns, 1e-3))
            longer, _, _ = by_motion(mixture, seed, networks=False, turns=max(turns, more))
            alone = by_networks(mixture, seed, total)
            figures = {
                "networks alone": alone,
                "motion alone": longer,
                "motion in its own time": motion,
                "both": both,
            }
            line = ", ".join(
                f"{label} {score(layers, truth):.2f}" for label, layers in figures.items()
            )
            own = f"{sum(plain.values()):.0f} s"
            print(
                f"{name} seed {seed}, {total:.0f} s (motion's own time {own}, {more} turns for all), trust {trust:.2f}: {line}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
