"""A window of a clip with a transition in it, and layers made to mix to its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.dissolve import EXACT, Dissolve, Trust
from stages.mixing.encoded_dissolve import EncodedDissolve
from stages.mixing.forward_model import Pair
from stages.mixing.light_dissolve import LIGHT_STEPS, LightDissolve
from stages.motion.flow import shrunk
from stages.shots import Space

Side = Literal["outgoing", "incoming"]
"""A scene of a transition."""

SIDES: tuple[Side, Side] = ("outgoing", "incoming")
"""Both scenes, in the order of every pair."""

DISSOLVES: dict[Space, type[Dissolve]] = {"gamma": EncodedDissolve, "linear": LightDissolve}
"""The forward model of each space that scenes are mixed in."""

FULL_TRUST = 1e9
"""Trust in a layer that is known exactly, relative to 1 for the other one."""

RELATIVE_INPUT_ERROR = 0.08
"""Error of the input relative to that of a scene, before that is made to mix with a known one.

It is a standard deviation: rounding and compression are off by about 1 of 255, a scene by 13.
"""


@dataclass(frozen=True)
class Mixture:
    """The window of one transition: the mixed frames with clean frames at both sides.

    frames: ``(N, 3, H, W)`` RGB in [0, 1], as encoded.
    weight: of the incoming scene, ``(N, 1, 1, 1)`` or, for a matte, ``(N, 1, H, W)``; 0 before the
        transition and 1 after it.
    first, last: indices of the mixed frames in the window, inclusive.
    space: in which the scenes are mixed.
    locked: the side whose scene is known exactly, or ``None``: in a fade the plain colour.
    color: that colour, ``(3,)``; ``None`` where the known scene is a picture or nothing is known.

    Raises ValueError where the weight's shape or the mixed frames do not fit the frames.
    """

    frames: Tensor
    weight: Tensor
    first: int
    last: int
    space: Space = "gamma"
    locked: Side | None = None
    color: Tensor | None = None

    def __post_init__(self) -> None:
        count, _, height, width = self.frames.shape
        if tuple(self.weight.shape) not in ((count, 1, 1, 1), (count, 1, height, width)):
            raise ValueError(
                f"weight {tuple(self.weight.shape)} does not fit frames {tuple(self.frames.shape)}"
            )
        if not 0 <= self.first <= self.last < count:
            raise ValueError(
                f"mixed frames {self.first} to {self.last} lie outside a window of {count}"
            )

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of a frame."""
        return self.frames.shape[-2], self.frames.shape[-1]

    def to(self, device: torch.device) -> Mixture:
        """Return the mixture with its tensors on ``device``; itself where they lie there."""
        if self.frames.device == device:
            return self
        color = None if self.color is None else self.color.to(device)
        frames, weight = self.frames.to(device), self.weight.to(device)
        return replace(self, frames=frames, weight=weight, color=color)

    @property
    def count(self) -> int:
        """How many frames are mixed."""
        return self.last - self.first + 1

    @property
    def mixed(self) -> slice:
        """The mixed frames, as an index into the window."""
        return slice(self.first, self.last + 1)

    @property
    def has_matte(self) -> bool:
        """Whether the weight varies over the picture."""
        return self.weight.shape[-2:] != (1, 1)

    def weight_of(self, frame: int, rows: slice) -> Tensor:
        """Return the weight of some rows of a frame: ``(1, 1, 1)``, with a matte ``(1, h, W)``."""
        weight = self.weight[frame]
        return weight[:, rows] if self.has_matte else weight

    def dissolve(self, weight: Tensor, trust: Trust = (1.0, 1.0), data: float = EXACT) -> Dissolve:
        """Return the forward model of frames in the mixture's space.

        weight: of the incoming scene in each frame, in [0, 1], ``(n, 1, 1, 1)`` or a matte. trust,
        data: see :class:`stages.mixing.dissolve.Dissolve`.
        """
        return DISSOLVES[self.space](weight, trust, data)

    def template(self, side: Side) -> int:
        """Return the index of the scene's clean frame that is nearest to the transition.

        Where the scene has no clean frame, it is the mixed frame in which it is strongest.
        """
        if side == "outgoing":
            return max(0, self.first - 1)
        return min(len(self.frames) - 1, self.last + 1)

    def visible(self, side: Side) -> range:
        """Return the frames of the window in which a scene has a weight above zero."""
        if side == "outgoing":
            return range(0, self.last + 1)
        return range(self.first, len(self.frames))

    def clean(self, side: Side) -> range:
        """Return the frames of the window in which a scene is alone."""
        if side == "outgoing":
            return range(0, self.first)
        return range(self.last + 1, len(self.frames))

    def plain(self, side: Side) -> Tensor | None:
        """Return the colour ``(1, 3, 1, 1)`` of a side that is known to be plain, else ``None``."""
        if self.locked != side or self.color is None:
            return None
        return self.color.view(1, 3, 1, 1)

    def over_window(self, layers: Pair) -> Pair:
        """Return both scenes over the whole window, ``(N, 3, H, W)``.

        They are the input, with the mixed frames replaced by ``layers`` ``(n, 3, H, W)``.
        """
        outgoing = self.frames.clone()
        incoming = self.frames.clone()
        outgoing[self.mixed], incoming[self.mixed] = layers
        return outgoing, incoming

    def of_mixed(self, layers: Pair) -> Pair:
        """Return the mixed frames ``(n, 3, H, W)`` of layers over the window ``(N, 3, H, W)``."""
        return layers[0][self.mixed], layers[1][self.mixed]


def mix(outgoing: Tensor, incoming: Tensor, weight: Tensor, space: Space) -> Tensor:
    """Return the mixture of two layers.

    outgoing, incoming: of one shape, in [0, 1]. weight: of the incoming one, in [0, 1]; it is
    broadcast. space: in which the layers mix.
    """
    return DISSOLVES[space](weight).mix(outgoing, incoming)


def project(
    mixture: Mixture,
    outgoing: Tensor,
    incoming: Tensor,
    *,
    trust: Trust = (1.0, 1.0),
    steps: int = LIGHT_STEPS,
) -> Pair:
    """Return layers of the mixed frames, ``(n, 3, H, W)``, changed so that they mix to the input.

    The more a layer is trusted, the less it changes. A known scene does not change at all:
    that of the side ``mixture.locked``.

    outgoing, incoming: the layers before, ``(n, 3, H, W)``.
    trust: of both layers, numbers around 1 or ``(n, 1, H, W)``.
    steps: Gauss-Newton steps for mixing in light.

    Beside a known scene, the other one gets the whole residual, divided by its weight. Where the
    weight is small, the residual is mostly rounding and compression, and dividing amplifies it many
    times. So that scene takes only the part of it that such errors do not explain: a Wiener gain,
    with the noise :data:`RELATIVE_INPUT_ERROR`.
    """
    data = EXACT
    if mixture.locked is not None:
        trust = (FULL_TRUST, 1.0) if mixture.locked == "outgoing" else (1.0, FULL_TRUST)
        data = 1 / RELATIVE_INPUT_ERROR**2
    frame = mixture.frames[mixture.mixed]
    model = mixture.dissolve(mixture.weight[mixture.mixed], trust, data)
    for _ in range(1 if mixture.space == "gamma" else steps):
        outgoing, incoming = model.distribute_residual(frame, outgoing, incoming)
    return outgoing, incoming


def shrink(mixture: Mixture, pixels: int) -> Mixture:
    """Return the mixture with at most ``pixels`` a frame, by area averages.

    It is returned as it is where it is no larger.
    """
    frames = shrunk(mixture.frames, pixels)
    if frames is mixture.frames:
        return mixture
    weight = mixture.weight
    if mixture.has_matte:
        size = (frames.shape[-2], frames.shape[-1])
        weight = functional.interpolate(weight, size=size, mode="area")
    return replace(mixture, frames=frames, weight=weight)
