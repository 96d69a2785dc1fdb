"""What a kind of transition is made of: its name, the model of its frames, and how it is undone.

A frame in the middle of a transition is ``M(x) = (1 - w(x)) A(a(x)) + w(x) B(b(x))``: each side is
seen through a weight and, where it moves as a whole, from another place. Three models cover the
kinds that are known:

- one weight for the whole frame (dissolves, fades);
- a weight that passes over the picture in a fixed order (wipes, irises): a :class:`WipePattern`;
- both sides in full but at other places (pushes, covers): a :class:`Placement` for each progress.

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

Undo = Literal["nothing", "weight", "matte", "placement"]


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
    centred: whether ``x`` and ``y`` count from a centre that is fitted, too.
    off_centre: whether the search also tries centres away from the picture's middle.
    simple: whether other patterns have to explain clearly more to be preferred to it.
    effect: FFmpeg's name for it.
    """

    order: Order
    centred: bool = False
    off_centre: bool = False
    simple: bool = False
    effect: EffectName = no_effect_name


@dataclass(frozen=True)
class Placement:
    """Where the pixels of one frame come from.

    weight: of the incoming scene, ``(H, W)`` in [0, 1].
    outgoing, incoming: the places ``(H, W, 2)`` (x, y) in each scene that the pixels show; None
    where a scene does not move.
    """

    weight: Tensor
    outgoing: Tensor | None = None
    incoming: Tensor | None = None


Placer = Callable[[Tensor, Tensor, float, float], Placement]
"""The placement for the places ``x`` and ``y``, ``(H, W)`` each, the aspect, and the progress."""


@dataclass(frozen=True)
class TransitionKind:
    """One kind of transition.

    name: as the manifest has it under ``kind``.
    undo: what the separation has to know of a frame: one ``weight``, a ``matte``, a ``placement``,
    or ``nothing`` where the frames are not taken apart.
    patterns: of a kind that is undone by a matte, by their names.
    effects: of a kind that is undone by placements, by FFmpeg's names or by ones of our own.
    with_colour: the kind that it becomes where one side is a plain colour; itself unless given.
    """

    name: str
    undo: Undo
    patterns: Mapping[str, WipePattern] = field(default_factory=dict)
    effects: Mapping[str, Placer] = field(default_factory=dict)
    with_colour: str = ""

    def __post_init__(self) -> None:
        if bool(self.patterns) != (self.undo == "matte"):
            raise ValueError(f"{self.name}: a kind has patterns if it is undone by a matte")
        if bool(self.effects) != (self.undo == "placement"):
            raise ValueError(f"{self.name}: a kind has effects if it is undone by placements")

    @property
    def separable(self) -> bool:
        """Whether mixed frames of this kind can be taken apart."""
        return self.undo != "nothing"

    @property
    def has_matte(self) -> bool:
        """Whether the weight of the incoming scene varies over the picture."""
        return self.undo in ("matte", "placement")

    def beside_colour(self) -> str:
        """Return the name of the kind that this one is where one of its sides is a plain colour."""
        return self.with_colour or self.name


def pixel_places(height: int, width: int, aspect: float) -> tuple[Tensor, Tensor]:
    """Return the places ``x`` and ``y`` of the middles of ``height x width`` equal parts."""
    y, x = torch.meshgrid(
        (torch.arange(height) + 0.5) / height - 0.5,
        (torch.arange(width) + 0.5) / width - 0.5,
        indexing="ij",
    )
    return x, y * aspect
