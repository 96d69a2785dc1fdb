"""A mark, and the pictures from which it is told.

The model is ``I = (1 - m) C + p`` with the matte m, the ink p = m * colour and the clean picture C.

Pictures ``(K, 3, H, W)`` in [0, 1] that share one mark; maps of pixels ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from stages.watermark.pixel_maps import Area, inner_part, resized_map
from stages.watermark.repetition_grid import Shift, find_grid

OPAQUE_FROM = 0.95  # an opacity above this is taken for 1


class MarkLaw(NamedTuple):
    """The law ``I = (1 - a) C + a K`` that the pixels of a mark of one colour obey.

    opacity: a, 0 to 1. color: K, ``(3,)`` in [0, 1].
    """

    opacity: float
    color: Tensor


@dataclass(frozen=True)
class Mark:
    """A mark over pictures.

    matte: ``(1, H, W)`` in [0, 1]. ink: matte times colour, ``(3, H, W)``, at most the matte.
    opacity: of its core, 0 to 1.
    gain: by how much undoing the mark makes the pictures more continuous, in nats of
        :mod:`stages.watermark.evidence`.
    doubtful: whether it may be a part of the picture, because it explains little of its outline.
    forced: whether it was found only because the user gave ``force``.
    """

    matte: Tensor
    ink: Tensor
    opacity: float
    gain: float
    doubtful: bool = False
    forced: bool = False

    @classmethod
    def nothing(cls, pictures: Tensor) -> Mark:
        """Return the mark that covers no pixel of the pictures ``(K, 3, H, W)``."""
        ink = torch.zeros_like(pictures[0])
        return cls(ink[:1], ink, 0.0, 0.0)

    @classmethod
    def of_one_color(cls, chosen: Tensor, law: MarkLaw, gain: float = 0.0) -> Mark:
        """Return the mark of one opacity and colour over ``chosen`` (H, W), boolean."""
        matte = law.opacity * chosen.float()[None]
        return cls(matte, matte * law.color.view(3, 1, 1), law.opacity, gain)

    @property
    def chosen(self) -> Tensor:
        """The marked pixels, ``(H, W)``, boolean."""
        return self.matte[0] > 0

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is marked."""
        return not bool(self.chosen.any())

    @property
    def is_opaque(self) -> bool:
        """Whether nothing shows through its core."""
        return self.opacity > OPAQUE_FROM

    @property
    def mean_color(self) -> Tensor:
        """The mean colour, ``(3,)``."""
        return self.ink.sum((1, 2)) / self.matte.sum().clamp_min(1e-6)

    @property
    def law(self) -> MarkLaw:
        """The opacity and the mean colour."""
        return MarkLaw(self.opacity, self.mean_color)

    @property
    def color(self) -> Tensor:
        """The colour ``(3, H, W)``: the mark's own inside it, its mean elsewhere."""
        return torch.where(
            self.matte > 0, self.ink / self.matte.clamp_min(1e-6), self.mean_color.view(3, 1, 1)
        ).clamp(0, 1)

    def undone(self, pictures: Tensor) -> Tensor:
        """Return what lies behind the mark in ``pictures``, not limited to [0, 1]."""
        return (pictures - self.ink) / (1 - self.matte)

    def cropped(self, area: Area) -> Mark:
        """Return the part of the mark in these rows and columns."""
        return replace(self, matte=self.matte[(..., *area)], ink=self.ink[(..., *area)])


@dataclass(frozen=True)
class MarkedPictures:
    """The pictures in which a mark is searched or fitted.

    pictures: ``(K, 3, H, W)`` in [0, 1]. allowed: ``(H, W)`` in [0, 1], 0 where no mark may be.
    weight: how much each pixel counts, ``(H, W)``.
    shifts: at which the mark of a single picture repeats, in pixels.
    """

    pictures: Tensor
    allowed: Tensor
    weight: Tensor
    shifts: tuple[Shift, ...] = ()

    @classmethod
    def with_repetitions(cls, pictures: Tensor, allowed: Tensor, weight: Tensor) -> MarkedPictures:
        """Return the pictures with the shifts at which the mark of a single one repeats."""
        shifts = find_grid(pictures) if len(pictures) == 1 else ()
        return cls(pictures, allowed, weight, shifts)

    @classmethod
    def with_mark_anywhere(cls, pictures: Tensor, weight: Tensor) -> MarkedPictures:
        """Return the pictures with a mark that may lie anywhere but at the rim.

        weight: of any size.
        """
        size = pictures.shape[-2:]
        allowed = inner_part(torch.ones(size, dtype=torch.bool))
        return cls(pictures, allowed, resized_map(weight, size))

    @property
    def is_lone_picture(self) -> bool:
        """Whether neither other pictures nor repetitions tell the mark from the scene."""
        return len(self.pictures) == 1 and not self.shifts

    def cropped(self, area: Area) -> MarkedPictures:
        """Return the part of the pictures in these rows and columns."""
        return replace(
            self,
            pictures=self.pictures[(..., *area)],
            allowed=self.allowed[area],
            weight=self.weight[area],
        )
