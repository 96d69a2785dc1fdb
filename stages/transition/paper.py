"""Double-DIP on a transition as published, for the preset ``paper``, with the weights given.

Two networks, Adam at 1e-3 without a schedule, float32, squared error and a tenth of exclusion
(Gandelsman et al., CVPR 2019). Each frame of the window is a mixture to it, clean frames too, with
a weight of 0 or 1; there the other scene is free, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from stages.checkpoint import CheckpointStore, NoCheckpoints
from stages.mixing.mixture import Mixture
from stages.optim.fit import FitState, OnStep, fit
from stages.optim.loss_curves import Curves, Trace, joined
from stages.optim.losses import exclusion, squared_reconstruction
from stages.optim.published import WEIGHTS, InputJitter, PublishedNetworks, published_plan
from stages.transition.networks import FitResult, hold_ends

CHANNELS = (3, 3)
"""Channels of the two scenes."""

POINTS = 5
"""Points of each loss that a part of the fit leaves in its trace."""


@dataclass(frozen=True)
class PeriodicCheck:
    """A look at the fit every so often.

    every: steps between two looks; a fit can also be resumed from there.
    ends: takes the steps done and the result so far, and returns whether to end the fit.
    """

    every: int = 100
    ends: Callable[[int, FitResult], bool] | None = None


def fit_paper(
    mixture: Mixture,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | None = None,
    check: PeriodicCheck = PeriodicCheck(),
    checkpoints: CheckpointStore | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Fit the published networks to the window and return both scenes.

    steps: how many. seed: of initial values and noise. device: where to fit.
    check: looks at the fit every so often. checkpoints: where the fit is saved in between.
    on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    device = device or mixture.frames.device
    module = PublishedNetworks.walking(CHANNELS, len(mixture.frames), mixture.size, seed).to(device)
    frames = mixture.frames.to(device)
    weights = mixture.weight.to(device)
    jitter = InputJitter(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        outgoing, incoming = module(index, jitter.draw(module, len(index)))
        picture = mixture.dissolve(weights[index]).mix(outgoing, incoming)
        return {
            "reconstruction": squared_reconstruction(picture, frames[index]),
            "exclusion": exclusion(outgoing, incoming),
        }

    checkpoints = checkpoints or NoCheckpoints()
    state: FitState | None = None
    done = 0
    curves = Curves()
    if (kept := checkpoints.newest("published", FitState)) is not None:
        done, state, generator_state, curves = kept
        jitter.generator.set_state(generator_state)
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

        plan = replace(published_plan(part), start=state)
        state = fit(module, terms, WEIGHTS, plan, frames=len(frames), seed=seed, on_step=note)
        done += part
        curves = joined(curves, trace.curves())
        checkpoints.save_if_due("published", (done, state, jitter.generator.get_state(), curves))
        if done >= steps or check.ends is not None:
            result = replace(_result(module, mixture, state), trace=curves)
            if done >= steps or (check.ends is not None and check.ends(done, result)):
                return result


def _result(module: PublishedNetworks, mixture: Mixture, state: FitState) -> FitResult:
    """Return the fit's result: the mixed frames rendered, the clean ones the input's own."""
    mixed = torch.arange(mixture.first, mixture.last + 1)
    outgoing, incoming = module.render(mixed)
    layers = mixture.over_window((outgoing.to(mixture.frames), incoming.to(mixture.frames)))
    return FitResult(*hold_ends(mixture, layers), mixture.weight, state)
