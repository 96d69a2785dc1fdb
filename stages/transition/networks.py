"""Double-DIP on one transition: a generator for each scene, fitted together so that the mixture of their pictures gives the input.

A scene's generator is shared by all its frames, and the clean ones are part of them: they show it what the scene looks like, the mixed
ones only how it goes on. What motion knows already comes in as layers with a trust for each pixel; the fit decides the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.curve import MonotoneCurve
from models.generator import NARROW_WIDTHS, WIDTHS, Layer
from models.noise import walking_noise
from models.precision import probe
from models.skip import Skip
from stages.checkpoint import CheckpointStore, NoCheckpoints
from stages.errors import UnlayerError
from stages.mixing.mixing import Mixture, mix
from stages.motion.flow import resize
from stages.optim.fit import Draw, FitPlan, FitState, OnStep, fit
from stages.optim.loss_curves import Curves, Trace, joined
from stages.optim.losses import (
    Schedule,
    agreement,
    constant,
    curve_steadiness,
    exclusion,
    mask_consistency,
    reconstruction,
    squared_reconstruction,
)

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "agreement": constant(0.2),
    "curve": constant(10.0),
    "matte": constant(0.05),
    "mask_consistency": constant(0.1),
}
"""The weight of every loss of :func:`fit_layers`, in one place."""

PAPER_WEIGHTS: dict[str, Schedule] = {"reconstruction": constant(1.0), "exclusion": constant(0.1)}
"""Double-DIP's own, from its code for transparent layers."""

FILLING = FitPlan(steps=800)
"""What :func:`fill` does unless told: twice the steps bring 0.05 to 0.1 dB."""

PAPER_DEPTH = 2
PAPER_JITTER = 1e-3

MIXED_SHARE = 0.6
MATTE_REACH = 4.0
MATTE_EDGE = 0.02
RENDERED = 8
FEW = 5  # points of each loss that a part of the published fit leaves in its trace


@dataclass(frozen=True)
class FitResult:
    """Both scenes over the whole window and how they mix.

    outgoing, incoming: ``(N, 3, H, W)`` in [0, 1] as the networks give them, not made to mix to the input. Clean frames are the input's
    own; where a scene cannot be seen at all its nearest frame is held. weight: as in :class:`stages.mixing.mixing.Mixture`.
    state: to go on from with more steps. trace: the published fit's losses.
    """

    outgoing: Tensor
    incoming: Tensor
    weight: Tensor
    state: FitState
    trace: Curves = field(default_factory=dict)


def _parts(index: Tensor) -> list[Tensor]:
    return [index[at : at + RENDERED] for at in range(0, len(index), RENDERED)]


class TwoScenes(nn.Module):
    """All that is fitted of a transition: a layer for each scene, and the curve or the matte. A locked scene is its colour."""

    given: Tensor
    color: Tensor

    def __init__(
        self,
        mixture: Mixture,
        *,
        seed: int,
        dtype: torch.dtype,
        learn_weight: bool,
        widths: tuple[int, ...] = WIDTHS,
    ) -> None:
        super().__init__()
        count, _, height, width = mixture.frames.shape
        size = (height, width)
        self.first, self.last, self.space = mixture.first, mixture.last, mixture.space

        def scene(frames: int, number: int) -> Layer:
            return Layer(frames, 3, size, seed=3 * seed + number, dtype=dtype, widths=widths)

        self.outgoing = None if mixture.locked == "outgoing" else scene(mixture.last + 1, 0)
        self.incoming = None if mixture.locked == "incoming" else scene(count - mixture.first, 1)
        self.register_buffer(
            "color",
            (torch.zeros(3) if mixture.color is None else mixture.color).float().view(1, 3, 1, 1),
        )
        self.register_buffer("given", mixture.weight[mixture.mixed].clone())
        self.curve: MonotoneCurve | None = None
        self.matte: Layer | None = None
        if learn_weight and mixture.has_matte:
            self.matte = Layer(
                mixture.last - mixture.first + 1,
                1,
                size,
                seed=3 * seed + 2,
                dtype=dtype,
                still=True,
            )
        elif learn_weight and not mixture.has_matte:
            self.curve = MonotoneCurve(mixture.weight[mixture.mixed].flatten())

    def weight(self, index: Tensor) -> Tensor:
        """Weight of the incoming scene in the mixed frames ``index`` (counted from the first mixed one), as the mixture has it."""
        if self.curve is not None:
            weights: Tensor = self.curve()
            return weights[index].view(-1, 1, 1, 1)
        given = self.given[index]
        if self.matte is None:
            return given
        # Around the given matte: a generator at rest (one half) leaves it as it is.
        moved: Tensor = MATTE_REACH * (2 * self.matte(index) - 1)
        return torch.sigmoid(given.clamp(MATTE_EDGE, 1 - MATTE_EDGE).logit() + moved)

    def codes(self) -> list[nn.Parameter]:
        """The parameters that learn faster."""
        layers = [
            layer for layer in (self.outgoing, self.incoming, self.matte) if layer is not None
        ]
        codes = [p for layer in layers for p in layer.noise.parameters()]
        return codes + (list(self.curve.parameters()) if self.curve is not None else [])

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Both scenes where they can be seen among the window's frames ``index``, which rise: up to ``last``, and from ``first`` on."""
        before, after = index[index <= self.last], index[index >= self.first] - self.first
        return self._scene(self.outgoing, before), self._scene(self.incoming, after)

    def _scene(self, layer: Layer | None, index: Tensor) -> Tensor:
        if layer is None or not len(index):
            return self.color.expand(len(index), 3, *self._size)
        picture: Tensor = layer(index)
        return picture

    @property
    def _size(self) -> tuple[int, int]:
        layer = self.outgoing or self.incoming
        if layer is None:
            raise UnlayerError("a transition between two plain colours has nothing to fit")
        return layer.generator.size

    @torch.no_grad()
    def result(self, mixture: Mixture, state: FitState) -> FitResult:
        """Everything rendered, as :class:`FitResult` says, on the device of the mixture."""
        frames = mixture.frames
        outgoing, incoming, weight = frames.clone(), frames.clone(), mixture.weight.clone()
        mixed = torch.arange(self.last - self.first + 1, device=self.color.device)
        was = self.training
        self.eval()
        for part in _parts(mixed):
            outgoing[part + self.first] = self._scene(self.outgoing, part + self.first).to(frames)
            incoming[part + self.first] = self._scene(self.incoming, part).to(frames)
        outgoing[self.last + 1 :] = outgoing[self.last]
        incoming[: self.first] = incoming[self.first]
        weight[mixture.mixed] = torch.cat([self.weight(part) for part in _parts(mixed)]).to(weight)
        self.train(was)
        return FitResult(outgoing, incoming, weight, state)


def clean_and_mixed(mixture: Mixture, batch: int) -> Draw:
    """Draws the mixed frames and the clean ones in fixed parts, as a step's cost and its batch norm should not depend on luck."""
    mixed = torch.arange(mixture.first, mixture.last + 1)
    clean = torch.cat(
        [torch.arange(mixture.first), torch.arange(mixture.last + 1, len(mixture.frames))]
    )
    known = min(len(clean), batch - max(1, round(batch * MIXED_SHARE)))
    unknown = min(len(mixed), batch - known)

    def draw(generator: torch.Generator) -> Tensor:
        some = (
            clean[torch.randperm(len(clean), generator=generator)[:known]],
            mixed[torch.randperm(len(mixed), generator=generator)[:unknown]],
        )
        return torch.cat(some).sort().values

    return draw


def fit_layers(
    mixture: Mixture,
    layers: tuple[Tensor, Tensor] | None = None,
    trust: tuple[Tensor, Tensor] | None = None,
    *,
    plan: FitPlan,
    seed: int = 0,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    learn_weight: bool = True,
    widths: tuple[int, ...] = WIDTHS,
    warm: FitState | None = None,
    on_step: OnStep | None = None,
) -> FitResult:
    """Fit both scenes, and the curve or matte with them.

    layers: what is believed of both scenes already, ``(N, 3, H, W)``, with ``trust`` ``(N, 1, H, W)`` in [0, 1] for each (1 unless given);
    only mixed frames count. dtype: of the convolutions, measured unless given. learn_weight: let the curve or the matte move.
    warm: go on from an earlier result's state; the mixture must be of the same size.
    """
    device = device or mixture.frames.device
    dtype = dtype or probe(device).dtype
    module = TwoScenes(
        mixture, seed=seed, dtype=dtype, learn_weight=learn_weight, widths=widths
    ).to(device)
    frames, first, last = mixture.frames.to(device), mixture.first, mixture.last
    given = None if layers is None else [layer[mixture.mixed].to(device) for layer in layers]
    ones = torch.ones(1, 1, 1, 1, device=device).expand(last - first + 1, 1, 1, 1)
    trusted = [ones, ones] if trust is None else [each[mixture.mixed].to(device) for each in trust]

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        outgoing, incoming = module(index)
        place = index[(index >= first) & (index <= last)] - first
        clean = len(outgoing) - len(place)
        weight = module.weight(place)
        both = outgoing[clean:], incoming[: len(place)]
        picture = torch.cat(
            [outgoing[:clean], mix(*both, weight, mixture.space), incoming[len(place) :]]
        )
        losses = {"reconstruction": reconstruction(picture, frames[index])}
        if given is not None:
            near = [
                agreement(layer, known[place], sure[place])
                for layer, known, sure in zip(both, given, trusted, strict=True)
            ]
            losses["agreement"] = near[0] + near[1]
        if module.curve is not None:
            losses["curve"] = curve_steadiness(module.curve(), module.given.flatten())
        if module.matte is not None:
            losses["matte"] = (weight - module.given[place]).abs().mean()
            losses["mask_consistency"] = mask_consistency(weight)
        return losses

    state = fit(
        module,
        terms,
        WEIGHTS,
        plan,
        frames=len(frames),
        seed=seed,
        codes=module.codes(),
        draw=clean_and_mixed(mixture, plan.batch),
        warm=warm,
        on_step=on_step,
    )
    return module.result(mixture, state)


def fill(
    mixture: Mixture,
    layers: tuple[Tensor, Tensor],
    trust: Tensor,
    *,
    plan: FitPlan = FILLING,
    scale: int = 4,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> tuple[Tensor, Tensor]:
    """What networks make of the places where motion's ``layers`` ``(N, 3, H, W)`` are not trusted: both scenes, ``(N, 3, H, W)``.

    The fit works at 1 / ``scale`` of the size and changes only what that size can show; the layers' own detail stays:
    ``x + (1 - u) up(net - down(x))`` with trust u, ``(N, 1, H, W)`` in [0, 1]. Measured as a *start* for three turns of the motion sweeps,
    with motion's own layers as their anchor: +0.6 dB where motion fails on much of the picture, -0.1 to +0.1 elsewhere. Do not make it
    the anchor: that costs up to 0.5 dB where motion is right.
    """
    height, width = mixture.frames.shape[-2:]
    size = (max(1, round(height / scale)), max(1, round(width / scale)))
    small = replace(
        mixture,
        frames=resize(mixture.frames, size),
        weight=resize(mixture.weight, size) if mixture.has_matte else mixture.weight,
    )
    given, sure = (resize(layers[0], size), resize(layers[1], size)), resize(trust, size)
    found = fit_layers(
        small,
        given,
        (sure, sure),
        plan=plan,
        seed=seed,
        device=device,
        learn_weight=False,
        widths=NARROW_WIDTHS,
        on_step=on_step,
    )

    filled = []
    for layer, low, net in zip(layers, given, (found.outgoing, found.incoming), strict=True):
        out = layer.clone()
        for frame in range(
            mixture.first, mixture.last + 1
        ):  # one at a time: at full size a window of changes is large
            change = F.interpolate(
                (net - low)[frame : frame + 1],
                size=(height, width),
                mode="bicubic",
                align_corners=False,
            )[0]
            out[frame] = (layer[frame] + (1 - trust[frame]) * change).clamp(0, 1)
        filled.append(out)
    return filled[0], filled[1]


class TwoPublished(nn.Module):
    """Double-DIP's own networks: a :class:`models.skip.Skip` for each scene on noise that walks from frame to frame."""

    noise: Tensor

    def __init__(self, mixture: Mixture, seed: int) -> None:
        super().__init__()
        count, _, height, width = mixture.frames.shape
        self.scenes = nn.ModuleList(
            Skip(PAPER_DEPTH, 3, seed=2 * seed + number) for number in (0, 1)
        )
        self.register_buffer(
            "noise",
            torch.stack(
                [walking_noise(count, PAPER_DEPTH, (height, width), 2 * seed + n) for n in (0, 1)]
            ),
        )

    def forward(self, index: Tensor, jitter: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Both scenes' pictures ``(B, 3, H, W)`` for the window's frames ``index``."""
        inputs = self.noise[:, index] if jitter is None else self.noise[:, index] + jitter
        return self.scenes[0](inputs[0]), self.scenes[1](inputs[1])


def fit_paper(
    mixture: Mixture,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | None = None,
    check_every: int = 100,
    checkpoints: CheckpointStore | None = None,
    on_step: OnStep | None = None,
    on_check: Callable[[int, FitResult], bool] | None = None,
) -> FitResult:
    """The yardstick: Double-DIP as published (Gandelsman et al., CVPR 2019), with the mixing weight given.

    Two skip networks, Adam at 1e-3 without a schedule, float32, squared error and a tenth of exclusion, each step's input shaken by 1e-3.
    Every frame of the window is a mixture to it, clean ones too, with a weight of 0 or 1: there the other scene is free, as published.
    on_check: called every ``check_every`` steps with the steps done and the result so far; true ends the fit.
    checkpoints: where the fit is kept every so often.
    """
    device = device or mixture.frames.device
    module = TwoPublished(mixture, seed).to(device)
    frames, weights = mixture.frames.to(device), mixture.weight.to(device)
    shaken = torch.Generator().manual_seed(seed)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        shape = (2, len(index), *module.noise.shape[2:])
        jitter = PAPER_JITTER * torch.randn(shape, generator=shaken).to(device)
        outgoing, incoming = module(index, jitter)
        picture = mix(outgoing, incoming, weights[index], mixture.space)
        return {
            "reconstruction": squared_reconstruction(picture, frames[index]),
            "exclusion": exclusion(outgoing, incoming),
        }

    checkpoints = checkpoints or NoCheckpoints()
    state, done, told = None, 0, Curves()
    if (kept := checkpoints.newest("published", FitState)) is not None:
        done, state, noise, told = kept
        shaken.set_state(noise)
    while True:
        part = min(check_every, steps - done)
        plan = FitPlan(part, rate=1e-3, warm_up=0, decay=False, betas=(0.9, 0.999))
        begun, trace = done, Trace(FEW)

        def partly(
            progress: float,
            losses: Mapping[str, float],
            begun: int = begun,
            part: int = part,
            trace: Trace = trace,
        ) -> None:
            trace.add("networks", (begun + progress * part) / steps, losses)
            if on_step is not None:
                on_step((begun + progress * part) / steps, losses)

        state = fit(
            module,
            terms,
            PAPER_WEIGHTS,
            plan,
            frames=len(frames),
            seed=seed,
            warm=state,
            on_step=partly,
        )
        done, told = done + part, joined(told, trace.curves())
        checkpoints.save_if_due("published", (done, state, shaken.get_state(), told))
        if done >= steps or on_check is not None:
            result = replace(_published_result(module, mixture, state), trace=told)
            if done >= steps or (on_check is not None and on_check(done, result)):
                return result


@torch.no_grad()
def _published_result(module: TwoPublished, mixture: Mixture, state: FitState) -> FitResult:
    """Rendered with the batch's own statistics, as published: the network never leaves its training mode."""
    outgoing, incoming = mixture.frames.clone(), mixture.frames.clone()
    # Rendering must not move the running statistics that the next part of the fit starts from.
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    for part in _parts(torch.arange(mixture.first, mixture.last + 1)):
        a, b = module(part.to(module.noise.device))
        outgoing[part], incoming[part] = a.to(outgoing), b.to(incoming)
    module.load_state_dict(kept)
    outgoing[mixture.last + 1 :], incoming[: mixture.first] = (
        outgoing[mixture.last],
        incoming[mixture.first],
    )
    return FitResult(outgoing, incoming, mixture.weight, state)
