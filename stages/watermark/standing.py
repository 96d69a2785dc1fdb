"""Find a mark in a clip by its outline: it stands still while the scene moves past it.

Along the scene's motion frames agree everywhere, except at what does not move with the scene. There
they agree in place. That tells where a mark is, whatever its colours are, and also where the scene
moves by a pixel alone. The search for its opacity and colour then needs to look there only.

Frames ``(T, 3, H, W)`` in [0, 1]; maps ``(h, w)`` of smaller pictures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import box, flows, length, resize, warp
from stages.watermark.effort import EFFORTS, SEARCHED
from stages.watermark.find import Mark, dilated
from stages.watermark.pictures import bounds_around, inner_part, spread_indices
from stages.watermark.search import find_mark, outline_length
from stages.watermark.stays import MOST_ERROR, pairs_of, scene_flow

COMPARED_PIXELS = 40_000
"""Most pixels of the frames that are compared, and in which the mark is searched."""
GAPS = (1, 3, 8)
"""Distances in frames of the pairs that are compared: the sample's frames may be far apart."""
LEAST_MOVE = 0.4
"""Pixels of these frames by which the scene has to move at a place for it to count."""
CLEARLY = 0.02
"""Least error along the scene's motion, as a difference in [0, 1], beyond that in place."""
IN_PLACE = 0.5
"""Most error in place, as a part of that along the motion."""
CROWD, CROWDED = 4, 0.12
"""Pixels around a standing one among which others stand, and the least part of them. Strokes have
neighbours; what flow got wrong is scattered."""
AROUND = 6
"""Pixels around standing ones in which the mark is searched."""
MARGIN = 8
"""Pixels around the place that the search also reads."""
LEAST_MOVING = 0.5
"""Part of the pixels, in the mean over the pairs, that has to move. In a scene that stands still,
what is near a moving thing seems to stand still against it."""
LEAST_STANDING = 60
"""Fewest standing pixels of an outline. Drawn marks over moving scenes had 83 and more."""
LIKELY, CERTAIN = 18.0, 23.0
"""Nats per outline pixel, times the part of the standing pixels that are on the outline, from which
a mark may be there, and is there. Drawn marks had 30 and more, things in 84 pieces of real shots
that moved enough 17 and less."""


@dataclass(frozen=True)
class StandingPixels:
    """Hold where frames agree in place, and not along the scene's motion.

    pixels: ``(h, w)``, boolean. moving: part of the pixels, in the mean over all pairs of frames,
    that the scene moves.
    """

    pixels: Tensor
    moving: float

    @property
    def are_told(self) -> bool:
        """Whether the scene moves enough to tell what stands."""
        return self.moving >= LEAST_MOVING

    @property
    def are_enough(self) -> bool:
        """Whether so many pixels stand that they may be the outline of a mark."""
        return self.are_told and int(self.pixels.sum()) >= LEAST_STANDING


@dataclass(frozen=True)
class StandingMark:
    """Hold a mark whose outline stands still while the scene moves.

    mark: ``(1, h, w)`` and ``(3, h, w)``, of the size of the frames that were compared.
    place: ``(h, w)``, boolean, where it may be.
    nats: by which it makes the frames more continuous, for each pixel of its outline.
    caught: the part of the standing pixels that lie on its outline, 0 to 1.
    """

    mark: Mark
    place: Tensor
    nats: float
    caught: float

    @property
    def strength(self) -> float:
        """How sure it is, in nats: see :data:`CERTAIN`."""
        return self.nats * self.caught


def standing_pixels(runs: Sequence[Tensor]) -> StandingPixels:
    """Return where the frames of runs ``(T, 3, H, W)`` agree in place alone."""
    height, width = runs[0].shape[-2:]
    scale = math.sqrt(min(1.0, COMPARED_PIXELS / (height * width)))
    size = max(8, round(scale * height)), max(8, round(scale * width))
    in_place, along, counted, pairs = torch.zeros(size), torch.zeros(size), torch.zeros(size), 0
    everywhere = torch.ones(size)
    for run in runs:
        frames = resize(run, size)
        found = flows(frames, compared := pairs_of(len(frames), GAPS))
        pairs += len(compared)
        for one, other in compared:
            motion = scene_flow(found[one, other], everywhere)
            moves = length(motion)[0, 0] > LEAST_MOVE
            here = (frames[one] - frames[other]).abs().mean(0).clamp(max=MOST_ERROR)
            there = (frames[one] - warp(frames[other : other + 1], motion)[0]).abs().mean(0)
            in_place += moves * here
            along += moves * there.clamp(max=MOST_ERROR)
            counted += moves
    times = counted.clamp_min(1)
    in_place, along = in_place / times, along / times
    stands = (along - in_place > CLEARLY) & (in_place < IN_PLACE * along)
    crowded = box(stands.float()[None, None], CROWD)[0, 0] > CROWDED
    return StandingPixels(stands & crowded, float(counted.mean()) / max(1, pairs))


def place_of_standing_mark(frames: Tensor) -> Tensor | None:
    """Return where a mark stands in a clip beyond doubt, ``(h, w)``, boolean, or None.

    frames: spread over the clip, ``(S, 3, H, W)``.
    """
    standing = standing_pixels([frames])
    found = find_standing_mark(frames, standing) if standing.are_enough else None
    return found.place if found is not None and found.strength >= CERTAIN else None


def find_standing_mark(frames: Tensor, standing: StandingPixels) -> StandingMark | None:
    """Return the mark of one opacity and colour whose outline stands, or None without one.

    frames: spread over the clip, ``(S, 3, H, W)``. standing: there are some.
    """
    pixels = standing.pixels
    place = filled_boxes(dilated(pixels, AROUND))
    size = (pixels.shape[-2], pixels.shape[-1])
    area = bounds_around(place, MARGIN)
    pictures = resize(frames[spread_indices(len(frames), SEARCHED)], size)[(..., *area)]
    allowed = inner_part(place[area])
    weight = torch.ones_like(allowed)
    turns = EFFORTS["fast"].turns
    found = find_mark(pictures, allowed, weight, turns=turns, least_gain=0.0)
    if found is None:
        return None
    chosen = found.matte[0] > 0
    outline = dilated(chosen, 2) & ~dilated(chosen, -2)
    caught = float((outline & pixels[area]).sum()) / max(1, int(pixels.sum()))
    matte, ink = torch.zeros(1, *size), torch.zeros(3, *size)
    matte[(..., *area)], ink[(..., *area)] = found.matte, found.ink
    mark = Mark(matte, ink, found.opacity, found.gain)
    return StandingMark(mark, place, found.gain / max(1, outline_length(found)), caught)


def filled_boxes(place: Tensor) -> Tensor:
    """Return the boxes around the connected parts of a place, ``(h, w)``, boolean.

    The inside of a wide mark does not stand, because it shows the scene or one colour.
    """
    _, _, parts, _ = cv2.connectedComponentsWithStats(place.numpy().astype(np.uint8))
    filled = torch.zeros_like(place)
    for left, top, wide, high, _ in parts[1:]:
        filled[top : top + high, left : left + wide] = True
    return filled
