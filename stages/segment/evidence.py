"""Tell from the user's regions which pixels of a picture are certain, and what is likely elsewhere.

A region is understood by its shape:

- A box (an upright filled rectangle) bounds the foreground: outside is background, inside is open.
  If nothing in it stands out from around it, it lies inside the foreground: all of it is certain.
- Thin strokes and points are certain.
- Any other area is a rough mask: its core is certain, the rest of it is likely. Around it nothing
  is assumed here, because a blob may be much smaller than what it marks; see
  :mod:`stages.segment.rough_mask`.
- Regions of the background are certain, whatever their shape.

Regions add up. What is certain foreground stays so outside of a box.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.hint_regions import HintRegion

STROKE = 0.06
"""Part of the picture's shorter side; a region that is nowhere thicker is a stroke."""
CORE = 0.5  # part of a rough mask's greatest depth from which on a pixel is certain
LIKELY = 1.0  # log-odds in the rest of a rough mask
BOXED = (1.5, 2.5, 1.0)
"""Log-odds in a box: at its middle, their loss at the middle of a side, and the most of either."""
DOT = 0.01  # radius of a point as a part of the shorter side


@dataclass(frozen=True)
class RegionEvidence:
    """Hold what is known of one picture.

    foreground, background: where the picture certainly shows either, ``(h, w)`` of bool, nowhere
    both. prior: log-odds ``(h, w)`` of the other pixels; zero where nothing is known.
    """

    foreground: Tensor
    background: Tensor
    prior: Tensor


def evidence(
    regions: Iterable[HintRegion], size: tuple[int, int], *, boxes_inside: bool = False
) -> RegionEvidence:
    """Return what the regions of one frame say, at the working size ``(h, w)``.

    boxes_inside: whether the foreground's boxes lie inside of it, rather than around it.
    """
    foreground, background, inside = (torch.zeros(size, dtype=torch.bool) for _ in range(3))
    prior = torch.zeros(size)
    boxes: list[Tensor] = []
    for region in regions:
        drawn = _fitted(region, size)
        if not region.foreground:
            background |= drawn
        elif region.is_box and boxes_inside:
            foreground |= drawn
        elif region.is_box:
            inside |= drawn
            boxes.append(_box_prior(region, size))
        else:
            core, rest = _core(drawn)
            foreground |= core
            inside |= drawn
            prior = torch.where(rest, torch.full_like(prior, LIKELY), prior)
    if boxes:
        background |= ~inside
        in_box = torch.stack(boxes).amax(0)
        prior = torch.where(prior > 0, prior, in_box)
    return RegionEvidence(foreground & ~background, background, prior)


def has_rim(region: HintRegion, size: tuple[int, int]) -> bool:
    """Return whether a region is a filled area, whose rim is not certain, and not a box.

    size: of the working picture ``(h, w)``.
    """
    return not region.is_box and bool(_core(_fitted(region, size))[1].any())


def _fitted(region: HintRegion, size: tuple[int, int]) -> Tensor:
    """Return the region's pixels at another size; thin strokes do not vanish, points are dots."""
    pixels = region.pixels.float()[None, None]
    fitted = functional.adaptive_max_pool2d(pixels, size)[0, 0] > 0
    top, bottom, left, right = region.bounds
    radius = round(DOT * min(size))
    if max(bottom - top, right - left) <= 2 and radius:
        fitted = _dilated(fitted, radius)
    return fitted


def _dilated(mask: Tensor, radius: int) -> Tensor:
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return torch.from_numpy(cv2.dilate(mask.numpy().astype(np.uint8), disc) > 0)


def _core(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Return the certain part of a region and the rest of it, each ``(h, w)`` of bool."""
    padded = np.pad(drawn.numpy().astype(np.uint8), 1)
    depth = torch.from_numpy(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])
    _, labels = cv2.connectedComponents(drawn.numpy().astype(np.uint8))
    core = torch.zeros_like(drawn)
    for label in range(1, int(labels.max()) + 1):
        part = torch.from_numpy(labels == label)
        deepest = float(depth[part].max())
        thin = 2 * deepest <= STROKE * min(drawn.shape)
        core |= part if thin else part & (depth > CORE * deepest)
    return core, drawn & ~core


def _box_prior(region: HintRegion, size: tuple[int, int]) -> Tensor:
    """Return log-odds ``(h, w)`` that fall from the box's middle to its corners."""
    top, bottom, left, right = region.bounds
    height, width = region.pixels.shape
    y = (torch.arange(size[0]) + 0.5)[:, None] * height / size[0]
    x = (torch.arange(size[1]) + 0.5) * width / size[1]
    down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
    across = (x - (left + right) / 2) / ((right - left) / 2)
    middle, loss, most = BOXED
    return (middle - loss * torch.hypot(down, across)).clamp(-most, most)
