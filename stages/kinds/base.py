"""Define a kind of transition: its name, the model of its frames, and how it is undone.

A frame in the middle of a transition is ``M(x) = (1 - w(x)) A(a(x)) + w(x) B(b(x))``: each side is
seen through a weight and, where it moves as a whole, from another place. Three models cover the
kinds that are known:

- one weight for the whole frame (dissolves, fades);
- a weight that passes over the picture in a fixed order (wipes, irises): a :class:`WipePattern`;
- scenes that move as a whole (pushes, covers): a :class:`Placement` for each progress.

Places are given in picture widths from the middle: ``x`` in [-0.5, 0.5], ``y`` in
[-aspect / 2, aspect / 2], where the aspect is height / width. Progress is 0 before the transition
and 1 after it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

Order = Callable[[Tensor, Tensor, float], tuple[Tensor, ...]]
"""Maps of the places ``x``, ``y`` and the aspect; a place changes at their weighted sum."""

EffectName = Callable[[tuple[float, ...], float, float], str | None]
"""FFmpeg's name for a fitted pattern, from the maps' weights, the softness, and the aspect."""

Undo = Literal["nothing", "hold", "weight", "matte", "pixels", "filter", "placement"]


def no_effect_name(slopes: tuple[float, ...], soft: float, aspect: float) -> str | None:
    """Return None: FFmpeg has no transition of this pattern."""
    return None


def effect_by_direction(forward: str | None, backward: str | None) -> EffectName:
    """Return a naming function for a pattern of one map: ``forward`` if its weight is positive."""

    def name(slopes: tuple[float, ...], soft: float, aspect: float) -> str | None:
        return forward if slopes[0] > 0 else backward

    return name


@dataclass(frozen=True)
class WipePattern:
    """The order in which the places of a picture change from one scene to the other.

    order: its one or two maps. Their weights may be negative: every pattern goes either way.
    centered: whether ``x`` and ``y`` count from a centre that is fitted, too.
    off_center: whether the search also tries centres away from the picture's middle.
    simple: whether other patterns have to explain clearly more to be preferred to it.
    fine: whether its order jumps up and down within a small part of the picture.
    effect: FFmpeg's name for it.
    """

    order: Order
    centered: bool = False
    off_center: bool = False
    simple: bool = False
    fine: bool = False
    effect: EffectName = no_effect_name


@dataclass(frozen=True)
class AffineMap:
    """The place in a scene that a place of the frame shows: ``scale * place + shift``, per axis.

    scale, shift: of x and of y; shifts are in picture widths. A scale of 0 is not allowed.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)

    def __call__(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the places in the scene that the places ``x`` and ``y`` of the frame show."""
        return self.scale[0] * x + self.shift[0], self.scale[1] * y + self.shift[1]

    def inverse(self) -> AffineMap:
        """Return the map from places in the scene to places of the frame."""
        scale = (1 / self.scale[0], 1 / self.scale[1])
        return AffineMap(scale, (-self.shift[0] * scale[0], -self.shift[1] * scale[1]))


@dataclass(frozen=True)
class Placement:
    """Where the two scenes are in one frame.

    outgoing, incoming: the places of each scene that the frame shows.
    top: the scene that hides the other one where both are in the picture.
    incoming_weight: None where one scene hides the other. Else the incoming one lies over the
        outgoing one with this weight, 0 to 1, in the whole picture.
    """

    outgoing: AffineMap = AffineMap()
    incoming: AffineMap = AffineMap()
    top: Literal["outgoing", "incoming"] = "incoming"
    incoming_weight: float | None = None

    def weight(self, x: Tensor, y: Tensor, aspect: float, pixel: float) -> Tensor:
        """Return the weight of the incoming scene at places of the frame, in [0, 1].

        x, y: the places, in picture widths from the middle. aspect: the frame's height over width.
        pixel: width of a pixel, in picture widths, for the edges of the scenes.
        """
        if self.incoming_weight is not None:
            return torch.full_like(x, self.incoming_weight)
        if self.top == "incoming":
            return inside(*self.incoming(x, y), aspect, pixel)
        return 1 - inside(*self.outgoing(x, y), aspect, pixel)

    @property
    def is_shifted(self) -> bool:
        """Whether both scenes have their own size."""
        return self.outgoing.scale == self.incoming.scale == (1.0, 1.0)

    def mean_weight(self, height: int, width: int) -> float:
        """Return the mean weight of the incoming scene over a picture of ``height x width``.

        Where one lies over the other with a weight, a frame may lose the outgoing one before it
        shows the incoming one. So what is lost and what is shown count half each. The result rises
        with the progress.
        """
        if self.incoming_weight is not None:
            shown = min(1.0, self.outgoing.scale[0]) * min(1.0, self.outgoing.scale[1])
            return (1 - shown + self.incoming_weight) / 2
        aspect = height / width
        return float(self.weight(*pixel_places(height, width, aspect), aspect, 1 / width).mean())


def inside(x: Tensor, y: Tensor, aspect: float, pixel: float) -> Tensor:
    """Return how far pixels at some places are inside of the picture, 0 to 1.

    Arguments as in :meth:`Placement.weight`. A pixel on the edge is partly inside.
    """
    across = (0.5 - x.abs()) / pixel + 0.5
    down = (aspect / 2 - y.abs()) / pixel + 0.5
    return torch.minimum(across, down).clamp(0, 1)


def smoothstep(part: float) -> float:
    """Return a step from 0 to 1 that begins and ends smoothly; ``part`` of its way is passed."""
    part = min(1.0, max(0.0, part))
    return part * part * (3 - 2 * part)


Filter = Callable[[Tensor, float], Tensor]
"""Maps a scene ``(C, H, W)`` and the progress to the scene as a frame shows it."""

Placer = Callable[[float, float], Placement]
"""The placement for a progress and an aspect."""

Direction = tuple[int, int]
"""To the right and down, -1, 0 or 1 each."""

_DIRECTIONS: dict[str, Direction] = {
    "left": (-1, 0),
    "right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}


def in_all_directions(name: str, placer: Callable[[Direction], Placer]) -> dict[str, Placer]:
    """Return the placers of an effect that moves to any side, by FFmpeg's names.

    name: of the effect, before that of the direction. placer: returns the placer of a direction.
    """
    return {f"{name}{side}": placer(direction) for side, direction in _DIRECTIONS.items()}


ThroughColor = Callable[[str, tuple[str | None, str | None]], str | None]
"""The name of a transition through a plain colour, from the colour and its halves' effects."""


def no_through_name(color: str, halves: tuple[str | None, str | None]) -> str | None:
    """Return None: two such transitions around a colour are no event of their own."""
    return None


@dataclass(frozen=True)
class TransitionKind:
    """One kind of transition.

    name: as the manifest has it under ``kind``.
    undo: what the separation has to know of a frame: one ``weight``, a ``matte`` with a pattern,
    the weight of each of its ``pixels``, the ``filter`` over both scenes, or a ``placement``. With
    ``hold`` its frames are not taken apart, and both scenes hold their clean frames; with
    ``nothing`` no frame is mixed.
    patterns: of a kind that is undone by a matte, by their names.
    effects: of a kind that is undone by placements, by FFmpeg's names where it has them.
    filters: of a kind that is undone by filters, by FFmpeg's names.
    with_color: the kind that it becomes where one side is a plain colour; itself unless given.
    through_color: names one event of two halves: into a plain colour and at once out of it.
    resembles_pan: whether a fast pan of one camera looks like it, so that the search rules it out.
    found_around_fade: whether its scenes meet in one colour. A fast zoom in one shot looks like its
    first half, so the search looks for it only around a fade out of such a colour.
    """

    name: str
    undo: Undo
    patterns: Mapping[str, WipePattern] = field(default_factory=dict)
    effects: Mapping[str, Placer] = field(default_factory=dict)
    filters: Mapping[str, Filter] = field(default_factory=dict)
    with_color: str = ""
    through_color: ThroughColor = no_through_name
    resembles_pan: bool = False
    found_around_fade: bool = False

    def __post_init__(self) -> None:
        if bool(self.patterns) != (self.undo == "matte"):
            raise ValueError(f"{self.name}: a kind has patterns if it is undone by a matte")
        if bool(self.effects) != (self.undo == "placement"):
            raise ValueError(f"{self.name}: a kind has effects if it is undone by placements")
        if bool(self.filters) != (self.undo == "filter"):
            raise ValueError(f"{self.name}: a kind has filters if it is undone by a filter")

    @property
    def separable(self) -> bool:
        """Whether mixed frames of this kind can be taken apart."""
        return self.undo not in ("nothing", "hold")

    @property
    def extends_shots(self) -> bool:
        """Whether both shots go on through the frames of this kind, taken apart or held."""
        return self.undo != "nothing"

    @property
    def has_matte(self) -> bool:
        """Whether the separation returns a matte: the incoming scene's weight for each pixel."""
        return self.undo in ("matte", "pixels")

    def beside_color(self) -> str:
        """Return the name of the kind that this one is where one of its sides is a plain colour."""
        return self.with_color or self.name


def pixel_places(height: int, width: int, aspect: float) -> tuple[Tensor, Tensor]:
    """Return the places ``x`` and ``y`` of the middles of ``height x width`` equal parts."""
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height - 0.5,
        (torch.arange(width) + 0.5) / width - 0.5,
        indexing="ij",
    )
    return x, y * aspect
