"""Find where gradual transitions lie, from the distances between all frames of a stretch.

Take the frames between s and e. If they are mixtures of frame s and frame e, then every block of
them lies on the straight line between the same block of s and of e. Project frame t on that line.
If it lands at the part u of the way, then ``|t - s|^2 = u^2 D + r`` with ``D = |e - s|^2``. Here r
is the squared distance from the line, and it is small. Moving objects and cameras take a block
along a crooked path instead. A wipe is straight in this sense, too: each block keeps one picture,
changes to the other, and keeps that.

A straight path only makes a candidate, because a change of light is straight, too. In a transition
the two sides also have little in common, and the model leaves little unexplained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from stages.find.blurs import as_blur, find_blur
from stages.find.boundaries import Boundary, CleanWindow, stretches
from stages.find.edge_fit import find_wipe, pattern_between
from stages.find.features import (
    Array,
    OpticalFlow,
    motion_compensated_ncc,
    plain_color,
)
from stages.find.fit import fit
from stages.find.pans import is_pan
from stages.find.pixels import find_pixels
from stages.find.placements import find_placement, narrowed
from stages.find.prefer_model import SAME_SHOT_NCC, better_placement, has_contrast_of_mixture
from stages.find.same_place import show_one_place
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import DISSOLVE, PIXELS, TRANSITION_KINDS
from stages.kinds.pixels import RANDOM

SPANS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)  # lengths of windows that are tried, in frames
LONGEST = SPANS[-1]
SAMPLES = 8  # frames of a window that are compared with the line between its ends
CROOKED = 6.0  # a window scores 0 where 1/CROOKED or more of its change lies off the line
LEAST_SCORE = 0.07  # root mean square change of the block contents that a candidate needs

# The limits below were set on synthetic transitions between real shots and on single real shots.
# The rejection score adds up terms max(0, measure - FREE_x) / x_LIMIT.
FREE_NCC, NCC_LIMIT = 0.2, 0.25  # NCC of the sides that counts nothing; excess that rejects
UNEXPLAINED_LIMIT = 0.25  # amplitude that rejects by itself
RESTLESS_LIMIT = 0.8  # the same for changes of the clean frames around
FREE_TEXTURE, TEXTURE_LIMIT = 0.5, 0.4  # the same for structure within blocks
# Sum of these from which a transition is rejected. In single shots of real footage no value below
# 1.4 was seen; fast cameras in true dissolves reach 1.2.
REJECTION_LIMIT = 1.2
# NCC of the sides that rejects by itself. The sides of drawn dissolves had 0.24 at most.
ALIKE_NCC = FREE_NCC + REJECTION_LIMIT * NCC_LIMIT
# Most that moving scenes may leave where nothing else speaks for a boundary: see
# stages.find.placements.MOST_LEFT.
ALONE_LEFT = 0.3
RELATED_LEFT = 0.15  # the same where the two sides have something in common
# Least part of the variance of the blocks' times that a pattern explains where nothing else speaks
# for a boundary. Drawn whip pans reached 0.82, real fast shots 0.73, and wipes with a soft edge or
# with scenes that move fast 0.88 and more.
ALONE_EXPLAINED = 0.88
# Random pixels change evenly in all blocks: synthetic ones over moving shots left 0.12 to 0.19,
# pans 0.27 and more.
LEAST_RANDOM = 8  # frames
MOST_RANDOM_LEFT = 0.22  # most unexplained part of the change, in [0, 1]
UNEVEN = 0.1  # how far a weight may be from an even course
MOST_CANDIDATES = 64  # candidates that are examined in one look
SAME_WINDOW = 0.5  # overlap with a rejected window from which another one is skipped for good
SIMILAR_WINDOW = 0.4  # the same within one look


def straightness(pairs: Array, span: int) -> tuple[Array, Array]:
    """Return the change across every window of ``span`` frames, and its crookedness.

    pairs: squared distances between the blocks of all frames, ``(T, T, K)``. Returns two arrays
    ``(T - span,)``: the mean squared change from end to end, and the part of it that no mixture of
    the ends explains.
    """
    start = np.arange(len(pairs) - span)
    whole = pairs[start, start + span]
    rest = np.zeros_like(whole)
    places = np.unique(np.linspace(0, span, SAMPLES + 2).round().astype(int)[1:-1])
    for place in places:
        near, far = pairs[start + place, start], pairs[start + place, start + span]
        along = (near + whole - far) / 2
        part = np.clip(along / np.maximum(whole, 1e-9), 0, 1)
        rest += np.maximum(near - 2 * part * along + part**2 * whole, 0)
    change = whole.mean(1)
    return change, rest.mean(1) / len(places) / np.maximum(change, 1e-6)


def overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Return the intersection over union of two spans of frames."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, common) / (max(one[1], other[1]) - min(one[0], other[0]))


class ScoreTable:
    """How much every window of every length looks like a transition.

    scores: for each span ``(T - span,)``, by the window's first frame; 0 where it holds a barrier.
    """

    def __init__(self, pairs: Array, barriers: Sequence[int]) -> None:
        self.scores: dict[int, Array] = {}
        for span in SPANS:
            if span >= len(pairs):
                break
            change, crooked = straightness(pairs, span)
            score = np.sqrt(change) * np.clip(1 - CROOKED * crooked, 0, 1)
            for cut in barriers:  # the window s..e holds the cut if s < cut <= e
                score[max(0, cut - span) : max(0, cut)] = 0
            self.scores[span] = score

    def restrict(self, low: int, limit: int) -> None:
        """Drop the windows that begin before ``low`` or end behind ``limit``."""
        for span, score in self.scores.items():
            score[:low] = 0
            score[max(0, limit - span + 1) :] = 0

    def best(self) -> tuple[int, int] | None:
        """Return the best window, or None where none is good enough."""
        best, window = LEAST_SCORE, None
        for span, score in self.scores.items():
            if len(score) and float(score.max()) > best:
                best, start = float(score.max()), int(score.argmax())
                window = start, start + span
        return window

    def drop_overlapping(self, taken: tuple[int, int]) -> None:
        """Drop the windows that have a frame in common with an accepted transition."""
        for span, score in self.scores.items():
            score[self._common(span, taken) > 0] = 0

    def drop_similar(self, rejected: tuple[int, int]) -> None:
        """Drop the windows that nearly are a rejected one; others that overlap it may be right."""
        for span, score in self.scores.items():
            starts = np.arange(len(score))
            union = np.maximum(starts + span, rejected[1]) - np.minimum(starts, rejected[0])
            score[self._common(span, rejected) > SIMILAR_WINDOW * union] = 0

    def _common(self, span: int, other: tuple[int, int]) -> Array:
        starts = np.arange(len(self.scores[span]))
        return np.asarray(np.minimum(starts + span, other[1]) - np.maximum(starts, other[0]))


@dataclass
class GradualSearch:
    """The search for gradual transitions, stretch after stretch.

    motion: measures optical flow.
    rejected: windows, in frames of the clip, that were examined and are not examined again.
    """

    motion: OpticalFlow = field(default_factory=OpticalFlow)
    rejected: list[tuple[int, int]] = field(default_factory=list)

    def examine(
        self, frames: Array, window: tuple[int, int], reach: tuple[int, int]
    ) -> TransitionFit | None:
        """Return the transition near a window, or None if there is none.

        frames: ``(T, H, W, 3)``. reach: the first and the last frame of the stretch.

        Where camera motion leaves too much unexplained, dense flows have a second look. They
        explain pans as well as they do mixtures; it is the contrast that tells those apart.
        """
        ncc = self._ncc_of_sides(frames, window)
        if ncc > SAME_SHOT_NCC:
            return None
        found = fit(frames, window, reach)
        if found is not None:
            believed = self.rejection_score(found, frames) < REJECTION_LIMIT
            if found.kind != DISSOLVE:
                return better_placement(frames, found, reach) if believed else None
            if self._against_color(found, frames):
                return found if believed else None
            if believed and (blur := as_blur(found, frames)):
                return blur
            # One single frame between two shots may be anything: its contrast tells nothing.
            if len(found.mix) > 1 and not has_contrast_of_mixture(found, frames):
                return self._random_pixels(found, frames)
            if believed:
                return found
        if ncc >= ALIKE_NCC:  # Dense flows are dear, and do not make the sides less alike.
            return None
        again = fit(frames, window, reach, dense=True)
        if again is None or again.kind != DISSOLVE:
            return None
        if self.rejection_score(again, frames) > REJECTION_LIMIT:
            return None
        return again if has_contrast_of_mixture(again, frames) else None

    def known_kind(
        self,
        frames: Array,
        boundary: Boundary,
        barriers: Sequence[int],
        taken: Sequence[tuple[int, int]],
    ) -> TransitionFit | None:
        """Return the transition that a boundary turns out to be, or None if its kind is unknown.

        It is a wipe or an iris, one in which the scenes move as a whole, one in which each pixel
        changes at a time of its own, or a blur. barriers, taken: as of
        :meth:`stages.find.boundaries.BoundarySearch.find`.
        """
        reach = stretch_around(boundary, len(frames), barriers, taken)
        if reach is None:
            return None
        stretch, sides = Stretch(frames, *reach), (boundary.first - 1, boundary.last + 1)
        wipe = find_wipe(stretch, *sides) or find_wipe(stretch, *sides, carried=True)
        if wipe is None or self.rejection_score(wipe, frames) >= REJECTION_LIMIT:
            return (
                find_placement(stretch, *sides, two_shots=True)
                or find_pixels(stretch, *sides)
                or find_blur(stretch, *sides)
                or self._placement_within(stretch, boundary)
            )
        return better_placement(frames, wipe, reach)

    @staticmethod
    def _placement_within(stretch: Stretch, boundary: Boundary) -> TransitionFit | None:
        """Return the transition with moving scenes in the window of a boundary, or None.

        Where little is to be seen of a scene, its boundary ends while the scenes still move.
        """
        if boundary.within is None:
            return None
        start, end = boundary.within
        sides = max(stretch.low, start), min(stretch.high, end)
        return find_placement(stretch, *sides, ALONE_LEFT, two_shots=True)

    @staticmethod
    def explained(frames: Array, window: CleanWindow, related: bool = False) -> Boundary | None:
        """Return the boundary in a window that a model proves by itself, or None.

        Either the scenes move as a whole, or the places of the picture change in the order of a
        wipe. related: whether the ends of the window have something in common. Then only scenes
        that move as a whole and explain nearly everything are proof.
        """
        stretch, sides = Stretch(frames, window.low, window.high), (window.start, window.end)
        inner = narrowed(stretch, *sides)
        if inner is not None:
            placed = find_placement(stretch, *inner, RELATED_LEFT if related else ALONE_LEFT)
            if placed is not None:
                return Boundary(placed.before + 1, placed.after - 1)
        if related:
            return None
        pattern = pattern_between(stretch, *sides, least=ALONE_EXPLAINED)
        if pattern is None:
            return None
        first = max(window.start + 1, window.start + 1 + round(pattern.first))
        last = min(window.end - 1, window.start + round(pattern.last))
        return Boundary(first, last) if last >= first else None

    def _is_one_shot(self, found: TransitionFit, frames: Array, reach: tuple[int, int]) -> bool:
        """Return whether a transition in ``frames`` ``(T, H, W, 3)`` is one camera that moves.

        reach: the first and the last frame of the stretch.
        """
        if _is_pan(found, frames):
            return True
        # A plain colour is no place.
        return not self._against_color(found, frames) and show_one_place(
            self.motion, frames, (found.before, found.after), reach
        )

    def _ncc_of_sides(self, frames: Array, window: tuple[int, int]) -> float:
        """Return the NCC of two frames. A frame of one colour has nothing in common with others."""
        one, other = frames[window[0]], frames[window[1]]
        if plain_color(one) or plain_color(other):
            return 0.0
        return motion_compensated_ncc(self.motion, one, other)

    @staticmethod
    def _against_color(found: TransitionFit, frames: Array) -> bool:
        return bool(plain_color(frames[found.before]) or plain_color(frames[found.after]))

    def _random_pixels(self, found: TransitionFit, frames: Array) -> TransitionFit | None:
        """Return a dissolve in which whole pixels change one after another, or None.

        It is even and well explained as blocks see it, but keeps the contrast of whole pixels.
        """
        if len(found.mix) < LEAST_RANDOM or found.unexplained > MOST_RANDOM_LEFT:
            return None
        even = np.arange(1, len(found.mix) + 1) / (len(found.mix) + 1)
        if np.abs(found.mix - even).max() > UNEVEN:
            return None
        if self.rejection_score(found, frames) >= REJECTION_LIMIT:
            return None
        return replace(found, kind=PIXELS, space="gamma", effect=RANDOM)

    def rejection_score(self, found: TransitionFit, frames: Array) -> float:
        """Return the sum of what speaks against a transition in ``frames`` ``(T, H, W, 3)``."""
        score = found.unexplained / UNEXPLAINED_LIMIT
        # A colour has nothing in common with any picture, and against it all structure moves as
        # its shot does.
        if self._against_color(found, frames):
            return score
        ncc = motion_compensated_ncc(self.motion, frames[found.before], frames[found.after])
        score += found.restless / RESTLESS_LIMIT + max(0.0, ncc - FREE_NCC) / NCC_LIMIT
        return score + max(0.0, found.texture - FREE_TEXTURE) / TEXTURE_LIMIT

    def find(
        self, frames: Array, pairs: Array, first: int, barriers: Sequence[int], within: range
    ) -> list[TransitionFit]:
        """Return all gradual transitions of some frames, in order of time.

        frames: ``(T, H, W, 3)``.
        pairs: squared distances of their blocks, ``(T, T, K)``.
        first: the number of frame 0 in the clip.
        barriers: cuts, as places in the frames.
        within: the places that a transition's last clean, mixed and first clean frames may have.
        """
        limit = within.stop - 1
        table = ScoreTable(pairs, barriers)
        table.restrict(within.start, limit)
        self.rejected = [window for window in self.rejected if window[1] > first]
        edges = [0, *(cut for cut in barriers if cut > 0), len(frames)]
        found: list[TransitionFit] = []
        for _ in range(MOST_CANDIDATES):
            window = table.best()
            if window is None:
                break
            in_clip = (window[0] + first, window[1] + first)
            accepted = None
            if all(overlap(in_clip, other) < SAME_WINDOW for other in self.rejected):
                reach = _free_stretch(window, edges, within.start, found)
                accepted = self.examine(frames, window, reach)
                if accepted and self._is_one_shot(accepted, frames, reach):
                    accepted = None
                if accepted is None:
                    self.rejected.append(in_clip)
                elif accepted.after > limit:
                    accepted = None
            if accepted is None:
                table.drop_similar(window)
            else:
                found.append(accepted)
                # Not the whole window: it may hold another transition beside this one, as where one
                # black frame lies between two fades.
                table.drop_overlapping((accepted.before, accepted.after))
        return sorted(found, key=lambda one: one.before)


def _free_stretch(
    window: tuple[int, int], edges: Sequence[int], low: int, found: Sequence[TransitionFit]
) -> tuple[int, int]:
    """Return the first and last frame of the longest stretch around a window without an event."""
    lower = [edge for edge in edges if edge <= window[0]]
    lower += [low, *(one.after for one in found if one.after <= window[0])]
    upper = [edge - 1 for edge in edges if edge > window[1]]
    upper += [one.before for one in found if one.before >= window[1]]
    return max(lower), min(upper)


def _is_pan(found: TransitionFit, frames: Array) -> bool:
    """Return whether a transition in ``frames`` ``(T, H, W, 3)`` is a fast pan of one camera."""
    # Scenes that move as a whole look like a pan in this respect, and are judged on their own.
    if TRANSITION_KINDS[found.kind].undo == "placement":
        return False
    return is_pan(frames[found.before : found.after + 1])


def stretch_around(
    boundary: Boundary, count: int, barriers: Sequence[int], taken: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Return the stretch that a boundary and the clean frames beside it lie in, or None.

    count: of the frames. barriers, taken: as of
    :meth:`stages.find.boundaries.BoundarySearch.find`.
    """
    for low, high in stretches(count, barriers, taken):
        if low <= boundary.first - 1 and boundary.last + 1 <= high:
            return low, high
    return None
