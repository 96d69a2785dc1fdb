"""What each part of the method does, shown by leaving it out, on the sample's scenes: ``python -m samples.ablation``
(with names of rows: those alone).

Two cases: the scenes as they are, and every third frame of them, so that everything moves three times as fast. Each row takes the same
dissolve apart with one thing left out, through the code that a run uses; the true layers judge and are told to nobody.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
from stages.mixing.psnr import psnr_of
from stages.optim.fit import FitPlan
from stages.shots import Transition
from stages.transition import alternate
from stages.transition.networks import fit_layers
from stages.transition.plan import LARGEST, PLANS, Plan
from stages.transition.separate import SeparatedFrame, open_mixture, separate_transition
from stages.transition.window import Window

SIZE = 108, 192
CLEAN, MIXED = 5, 10
NETWORK_STEPS = 300

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Case:
    """A window of frames, its transition, and its true layers in the mixed frames, ``(n, 3, H, W)``."""

    name: str
    window: Frames
    transition: Transition
    truth: Pair

    @property
    def mixture(self) -> Mixture:
        """The window as the method gets it, with the true weights."""
        return open_mixture(Window.of(self.window), self.transition, LARGEST)


def case(
    name: str, stride: int, size: tuple[int, int] = SIZE, clean: int = CLEAN, mixed: int = MIXED
) -> Case:
    """The sample's scenes, every ``stride``-th frame, made smaller, in a linear dissolve; rounded to 8 bits as in a lossless file."""
    height, width = size
    small = [
        [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in scene]
        for scene in true_layers()[:2]
    ]
    scenes = [
        torch.from_numpy(np.stack(scene)).permute(0, 3, 1, 2).float() / 255 for scene in small
    ]
    if stride == 1:  # from the frames that both have
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
    """Both."""
    return [case("the sample", 1), case("three times as fast", 3)]


def by_plan(given: Case, plan: Plan) -> Pair:
    """The layers that a plan makes, each ``(MIXED, 3, H, W)``."""
    kept: list[SeparatedFrame] = []

    def put(place: int, frame: SeparatedFrame) -> None:
        kept.append(frame)

    settings = FitSettings()
    separate_transition(
        Window.of(given.window),
        given.transition,
        settings=settings,
        progress=lambda *told: None,
        put=put,
        plan=plan,
    )
    return torch.stack([frame.outgoing for frame in kept]), torch.stack(
        [frame.incoming for frame in kept]
    )


def by_networks(given: Case) -> Pair:
    """The networks alone, the rest shared out."""
    mixture = given.mixture
    found = fit_layers(mixture, plan=FitPlan(NETWORK_STEPS), learn_weight=False)
    return project(mixture, found.outgoing[mixture.mixed], found.incoming[mixture.mixed])


@contextmanager
def uncoupled() -> Iterator[None]:
    """Codes of the networks that have nothing in common from frame to frame."""

    def alone(*words: Any, **more: Any) -> CoupledNoise:
        return CoupledNoise(*words, **{**more, "moving": 1.0, "spacing": 1})

    with mock.patch("models.generator.CoupledNoise", alone):
        yield


def _alike() -> Any:
    """What carried layers leave unexplained goes to both alike."""
    return mock.patch.object(
        alternate, "settled", lambda mixture, layers: project(mixture, *layers)
    )


def _patched(name: str, value: float) -> Callable[[], Any]:
    return lambda: mock.patch.object(alternate, name, value)


WHOLE = PLANS["balanced"]
STILL = replace(WHOLE, levels=(), fit_steps=0, turns=0, ties=())
ROWS: dict[str, tuple[Callable[[Case], Pair], Sequence[Callable[[], Any]]]] = {
    "everything": (lambda given: by_plan(given, WHOLE), ()),
    "without motion through the mixture": (
        lambda given: by_plan(given, replace(WHOLE, levels=())),
        (),
    ),
    "the unexplained shared out alike": (lambda given: by_plan(given, WHOLE), (_alike,)),
    "without networks": (lambda given: by_plan(given, replace(WHOLE, fit_steps=0)), ()),
    "without sweeps": (lambda given: by_plan(given, replace(WHOLE, turns=0)), ()),
    "without ties": (lambda given: by_plan(given, replace(WHOLE, ties=())), ()),
    "without sweeps and ties": (lambda given: by_plan(given, replace(WHOLE, turns=0, ties=())), ()),
    "without anchors": (lambda given: by_plan(given, WHOLE), (_patched("ANCHOR", 0.0),)),
    "networks where motion is trusted too": (
        lambda given: by_plan(given, WHOLE),
        (_patched("OPEN", 2.0),),
    ),
    "networks alone": (by_networks, ()),
    "networks alone, noise not coupled": (by_networks, (uncoupled,)),
    "nothing: the last clean frames, held": (lambda given: by_plan(given, STILL), ()),
}
"""What is left out, how the layers are then made, and what is changed meanwhile."""


def score(layers: Pair, truth: Pair) -> float:
    """Mean PSNR of both layers over the mixed frames, in dB."""
    errors = [
        ((layer.clamp(0, 1) - real) ** 2).flatten(1).mean(1)
        for layer, real in zip(layers, truth, strict=True)
    ]
    return float(np.mean([psnr_of(float(error)) for each in errors for error in each]))


def take_apart(given: Case, name: str) -> tuple[Pair, float]:
    """The layers of a row of :data:`ROWS`, and its seconds."""
    work, changed = ROWS[name]
    with ExitStack() as stack:
        for change in changed:
            stack.enter_context(change())
        began = time.monotonic()
        layers = work(given)
        return layers, time.monotonic() - began


def main(names: Sequence[str] = ()) -> None:
    """Prints the table as Markdown, row by row; all rows unless told."""
    both = cases()
    torch.manual_seed(0)
    fit_layers(
        both[0].mixture, plan=FitPlan(1), learn_weight=False
    )  # the first call probes the precision
    print(
        f"{SIZE[1]}x{SIZE[0]}, {MIXED} mixed frames, true weights, {torch.get_num_threads()} threads; PSNR of both layers in dB, seconds\n"
    )
    print("| left out | " + " | ".join(f"{given.name} | s" for given in both) + " |")
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
