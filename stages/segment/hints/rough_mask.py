"""Cut out a thing that the user marked by a filled area, drawn by hand and so not exactly.

Such an area may be roughly the thing itself, or a blob inside of a larger thing. Its shape does not
tell which, so the picture decides. A first cut takes the area for roughly the thing, so its outline
stays near the area's. If the area is only a part of the thing, this cut grows as far as it may, or
shrinks to what is certain, and ends where the picture has no edge. Then a second cut, which may end
anywhere, is taken instead, unless the first one's outline is clearly sharper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.hint_regions import HintRegion
from stages.segment.hints.cut_out import UNMARKED, cut_out
from stages.segment.hints.evidence import RegionEvidence, has_rim
from stages.segment.hints.relaxed_cut import edge_weights, outline_weight
from stages.segment.lab import lab_colors

STEEPNESS = 1.9
"""Log-odds for each factor of e in the distance from the drawn edge.

It was measured around strokes, points and blobs that were drawn in masks of DAVIS: how often a
pixel belongs to the thing, by its distance.
"""
ERROR_INSIDE = 0.03
"""Usual distance of the true edge from the drawn one, where the true one lies inside of it.

The unit is the square root of the drawn area.
"""
ERROR_OUTSIDE = 0.05  # the same where the true edge lies outside of the drawn one
ODDS_INSIDE = (0.3, 3.0)  # least and most log-odds of a pixel in the area
ODDS_OUTSIDE = (-4.0, -0.3)  # least and most log-odds of a pixel outside
SIZES_AS_DRAWN = (0.5, 1.2)
"""Least and most size of the first cut, divided by the drawn area, if that is roughly the thing.

With any other size, the area may be a part of a larger thing. In 28 frames of DAVIS, 25 cuts from
rough masks had 0.7 to 1.20 times the area. Of 26 cuts from blobs inside a thing, two did.
"""
CLEARLY_SHARPER = 0.83
"""Weight of the first cut's outline, as a part of the second's, up to which the first is kept.

An outline has a low weight where the picture has edges. The value was chosen on the same frames,
between 0.8 of a rough mask and 0.86 of a blob.
"""


def is_area(regions: Sequence[HintRegion], size: tuple[int, int]) -> bool:
    """Return whether the foreground of a frame is marked by filled areas alone.

    regions: of the frame. size: of the working picture ``(h, w)``.
    """
    drawn = [region for region in regions if region.foreground]
    return bool(drawn) and all(has_rim(region, size) for region in drawn)


def cut_area(picture: Tensor, known: RegionEvidence) -> Tensor:
    """Return log-odds ``(h, w)`` of the thing that an area marks, as :func:`cut_out` does.

    picture: ``(3, h, w)`` in [0, 1]. known: what the area says, with nothing assumed around it.
    """
    area = known.foreground | (known.prior > 0)
    as_drawn = cut_out(picture, _roughly_the_thing(known, area))
    size = float((as_drawn > 0).sum()) / float(area.sum())
    if SIZES_AS_DRAWN[0] <= size <= SIZES_AS_DRAWN[1]:
        return as_drawn
    grown = cut_out(picture, known)
    weights = edge_weights(lab_colors(picture[None])[0])
    weight_as_drawn = outline_weight(as_drawn > 0, weights)
    weight_grown = outline_weight(grown > 0, weights)
    return as_drawn if weight_as_drawn <= CLEARLY_SHARPER * weight_grown else grown


def _roughly_the_thing(known: RegionEvidence, area: Tensor) -> RegionEvidence:
    """Return ``known`` with log-odds that change sign at the drawn edge.

    area: the pixels that were drawn, ``(h, w)`` of bool.
    """
    across = math.sqrt(float(area.sum()))
    inside = _log_distance(area, ERROR_INSIDE * across).clamp(*ODDS_INSIDE)
    outside = (-_log_distance(~area, ERROR_OUTSIDE * across)).clamp(*ODDS_OUTSIDE)
    # `cut_out` adds UNMARKED to all pixels. Outside of the area it is taken off in advance, because
    # the distance already says how likely the thing is there.
    prior = torch.where(area, inside, outside - UNMARKED)
    return replace(known, prior=prior)


def _log_distance(mask: Tensor, error: float) -> Tensor:
    """Return ``STEEPNESS log(distance / error)``, ``(h, w)``.

    The distance is that of each pixel of the mask ``(h, w)`` to the nearest pixel outside of it.
    error: in pixels.
    """
    distance = cv2.distanceTransform(mask.numpy().astype(np.uint8), cv2.DIST_L2, 5)
    return STEEPNESS * torch.log((torch.from_numpy(distance) + 1) / max(error, 1e-3))
