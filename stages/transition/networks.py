"""Double-DIP on one transition: a generator for each scene, fitted to their mixture together.

All frames of a scene share its generator, the clean ones too. The clean frames show it what the
scene looks like, and the mixed ones how it goes on. What motion knows comes in as layers with a
trust for each pixel; the fit decides the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.curve import MonotoneCurve
from models.generator import NARROW_WIDTHS, WIDTHS, GeneratedLayer
from models.precision import probe
from stages.errors import UnlayerError
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture
from stages.motion.flow import resize
from stages.optim.fit import Draw, FitPlan, FitState, OnStep, VariedDraw, fit
from stages.optim.loss_curves import Curves
from stages.optim.losses import (
    Schedule,
    agreement,
    constant,
    curve_steadiness,
    mask_consistency,
    reconstruction,
)

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "agreement": constant(0.2),
    "curve": constant(10.0),
    "matte": constant(0.05),
    "mask_consistency": constant(0.1),
}
"""The weight of every loss of :func:`fit_layers`."""

FILLING = FitPlan(steps=800)
"""The default of :func:`fill`. Twice the steps gain 0.05 to 0.1 dB."""

FILL_SCALE = 4
"""Divisor of the sides at which :func:`fill` works unless told otherwise."""

MIXED_SHARE = 0.6
"""Part of a step's frames that is mixed, where there are clean ones enough for the rest."""

MATTE_REACH = 4.0
"""Log-odds that the matte's generator can add to the given matte."""

MATTE_EDGE = 0.02
"""Distance to 0 and 1 that the given matte is clamped to, so that its log-odds are finite."""

RENDERED = 8
"""Frames that are rendered at once."""


@dataclass(frozen=True)
class FitResult:
    """Both scenes over the whole window, and how they mix.

    outgoing, incoming: ``(N, 3, H, W)`` in [0, 1], as the networks draw them; they need not mix to
        the input exactly. Clean frames are the input's own. Where a scene cannot be seen its
        nearest frame is held.
    weight: as in :class:`stages.mixing.mixture.Mixture`.
    state: to go on from with more steps. trace: losses of the published fit.
    """

    outgoing: Tensor
    incoming: Tensor
    weight: Tensor
    state: FitState
    trace: Curves = field(default_factory=dict)


@dataclass(frozen=True)
class KnownLayers:
    """What is known of both scenes before the fit; only the mixed frames count.

    layers: ``(N, 3, H, W)`` each. trust: in both of them, ``(N, 1, H, W)`` in [0, 1].
    """

    layers: Pair
    trust: Tensor


@dataclass(frozen=True)
class NetworkOptions:
    """The form of the networks.

    dtype: of the convolutions; the faster one unless given. widths: channels of their blocks.
    learn_weight: whether the curve or the matte is fitted as well.
    """

    dtype: torch.dtype | None = None
    widths: tuple[int, ...] = WIDTHS
    learn_weight: bool = True


class TwoScenes(nn.Module):
    """All that is fitted of a transition: a layer for each scene, and the curve or the matte.

    A side that is a known colour has no generator.

    mixture: the window. seed: of the initial values. dtype: of the convolutions.
    options: the rest of the networks' form.
    """

    given: Tensor
    color: Tensor

    def __init__(
        self, mixture: Mixture, *, seed: int, dtype: torch.dtype, options: NetworkOptions
    ) -> None:
        super().__init__()
        size = mixture.size
        self.first = mixture.first
        self.last = mixture.last

        def scene(frames: int, number: int) -> GeneratedLayer:
            layer_seed = 3 * seed + number
            return GeneratedLayer(
                frames, 3, size, seed=layer_seed, dtype=dtype, widths=options.widths
            )

        self.outgoing = None
        if mixture.locked != "outgoing":
            self.outgoing = scene(len(mixture.visible("outgoing")), 0)
        self.incoming = None
        if mixture.locked != "incoming":
            self.incoming = scene(len(mixture.visible("incoming")), 1)
        color = torch.zeros(3) if mixture.color is None else mixture.color
        self.register_buffer("color", color.float().view(1, 3, 1, 1))
        self.register_buffer("given", mixture.weight[mixture.mixed].clone())
        self.curve: MonotoneCurve | None = None
        self.matte: GeneratedLayer | None = None
        if options.learn_weight and mixture.has_matte:
            self.matte = GeneratedLayer(
                mixture.count, 1, size, seed=3 * seed + 2, dtype=dtype, start_gray=True
            )
        elif options.learn_weight:
            self.curve = MonotoneCurve(mixture.weight[mixture.mixed].flatten())

    def weight(self, index: Tensor) -> Tensor:
        """Return the incoming scene's weight in the mixed frames ``index``, shaped as given.

        index: ``(B,)``, counted from the first mixed frame.
        """
        if self.curve is not None:
            weights: Tensor = self.curve()
            return weights.index_select(0, index).view(-1, 1, 1, 1)
        given_weight = self.given[index]
        if self.matte is None:
            return given_weight
        # Around the given matte: a generator at its start, one half everywhere, leaves it as it is.
        moved: Tensor = MATTE_REACH * (2 * self.matte(index) - 1)
        return torch.sigmoid(given_weight.clamp(MATTE_EDGE, 1 - MATTE_EDGE).logit() + moved)

    def code_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that learn at the code rate."""
        layers = [self.outgoing, self.incoming, self.matte]
        codes = [p for layer in layers if layer is not None for p in layer.code_parameters()]
        return codes + (list(self.curve.parameters()) if self.curve is not None else [])

    def forward(self, index: Tensor, before: int, mixed: int) -> Pair:
        """Return both scenes in those of the window's frames ``index`` in which they can be seen.

        index: ``(B,)``, rising. The outgoing scene is drawn up to ``last``, the incoming one from
        ``first`` on. before, mixed: how many of them come before the transition, and in it.
        """
        after = index[before:] - self.first
        return self._scene(self.outgoing, index[: before + mixed]), self._scene(
            self.incoming, after
        )

    def _scene(self, layer: GeneratedLayer | None, index: Tensor) -> Tensor:
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
        """Return everything rendered, on the device of the mixture."""
        frames = mixture.frames
        outgoing = frames.clone()
        incoming = frames.clone()
        weight = mixture.weight.clone()
        mixed = torch.arange(mixture.count, device=self.color.device)
        was_training = self.training
        self.eval()
        for part in torch.split(mixed, RENDERED):
            outgoing[part + self.first] = self._scene(self.outgoing, part + self.first).to(frames)
            incoming[part + self.first] = self._scene(self.incoming, part).to(frames)
        held = hold_ends(mixture, (outgoing, incoming))
        weights = [self.weight(part) for part in torch.split(mixed, RENDERED)]
        weight[mixture.mixed] = torch.cat(weights).to(weight)
        self.train(was_training)
        return FitResult(*held, weight, state)


def hold_ends(mixture: Mixture, layers: Pair) -> Pair:
    """Hold each scene's nearest frame, in place, where it cannot be seen; return both.

    layers: over the window, ``(N, 3, H, W)``.
    """
    outgoing, incoming = layers
    outgoing[mixture.last + 1 :] = outgoing[mixture.last]
    incoming[: mixture.first] = incoming[mixture.first]
    return outgoing, incoming


def clean_and_mixed(mixture: Mixture, batch: int) -> Draw:
    """Return a draw of ``batch`` frames with a fixed number of mixed and of clean ones.

    So a step's cost and its batch norm do not depend on chance.
    """
    mixed = torch.arange(mixture.first, mixture.last + 1)
    clean = torch.cat([_indices(mixture.clean(side)) for side in SIDES])
    known = min(len(clean), batch - max(1, round(batch * MIXED_SHARE)))
    unknown = min(len(mixed), batch - known)

    def draw(generator: torch.Generator) -> Tensor:
        some_clean = clean[torch.randperm(len(clean), generator=generator)[:known]]
        some_mixed = mixed[torch.randperm(len(mixed), generator=generator)[:unknown]]
        return torch.cat([some_clean, some_mixed]).sort().values

    return draw


def _indices(frames: range) -> Tensor:
    return torch.arange(frames.start, frames.stop)


class _Split:
    """Where the frames of a step lie: their numbers before the transition and in it.

    They decide the shapes of a step. A GPU is not asked for them, because to ask it is to wait.
    """

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.before = 0
        self.mixed = 0

    def note(self, index: Tensor) -> tuple[int, int]:
        """Note the frames ``index`` ``(B,)`` of a step, on the CPU; return both numbers."""
        self.before = int((index < self.mixture.first).sum())
        self.mixed = int((index <= self.mixture.last).sum()) - self.before
        return self.before, self.mixed


def fit_layers(
    mixture: Mixture,
    known: KnownLayers | None = None,
    *,
    plan: FitPlan,
    seed: int = 0,
    device: torch.device | None = None,
    options: NetworkOptions = NetworkOptions(),
    on_step: OnStep | None = None,
) -> FitResult:
    """Fit both scenes to the window, and the curve or the matte with them.

    known: layers that are believed already. plan: steps and rates; its ``start`` must come from a
    mixture of the same size. seed: of initial values and of the order of the frames.
    device: where to fit. options: the form of the networks. on_step: called after each step.

    Raises FitError where the fit diverges.
    """
    device = device or mixture.frames.device
    dtype = options.dtype or probe(device).dtype
    module = TwoScenes(mixture, seed=seed, dtype=dtype, options=options).to(device)
    frames = mixture.frames.to(device)
    split = _Split(mixture)
    known_layers = None if known is None else [x[mixture.mixed].to(device) for x in known.layers]
    trust = None if known is None else known.trust[mixture.mixed].to(device)

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        del progress
        before = split.before
        count = split.mixed
        outgoing, incoming = module(index, before, count)
        place = index[before : before + count] - mixture.first
        weight = module.weight(place)
        both = outgoing[before:], incoming[:count]
        mixed = mixture.dissolve(weight).mix(*both)
        picture = torch.cat([outgoing[:before], mixed, incoming[count:]])
        losses = {"reconstruction": reconstruction(picture, frames[index])}
        if known_layers is not None and trust is not None:
            near = [
                agreement(layer, target[place], trust[place])
                for layer, target in zip(both, known_layers, strict=True)
            ]
            losses["agreement"] = near[0] + near[1]
        if module.curve is not None:
            losses["curve"] = curve_steadiness(module.curve(), module.given.flatten())
        if module.matte is not None:
            losses["matte"] = (weight - module.given[place]).abs().mean()
            losses["mask_consistency"] = mask_consistency(weight)
        return losses

    draw = VariedDraw(clean_and_mixed(mixture, plan.batch), split.note)
    state = fit(module, terms, WEIGHTS, plan, frames=draw, seed=seed, on_step=on_step)
    return module.result(mixture, state)


def fill(
    mixture: Mixture,
    known: KnownLayers,
    *,
    plan: FitPlan = FILLING,
    scale: int = FILL_SCALE,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> Pair:
    """Return both scenes, ``(N, 3, H, W)``, with networks in the places that are not trusted.

    The fit works at ``1 / scale`` of the sides and changes only what that size can show; the known
    layers' own detail stays: ``x + (1 - u) up(net - down(x))`` with the trust u.

    Use the result as the start of the motion sweeps, with motion's own layers as their anchor. With
    three turns this was measured as +0.6 dB where motion fails on much of the picture, and as -0.1
    to +0.1 dB elsewhere. As the anchor it costs up to 0.5 dB where motion is right.

    known: layers and trust over the window. Other arguments as in :func:`fit_layers`.
    """
    height, width = mixture.size
    size = (max(1, round(height / scale)), max(1, round(width / scale)))
    weight = resize(mixture.weight, size) if mixture.has_matte else mixture.weight
    small = replace(mixture, frames=resize(mixture.frames, size), weight=weight)
    given = resize(known.layers[0], size), resize(known.layers[1], size)
    fitted = fit_layers(
        small,
        KnownLayers(given, resize(known.trust, size)),
        plan=plan,
        seed=seed,
        device=device,
        options=NetworkOptions(widths=NARROW_WIDTHS, learn_weight=False),
        on_step=on_step,
    )
    filled = []
    drawn = fitted.outgoing, fitted.incoming
    for layer, low, net in zip(known.layers, given, drawn, strict=True):
        out = layer.clone()
        # One frame at a time, because the changes of a whole window are large at full size.
        for frame in range(mixture.first, mixture.last + 1):
            change = F.interpolate(
                (net - low)[frame : frame + 1],
                size=(height, width),
                mode="bicubic",
                align_corners=False,
            )[0]
            out[frame] = (layer[frame] + (1 - known.trust[frame]) * change).clamp(0, 1)
        filled.append(out)
    return filled[0], filled[1]
