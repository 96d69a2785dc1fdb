"""The heart: motion, which carries what is known, and networks, which settle the rest, take turns on one transition.

    clean frames --carry--> layers and how far they explain the input (trust)
          trust --networks--> what motion leaves open, as a start
         layers --sweeps and ties--> every frame agrees with others along its own motion, and the layers mix back to the input
    the last once more in larger plans.

Each arrow is a step from one :class:`AlternationState` to the next; a run that is killed goes on behind the last step whose standing was kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stages.checkpoint import CheckpointStore, NoCheckpoints, run_resumable
from stages.context import FitSettings
from stages.mixing.mixing import Mixture, mix, project
from stages.motion.carry import Carried, carried_layers, carry, reaching, template_of
from stages.motion.flow import box
from stages.optim.fit import FitPlan, OnStep
from stages.optim.loss_curves import Curves, Trace, joined
from stages.transition.matte import Edge, fit_matte
from stages.transition.networks import fill
from stages.transition.plan import NETWORK_PIXELS, Plan
from stages.transition.sweep import turn
from stages.transition.tie import tie_down

Pair = tuple[Tensor, Tensor]

NOISE = 0.015  # what carried frames may leave unexplained (root mean square) before they are trusted half
OPEN = 0.6  # mean trust below which motion leaves enough open for the networks
FLAT = 3e-4  # mean square gradient of what is as good as flat
ANCHOR = 30.0  # weight of a wholly trusted carried layer in the sweeps; a link at its most confident weighs 33


@dataclass(frozen=True)
class AlternationState:
    """Where the alternation stands.

    flows: of both scenes, ``(n, 2, H, W)``, as :class:`stages.motion.carry.Carried` has them.
    layers: ``(n, 3, H, W)``, from the end of the motion fit on. anchors: what the sweeps hold them near to; the carried layers unless told.
    matte: ``(n, 1, H, W)`` of a wipe or an iris, and the numbers of its edge. trace: the losses of the steps so far.
    """

    flows: Pair
    layers: Pair | None = None
    anchors: Pair | None = None
    matte: Tensor | None = None
    edge: dict[str, Any] | None = None
    trace: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class Alternated:
    """The layers ``(n, 3, H, W)``, the motion they began from, the mixture with its matte, the mean trust in that motion, the networks'
    steps, and the losses on the way."""

    layers: Pair
    carried: Carried
    mixture: Mixture
    trust: float
    fit_steps: int = 0
    trace: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class _Step:
    """One step: its name in the account of seconds, its share of the progress, a note for people, the work."""

    stage: str
    end: float
    note: str
    work: Callable[[AlternationState, OnStep], AlternationState]


class Alternation:
    """The steps of one transition at its working size."""

    def __init__(self, mixture: Mixture, kind: str, plan: Plan, settings: FitSettings) -> None:
        self.given, self.kind, self.plan, self.settings = mixture, kind, plan, settings
        self._trust: Tensor | None = None

    def steps(self) -> list[_Step]:
        """All of them, in order."""
        levels = reaching(self.plan.levels, min(self.given.frames.shape[-2:]))
        steps = [
            _Step(
                "motion",
                0.3 * (number + 1) / len(levels),
                "motion through the mixture",
                self._motion(level, number),
            )
            for number, level in enumerate(levels)
        ]
        steps.append(_Step("motion", 0.3, "trust in motion", self._settle))
        steps.append(_Step("networks", 0.5, "networks", self._networks))
        for number in range(self.plan.rounds):
            begin, size = 0.5 + 0.48 * number / self.plan.rounds, 0.24 / self.plan.rounds
            steps += [
                _Step(
                    "sweeps",
                    begin + size * (go + 1) / self.plan.turns,
                    "motion sweeps",
                    self._turn(new_round=number > 0 and go == 0),
                )
                for go in range(self.plan.turns)
            ]
            if self.plan.ties:
                steps.append(_Step("ties", begin + 2 * size, "tied motion", self._ties))
        return steps

    def mixture(self, standing: AlternationState) -> Mixture:
        """The mixture with the matte that is known so far."""
        if standing.matte is None:
            return self.given
        weight = self.given.weight.expand(-1, 1, *self.given.frames.shape[-2:]).clone()
        weight[self.given.mixed] = standing.matte
        return replace(self.given, weight=weight)

    def carried(self, standing: AlternationState) -> Carried:
        """What the flows make of the clean frames."""
        templates = template_of(self.given, "outgoing"), template_of(self.given, "incoming")
        return Carried(standing.flows, templates, carried_layers(self.given, standing.flows))

    def trust(self, standing: AlternationState) -> Tensor:
        """Trust ``(n, 1, H, W)`` in the carried layers. The motion does not change behind its own steps, so it is found once."""
        if self._trust is None:
            self._trust = trust_of(self.mixture(standing), self.carried(standing).layers)
        return self._trust

    def _matched(self, standing: AlternationState) -> AlternationState:
        """With the matte that the carried layers ask for; the same for a dissolve."""
        if self.kind not in ("wipe", "iris"):
            return standing
        means = self.given.weight[self.given.mixed].mean((1, 2, 3))
        before = Edge.of(standing.edge) if standing.edge else None
        found = fit_matte(self.mixture(standing), self.carried(standing).layers, means, before)
        return (
            standing
            if found is None
            else replace(standing, matte=found[0], edge=found[1].numbers())
        )

    def _motion(
        self, level: tuple[int, int], number: int
    ) -> Callable[[AlternationState, OnStep], AlternationState]:
        def work(standing: AlternationState, on_step: OnStep) -> AlternationState:
            # Behind the last level the matte stays: trust is in these layers with this matte.
            standing = self._matched(standing)
            start = standing.flows if number else None
            found = carry(
                self.mixture(standing),
                [level],
                start=start,
                device=self.settings.device,
                on_step=on_step,
            )
            return replace(standing, flows=found.flows)

        return work

    def _settle(self, standing: AlternationState, on_step: OnStep) -> AlternationState:
        """The carried layers, made to mix to the input."""
        self.trust(standing)
        return replace(
            standing, layers=settled(self.mixture(standing), self.carried(standing).layers)
        )

    def _networks(self, standing: AlternationState, on_step: OnStep) -> AlternationState:
        """Double-DIP's generators fill in what motion leaves open, in the large and only where trust is low; see :func:`fill`."""
        # Where motion explains most of the picture the networks were measured to add nothing.
        if not self.plan.fit_steps or float(self.trust(standing).mean()) >= OPEN:
            return standing
        mixture, carried, trust = (
            self.mixture(standing),
            self.carried(standing),
            self.trust(standing),
        )
        over = torch.zeros(len(mixture.frames), *trust.shape[1:])
        over[mixture.mixed] = trust
        # A quarter of the size for a small picture, and about as many pixels for any other.
        scale = max(4, round(math.sqrt(trust.shape[-2] * trust.shape[-1] / NETWORK_PIXELS)))
        filled = fill(
            mixture,
            whole(mixture, carried.layers),
            over,
            plan=FitPlan(self.plan.fit_steps),
            scale=scale,
            seed=self.settings.seed,
            device=self.settings.device,
            on_step=on_step,
        )
        return replace(standing, layers=project(mixture, *inside(mixture, filled)))

    def _turn(self, *, new_round: bool) -> Callable[[AlternationState, OnStep], AlternationState]:
        def work(standing: AlternationState, on_step: OnStep) -> AlternationState:
            mixture = self.mixture(standing)
            # A new round anchors on what the one before has settled.
            standing = replace(standing, anchors=standing.layers) if new_round else standing
            anchors = standing.anchors or settled(mixture, self.carried(standing).layers)
            swept = turn(
                mixture, whole(mixture, _known(standing)), anchors, ANCHOR * self.trust(standing)
            )
            layers = inside(mixture, swept)
            on_step(1.0, self._rest(mixture, _known(standing), layers))
            return replace(standing, layers=layers)

        return work

    def _rest(self, mixture: Mixture, before: Pair, after: Pair) -> dict[str, float]:
        """What a step in closed form has to show for itself, root mean squares: what is unexplained behind it, how far layers moved."""
        frames, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
        rest = sum(
            float(((mix(one, other, share, mixture.space) - frame) ** 2).mean())
            for frame, one, other, share in zip(frames, *after, weight, strict=True)
        )
        moved = (
            sum(float(((new - old) ** 2).mean()) for old, new in zip(before, after, strict=True))
            / 2
        )
        return {"residual": math.sqrt(rest / len(frames)), "moved": math.sqrt(moved)}

    def _ties(self, standing: AlternationState, on_step: OnStep) -> AlternationState:
        mixture, settings = self.mixture(standing), self.settings
        over = whole(mixture, _known(standing))
        over = tie_down(
            mixture,
            over,
            self.carried(standing),
            self.plan.ties,
            seed=settings.seed,
            device=settings.device,
            on_step=on_step,
        )
        return replace(standing, layers=inside(mixture, over))


def alternate(
    mixture: Mixture,
    kind: str,
    plan: Plan,
    settings: FitSettings,
    progress: Callable[[float, str], None],
    seconds: MutableMapping[str, float],
    checkpoints: CheckpointStore | None = None,
) -> Alternated:
    """Motion and networks in turn. ``seconds``: what each stage took is added to it. checkpoints: where standings are kept."""
    work = Alternation(mixture, kind, plan, settings)

    def timed(step: _Step, begin: float) -> Callable[[AlternationState], AlternationState]:
        def do(standing: AlternationState) -> AlternationState:
            began = time.monotonic()
            trace = Trace()

            def on_step(done: float, losses: Mapping[str, float]) -> None:
                at = begin + (step.end - begin) * done
                progress(at, step.note)
                trace.add(step.stage, at, losses)

            after = step.work(standing, on_step)
            # A step that found nothing to do has no entry in the account.
            if after is not standing:
                seconds[step.stage] = seconds.get(step.stage, 0.0) + time.monotonic() - began
                after = replace(after, trace=joined(standing.trace, trace.curves()))
            return after

        return do

    steps = work.steps()
    begins = [0.0, *(step.end for step in steps)]
    chain = [timed(step, begin) for step, begin in zip(steps, begins, strict=False)]
    standing = run_resumable(
        checkpoints or NoCheckpoints(),
        "standing",
        chain,
        AlternationState(still(mixture)),
        AlternationState,
    )
    trust = float(work.trust(standing).mean())
    steps_done = plan.fit_steps if trust < OPEN else 0
    return Alternated(
        _known(standing),
        work.carried(standing),
        work.mixture(standing),
        trust,
        steps_done,
        standing.trace,
    )


def settled(mixture: Mixture, layers: Pair) -> Pair:
    """Carried ``layers`` ``(n, 3, H, W)`` made to mix to the input: what is unexplained goes to the one that is more likely to be wrong.

    A flow that misses by a little is the more wrong the more the layer changes from pixel to pixel, and misses by more the farther the
    frame is from the clean one that it was carried from. So a layer is trusted as ``1 / (d (FLAT + g))``, with its distance d in frames and
    the mean square g of its gradient around a pixel.
    """
    far = torch.arange(1, len(layers[0]) + 1, dtype=torch.float32, device=layers[0].device).view(
        -1, 1, 1, 1
    )
    wrong = far * (FLAT + _changes(layers[0])), far.flip(0) * (FLAT + _changes(layers[1]))
    ratio = (wrong[1] / wrong[0]).sqrt_()
    return project(mixture, *layers, trust=(ratio, 1 / ratio))


def _changes(layer: Tensor) -> Tensor:
    """Mean square of the gradient around each pixel of ``(n, 3, H, W)``: ``(n, 1, H, W)``."""
    found = []
    for frame in layer:  # one at a time: what is worked on takes several times as much
        padded = functional.pad(frame[None], (1, 1, 1, 1), mode="replicate")
        across, down = (
            padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2],
            padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1],
        )
        found.append(box(box((across**2 + down**2).mean(1, keepdim=True) / 4, 1), 1))
    return torch.cat(found)


def trust_of(mixture: Mixture, layers: Pair) -> Tensor:
    """How far ``layers`` ``(n, 3, H, W)`` are believed before they are made to mix to the input: ``1 / (1 + e / NOISE²)``, in [0, 1].

    Returns ``(n, 1, H, W)``.

    e is the mean square of what they leave unexplained around a pixel, the larger of a near and a wide mean.
    """
    frames, weight = mixture.frames[mixture.mixed], mixture.weight[mixture.mixed]
    radius = max(2, round(min(frames.shape[-2:]) / 48))
    trusted = []
    for frame, outgoing, incoming, share in zip(frames, *layers, weight, strict=True):
        rest = ((mix(outgoing, incoming, share, mixture.space) - frame) ** 2).mean(0)[None, None]
        near = box(rest, radius)
        trusted.append(1 / (1 + torch.maximum(near, box(near, radius)) / NOISE**2))
    return torch.cat(trusted)


def whole(mixture: Mixture, layers: Pair) -> Pair:
    """Both scenes over the whole window, ``(N, 3, H, W)``: the input with the mixed frames replaced."""
    outgoing, incoming = mixture.frames.clone(), mixture.frames.clone()
    outgoing[mixture.mixed], incoming[mixture.mixed] = layers
    return outgoing, incoming


def inside(mixture: Mixture, layers: Pair) -> Pair:
    """The mixed frames of both scenes, ``(n, 3, H, W)``, of ``(N, 3, H, W)``; the other way round of :func:`whole`."""
    return layers[0][mixture.mixed], layers[1][mixture.mixed]


def still(mixture: Mixture) -> Pair:
    """No motion at all, for both scenes of the mixed frames."""
    flow = torch.zeros(mixture.last - mixture.first + 1, 2, *mixture.frames.shape[-2:])
    return flow, flow


def _known(standing: AlternationState) -> Pair:
    assert standing.layers is not None, "they are set before they are swept"
    return standing.layers
