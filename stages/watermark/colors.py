"""Find further colours of a single picture's mark.

The cut is repeated on what the first colour leaves.

One picture ``(1, 3, H, W)`` in [0, 1], a mark of one opacity; maps ``(H, W)``.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from stages.watermark.find import Mark, PairCosts, dilated, expansion_move, outline_sides, solve

CORNERS = tuple((float(n & 1), float(n >> 1 & 1), float(n >> 2 & 1)) for n in range(8))
TRIED = (*CORNERS, (0.5, 0.5, 0.5), (1.0, 0.5, 0.0), (0.0, 0.5, 1.0))
"""Colours to start from: the corners of the RGB cube, grey, orange and a lighter blue."""
MOST_COLORS = 2  # further colours that are accepted at most
SETTLING = 2  # alternations of colour and outline
SMALLEST = 40  # least pixels of an accepted part
GAIN = 0.4
"""Least continuity gained per outline pixel. It is strict, because scenes hold hundreds of similar
parts."""
NEW = 0.15  # least difference between two colours of a mark


def all_colors(
    pictures: Tensor,
    mark: Mark,
    allowed: Tensor,
    weight: Tensor,
    turns: int,
    spreads: tuple[Tensor, ...] | None,
) -> Mark:
    """Return ``mark`` with parts of other colours and the same opacity.

    The part whose removal gains most continuity is added first.

    allowed: ``(H, W)`` in [0, 1], 0 where no mark may be. weight: how much each pixel counts.
    turns: iterations of a cut. spreads: from :func:`stages.watermark.find.texture`.
    """
    plain = PairCosts(weight)
    textured = PairCosts(weight, spreads=spreads)
    for _ in range(MOST_COLORS):
        best: tuple[float, Tensor, Tensor] | None = None
        for hue in TRIED:
            color = pictures.new_tensor(hue)
            gain, part = _part(pictures, mark, color, plain, allowed, turns)
            for _ in range(SETTLING):
                if not bool(part.any()):
                    break
                color = part_color(pictures, mark, part)
                gain, part = _part(pictures, mark, color, textured, allowed, turns)
            rim = int((dilated(part, 1) & ~dilated(part, -1)).sum())
            if (
                int(part.sum()) >= SMALLEST
                and gain > GAIN * rim
                and (best is None or gain > best[0])
            ):
                best = gain, part, color
        if best is None:
            break
        _, part, color = best
        matte = torch.where(part, torch.full_like(mark.matte, mark.opacity), mark.matte)
        ink = torch.where(part, mark.opacity * color.view(3, 1, 1), mark.ink)
        mark = replace(mark, matte=matte, ink=ink)
    return mark


def part_color(pictures: Tensor, mark: Mark, part: Tensor) -> Tensor:
    """Return the colour ``(3,)`` of a further part of the mark.

    It is the median of what the part adds to the clean pixels just outside.

    mark: what is known of the mark; its opacity is also the part's. part: ``(H, W)``, boolean.
    """
    clean = (pictures - mark.ink) / (1 - mark.matte)
    outer, inner = outline_sides(pictures, part, clean)
    if outer.shape[-1] == 0:
        return pictures[0][:, part].median(1).values
    added = inner - (1 - mark.opacity) * outer
    return (added[0].median(1).values / mark.opacity).clamp(0, 1)


def _part(
    pictures: Tensor, mark: Mark, color: Tensor, costs: PairCosts, allowed: Tensor, turns: int
) -> tuple[float, Tensor]:
    """Return the gain of this ``color`` (3,), and the part ``(H, W)`` that takes it.

    Pixels of the mark that nearly have this colour already are left out.
    allowed: ``(H, W)`` in [0, 1], 0 where no mark may be. turns: iterations of a cut.
    """
    cut = expansion_move(pictures, mark, mark.opacity, color, costs)
    difference = (mark.ink - mark.opacity * color.view(3, 1, 1)).abs().amax(0)
    same = (mark.matte[0] > 0) & (difference < NEW * mark.opacity)
    part = solve(cut, allowed * ~same, turns)
    return -cut.cost(part), part
