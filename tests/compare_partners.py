"""Compare motion, networks and both together, in equal time, on footage with known layers.

    python tests/compare_partners.py [--case NAME]... [--seeds 0 1]

Needs the development footage beside the project (``../shared``). Each method gets the true weights
and the seconds that ``both`` took: motion spends them on more turns of its sweeps, the networks on
more steps. ``both`` runs the networks on every clip, even where the pipeline would leave them out
because motion explains most of the picture. The mean trust that decides this is printed.
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
from stages.transition import alternate as alternation
from stages.transition.alternate import Reporting, alternate
from stages.transition.networks import NetworkOptions, fit_layers
from stages.transition.plan import PLANS

SHARED = Path(__file__).parents[2] / "shared"
CASES = ("bunny_x_street", "flower_x_friday", "carphone_x_apollo")
"""Cases of the development footage."""

TRIAL = 20
"""Steps of the networks by which their cost is measured."""

GIVEN_WEIGHT = NetworkOptions(learn_weight=False)
"""Networks that take the weights as given."""

Pair = tuple[Tensor, Tensor]


def bench() -> ModuleType:
    """Return the scoring script as a module."""
    spec = importlib.util.spec_from_file_location("score", SHARED / "bench" / "score.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def eight_bits(stack: NDArray[np.float32]) -> Tensor:
    """Return frames ``(T, H, W, 3)`` in [0, 1] as ``(T, 3, H, W)``, rounded to 8 bits."""
    return (
        torch.from_numpy(np.ascontiguousarray(stack.transpose(0, 3, 1, 2), np.float32))
        .mul(255)
        .round()
        .clamp(0, 255)
        / 255
    )


def build(case: dict[str, Any]) -> tuple[Mixture, Pair]:
    """Return the mixture of a case with its true weights, and the layers of its mixed frames."""
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
    """Return layers, mean trust in motion, and seconds by stage of the default plan.

    networks: whether they run, on any clip. turns: of the sweeps; the plan's unless given.
    """
    plan = PLANS["balanced"] if networks else replace(PLANS["balanced"], fit_steps=0)
    seconds: dict[str, float] = dict.fromkeys(("motion", "networks", "sweeps", "ties"), 0.0)
    with mock.patch.object(alternation, "MOTION_SUFFICES", 2.0):
        plan = replace(plan, turns=turns or plan.turns)
        reporting = Reporting(lambda done, note: None, seconds)
        done = alternate(mixture, "dissolve", plan, FitSettings(seed=seed), reporting)
    return project(mixture, *done.layers), done.trust, seconds


def by_networks(mixture: Mixture, seed: int, seconds: float) -> Pair:
    """Return the layers of the generators alone, fitted for about so many seconds."""
    # The first call also probes the precision.
    fit_layers(mixture, plan=FitPlan(1), options=GIVEN_WEIGHT)
    began = time.monotonic()
    fit_layers(mixture, plan=FitPlan(TRIAL), seed=seed, options=GIVEN_WEIGHT)
    steps = max(TRIAL, round(TRIAL * seconds / (time.monotonic() - began)))
    found = fit_layers(mixture, plan=FitPlan(steps), seed=seed, options=GIVEN_WEIGHT)
    return project(mixture, found.outgoing[mixture.mixed], found.incoming[mixture.mixed])


def score(layers: Pair, truth: Pair) -> float:
    """Return the mean PSNR of both layers, in dB."""
    return sum(psnr(layer.clamp(0, 1), real) for layer, real in zip(layers, truth, strict=True)) / 2


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison and print a line for each case and seed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--case", action="append", choices=CASES, help="one of them; may be repeated"
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
                f"{name} seed {seed}, {total:.0f} s (motion's own time {own}, "
                f"{more} turns for all), trust {trust:.2f}: {line}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
