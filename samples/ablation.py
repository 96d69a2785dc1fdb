"""Show what each part of the method gains, by leaving it out, on the scenes of the sample.

    python -m samples.ablation [ROW]...

There are two cases: the scenes as they are, and every third frame of them, in which everything
moves three times as fast. Each row separates the same dissolve with one thing left out, through the
code that a run uses. The true layers are used only to judge the result.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch
from torch import Tensor

from models.noise import CoupledNoise
from samples.make import OFFSET, SCENE, true_layers
from stages.context import FitSettings
from stages.media.clip import Frames
from stages.mixing.mixture import Mixture, project
from stages.mixing.psnr import mean_psnr
from stages.optim.fit import FitPlan
from stages.shots import Transition
from stages.transition import alternate
from stages.transition.networks import NetworkOptions, fit_layers
from stages.transition.plan import LARGEST_WORK_PIXELS, PLANS, Plan
from stages.transition.separate import open_mixture, separate_transition
from stages.transition.separated_frame import SeparatedFrame
from stages.transition.window import Window

SIZE = 108, 192
"""Height and width of the pictures."""

CLEAN, MIXED = 5, 10
"""Clean frames at each side, and mixed frames."""

NETWORK_STEPS = 300
"""Steps of the networks where they work alone."""

GIVEN_WEIGHT = NetworkOptions(learn_weight=False)
"""Networks that take the weights as given."""

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A window of frames, its transition, and the true layers of its mixed frames.

    truth: ``(n, 3, H, W)`` each.
    """

    name: str
    window: Frames
    transition: Transition
    truth: Pair

    @property
    def mixture(self) -> Mixture:
        """The window as the method sees it, with the true weights."""
        return open_mixture(Window.of(self.window), self.transition, LARGEST_WORK_PIXELS)


def case(
    name: str, stride: int, size: tuple[int, int] = SIZE, clean: int = CLEAN, mixed: int = MIXED
) -> Case:
    """Return the sample's scenes in a linear dissolve, rounded to 8 bits as in a lossless file.

    stride: of the frames that are taken. size: height and width. clean: frames at each side.
    mixed: frames of the dissolve.
    """
    height, width = size
    small = [
        [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in scene]
        for scene in true_layers()[:2]
    ]
    scenes = [
        torch.from_numpy(np.stack(scene)).permute(0, 3, 1, 2).float() / 255 for scene in small
    ]
    if stride == 1:  # From the frames that both scenes have.
        first = (OFFSET + SCENE - mixed) // 2
        outgoing, incoming = (
            scenes[0][first - clean : first + mixed],
            scenes[1][first - OFFSET : first - OFFSET + mixed + clean],
        )
    else:
        outgoing, incoming = (scene[::stride][: clean + mixed] for scene in scenes)
    weight = (torch.arange(1, mixed + 1) / (mixed + 1)).view(-1, 1, 1, 1)
    truth = outgoing[clean:], incoming[:mixed]
    between = (((1 - weight) * truth[0] + weight * truth[1]) * 255).round() / 255
    frames = torch.cat([outgoing[:clean], between, incoming[mixed:]])
    window = Frames(frames, tuple(Fraction(index, 25) for index in range(len(frames))))
    return Case(
        name,
        window,
        Transition(
            clean, clean + mixed - 1, "dissolve", tuple(weight.flatten().tolist()), "gamma", 0, 1
        ),
        truth,
    )


def cases() -> list[Case]:
    """Return both cases."""
    return [case("the sample", 1), case("three times as fast", 3)]


def by_plan(given: Case, plan: Plan) -> Pair:
    """Return the layers that a plan makes, each ``(MIXED, 3, H, W)``."""
    kept: list[SeparatedFrame] = []

    def put(place: int, frame: SeparatedFrame) -> None:
        kept.append(frame)

    settings = FitSettings()
    separate_transition(
        Window.of(given.window),
        given.transition,
        settings=settings,
        progress=lambda done, note: None,
        put=put,
        plan=plan,
    )
    return torch.stack([frame.outgoing for frame in kept]), torch.stack(
        [frame.incoming for frame in kept]
    )


def by_networks(given: Case) -> Pair:
    """Return the layers of the networks alone, with the residual distributed."""
    mixture = given.mixture
    found = fit_layers(mixture, plan=FitPlan(NETWORK_STEPS), options=GIVEN_WEIGHT)
    return project(mixture, found.outgoing[mixture.mixed], found.incoming[mixture.mixed])


@contextmanager
def uncoupled() -> Iterator[None]:
    """Let the codes of different frames have nothing in common, inside the block."""

    def alone(*words: Any, **more: Any) -> CoupledNoise:
        return CoupledNoise(*words, **{**more, "moving": 1.0, "spacing": 1})

    with mock.patch("models.generator.CoupledNoise", alone):
        yield


def equally_distributed() -> Any:
    """Distribute the residual of carried layers equally, inside the block."""
    return mock.patch.object(
        alternate, "reconcile", lambda mixture, layers: project(mixture, *layers)
    )


def with_constant(name: str, value: float) -> Callable[[], Any]:
    """Return what gives a constant of :mod:`stages.transition.alternate` another value."""
    return lambda: mock.patch.object(alternate, name, value)


WHOLE = PLANS["balanced"]
STILL = replace(WHOLE, levels=(), fit_steps=0, turns=0, ties=())


@dataclass(frozen=True)
class Row:
    """One row of the table.

    plan: makes the layers; ``None``: networks alone make them. change: a context in which it runs.
    """

    plan: Plan | None = WHOLE
    change: Callable[[], Any] = nullcontext

    def layers(self, given: Case) -> Pair:
        """Return both layers of a case."""
        with self.change():
            return by_networks(given) if self.plan is None else by_plan(given, self.plan)


ROWS: dict[str, Row] = {
    "everything": Row(),
    "without motion through the mixture": Row(replace(WHOLE, levels=())),
    "the residual distributed equally": Row(change=equally_distributed),
    "without networks": Row(replace(WHOLE, fit_steps=0)),
    "without sweeps": Row(replace(WHOLE, turns=0)),
    "without ties": Row(replace(WHOLE, ties=())),
    "without sweeps and ties": Row(replace(WHOLE, turns=0, ties=())),
    "without anchors": Row(change=with_constant("ANCHOR", 0.0)),
    "networks also where motion is trusted": Row(change=with_constant("OPEN", 2.0)),
    "networks alone": Row(None),
    "networks alone, noise not coupled": Row(None, uncoupled),
    "nothing: the last clean frames, held": Row(STILL),
}
"""The rows by name, in the order of the table."""


def score(layers: Pair, truth: Pair) -> float:
    """Return the mean PSNR of both layers over the mixed frames, in dB."""
    scores = [mean_psnr(layer.clamp(0, 1), real) for layer, real in zip(layers, truth, strict=True)]
    return sum(scores) / len(scores)


def take_apart(given: Case, name: str) -> tuple[Pair, float]:
    """Return the layers of a row of :data:`ROWS`, and the seconds that it took."""
    began = time.monotonic()
    layers = ROWS[name].layers(given)
    return layers, time.monotonic() - began


def main(names: Sequence[str] = ()) -> None:
    """Print the table as Markdown, row by row.

    names: of the rows; all unless given.
    """
    both = cases()
    torch.manual_seed(0)
    # The first call probes the precision.
    fit_layers(both[0].mixture, plan=FitPlan(1), options=GIVEN_WEIGHT)
    print(
        f"{SIZE[1]}x{SIZE[0]}, {MIXED} mixed frames, true weights, "
        f"{torch.get_num_threads()} threads; PSNR of both layers in dB, seconds\n"
    )
    print("| what runs | " + " | ".join(f"{given.name} | s" for given in both) + " |")
    print("|---|" + "---|---|" * len(both), flush=True)
    for name in names or ROWS:
        figures = [
            (score(layers, given.truth), seconds)
            for given in both
            for layers, seconds in [take_apart(given, name)]
        ]
        print(
            f"| {name} | "
            + " | ".join(f"{reached:.1f} | {seconds:.1f}" for reached, seconds in figures)
            + " |",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
