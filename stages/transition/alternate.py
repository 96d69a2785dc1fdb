"""The core of the method: motion and networks take turns on one transition.

    clean frames --carry--> layers, and how far they explain the input (trust)
           trust --networks--> a start for what motion leaves open
          layers --sweeps and ties--> frames that agree along each layer's own motion, and layers
                                      that mix back to the input
    Larger plans repeat the last line.

Each arrow is a step from one :class:`AlternationState` to the next. An interrupted run goes on
after the last step whose state was saved.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from stages.context import FitSettings
from stages.kinds import TRANSITION_KINDS
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture, project
from stages.motion.carry import CarriedLayers, carried_layers, carry, coarser_levels, known_motion
from stages.optim.fit import FitPlan, OnStep
from stages.optim.loss_curves import Curves, Trace, joined
from stages.storage.checkpoint import CheckpointStore, NoCheckpoints, run_resumable
from stages.transition.any_matte import FoundMatte, fit_any_matte
from stages.transition.fitted_transition import FittedTransition, no_motion, pair_on
from stages.transition.matte import SoftEdge
from stages.transition.networks import KnownLayers, fill
from stages.transition.plan import NETWORK_PIXELS, Plan
from stages.transition.reconcile import reconcile, trust_of
from stages.transition.sweep import relink_and_sweep
from stages.transition.tie import improve_by_ties, mean_with_tied

MOTION_SUFFICES = 0.6
"""Mean trust in motion, 0 to 1, from which the networks gain nothing."""

ANCHOR_WEIGHT = 30.0
"""Weight of a wholly trusted carried layer in the sweeps, where a link weighs up to 33."""

LEAST_SCALE = 4
"""Least divisor of the sides at which the networks work."""

MOTION_END, NETWORKS_END, SWEEPS_END = 0.3, 0.5, 0.98
"""Progress of a transition after motion, networks and all rounds of sweeps and ties."""

CPU = torch.device("cpu")

STATE_CHECKPOINT = "standing"
"""Name of the saved state in the checkpoint store. It is useless once the fit is done."""


@dataclass(frozen=True)
class AlternationState:
    """The state between two steps of the alternation.

    flows: of both scenes, ``(n, 2, H, W)``, as in :class:`stages.motion.carry.CarriedLayers`.
    layers: ``(n, 3, H, W)``, after the motion fit.
    anchors: what the sweeps hold the layers near to; the carried layers unless given.
    matte: of a wipe or an iris, ``(n, 1, H, W)``. edge: the numbers that describe it.
    trace: the losses of the steps so far.
    """

    flows: Pair
    layers: Pair | None = None
    anchors: Pair | None = None
    matte: Tensor | None = None
    edge: dict[str, Any] | None = None
    trace: Curves = field(default_factory=dict)

    def to(self, device: torch.device) -> AlternationState:
        """Return the state with its pictures and flows on ``device``."""
        return replace(
            self,
            flows=pair_on(self.flows, device),
            layers=pair_on(self.layers, device) if self.layers else None,
            anchors=pair_on(self.anchors, device) if self.anchors else None,
            matte=None if self.matte is None else self.matte.to(device),
        )


@dataclass(frozen=True)
class Reporting:
    """Where an alternation reports to and saves itself.

    progress: takes the fraction done and a note. seconds: what each stage takes is added here.
    checkpoints: where states are saved.
    """

    progress: Callable[[float, str], None]
    seconds: MutableMapping[str, float]
    checkpoints: CheckpointStore = field(default_factory=NoCheckpoints)


Work = Callable[[AlternationState, OnStep], AlternationState]
"""The work of a step: from one state to the next, reporting losses on the way."""


@dataclass(frozen=True)
class _Step:
    """One step. stage: its name in the account of seconds. end: the progress after it.

    note: what a user reads meanwhile.
    """

    stage: str
    end: float
    note: str
    work: Work


class Alternation:
    """The steps of one transition at its working size.

    A step works on the settings' device. Between two steps the state lies on the CPU, from where
    it is saved.

    mixture: the window, with the weights that the search found. kind: of the transition. plan: how
    much work. settings: seed and device.
    """

    def __init__(self, mixture: Mixture, kind: str, plan: Plan, settings: FitSettings) -> None:
        self.given_mixture = mixture.to(settings.device)
        self.kind = kind
        self.plan = plan
        self.settings = settings
        self._trust: Tensor | None = None

    def steps(self) -> list[_Step]:
        """Return all steps, in order."""
        plan = self.plan
        levels = coarser_levels(plan.levels, min(self.given_mixture.size))
        steps = [
            _Step(
                "motion",
                MOTION_END * (number + 1) / len(levels),
                "motion through the mixture",
                partial(self._fit_motion, level, first=number == 0),
            )
            for number, level in enumerate(levels)
        ]
        steps.append(_Step("motion", MOTION_END, "trust in motion", self._reconcile))
        steps.append(_Step("networks", NETWORKS_END, "networks", self._networks))
        length = (SWEEPS_END - NETWORKS_END) / plan.rounds
        for number in range(plan.rounds):
            begin = NETWORKS_END + length * number
            for sweep in range(plan.turns):
                end = begin + length / 2 * (sweep + 1) / plan.turns
                work = partial(self._sweep, begins_round=number > 0 and sweep == 0)
                steps.append(_Step("sweeps", end, "motion sweeps", work))
            if plan.ties:
                steps.append(_Step("ties", begin + length, "tied motion", self._tie))
        return steps

    def mixture(self, state: AlternationState) -> Mixture:
        """Return the mixture with the matte that is known so far."""
        if state.matte is None:
            return self.given_mixture
        weight = self.given_mixture.weight.expand(-1, 1, *self.given_mixture.size).clone()
        weight[self.given_mixture.mixed] = state.matte
        return replace(self.given_mixture, weight=weight)

    def carried(self, state: AlternationState) -> CarriedLayers:
        """Return the layers that the state's flows carry from the clean frames."""
        templates = self.given_mixture.template("outgoing"), self.given_mixture.template("incoming")
        return CarriedLayers(
            state.flows, templates, carried_layers(self.given_mixture, state.flows)
        )

    @cached_property
    def known(self) -> Pair:
        """The motion of the clean frames of both scenes, which is computed once."""
        return known_motion(self.given_mixture, "outgoing"), known_motion(
            self.given_mixture, "incoming"
        )

    def trust(self, state: AlternationState) -> Tensor:
        """Return the trust ``(n, 1, H, W)`` in the carried layers.

        It is computed once, because the flows do not change after the motion steps.
        """
        if self._trust is None:
            self._trust = trust_of(self.mixture(state), self.carried(state).layers)
        return self._trust

    def _with_matte(self, state: AlternationState) -> AlternationState:
        """Return the state with the matte that fits its carried layers, where the kind has one."""
        if not TRANSITION_KINDS[self.kind].has_matte:
            return state
        before: FoundMatte | None = None
        if state.matte is not None:
            edge = SoftEdge.of(state.edge) if state.edge else None
            before = state.matte.to(CPU), edge
        # A handful of numbers is fitted to small pictures: a GPU would only wait.
        mixture, layers = self.mixture(state).to(CPU), pair_on(self.carried(state).layers, CPU)
        means = self.given_mixture.weight[self.given_mixture.mixed].mean((1, 2, 3)).cpu()
        matte, edge = fit_any_matte(mixture, self.kind, layers, means, before)
        numbers = edge.numbers() if edge else None
        return replace(state, matte=matte.to(self.settings.device), edge=numbers)

    def _fit_motion(
        self, level: tuple[int, int], state: AlternationState, on_step: OnStep, *, first: bool
    ) -> AlternationState:
        """Fit the flows of both scenes at one level. first: whether it is the first level."""
        # The matte is not fitted again after the last level: the trust is in these layers with
        # this matte.
        state = self._with_matte(state)
        carried = carry(
            self.mixture(state),
            [level],
            start=None if first else state.flows,
            known=self.known,
            device=self.settings.device,
            on_step=on_step,
        )
        return replace(state, flows=carried.flows)

    def _reconcile(self, state: AlternationState, on_step: OnStep) -> AlternationState:
        """Make the carried layers mix to the input."""
        self.trust(state)
        layers = reconcile(self.mixture(state), self.carried(state).layers)
        return replace(state, layers=layers)

    def _networks(self, state: AlternationState, on_step: OnStep) -> AlternationState:
        """Let Double-DIP's generators fill in coarsely what motion leaves open; see :func:`fill`.

        Where motion explains most of the picture they were measured to gain nothing.
        """
        trust = self.trust(state)
        if not self.plan.fit_steps or float(trust.mean()) >= MOTION_SUFFICES:
            return state
        mixture = self.mixture(state)
        over_window = trust.new_zeros(len(mixture.frames), *trust.shape[1:])
        over_window[mixture.mixed] = trust
        # A quarter of the sides for a small picture, about as many pixels for a larger one.
        scale = round(math.sqrt(trust.shape[-2] * trust.shape[-1] / NETWORK_PIXELS))
        filled = fill(
            mixture,
            KnownLayers(mixture.over_window(self.carried(state).layers), over_window),
            plan=FitPlan(self.plan.fit_steps),
            scale=max(LEAST_SCALE, scale),
            seed=self.settings.seed,
            device=self.settings.device,
            on_step=on_step,
        )
        return replace(state, layers=project(mixture, *mixture.of_mixed(filled)))

    def _sweep(
        self, state: AlternationState, on_step: OnStep, *, begins_round: bool
    ) -> AlternationState:
        """Let the frames of each layer agree along new flows, in one turn of sweeps.

        begins_round: whether a new round begins. It anchors on what the round before has found.
        """
        mixture = self.mixture(state)
        layers = _layers(state)
        state = replace(state, anchors=layers) if begins_round else state
        anchors = state.anchors or reconcile(mixture, self.carried(state).layers)
        weight = ANCHOR_WEIGHT * self.trust(state)
        over_window = relink_and_sweep(mixture, mixture.over_window(layers), anchors, weight)
        swept = mixture.of_mixed(over_window)
        on_step(1.0, _change(mixture, layers, swept))
        return replace(state, layers=swept)

    def _tie(self, state: AlternationState, on_step: OnStep) -> AlternationState:
        """Improve the layers by ties, whose flows are fitted through the mixture."""
        mixture = self.mixture(state)
        tied = improve_by_ties(
            mixture,
            mixture.over_window(_layers(state)),
            self.carried(state),
            self.plan.ties,
            seed=self.settings.seed,
            device=self.settings.device,
            on_step=on_step,
        )
        return replace(state, layers=mean_with_tied(_layers(state), mixture.of_mixed(tied)))


def _change(mixture: Mixture, before: Pair, after: Pair) -> dict[str, float]:
    """Return the figures of a step in closed form, as root mean squares.

    residual: what the layers leave unexplained after it. moved: how far it moved them.
    """
    frames = mixture.frames[mixture.mixed]
    weights = mixture.weight[mixture.mixed]
    rest = sum(
        float(((mixture.dissolve(weight).mix(one, other) - frame) ** 2).mean())
        for frame, one, other, weight in zip(frames, *after, weights, strict=True)
    )
    moved = sum(float(((new - old) ** 2).mean()) for old, new in zip(before, after, strict=True))
    return {"residual": math.sqrt(rest / len(frames)), "moved": math.sqrt(moved / 2)}


def alternate(
    mixture: Mixture, kind: str, plan: Plan, settings: FitSettings, reporting: Reporting
) -> FittedTransition:
    """Separate one transition at its working size, by motion and networks in turn.

    mixture: its window. kind: of the transition. plan: how much work. settings: seed and device.
    reporting: where progress, seconds and saved states go.

    Raises FitError where a fit diverges.
    """
    alternation = Alternation(mixture, kind, plan, settings)
    steps = alternation.steps()
    begins = [0.0, *(step.end for step in steps)]
    chain = [
        partial(_run_step, step, begin, reporting, settings.device)
        for step, begin in zip(steps, begins, strict=False)
    ]
    state = run_resumable(
        reporting.checkpoints,
        STATE_CHECKPOINT,
        chain,
        AlternationState(no_motion(mixture)),
        AlternationState,
    ).to(settings.device)
    trust = float(alternation.trust(state).mean())
    return FittedTransition(
        _layers(state),
        alternation.carried(state),
        alternation.mixture(state),
        trust,
        fit_steps=plan.fit_steps if trust < MOTION_SUFFICES else 0,
        trace=state.trace,
    ).to(CPU)


def _run_step(
    step: _Step,
    begin: float,
    reporting: Reporting,
    device: torch.device,
    state: AlternationState,
) -> AlternationState:
    """Return the state after a step; report its progress, its losses and its seconds.

    begin: the progress before it. device: where it works. Both states lie on the CPU.
    """
    began = time.monotonic()
    trace = Trace()

    def on_step(fraction: float, losses: Mapping[str, float]) -> None:
        progress = begin + (step.end - begin) * fraction
        reporting.progress(progress, step.note)
        trace.add(step.stage, progress, losses)

    before = state.to(device)
    after = step.work(before, on_step)
    # A step that found nothing to do has no entry in the account.
    if after is before:
        return state
    after = after.to(CPU)
    spent = time.monotonic() - began
    reporting.seconds[step.stage] = reporting.seconds.get(step.stage, 0.0) + spent
    return replace(after, trace=joined(state.trace, trace.curves()))


def _layers(state: AlternationState) -> Pair:
    assert state.layers is not None, "the layers are set before they are swept"
    return state.layers
