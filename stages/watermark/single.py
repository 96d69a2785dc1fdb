"""What a single picture tells of the mark in a box beyond the continuity across its outline: its colours, and the outline's own fairness.

One picture ``(1, 3, H, W)`` in [0, 1], a mark of one opacity a and one colour; maps ``(H, W)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.watermark.find import OUTLINE, Mark, grown, move, pairs, solve, texture

REACH = 32  # pixels around one in which its colour is looked for
STRIDE = 4  # of them every so many
ALIKE = 0.025  # distance of colours that are one
FLOOR = 0.1  # of a count: below it nothing is like this colour
SURE = 3.0  # nats that the colours may say at most
SUPPORT = 0.125  # weight of a nat beside the misfit of pairs
ROUNDS = 2
SPECK, PINHOLE = 10, 4  # parts of the mark, and holes in it, of fewer pixels are none
GAP, SPUR = 2, 1  # half the width of what is closed and opened to see thin holes and spurs
THIN_HOLE, THIN_SPUR = 10, 15  # pixels: smaller holes are kept, larger spurs are kept
BIASED, FITTED = 0.6, 0.3  # a hole's outline that leaves more of the jump is none; a spur's that leaves less fits the texture
NEAR = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0))


def support(shown: Tensor, undone: Tensor, clean: Tensor, opacity: float) -> Tensor:
    """By how many nats each pixel's colour as ``shown`` is more usual around it than ``undone``, all ``(3, H, W)``: ``(H, W)``.

    Usual means like many of the pixels of ``clean`` within :data:`REACH` (a kernel density). Undoing spreads colours apart, by 1 / (1 - a)
    along the line on which a patch's colours mostly lie, so that much more counts for it.
    """
    height, width = shown.shape[-2:]
    around = F.pad(clean[None], (REACH,) * 4, value=9.0)[0]  # no colour at all
    counts = [torch.zeros(height, width), torch.zeros(height, width)]
    for down in range(-REACH, REACH + 1, STRIDE):
        for right in range(-REACH, REACH + 1, STRIDE):
            if max(abs(down), abs(right)) < STRIDE:
                continue
            other = around[:, REACH + down : REACH + down + height, REACH + right : REACH + right + width]
            for count, own in zip(counts, (shown, undone), strict=True):
                count += torch.exp((own - other).square().sum(0) / (-2 * ALIKE**2))
    ratio = ((counts[0] + FLOOR) / (counts[1] + FLOOR)).log().clamp(-SURE, SURE)
    return ratio + math.log(1 - opacity)


def single_mark(pictures: Tensor, mark: Mark, allowed: Tensor, weight: Tensor, turns: int) -> Mark:
    """The mark of one picture, given its opacity and colour, by outline and colours together, and mended."""
    shown, hue = pictures[0], mark.hue
    undone = (shown - mark.opacity * hue.view(3, 1, 1)) / (1 - mark.opacity)
    none, no_ink = torch.zeros_like(shown[:1]), torch.zeros_like(shown)
    cut = move(pictures, none, no_ink, mark.opacity, hue, OUTLINE, weight, texture(pictures))
    chosen = solve(cut, allowed, turns)
    for _ in range(ROUNDS):
        usual = support(shown, undone, torch.where(chosen, undone, shown), mark.opacity)
        chosen = solve(replace(cut, unary=cut.unary + SUPPORT * usual), allowed, turns)
    chosen = mended(shown, undone, chosen, mark.opacity, hue) & (allowed > 0.5)
    matte = mark.opacity * chosen.float()[None]
    return Mark(matte, matte * hue.view(3, 1, 1), mark.opacity, mark.gain)


def mended(shown: Tensor, undone: Tensor, chosen: Tensor, opacity: float, hue: Tensor) -> Tensor:
    """The outline without specks, thin holes along the picture's own lines and thin spurs into its texture.

    Across a true outline the picture goes on: what is left of the jump is noise around zero. Along a line of the picture that passes for a
    hole a good part of the jump is left, everywhere with the same sign.
    """
    chosen = chosen.clone()
    for part in parts(chosen):
        if int(part.sum()) < SPECK:
            chosen &= ~part
    for part in parts(~chosen):
        if int(part.sum()) < PINHOLE:
            chosen |= part
    for part in parts(grown(grown(chosen, GAP), -GAP) & ~chosen):
        if int(part.sum()) >= THIN_HOLE and _left_over(shown, undone, chosen & ~part, part, opacity, hue) > BIASED:
            chosen |= part
    for part in parts(chosen & ~grown(grown(chosen, -SPUR), SPUR)):
        if int(part.sum()) < THIN_SPUR and _left_over(undone, shown, ~chosen, part, opacity, hue) < FITTED:
            chosen &= ~part
    return chosen


def _left_over(inside: Tensor, around: Tensor, other: Tensor, part: Tensor, opacity: float, hue: Tensor) -> float:
    """How much of the mark's jump is left between ``part`` (its colours ``inside``) and what is ``other`` (``around``), by medians."""
    left, jumps = [], []
    for offset in NEAR:
        for side in (0, 1):
            here = pairs(part, offset)[side] & pairs(other, offset)[1 - side]
            beyond = pairs(around, offset)[1 - side][:, here]
            left.append(beyond - pairs(inside, offset)[side][:, here])
            jumps.append(opacity * (hue.view(3, 1) - beyond))
    differences, expected = torch.cat(left, 1), torch.cat(jumps, 1)
    if differences.shape[1] == 0:
        return 0.5 * (BIASED + FITTED)
    return float(differences.median(1).values.norm() / expected.median(1).values.norm().clamp_min(1e-3))


def parts(chosen: Tensor) -> Iterator[Tensor]:
    """The connected parts of a map."""
    count, labels = cv2.connectedComponents(chosen.numpy().astype(np.uint8), connectivity=4)
    parts = torch.from_numpy(labels)
    return (parts == number for number in range(1, count))
