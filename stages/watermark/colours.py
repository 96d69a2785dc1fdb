"""Further colours of a single picture's mark: what one colour leaves of it, found by the same cut around what is already undone.

One picture ``(1, 3, H, W)`` in [0, 1], a mark of one opacity; maps ``(H, W)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.watermark.find import OUTLINE, Mark, across, grown, move, solve

CORNERS = tuple((float(n & 1), float(n >> 1 & 1), float(n >> 2 & 1)) for n in range(8))
TRIED = (*CORNERS, (0.5, 0.5, 0.5), (1.0, 0.5, 0.0), (0.0, 0.5, 1.0))
"""Colours to start from: the corners of the cube, grey, orange and a lighter blue."""
MOST = 2  # further colours
SETTLING = 2  # rounds of colour and outline
SMALLEST = 40  # pixels of a part that is believed in
GAIN = 0.4  # how much continuity it must win per pixel of its outline; more than a mark, as scenes hold parts by the hundred
NEW = 0.15  # a colour nearer than this to the one that is there is not another


def all_colours(pictures: Tensor, mark: Mark, allowed: Tensor, weight: Tensor, turns: int, spreads: tuple[Tensor, ...] | None) -> Mark:
    """``mark`` and the parts of other colours of the same opacity, those first that make the picture most continuous."""
    matte, ink = mark.matte, mark.ink
    for _ in range(MOST):
        best: tuple[float, Tensor, Tensor] | None = None
        for hue in TRIED:
            colour = pictures.new_tensor(hue)
            gain, part = _part(pictures, matte, ink, mark.opacity, colour, allowed, weight, turns, None)
            for _ in range(SETTLING):
                if not bool(part.any()):
                    break
                colour = part_colour(pictures, matte, ink, mark.opacity, part)
                gain, part = _part(pictures, matte, ink, mark.opacity, colour, allowed, weight, turns, spreads)
            rim = int((grown(part, 1) & ~grown(part, -1)).sum())
            if int(part.sum()) >= SMALLEST and gain > GAIN * rim and (best is None or gain > best[0]):
                best = gain, part, colour
        if best is None:
            break
        _, part, colour = best
        matte = torch.where(part, torch.full_like(matte, mark.opacity), matte)
        ink = torch.where(part, mark.opacity * colour.view(3, 1, 1), ink)
    return Mark(matte, ink, mark.opacity, mark.gain)


def part_colour(pictures: Tensor, matte: Tensor, ink: Tensor, opacity: float, part: Tensor) -> Tensor:
    """The colour (3,) of a ``part`` (H, W) with this opacity: the median of what it adds to what is clean just outside."""
    clean = (pictures - ink) / (1 - matte)
    outer, inner = across(pictures, part, clean)
    if outer.shape[-1] == 0:
        return pictures[0][:, part].median(1).values
    return ((inner - (1 - opacity) * outer)[0].median(1).values / opacity).clamp(0, 1)


def _part(
    pictures: Tensor,
    matte: Tensor,
    ink: Tensor,
    opacity: float,
    colour: Tensor,
    allowed: Tensor,
    weight: Tensor,
    turns: int,
    spreads: tuple[Tensor, ...] | None,
) -> tuple[float, Tensor]:
    """What turning to this colour gains, and where; nothing is turned that has nearly that colour."""
    cut = move(pictures, matte, ink, opacity, colour, OUTLINE, weight, spreads)
    same = (matte[0] > 0) & ((ink - opacity * colour.view(3, 1, 1)).abs().amax(0) < NEW * opacity)
    part = solve(cut, allowed * ~same, turns)
    return -cut.cost(part), part
