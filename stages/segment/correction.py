"""Correct the matte of an earlier run where new hints disagree with it; keep the rest as it was.

The steps, in order:

1. Disagreement: certain pixels of a hint that lie on the other side of the earlier matte.
2. Growth: in that frame, the disagreement grows over what looks like it and is connected to it.
3. Carrying: the corrected part is followed along the flow to the frames before and after.
4. Merging: the matte changes in the corrected part, and nowhere else.

A correction is a tensor in [-1, 1]: 1 is foreground that the earlier matte lacks, -1 is background
that it took for foreground, 0 leaves a pixel as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.hint_regions import HintRegion
from stages.motion.flow import resize
from stages.segment.background import dilate
from stages.segment.cut import upsampled
from stages.segment.evidence import RegionEvidence, evidence
from stages.segment.guided_filter import EDGE_RADIUS, guided_filter
from stages.segment.hinted import LEAST_IN_BOX, Marked, MarkedFrame, regions_at
from stages.segment.marked import cut_out
from stages.segment.motion import WindowMotion

KEPT = 2.0
"""Log-odds against a correction at a distance from the hint of the hint's own extent."""
REACH = 3.0
"""Distance, in extents of the hint, up to which a correction may grow."""
MOST_JOINT_GROWTH = 2.0
"""How many times as much several strokes may correct together as each by itself."""
LEAST_EXTENT = 0.12  # least extent of a hint, as a part of the picture's shorter side
FAINT = 0.05  # size of a carried correction below which it is dropped
DECIDED = 0.5
"""Size of a carried correction from which a pixel is corrected."""


@dataclass(frozen=True)
class Correction:
    """Hold what hints change in the matte of an earlier run.

    earlier: that matte, ``(T, 1, H, W)`` in [0, 1].
    signs: 1 where foreground is added, -1 where it is taken away, else 0; ``(T, 1, h, w)``.
    marked: what the hints say, by frame.
    """

    earlier: Tensor
    signs: Tensor
    marked: Marked

    def drawn(self, work: Tensor, frames: Tensor) -> Tensor:
        """Return the corrected matte ``(T, 1, H, W)`` with edges from the guided filter.

        work, frames: the frames at the size of ``signs`` and at full size, ``(T, 3, H, W)``.
        """
        size = (self.signs.shape[-2], self.signs.shape[-1])
        hard = (resize(self.earlier, size) > 0.5).float()
        hard = torch.where(self.signs != 0, (self.signs > 0).float(), hard)
        return self.merged(upsampled(hard, work, frames))

    def merged(self, matte: Tensor) -> Tensor:
        """Return the earlier matte with another one in its corrected parts, ``(T, 1, H, W)``."""
        size = (matte.shape[-2], matte.shape[-1])
        merged = self.earlier.clone()
        for t in self.signs.any(-1).any(-1).flatten().nonzero().flatten().tolist():
            weight = resize(dilate(self.signs[t : t + 1] != 0, EDGE_RADIUS).float(), size)[0]
            merged[t] += weight * (matte[t] - merged[t])
        return merged


def find_correction(
    frames: Tensor, motion: WindowMotion | None, context: SeparationContext
) -> Correction:
    """Find out what the new hints change in the context's earlier matte.

    frames: ``(T, 3, h, w)`` in [0, 1], at the working size. motion: of frames of this size;
    ``None`` for pictures and clips that stand still.
    """
    assert context.earlier_matte is not None, "there is a matte to correct"
    size = (frames.shape[-2], frames.shape[-1])
    earlier = resize(context.earlier_matte, size)[:, 0]
    one_picture = motion is None and not context.unordered
    signs, certain = torch.zeros_like(earlier), torch.zeros_like(earlier)
    marked: dict[int, MarkedFrame] = {}
    for place, frame in enumerate(frames):
        regions = regions_at(place, context, all_places=one_picture)
        new = [region for region in regions if not region.earlier]
        # A box that was drawn too tight must not keep the rest of the thing out.
        kept = [region for region in regions if not (region.earlier and region.is_box)]
        if kept:
            known = _strokes_and_inside(kept, size)
            marked[place] = MarkedFrame(known, 2 * earlier[place] - 1)
            certain[place] = known.foreground.float() - known.background.float()
        if new:
            signs[place] = grown(frame, earlier[place], new, certain[place])
    if motion is not None:
        signs = _with_window_before(signs, earlier, context)
        signs = carried(signs, frames, certain, motion)
    signs = torch.where(signs.abs() >= DECIDED, signs.sign(), 0.0)
    # What is on the right side already keeps its soft edge.
    signs = torch.where((signs > 0) == (earlier > 0.5), 0.0, signs)
    return Correction(context.earlier_matte, signs[:, None], marked)


def _with_window_before(signs: Tensor, earlier: Tensor, context: SeparationContext) -> Tensor:
    """Return the correction ``(T, h, w)`` with what the window before corrected in shared frames.

    earlier: the matte to correct, ``(T, h, w)`` in [0, 1].
    """
    if (before := context.before.get("matte")) is None:
        return signs
    count = min(len(before), len(signs))
    now = resize(before[:count], (signs.shape[-2], signs.shape[-1]))[:, 0] > 0.5
    corrected = now.float() - (earlier[:count] > 0.5).float()
    shared = torch.where(signs[:count] != 0, signs[:count], corrected)
    return torch.cat([shared, signs[count:]])


def _strokes_and_inside(regions: Sequence[HintRegion], size: tuple[int, int]) -> RegionEvidence:
    """Return what regions say of the pixels that they mark, at ``size``.

    A box around something also says that the thing ends there. That is not used: what the earlier
    run found outside of the box may be another thing, which stays.
    """
    known = evidence(regions, size)
    of_background = [region for region in regions if not region.foreground]
    if not of_background:
        return replace(known, background=torch.zeros_like(known.background))
    return replace(known, background=evidence(of_background, size).background)


def grown(
    picture: Tensor, earlier: Tensor, regions: Sequence[HintRegion], certain: Tensor
) -> Tensor:
    """Return the correction ``(h, w)`` of a frame with new hints: 1, -1 or 0.

    picture: ``(3, h, w)`` in [0, 1]. earlier: the earlier matte, ``(h, w)`` in [0, 1].
    regions: the new hints. certain: 1 and -1 where any hint is certain, ``(h, w)``.
    """
    size = (picture.shape[-2], picture.shape[-1])
    bounded, known = evidence(regions, size), _strokes_and_inside(regions, size)
    inside = earlier > 0.5
    lacking = _grown_within(
        picture, known.foreground & ~inside, ~inside & (certain >= 0), known.prior
    )
    wrong = _grown_within(picture, known.background & inside, inside & (certain <= 0), -known.prior)
    if _has_empty_box(bounded, inside):
        lacking = lacking | ((cut_out(picture, bounded) > 0) & ~inside)
    return lacking.float() - wrong.float()


def _has_empty_box(known: RegionEvidence, inside: Tensor) -> bool:
    """Return whether the hints are boxes in which the earlier matte found nothing.

    inside: the earlier foreground, ``(h, w)`` of bool.
    """
    boxed = ~known.background
    if bool(known.foreground.any()) or not bool((known.prior[boxed] > 0).any()):
        return False
    return float(inside[boxed].sum()) < LEAST_IN_BOX * float(boxed.sum())


def _grown_within(picture: Tensor, seeds: Tensor, domain: Tensor, prior: Tensor) -> Tensor:
    """Return the pixels ``(h, w)`` of bool that belong to what the seeds show.

    They lie inside ``domain``, look like the seeds rather than like the rest of it, and are
    connected to them. seeds, domain: ``(h, w)`` of bool. prior: log-odds where the hints say
    what is likely, ``(h, w)``.
    """
    if not bool(seeds.any()):
        return torch.zeros_like(seeds)
    together = _distance_from(seeds) / _extent(seeds)
    found = _grown_near(picture, seeds, domain, prior, together)
    parts = _parts(seeds)
    if len(parts) < 2:
        return found
    # The reach grows with the extent of all strokes, so distant strokes get a long one. That is
    # right within one wrong area, but the correction may also leak into what looks alike. Then it
    # becomes many times as large.
    apart = torch.stack([_distance_from(part) / _extent(part) for part in parts]).amin(0)
    sure = _grown_near(picture, seeds, domain, prior, apart)
    return sure if float(found.sum()) > MOST_JOINT_GROWTH * float(sure.sum()) else found


def _grown_near(
    picture: Tensor, seeds: Tensor, domain: Tensor, prior: Tensor, remote: Tensor
) -> Tensor:
    """Return what :func:`_grown_within` does, for one measure of how far pixels are.

    remote: distance from the seeds in extents, ``(h, w)``.
    """
    near = domain & (remote <= REACH)
    part = _around(near | seeds, EDGE_RADIUS)
    odds = prior[part].clamp_min(0) - KEPT * remote[part]
    known = RegionEvidence(seeds[part], ~near[part], odds)
    found = torch.zeros_like(seeds)
    found[part] = (cut_out(picture[(slice(None), *part)], known, near[part]) > 0) & near[part]
    return found


def _parts(drawn: Tensor) -> list[Tensor]:
    """Return the connected parts of what is drawn, each ``(h, w)`` of bool."""
    count, labels = cv2.connectedComponents(drawn.numpy().astype(np.uint8), connectivity=8)
    return [torch.from_numpy(labels == label) for label in range(1, count)]


def _distance_from(drawn: Tensor) -> Tensor:
    """Return each pixel's distance from what is drawn, ``(h, w)``, in pixels."""
    outside = (~drawn).numpy().astype(np.uint8)
    return torch.from_numpy(cv2.distanceTransform(outside, cv2.DIST_L2, 5))


def _extent(drawn: Tensor) -> float:
    """Return the diagonal in pixels of the box around what is drawn, ``(h, w)`` of bool."""
    rows, columns = drawn.nonzero(as_tuple=True)
    diagonal = math.hypot(float(rows.max() - rows.min()), float(columns.max() - columns.min()))
    return max(LEAST_EXTENT * min(drawn.shape), diagonal)


def _around(drawn: Tensor, margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of what is drawn ``(h, w)``, with a margin in pixels."""
    height, width = drawn.shape
    rows, columns = drawn.nonzero(as_tuple=True)
    return (
        slice(max(0, int(rows.min()) - margin), min(height, int(rows.max()) + margin + 1)),
        slice(max(0, int(columns.min()) - margin), min(width, int(columns.max()) + margin + 1)),
    )


def carried(correction: Tensor, frames: Tensor, certain: Tensor, motion: WindowMotion) -> Tensor:
    """Return the correction ``(T, h, w)``, followed from its frames to all others.

    frames: ``(T, 3, h, w)`` in [0, 1]. certain: 1 and -1 where a hint is certain, ``(T, h, w)``.
    """

    def merge(t: int, brought: Tensor) -> Tensor:
        aligned = _aligned(brought[0], frames[t])
        aligned = torch.where(certain[t] * aligned < 0, 0.0, aligned)
        return torch.where(correction[t] != 0, correction[t], aligned)[None]

    forwards, backwards = (way[:, 0] for way in motion.followed(correction[:, None], merge))
    return torch.where(forwards.abs() >= backwards.abs(), forwards, backwards)


def _aligned(correction: Tensor, frame: Tensor) -> Tensor:
    """Return a carried correction ``(h, w)``, aligned with the edges of its frame ``(3, h, w)``."""
    there = correction.abs() > FAINT
    if not bool(there.any()):
        return torch.zeros_like(correction)
    part = _around(there, 4 * EDGE_RADIUS)
    values, guide = correction[part][None, None], frame[(slice(None), *part)][None]
    aligned = torch.zeros_like(correction)
    aligned[part] = guided_filter(values, guide)[0, 0].clamp(-1, 1)
    return aligned
