"""Find further colours of a single picture's mark.

The cut is repeated on what the first colour leaves.

One picture ``(1, 3, H, W)`` in [0, 1], a mark of one opacity; maps ``(H, W)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.watermark.find import OUTLINE, Mark, dilated, expansion_move, outline_sides, solve

CORNERS = tuple((float(n & 1), float(n >> 1 & 1), float(n >> 2 & 1)) for n in range(8))
TRIED = (*CORNERS, (0.5, 0.5, 0.5), (1.0, 0.5, 0.0), (0.0, 0.5, 1.0))
"""Colours to start from: the corners of the RGB cube, grey, orange and a lighter blue."""
MOST_COLOURS = 2  # further colours that are accepted at most
SETTLING = 2  # alternations of colour and outline
SMALLEST = 40  # least pixels of an accepted part
GAIN = 0.4
"""Least continuity gained per outline pixel. It is strict, because scenes hold hundreds of similar
parts."""
NEW = 0.15  # least difference between two colours of a mark


def all_colours(
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
    matte, ink = mark.matte, mark.ink
    for _ in range(MOST_COLOURS):
        best: tuple[float, Tensor, Tensor] | None = None
        for hue in TRIED:
            colour = pictures.new_tensor(hue)
            gain, part = _part(
                pictures, matte, ink, mark.opacity, colour, allowed, weight, turns, None
            )
            for _ in range(SETTLING):
                if not bool(part.any()):
                    break
                colour = part_colour(pictures, matte, ink, mark.opacity, part)
                gain, part = _part(
                    pictures, matte, ink, mark.opacity, colour, allowed, weight, turns, spreads
                )
            rim = int((dilated(part, 1) & ~dilated(part, -1)).sum())
            if (
                int(part.sum()) >= SMALLEST
                and gain > GAIN * rim
                and (best is None or gain > best[0])
            ):
                best = gain, part, colour
        if best is None:
            break
        _, part, colour = best
        matte = torch.where(part, torch.full_like(matte, mark.opacity), matte)
        ink = torch.where(part, mark.opacity * colour.view(3, 1, 1), ink)
    return Mark(matte, ink, mark.opacity, mark.gain)


def part_colour(
    pictures: Tensor, matte: Tensor, ink: Tensor, opacity: float, part: Tensor
) -> Tensor:
    """Return the colour ``(3,)`` of a part of the mark.

    It is the median of what the part adds to the clean pixels just outside.

    part: ``(H, W)``, boolean.
    """
    clean = (pictures - ink) / (1 - matte)
    outer, inner = outline_sides(pictures, part, clean)
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
    """Return the gain of this ``colour`` (3,), and the part ``(H, W)`` that takes it.

    Pixels that nearly have this colour already are left out.
    """
    cut = expansion_move(pictures, matte, ink, opacity, colour, OUTLINE, weight, spreads)
    same = (matte[0] > 0) & ((ink - opacity * colour.view(3, 1, 1)).abs().amax(0) < NEW * opacity)
    part = solve(cut, allowed * ~same, turns)
    return -cut.cost(part), part
