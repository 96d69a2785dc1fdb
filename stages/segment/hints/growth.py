"""Find how far a correction reaches in the frame whose hint disagrees with the earlier matte.

The seeds are the certain pixels of the hint that lie on the wrong side of the matte. The correction
grows from them over what looks like them and is connected to them. Its reach is measured in extents
of the hint: the diagonal of the box around what was drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.hint_regions import HintRegion
from stages.segment.guided_filter import EDGE_RADIUS
from stages.segment.hints.cut_out import cut_out
from stages.segment.hints.evidence import (
    RegionEvidence,
    evidence,
    evidence_where_drawn,
    leaves_box_empty,
)

ODDS_AGAINST_DISTANCE = 2.0
"""Log-odds against a correction at a distance from the hint of one extent."""
REACH = 3.0  # greatest distance from the hint, in its extents, of a corrected pixel
MOST_JOINT_GROWTH = 2.0
"""Most area that several strokes correct together, in areas that each corrects by itself."""
LEAST_EXTENT = 0.12  # of a hint, as a part of the picture's shorter side


def grow_correction(
    picture: Tensor, earlier: Tensor, regions: Sequence[HintRegion], certain: Tensor
) -> Tensor:
    """Return the correction ``(h, w)`` of a frame with new hints: 1, -1 or 0.

    picture: ``(3, h, w)`` in [0, 1]. earlier: the earlier matte, ``(h, w)`` in [0, 1].
    regions: the new hints. certain: 1 and -1 where any hint is certain, ``(h, w)``.
    """
    size = (picture.shape[-2], picture.shape[-1])
    # What the earlier run found outside of a box may be another thing, which stays.
    known = evidence_where_drawn(regions, size)
    bounded = evidence(regions, size)
    inside = earlier > 0.5
    added = _grown_within(
        picture, known.foreground & ~inside, ~inside & (certain >= 0), known.prior
    )
    removed = _grown_within(
        picture, known.background & inside, inside & (certain <= 0), -known.prior
    )
    if _has_empty_box(bounded, inside):
        added = added | ((cut_out(picture, bounded) > 0) & ~inside)
    return added.float() - removed.float()


def _has_empty_box(known: RegionEvidence, inside: Tensor) -> bool:
    """Return whether the hints are boxes in which the earlier matte found nothing.

    inside: the earlier foreground, ``(h, w)`` of bool.
    """
    boxed = ~known.background
    if bool(known.foreground.any()) or not bool((known.prior[boxed] > 0).any()):
        return False
    return leaves_box_empty(inside, boxed)


def _grown_within(picture: Tensor, seeds: Tensor, domain: Tensor, prior: Tensor) -> Tensor:
    """Return the pixels ``(h, w)`` of bool that belong to what the seeds show.

    They lie inside ``domain``, look like the seeds rather than like the rest of it, and are
    connected to them. seeds, domain: ``(h, w)`` of bool. prior: log-odds where the hints say
    what is likely, ``(h, w)``.
    """
    if not bool(seeds.any()):
        return torch.zeros_like(seeds)
    distance = _distance_from(seeds) / _extent(seeds)
    found = _grown_near(picture, seeds, domain, prior, distance)
    parts = _parts(seeds)
    if len(parts) < 2:
        return found
    # The reach grows with the extent of all strokes, so distant strokes get a long one. That is
    # right within one wrong area, but the correction may also leak into what looks alike. Then it
    # becomes many times as large.
    distance_from_part = torch.stack([_distance_from(part) / _extent(part) for part in parts]).amin(
        0
    )
    found_by_parts = _grown_near(picture, seeds, domain, prior, distance_from_part)
    is_leaking = float(found.sum()) > MOST_JOINT_GROWTH * float(found_by_parts.sum())
    return found_by_parts if is_leaking else found


def _grown_near(
    picture: Tensor, seeds: Tensor, domain: Tensor, prior: Tensor, distance: Tensor
) -> Tensor:
    """Return what :func:`_grown_within` does, for one measure of how far pixels are.

    distance: from the seeds, in extents, ``(h, w)``.
    """
    near = domain & (distance <= REACH)
    part = part_around(near | seeds, EDGE_RADIUS)
    odds = prior[part].clamp_min(0) - ODDS_AGAINST_DISTANCE * distance[part]
    known = RegionEvidence(seeds[part], ~near[part], odds)
    found = torch.zeros_like(seeds)
    found[part] = (cut_out(picture[(slice(None), *part)], known, near[part]) > 0) & near[part]
    return found


def _parts(drawn: Tensor) -> list[Tensor]:
    """Return the connected parts of what is drawn, each ``(h, w)`` of bool."""
    count, labels = cv2.connectedComponents(drawn.numpy().astype(np.uint8), connectivity=8)
    return [torch.from_numpy(labels == label) for label in range(1, count)]


def _distance_from(drawn: Tensor) -> Tensor:
    """Return each pixel's distance from what is drawn ``(h, w)`` of bool, in pixels."""
    outside = (~drawn).numpy().astype(np.uint8)
    return torch.from_numpy(cv2.distanceTransform(outside, cv2.DIST_L2, 5))


def _extent(drawn: Tensor) -> float:
    """Return the diagonal in pixels of the box around what is drawn, ``(h, w)`` of bool."""
    rows, columns = drawn.nonzero(as_tuple=True)
    diagonal = math.hypot(float(rows.max() - rows.min()), float(columns.max() - columns.min()))
    return max(LEAST_EXTENT * min(drawn.shape), diagonal)


def part_around(drawn: Tensor, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of what is drawn ``(h, w)``, with a margin in pixels."""
    height, width = drawn.shape
    rows, columns = drawn.nonzero(as_tuple=True)
    return (
        slice(max(0, int(rows.min()) - margin), min(height, int(rows.max()) + margin + 1)),
        slice(max(0, int(columns.min()) - margin), min(width, int(columns.max()) + margin + 1)),
    )
