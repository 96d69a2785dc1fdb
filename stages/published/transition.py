"""Double-DIP on a transition as published (Gandelsman et al., CVPR 2019, section 5).

Two networks draw the scenes of all frames, each frame on noise that differs a little from that of
the frame before. The alpha of a frame is constant over the picture, and given. Losses are the
squared error and a tenth of exclusion. Each frame of the window is a mixture to the method, clean
frames too, with a weight of 0 or 1; there the other scene is free, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from models.noise import walking_noise
from stages.checkpoint import CheckpointStore, NoCheckpoints
from stages.mixing.mixture import Mixture
from stages.optim.fit import FitState, OnStep, fit
from stages.optim.loss_curves import Curves, Trace, joined
from stages.optim.losses import Schedule, constant, exclusion, squared_reconstruction
from stages.published.fit import BestSnapshot, KeptSnapshot, published_plan, steps_a_pass
from stages.published.networks import DEPTH, JITTER, InputJitter, PublishedNetworks

CHANNELS = (3, 3)
"""Channels of the two scenes."""

STEPS = 4000
"""Steps of Adam."""

WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "exclusion": constant(0.1)}
"""The weights of the losses."""

POINTS = 5
"""Points of each loss that a part of the fit leaves in its trace."""


@dataclass(frozen=True)
class PublishedScenes:
    """Both scenes over the whole window.

    outgoing, incoming: ``(N, 3, H, W)`` in [0, 1], as the best snapshot draws the mixed frames;
        they need not mix to the input exactly. All other frames are the input's own.
    state: of the fit. trace: its losses.
    """

    outgoing: Tensor
    incoming: Tensor
    state: FitState
    trace: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class PeriodicCheck:
    """A look at the fit every so often.

    every: steps between two looks; a fit can also be resumed from there.
    ends: takes the steps done and the result so far, and returns whether to end the fit.
    """

    every: int = 100
    ends: Callable[[int, PublishedScenes], bool] | None = None


def fit_transition(
    mixture: Mixture,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | None = None,
    check: PeriodicCheck = PeriodicCheck(),
    checkpoints: CheckpointStore | None = None,
    on_step: OnStep | None = None,
) -> PublishedScenes:
    """Fit the published networks to the window and return both scenes.

    steps: how many. seed: of initial values and noise. device: where to fit.
    check: looks at the fit every so often. checkpoints: where the fit is saved in between.
    on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    device = device or mixture.frames.device
    count = len(mixture.frames)
    noises = [
        walking_noise(count, DEPTH, mixture.size, len(CHANNELS) * seed + number)
        for number in range(len(CHANNELS))
    ]
    module = PublishedNetworks(CHANNELS, noises, seed).to(device)
    frames = mixture.frames.to(device)
    weights = mixture.weight.to(device)
    jitter = InputJitter(seed)
    best = BestSnapshot(steps_a_pass(count))

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        outgoing, incoming = module(index, jitter.draw(module, index, JITTER))
        picture = mixture.dissolve(weights[index]).mix(outgoing, incoming)
        error = squared_reconstruction(picture, frames[index])
        best.offer(module, float(error.detach()))
        return {"reconstruction": error, "exclusion": exclusion(outgoing, incoming)}

    checkpoints = checkpoints or NoCheckpoints()
    state: FitState | None = None
    done = 0
    curves = Curves()
    kept = checkpoints.newest("published", FitState, KeptSnapshot)
    if kept is not None:
        done, state, generator_state, curves, snapshot = kept
        jitter.generator.set_state(generator_state)
        best.resume(snapshot)
    while True:
        part = min(check.every, steps - done)
        trace = Trace(POINTS)

        def note(
            progress: float,
            losses: Mapping[str, float],
            begun: int = done,
            part: int = part,
            trace: Trace = trace,
        ) -> None:
            whole = (begun + progress * part) / steps
            trace.add("networks", whole, losses)
            if on_step is not None:
                on_step(whole, losses)

        plan = published_plan(part, start=state)
        state = fit(module, terms, WEIGHTS, plan, frames=count, seed=seed, on_step=note)
        done += part
        curves = joined(curves, trace.curves())
        checkpoints.save_if_due(
            "published", (done, state, jitter.generator.get_state(), curves, best.kept())
        )
        if done >= steps or check.ends is not None:
            result = replace(_result(module, best, mixture, state), trace=curves)
            if done >= steps or (check.ends is not None and check.ends(done, result)):
                return result


def _result(
    module: PublishedNetworks, best: BestSnapshot, mixture: Mixture, state: FitState
) -> PublishedScenes:
    """Return the scenes as the best snapshot draws them; the module stays as it is."""
    best.apply(module)
    mixed = torch.arange(mixture.first, mixture.last + 1)
    outgoing, incoming = module.render(mixed)
    module.load_state_dict(state.module)
    layers = mixture.over_window((outgoing.to(mixture.frames), incoming.to(mixture.frames)))
    return PublishedScenes(*layers, state)
