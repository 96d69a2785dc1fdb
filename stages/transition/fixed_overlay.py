"""Things that stay in their place while scenes move below them: logos, captions, black bars.

Where scenes move as a whole, a pixel of a mixed frame goes back to its scene's place. The pixels of
such an overlay must not: they belong to both scenes, at the place where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.forward_model import Pair

MOST_CHANGE = 8 / 255
"""Difference of a value in [0, 1] up to which a pixel counts as unchanged: coding noise."""

MARGIN = 1
"""Pixels around an overlay that lossy coding mixes with it."""


@dataclass(frozen=True)
class FixedOverlay:
    """What both scenes have in common at the same place, in every frame.

    mask: where it is, ``(1, H, W)``, bool. picture: ``(3, H, W)``; only pixels in the mask count.
    """

    mask: Tensor
    picture: Tensor

    def paste_on(self, layer: Tensor) -> Tensor:
        """Return a layer ``(3, H, W)`` with the overlay in its place."""
        return torch.where(self.mask, self.picture, layer)

    def with_margin(self) -> Tensor:
        """Return the overlay and a margin around it, ``(1, H, W)``: 1 there, else 0."""
        return functional.max_pool2d(self.mask.float(), 2 * MARGIN + 1, 1, MARGIN)


def fixed_overlay(clean: Pair, mixed: Iterable[Tensor]) -> FixedOverlay:
    """Return the pixels that are the same in both clean frames and in each mixed frame.

    clean: the clean frames beside the mixed ones, ``(3, H, W)`` each.
    mixed: blocks of mixed frames, ``(T, 3, H, W)`` each.
    """
    mask = _same(*clean)
    for frames in mixed:
        if not bool(mask.any()):
            break
        mask = mask & _same(frames, clean[0]).all(0)
    return FixedOverlay(mask, clean[0])


def _same(one: Tensor, other: Tensor) -> Tensor:
    """Return where two pictures ``(…, 3, H, W)`` are the same, ``(…, 1, H, W)``."""
    return (one - other).abs().amax(-3, keepdim=True) <= MOST_CHANGE
