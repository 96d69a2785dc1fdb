"""Double-DIP on a transition as published (Gandelsman et al., CVPR 2019, section 5).

Two networks draw the scenes of all frames, each frame on noise that differs a little from that of
the frame before. The alpha of a frame is constant over the picture, and given. Losses are the
squared error and a tenth of exclusion. Each frame of the window is a mixture to the method, clean
frames too, with a weight of 0 or 1; there the other scene is free, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from models.noise import walking_noise
from stages.mixing.mixture import Mixture
from stages.optim.descent import part_of_fit
from stages.optim.fit import FitState, OnStep, fit
from stages.optim.loss_curves import Curves, Trace, joined
from stages.optim.losses import Schedule, constant, exclusion, squared_reconstruction
from stages.published.fit import BestSnapshot, KeptSnapshot, published_plan, steps_a_pass
from stages.published.networks import DEPTH, JITTER, InputJitter, PublishedNetworks
from stages.storage.checkpoint import CheckpointStore, NoCheckpoints

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
    """How often a fit is interrupted to be saved, and to ask whether it goes on.

    every: steps between two interruptions; a fit can be resumed at each.
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
    check: how often the fit is interrupted, and whether it then ends.
    checkpoints: where the fit is saved at each interruption.
    on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    fitted = _TransitionFit(mixture, seed, device or mixture.frames.device)
    checkpoints = checkpoints or NoCheckpoints()
    fitted.resume(checkpoints)
    while True:
        fitted.go_on(min(check.every, steps - fitted.done), steps, on_step)
        fitted.save(checkpoints)
        is_over = fitted.done >= steps
        if is_over or check.ends is not None:
            result = fitted.result()
            if is_over or (check.ends is not None and check.ends(fitted.done, result)):
                return result


class _TransitionFit:
    """The fit of one transition, which may be saved and resumed between its parts.

    mixture: the window. seed: of initial values and noise. device: where to fit.
    done: the steps that were taken so far.
    """

    def __init__(self, mixture: Mixture, seed: int, device: torch.device) -> None:
        self.mixture = mixture
        self.seed = seed
        self.count = len(mixture.frames)
        noises = [
            walking_noise(self.count, DEPTH, mixture.size, len(CHANNELS) * seed + number)
            for number in range(len(CHANNELS))
        ]
        self.module = PublishedNetworks(CHANNELS, noises, seed).to(device)
        self.frames = mixture.frames.to(device)
        self.weights = mixture.weight.to(device)
        self.jitter = InputJitter(seed)
        self.best = BestSnapshot(steps_a_pass(self.count))
        self.done = 0
        self.curves = Curves()
        self._state: FitState | None = None

    def resume(self, checkpoints: CheckpointStore) -> None:
        """Go on from what an interrupted fit has saved, if there is anything."""
        kept = checkpoints.newest("published", FitState, KeptSnapshot)
        if kept is not None:
            self.done, self._state, generator_state, self.curves, snapshot = kept
            self.jitter.generator.set_state(generator_state)
            self.best.resume(snapshot)

    def save(self, checkpoints: CheckpointStore) -> None:
        """Save the fit, if that is due."""
        jitter = self.jitter.generator.get_state()
        kept = (self.done, self._state, jitter, self.curves, self.best.kept())
        checkpoints.save_if_due("published", kept)

    def go_on(self, part: int, steps: int, on_step: OnStep | None) -> None:
        """Take ``part`` more steps of a fit of ``steps`` steps."""
        trace = Trace(POINTS)

        def note(progress: float, losses: Mapping[str, float]) -> None:
            trace.add("networks", progress, losses)
            if on_step is not None:
                on_step(progress, losses)

        self._state = fit(
            self.module,
            self._losses,
            WEIGHTS,
            published_plan(part, start=self._state),
            frames=self.count,
            seed=self.seed,
            on_step=part_of_fit(note, self.done, part, steps),
        )
        self.done += part
        self.curves = joined(self.curves, trace.curves())

    def _losses(self, index: Tensor, progress: float) -> dict[str, Tensor]:
        """Return the losses of the frames ``index`` ``(B,)``."""
        del progress
        jitters = self.jitter.draw(self.module, index, JITTER)
        outgoing, incoming = self.module(index, jitters)
        picture = self.mixture.dissolve(self.weights[index]).mix(outgoing, incoming)
        error = squared_reconstruction(picture, self.frames[index])
        self.best.offer(self.module, float(error.detach()))
        return {"reconstruction": error, "exclusion": exclusion(outgoing, incoming)}

    def result(self) -> PublishedScenes:
        """Return the scenes as the best snapshot draws them; the fit can go on afterwards."""
        assert self._state is not None, "no step was taken"
        mixture = self.mixture
        self.best.apply(self.module)
        mixed = torch.arange(mixture.first, mixture.last + 1)
        outgoing, incoming = self.module.render(mixed)
        self.module.load_state_dict(self._state.module)
        layers = mixture.over_window((outgoing.to(mixture.frames), incoming.to(mixture.frames)))
        return PublishedScenes(*layers, self._state, self.curves)
