"""Find a mark in a clip by its outline: it stands still while the scene moves past it.

Along the scene's motion frames agree everywhere, except at what does not move with the scene. There
they agree in place. That tells where a mark is, whatever its colours are, and also where the scene
moves by a pixel alone. The search for its opacity and colour then needs to look there only.

Frames ``(T, 3, H, W)`` in [0, 1]; maps ``(h, w)`` of smaller pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import box, flows, length, resize, warp, within
from stages.watermark.effort import EFFORTS, SEARCHED
from stages.watermark.evidence import Evidence
from stages.watermark.find import Mark, dilated, solve
from stages.watermark.fit import OPAQUE
from stages.watermark.pictures import bounds_around, inner_part, resized_map, spread_indices
from stages.watermark.search import find_mark, outline_length
from stages.watermark.stays import MOST_ERROR, pairs_of, scene_flow

LEAST_SIDE = 8
"""Pixels of a side of the frames from which a mark is searched."""
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
LEAST_ERROR = 0.004
"""Error, as a difference in [0, 1], that coding makes."""
LEAST_WEIGHT = 0.25
"""How much a pixel counts, at least, that moves with the scene."""
CROWD, CROWDED = 4, 0.12
"""Pixels around a standing one among which others stand, and the least part of them. Strokes have
neighbours; what flow got wrong is scattered."""
AROUND = 6
"""Pixels around standing ones in which the mark is searched."""
MORE = 1.3
"""How many times the nats of a mark near its standing outline a larger one has to gain. Plates of
which one end stands gain 2 and more; what else touches a text gains little."""
MARGIN = 8
"""Pixels around the place that the search also reads."""
LEAST_MOVING = 0.5
"""Part of the pixels, in the mean over the pairs, that has to move. In a scene that stands still,
what is near a moving thing seems to stand still against it."""
LEAST_STANDING = 60
"""Fewest standing pixels of an outline. Large drawn texts had 83 and more. Small ones have fewer,
and are left to the search by what changes."""
LIKELY, CERTAIN = 18.0, 23.0
"""Nats per outline pixel, times the part of the standing pixels that are on the outline, from which
a mark may be there, and is there. Drawn texts had 30 and more, six of eight drawn plates 33 and
more. Before pixels were weighed, what was found in about 50 pieces of real shots that moved enough
had 17 and less; with the weights, none of 42 others was certain."""
LEAST_SEEN_THROUGH = 0.5
"""Least part of the expected change that is seen inside a translucent mark. Twelve drawn marks had
0.93 and more, opaque things before a moving scene 0.05 and less."""
AROUND_IT = 8
"""Pixels around a mark in which the change of the scene is measured."""


@dataclass(frozen=True)
class StandingPixels:
    """Hold where frames agree in place, and not along the scene's motion.

    pixels: ``(h, w)``, boolean. moving: part of the pixels, in the mean over all pairs of frames,
    that the scene moves.
    weight: how much each pixel counts in the search for a mark, ``(h, w)`` in [0, 1]. What agrees
    along the motion and not in place belongs to the scene.
    change: how much each pixel changes in place, ``(h, w)``: a mean difference in [0, 1].
    """

    pixels: Tensor
    moving: float
    weight: Tensor
    change: Tensor

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
    place: ``(h, w)``, boolean, where it may be. weight: as of :class:`StandingPixels`.
    nats: by which it makes the frames more continuous, for each pixel of its outline.
    caught: the part of the standing pixels that lie on its outline, 0 to 1.
    seen_through: how much its inside changes, as a part of what the scene around it would change
        there under its opacity. It is near 0 for an opaque thing before the scene.
    """

    mark: Mark
    place: Tensor
    weight: Tensor
    nats: float
    caught: float
    seen_through: float

    @property
    def strength(self) -> float:
        """How sure it is that something stands there, in nats: see :data:`CERTAIN`."""
        return self.nats * self.caught

    def place_at(self, size: torch.Size) -> Tensor:
        """Return its place at another size, boolean."""
        return resized_map(self.place.float(), size) > 0

    def weight_at(self, size: torch.Size) -> Tensor:
        """Return the pixels' weight at another size. It has no steps, which a cut would follow."""
        return resize(self.weight[None, None], (size[0], size[1]))[0, 0]

    @property
    def is_translucent(self) -> bool:
        """Whether the scene shows through it, as it does not through a thing before the scene."""
        return self.seen_through >= LEAST_SEEN_THROUGH and self.mark.opacity <= OPAQUE


def standing_pixels(runs: Sequence[Tensor]) -> StandingPixels:
    """Return where the frames of runs ``(T, 3, H, W)`` agree in place alone."""
    height, width = within((runs[0].shape[-2], runs[0].shape[-1]), COMPARED_PIXELS)
    size = max(LEAST_SIDE, height), max(LEAST_SIDE, width)
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
    weight = (2 * along / (in_place + along + LEAST_ERROR)).clamp(LEAST_WEIGHT, 1)
    return StandingPixels(stands & crowded, float(counted.mean()) / max(1, pairs), weight, in_place)


def certain_standing_mark(frames: Tensor) -> StandingMark | None:
    """Return the translucent mark that stands in a clip beyond doubt, or None.

    frames: spread over the clip, ``(S, 3, H, W)``.
    """
    if min(frames.shape[-2:]) < LEAST_SIDE:
        return None
    standing = standing_pixels([frames])
    found = find_standing_mark(frames, standing) if standing.are_enough else None
    if found is None or not found.is_translucent or found.strength < CERTAIN:
        return None
    return found


def find_standing_mark(frames: Tensor, standing: StandingPixels) -> StandingMark | None:
    """Return the mark of one opacity and colour whose outline stands, or None without one.

    Where its outline stands tells its opacity and colour. If these explain much more beyond that
    place, all of that is the mark, because an edge along the motion does not stand.

    frames: spread over the clip, ``(S, 3, H, W)``. standing: there are some.
    """
    pixels = standing.pixels
    place = filled_boxes(dilated(pixels, AROUND))
    size = (pixels.shape[-2], pixels.shape[-1])
    area = bounds_around(place, MARGIN)
    pictures = resize(frames[spread_indices(len(frames), SEARCHED)], size)
    turns = EFFORTS["fast"].turns
    found = find_mark(
        pictures[(..., *area)],
        inner_part(place[area]),
        standing.weight[area],
        turns=turns,
        least_gain=0.0,
    )
    if found is None:
        return None
    near = _whole(found.matte, area, size)[0] > 0
    everywhere = inner_part(torch.ones_like(place))
    cut = Evidence(pictures, standing.weight, near).cut(found.opacity, found.hue)
    grown = parts_that_touch(solve(cut, everywhere, turns), pixels)
    gains = -cut.cost(near), -cut.cost(grown)
    is_larger = gains[1] > MORE * gains[0]
    chosen, gain = (grown, gains[1]) if is_larger else (near, gains[0])
    if not bool(chosen.any()):
        return None
    matte = chosen[None] * found.opacity
    mark = Mark(matte, matte * found.hue.view(3, 1, 1), found.opacity, gain)
    outline = dilated(chosen, 2) & ~dilated(chosen, -2)
    caught = float((outline & pixels).sum()) / max(1, int(pixels.sum()))
    if is_larger:
        place = place | filled_boxes(dilated(chosen, AROUND))
    nats = gain / max(1, outline_length(mark))
    through = part_seen_through(standing.change, mark)
    return StandingMark(mark, place, standing.weight, nats, caught, through)


def _whole(layer: Tensor, area: tuple[slice, slice], size: tuple[int, int]) -> Tensor:
    """Return a layer ``(C, h', w')`` of an area in a picture of zeros, ``(C, h, w)``."""
    whole = torch.zeros(len(layer), *size)
    whole[(..., *area)] = layer
    return whole


def part_seen_through(change: Tensor, mark: Mark) -> float:
    """Return how much the inside of a mark changes, as a part of what is expected.

    change: of each pixel in place, ``(h, w)``.
    """
    chosen = mark.matte[0] > 0
    inside = dilated(chosen, -1)
    inside = inside if bool(inside.any()) else chosen
    around = dilated(chosen, AROUND_IT) & ~dilated(chosen, 2)
    expected = (1 - mark.opacity) * float(change[around].mean()) if bool(around.any()) else 0.0
    return float(change[inside].mean()) / expected if expected > 0 else 0.0


def parts_that_touch(place: Tensor, other: Tensor) -> Tensor:
    """Return the connected parts of a place that touch another one; all ``(h, w)``, boolean."""
    count, labels = cv2.connectedComponents(place.numpy().astype(np.uint8))
    parts = torch.from_numpy(labels).long()
    is_touched = torch.zeros(count, dtype=torch.bool)
    is_touched[parts[dilated(other, 1) & place]] = True
    return place & is_touched[parts]


def filled_boxes(place: Tensor) -> Tensor:
    """Return the boxes around the connected parts of a place, ``(h, w)``, boolean.

    The inside of a wide mark does not stand, because it shows the scene or one colour.
    """
    _, _, parts, _ = cv2.connectedComponentsWithStats(place.numpy().astype(np.uint8))
    filled = torch.zeros_like(place)
    for left, top, wide, high, _ in parts[1:]:
        filled[top : top + high, left : left + wide] = True
    return filled
