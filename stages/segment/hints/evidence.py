"""Turn the user's regions into the certain pixels of a picture, and what is likely elsewhere.

A region is understood by its shape:

- A box (a filled upright rectangle) bounds the foreground: outside is background, inside is open.
  If nothing in it stands out from around it, it lies inside the foreground: all of it is certain.
- Thin strokes and points are certain.
- Any other area is a rough mask: its core is certain, the rest of it is likely. Around it nothing
  is assumed here, because a blob may be much smaller than what it marks; see
  :mod:`stages.segment.hints.rough_mask`.
- Regions of the background are certain, whatever their shape.

Regions add up. What is certain foreground stays so outside of a box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.hint_regions import HintRegion

# Regions have the size at which they were drawn. "Working size" is that of the frames here.
STROKE_WIDTH = 0.06
"""Greatest width of a stroke, as a part of the picture's shorter side. It is all certain."""
CORE_DEPTH = 0.5
"""Least depth of a rough mask's certain pixels, as a part of its greatest depth.

A pixel's depth is its distance from the drawn edge.
"""
RIM_ODDS = 1.0  # log-odds of the rough mask's other pixels
BOX_MIDDLE_ODDS = 1.5  # log-odds at the middle of a box, before they are limited
BOX_ODDS_LOSS = 2.5  # by how much they are lower at the middle of each side
MOST_BOX_ODDS = 1.0  # most log-odds in a box, of either sign
POINT_RADIUS = 0.01  # of the disc that a point becomes, as a part of the picture's shorter side
LEAST_IN_BOX = 0.05
"""Least part of a box around a thing that the thing fills.

On 56 frames of DAVIS, boxes around the thing were filled to 0.12 or more by what was cut out of
them. Of 51 boxes that lie inside the thing, 48 had less than 0.05 cut out, most of them nothing.
"""


@dataclass(frozen=True)
class RegionEvidence:
    """What the user's regions say of one picture.

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
            core, rim = _core_and_rim(drawn)
            foreground |= core
            inside |= drawn
            prior = torch.where(rim, torch.full_like(prior, RIM_ODDS), prior)
    if boxes:
        background |= ~inside
        in_box = torch.stack(boxes).amax(0)
        prior = torch.where(prior > 0, prior, in_box)
    return RegionEvidence(foreground & ~background, background, prior)


def evidence_where_drawn(regions: Sequence[HintRegion], size: tuple[int, int]) -> RegionEvidence:
    """Return what the regions of one frame say of the pixels that they cover, and of no others.

    A box around a thing also says that the thing ends there. That is left out here.

    size: the working size ``(h, w)``.
    """
    known = evidence(regions, size)
    of_background = [region for region in regions if not region.foreground]
    if not of_background:
        return replace(known, background=torch.zeros_like(known.background))
    return replace(known, background=evidence(of_background, size).background)


def leaves_box_empty(found: Tensor, box: Tensor) -> bool:
    """Return whether so little was found in a box that it cannot lie around a thing.

    found, box: ``(h, w)`` of bool.
    """
    return float(found[box].sum()) < LEAST_IN_BOX * float(box.sum())


def has_rim(region: HintRegion, size: tuple[int, int]) -> bool:
    """Return whether a region is a filled area, whose rim is not certain, and not a box.

    size: of the working picture ``(h, w)``.
    """
    return not region.is_box and bool(_core_and_rim(_fitted(region, size))[1].any())


def _fitted(region: HintRegion, size: tuple[int, int]) -> Tensor:
    """Return the region's pixels at another size; thin strokes do not vanish, points are dots."""
    pixels = region.pixels.float()[None, None]
    fitted = functional.adaptive_max_pool2d(pixels, size)[0, 0] > 0
    top, bottom, left, right = region.bounds
    radius = round(POINT_RADIUS * min(size))
    if max(bottom - top, right - left) <= 2 and radius:
        fitted = _dilated(fitted, radius)
    return fitted


def _dilated(mask: Tensor, radius: int) -> Tensor:
    """Return ``mask`` ``(h, w)`` of bool, grown by a disc whose radius is in pixels."""
    side = 2 * radius + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return torch.from_numpy(cv2.dilate(mask.numpy().astype(np.uint8), disc) > 0)


def _core_and_rim(drawn: Tensor) -> tuple[Tensor, Tensor]:
    """Return the certain part of a region and the rim around it, each ``(h, w)`` of bool."""
    padded = np.pad(drawn.numpy().astype(np.uint8), 1)
    depth = torch.from_numpy(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1])
    _, labels = cv2.connectedComponents(drawn.numpy().astype(np.uint8))
    core = torch.zeros_like(drawn)
    for label in range(1, int(labels.max()) + 1):
        part = torch.from_numpy(labels == label)
        deepest = float(depth[part].max())
        is_stroke = 2 * deepest <= STROKE_WIDTH * min(drawn.shape)
        core |= part if is_stroke else part & (depth > CORE_DEPTH * deepest)
    return core, drawn & ~core


def _box_prior(region: HintRegion, size: tuple[int, int]) -> Tensor:
    """Return log-odds ``(h, w)`` that fall from the box's middle to its corners."""
    top, bottom, left, right = region.bounds
    height, width = region.pixels.shape
    y = (torch.arange(size[0]) + 0.5)[:, None] * height / size[0]
    x = (torch.arange(size[1]) + 0.5) * width / size[1]
    down = (y - (top + bottom) / 2) / ((bottom - top) / 2)
    across = (x - (left + right) / 2) / ((right - left) / 2)
    odds = BOX_MIDDLE_ODDS - BOX_ODDS_LOSS * torch.hypot(down, across)
    return odds.clamp(-MOST_BOX_ODDS, MOST_BOX_ODDS)
