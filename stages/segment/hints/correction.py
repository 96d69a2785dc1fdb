"""Correct the matte of an earlier run where new hints disagree with it, and nowhere else.

The steps, in order:

1. Disagreement: certain pixels of a hint that lie on the other side of the earlier matte.
2. Growth: in that frame, the disagreement grows over what looks like it and is connected to it
   (:mod:`stages.segment.hints.growth`).
3. Carrying: the corrected part is followed along the flow to the frames before and after.
4. Merging: the matte changes in the corrected part, and nowhere else.

A correction is a tensor in [-1, 1]: 1 is foreground that the earlier matte lacks, -1 is background
that it took for foreground, 0 leaves a pixel as it was.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.context import SeparationContext
from stages.motion.flow import resize
from stages.segment.cut import upsampled
from stages.segment.guided_filter import EDGE_RADIUS, guided_filter
from stages.segment.hints.evidence import evidence_where_drawn
from stages.segment.hints.growth import grow_correction, part_around
from stages.segment.hints.marked_frames import Marked, MarkedFrame, regions_at
from stages.segment.margins import dilate
from stages.segment.motion import WindowMotion

LEAST_CARRIED = 0.05  # a carried correction whose absolute value is lower is not carried on
LEAST_CORRECTION = 0.5  # least absolute value of a correction that changes its pixel


@dataclass(frozen=True)
class Correction:
    """What hints change in the matte of an earlier run.

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
    signs = torch.zeros_like(earlier)
    certain = torch.zeros_like(earlier)
    marked: dict[int, MarkedFrame] = {}
    for place, frame in enumerate(frames):
        regions = regions_at(place, context, all_places=one_picture)
        new = [region for region in regions if not region.earlier]
        # A box that was drawn too tight must not keep the rest of the thing out.
        kept = [region for region in regions if not (region.earlier and region.is_box)]
        if kept:
            known = evidence_where_drawn(kept, size)
            marked[place] = MarkedFrame(known, 2 * earlier[place] - 1)
            certain[place] = known.foreground.float() - known.background.float()
        if new:
            signs[place] = grow_correction(frame, earlier[place], new, certain[place])
    if motion is not None:
        signs = _with_window_before(signs, earlier, context)
        signs = _follow_correction(signs, frames, certain, motion)
    signs = torch.where(signs.abs() >= LEAST_CORRECTION, signs.sign(), 0.0)
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


def _follow_correction(
    correction: Tensor, frames: Tensor, certain: Tensor, motion: WindowMotion
) -> Tensor:
    """Return the correction ``(T, h, w)``, followed from its frames to all others.

    frames: ``(T, 3, h, w)`` in [0, 1]. certain: 1 and -1 where a hint is certain, ``(T, h, w)``.
    """

    def merge(t: int, brought: Tensor) -> Tensor:
        aligned = _aligned(brought[0], frames[t])
        aligned = torch.where(certain[t] * aligned < 0, 0.0, aligned)
        return torch.where(correction[t] != 0, correction[t], aligned)[None]

    forwards, backwards = (
        carried[:, 0] for carried in motion.carried_both_ways(correction[:, None], merge)
    )
    return torch.where(forwards.abs() >= backwards.abs(), forwards, backwards)


def _aligned(correction: Tensor, frame: Tensor) -> Tensor:
    """Return a carried correction ``(h, w)``, aligned with the edges of its frame ``(3, h, w)``."""
    is_carried = correction.abs() > LEAST_CARRIED
    if not bool(is_carried.any()):
        return torch.zeros_like(correction)
    part = part_around(is_carried, 4 * EDGE_RADIUS)
    values, guide = correction[part][None, None], frame[(slice(None), *part)][None]
    aligned = torch.zeros_like(correction)
    aligned[part] = guided_filter(values, guide)[0, 0].clamp(-1, 1)
    return aligned
