"""Find a mark in a clip by its outline: it stands still while the scene moves past it.

Along the scene's motion frames agree everywhere, except at what does not move with the scene. There
they agree in place. That tells where a mark is, whatever its colours are, and also where the scene
moves by a pixel alone. The search for its opacity and colour then needs to look there only.

Frames ``(T, 3, H, W)`` in [0, 1]; maps ``(h, w)`` of smaller pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from stages.motion.flow import box, flows, length, resize, warp, within
from stages.watermark.effort import EFFORTS, SEARCHED_PICTURES
from stages.watermark.evidence import Evidence
from stages.watermark.gain import gain_per_pixel
from stages.watermark.graph_cut import solve
from stages.watermark.mark import Mark, MarkedPictures
from stages.watermark.pictures import spread_indices
from stages.watermark.pixel_maps import (
    bounds_around,
    dilated,
    inner_part,
    outline_band,
    placed_in_zeros,
    resized_map,
)
from stages.watermark.scene_motion import frame_error, frame_pairs, scene_flow
from stages.watermark.search import find_mark

LEAST_SIDE = 8
"""Pixels of a side of the frames from which a mark is searched."""
COMPARED_PIXELS = 40_000
"""Most pixels of the frames that are compared, and in which the mark is searched."""
GAPS = (1, 3, 8)
"""Distances in frames of the pairs that are compared: the sample's frames may be far apart."""
LEAST_MOVE = 0.4
"""Pixels of these frames by which the scene has to move at a place for it to count."""
LEAST_MORE_ERROR = 0.02
"""Least error along the scene's motion, as a difference in [0, 1], beyond that in place."""
MOST_ERROR_IN_PLACE = 0.5
"""Most error in place, as a part of that along the motion."""
CODING_ERROR = 0.004
"""Error, as a difference in [0, 1], that coding makes."""
LEAST_WEIGHT = 0.25
"""How much a pixel counts, at least, that moves with the scene."""
CROWD_RADIUS, LEAST_CROWD = 4, 0.12
"""Pixels around a standing one among which others stand, and the least part of them. Strokes have
neighbours; what flow got wrong is scattered."""
SEARCH_RADIUS = 6
"""Pixels around standing ones in which the mark is searched."""
LEAST_LARGER_GAIN = 1.3
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
LIKELY_NATS, CERTAIN_NATS = 18.0, 23.0
"""Nats per outline pixel, times the part of the standing pixels that are on the outline, from which
a mark may be there, and is there. Drawn texts had 30 and more, six of eight drawn plates 33 and
more. Before pixels were weighed, what was found in about 50 pieces of real shots that moved enough
had 17 and less; with the weights, none of 42 others was certain."""
LEAST_SEEN_THROUGH = 0.5
"""Least part of the expected change that is seen inside a translucent mark. Twelve drawn marks had
0.93 and more, opaque things before a moving scene 0.05 and less."""
CHANGE_RADIUS = 8
"""Pixels around a mark in which the change of the scene is measured."""


@dataclass(frozen=True)
class StandingPixels:
    """Where frames agree in place, and not along the scene's motion.

    pixels: ``(h, w)``, boolean.
    moving: part of the pixels, in the mean over all pairs of frames, that the scene moves.
    weight: how much each pixel counts in the search for a mark, ``(h, w)`` in [0, 1]. What agrees
        along the motion and not in place belongs to the scene.
    change: how much each pixel changes in place, ``(h, w)``: a mean difference in [0, 1].
    """

    pixels: Tensor
    moving: float
    weight: Tensor
    change: Tensor

    @property
    def are_measured(self) -> bool:
        """Whether the scene moves enough to tell what stands."""
        return self.moving >= LEAST_MOVING

    @property
    def are_enough(self) -> bool:
        """Whether so many pixels stand that they may be the outline of a mark."""
        return self.are_measured and int(self.pixels.sum()) >= LEAST_STANDING


@dataclass(frozen=True)
class StandingMark:
    """A mark whose outline stands still while the scene moves.

    mark: of the size of the frames that were compared.
    place: ``(h, w)``, boolean, where it may be. weight: as of :class:`StandingPixels`.
    part_on_outline: the part of the standing pixels that lie on its outline, 0 to 1.
    seen_through: how much its inside changes, as a part of what the scene around it would change
        there under its opacity. It is near 0 for an opaque thing before the scene.
    """

    mark: Mark
    place: Tensor
    weight: Tensor
    part_on_outline: float
    seen_through: float

    @property
    def strength(self) -> float:
        """How sure it is that something stands there, in nats: see :data:`CERTAIN_NATS`."""
        return gain_per_pixel(self.mark) * self.part_on_outline

    def place_at(self, size: torch.Size) -> Tensor:
        """Return its place at another size, ``(H, W)``, boolean."""
        return resized_map(self.place.float(), size) > 0

    def weight_at(self, size: torch.Size) -> Tensor:
        """Return the pixels' weight at another size, ``(H, W)``.

        It has no steps, which a cut would follow.
        """
        return resize(self.weight[None, None], (size[0], size[1]))[0, 0]

    @property
    def is_translucent(self) -> bool:
        """Whether the scene shows through it, as it does not through a thing before the scene."""
        return self.seen_through >= LEAST_SEEN_THROUGH and not self.mark.is_opaque


@dataclass(frozen=True)
class _MotionErrors:
    """How badly frames agree where the scene moves, as mean differences in [0, 1].

    in_place, along: in place, and along the scene's motion, ``(h, w)``.
    moving: part of the pixels, in the mean over all pairs of frames, that the scene moves.
    """

    in_place: Tensor
    along: Tensor
    moving: float


def certain_standing_mark(frames: Tensor) -> StandingMark | None:
    """Return the translucent mark that stands in a clip beyond doubt, or None.

    frames: spread over the clip, ``(S, 3, H, W)``.
    """
    if min(frames.shape[-2:]) < LEAST_SIDE:
        return None
    standing = standing_pixels([frames])
    found = find_standing_mark(frames, standing) if standing.are_enough else None
    if found is None or not found.is_translucent or found.strength < CERTAIN_NATS:
        return None
    return found


def find_standing_mark(frames: Tensor, standing: StandingPixels) -> StandingMark | None:
    """Return the mark of one opacity and colour whose outline stands, or None without one.

    Where its outline stands tells its opacity and colour. If these explain much more beyond that
    place, all of that is the mark, because an edge along the motion does not stand.

    frames: spread over the clip, ``(S, 3, H, W)``. standing: there are some.
    """
    pixels = standing.pixels
    size = (pixels.shape[0], pixels.shape[1])
    place = filled_boxes(dilated(pixels, SEARCH_RADIUS))
    pictures = resize(frames[spread_indices(len(frames), SEARCHED_PICTURES)], size)
    marked = MarkedPictures(pictures, inner_part(torch.ones_like(place)), standing.weight)
    area = bounds_around(place, MARGIN)
    near = replace(marked.cropped(area), allowed=inner_part(place[area]))
    iterations = EFFORTS["fast"].turns
    found = find_mark(near, iterations=iterations, least_gain=0.0)
    if found is None:
        return None
    chosen = placed_in_zeros(found.matte, area, size)[0] > 0
    cut = Evidence(marked, chosen).cut(found.law)
    grown = parts_that_touch(solve(cut, marked.allowed, iterations), pixels)
    mark, larger = (
        Mark.of_one_color(outlined, found.law, -cut.cost(outlined)) for outlined in (chosen, grown)
    )
    if larger.gain > LEAST_LARGER_GAIN * mark.gain:
        mark = larger
        place = place | filled_boxes(dilated(mark.chosen, SEARCH_RADIUS))
    if mark.is_empty:
        return None
    on_outline = outline_band(mark.chosen, 2) & pixels
    part = float(on_outline.sum()) / max(1, int(pixels.sum()))
    through = part_seen_through(standing.change, mark)
    return StandingMark(mark, place, standing.weight, part, through)


def part_seen_through(change: Tensor, mark: Mark) -> float:
    """Return how much the inside of a mark changes, as a part of what is expected.

    change: of each pixel in place, ``(h, w)``.
    """
    core = dilated(mark.chosen, -1)
    inside = core if bool(core.any()) else mark.chosen
    around = dilated(mark.chosen, CHANGE_RADIUS) & ~dilated(mark.chosen, 2)
    expected = (1 - mark.opacity) * float(change[around].mean()) if bool(around.any()) else 0.0
    return float(change[inside].mean()) / expected if expected > 0 else 0.0


def standing_pixels(runs: Sequence[Tensor]) -> StandingPixels:
    """Return where the frames of runs ``(T, 3, H, W)`` agree in place alone."""
    errors = _motion_errors(runs)
    in_place, along = errors.in_place, errors.along
    is_standing = (along - in_place > LEAST_MORE_ERROR) & (in_place < MOST_ERROR_IN_PLACE * along)
    is_crowded = box(is_standing.float()[None, None], CROWD_RADIUS)[0, 0] > LEAST_CROWD
    weight = (2 * along / (in_place + along + CODING_ERROR)).clamp(LEAST_WEIGHT, 1)
    return StandingPixels(is_standing & is_crowded, errors.moving, weight, in_place)


def _motion_errors(runs: Sequence[Tensor]) -> _MotionErrors:
    """Return how badly the frames of runs ``(T, 3, H, W)`` agree."""
    height, width = within((runs[0].shape[-2], runs[0].shape[-1]), COMPARED_PIXELS)
    size = max(LEAST_SIDE, height), max(LEAST_SIDE, width)
    in_place, along, counted = (torch.zeros(size) for _ in range(3))
    pair_count = 0
    everywhere = torch.ones(size)
    for run in runs:
        frames = resize(run, size)
        pairs = frame_pairs(len(frames), GAPS)
        found = flows(frames, pairs)
        pair_count += len(pairs)
        for first, second in pairs:
            motion = scene_flow(found[first, second], everywhere)
            moves = length(motion)[0, 0] > LEAST_MOVE
            moved = warp(frames[second : second + 1], motion)[0]
            in_place += moves * frame_error(frames[first], frames[second])
            along += moves * frame_error(frames[first], moved)
            counted += moves
    times = counted.clamp_min(1)
    moving = float(counted.mean()) / max(1, pair_count)
    return _MotionErrors(in_place / times, along / times, moving)


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
