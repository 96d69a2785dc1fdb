"""Where gradual transitions lie, from the distances between all frames of a stretch.

If frames between s and e are mixtures of frame s and frame e then, block by block, they lie on the straight line between the two:
with ``D = |e - s|^2`` and ``u`` the place of the foot, ``|t - s|^2 = u^2 D + r`` and the rest r is small. Objects and cameras
that move lead a block along a crooked path instead. A wipe is straight in this sense too: each block waits, moves and waits.
What is straight is only a candidate: a change of light is, too. A transition's two sides are also not akin, and it leaves little
unexplained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.find.boundaries import Boundary, stretches
from stages.find.features import Array, Motion, contrast_ratio, motion_compensated_ncc, plain_colour
from stages.find.fit import POWER, Fit, fit, passing

SPANS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)
LONGEST = SPANS[-1]
SAMPLES = 8
CROOKED = 6.0
LEAST = 0.07
AKIN = 0.6  # sides of a candidate that are more alike than this are one shot; they may still be mixtures themselves
FREE_KINSHIP = 0.2
KINSHIP_LIMIT = 0.25
UNEXPLAINED_LIMIT = 0.25
RESTLESS_LIMIT = 0.8
DOUBT_LIMIT = 1.2  # in single shots of real footage nothing was seen below 1.4; fast cameras in true dissolves reach 1.2
ONENESS_LIMIT = 0.6  # that of true dissolves between real shots is mostly within 0.3 of 0, that of whip pans near 1
FREE_TEXTURE = 0.5
TEXTURE_LIMIT = 0.4
MOST = 64  # candidates looked at in one stretch


def straightness(pairs: Array, span: int) -> tuple[Array, Array]:
    """Change and crookedness of every window of ``span`` frames.

    pairs: ``(T, T, K)`` squared distances between the blocks of all frames. Returns the mean squared change from end to end
    ``(T - span,)`` and the rest that no mixture of the ends explains as a share of it.
    """
    start = np.arange(len(pairs) - span)
    whole = pairs[start, start + span]
    rest = np.zeros_like(whole)
    places = np.unique(np.linspace(0, span, SAMPLES + 2).round().astype(int)[1:-1])
    for place in places:
        near, far = pairs[start + place, start], pairs[start + place, start + span]
        along = (near + whole - far) / 2
        share = np.clip(along / np.maximum(whole, 1e-9), 0, 1)
        rest += np.maximum(near - 2 * share * along + share**2 * whole, 0)
    change = whole.mean(1)
    return change, rest.mean(1) / len(places) / np.maximum(change, 1e-6)


def scores(pairs: Array, barriers: Sequence[int]) -> dict[int, Array]:
    """For each span, how much every window of that length looks like a transition; 0 where it holds a barrier (a cut)."""
    found: dict[int, Array] = {}
    for span in SPANS:
        if span >= len(pairs):
            break
        change, crooked = straightness(pairs, span)
        score = np.sqrt(change) * np.clip(1 - CROOKED * crooked, 0, 1)
        for cut in barriers:  # the window s..e holds the cut if s < cut <= e
            score[max(0, cut - span) : max(0, cut)] = 0
        found[span] = score
    return found


def overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    """Common frames of two spans as a share of all their frames."""
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, common) / (max(one[1], other[1]) - min(one[0], other[0]))


@dataclass
class Scan:
    """Looks for gradual transitions, stretch after stretch. Windows that were looked at and turned down are not looked at again."""

    motion: Motion = field(default_factory=Motion)
    turned_down: list[tuple[int, int]] = field(default_factory=list)

    def judged(self, frames: Array, window: tuple[int, int], low: int, high: int) -> Fit | None:
        """The transition near ``window`` within ``low..high``, if there is one.

        Where the cameras' motion leaves too much unexplained dense flows have a second look. They explain pans as well as they do
        mixtures; it is the contrast that tells those apart.
        """
        if motion_compensated_ncc(self.motion, frames[window[0]], frames[window[1]]) > AKIN:
            return None
        found = fit(frames, *window, low, high)
        if found is not None and (found.kind != "dissolve" or self._against_colour(found, frames)):
            return found if self.rejection_score(found, frames) < DOUBT_LIMIT else None
        if found is not None:
            if (
                len(found.mix) > 1 and abs(self._contrast_ratio(found, frames)) > ONENESS_LIMIT
            ):  # one frame between two shots may be anything
                return None
            if self.rejection_score(found, frames) < DOUBT_LIMIT:
                return found
        again = fit(frames, *window, low, high, dense=True)
        if (
            again is None
            or again.kind != "dissolve"
            or self.rejection_score(again, frames) > DOUBT_LIMIT
        ):
            return None
        return again if abs(self._contrast_ratio(again, frames)) < ONENESS_LIMIT else None

    def passing(
        self, frames: Array, found: Boundary, walls: Sequence[int], taken: Sequence[tuple[int, int]]
    ) -> Fit | None:
        """The wipe or iris that a boundary of unknown kind turns out to be, or None. walls, taken: as of :meth:`Boundaries.find`."""
        parts = stretches(len(frames), walls, taken)
        around = [
            part for part in parts if part[0] <= found.first - 1 and found.last + 1 <= part[1]
        ]
        if not around:
            return None
        low, high = around[0]
        passed = passing(frames, found.first - 1, found.last + 1, low, high)
        return (
            passed
            if passed is not None and self.rejection_score(passed, frames) < DOUBT_LIMIT
            else None
        )

    @staticmethod
    def _against_colour(found: Fit, frames: Array) -> bool:
        return bool(plain_colour(frames[found.before]) or plain_colour(frames[found.after]))

    @staticmethod
    def _contrast_ratio(found: Fit, frames: Array) -> float:
        part = frames[found.before : found.after + 1]
        return contrast_ratio(part**POWER if found.space == "linear" else part, found.mix)

    def rejection_score(self, found: Fit, frames: Array) -> float:
        """How little a transition in ``frames`` ``(T, H, W, 3)`` can be believed: a sum of what speaks against it."""
        score = found.unexplained / UNEXPLAINED_LIMIT
        if self._against_colour(
            found, frames
        ):  # a colour is akin to nothing, and against it all structure moves as its shot does
            return score
        kin = motion_compensated_ncc(self.motion, frames[found.before], frames[found.after])
        score += found.restless / RESTLESS_LIMIT + max(0.0, kin - FREE_KINSHIP) / KINSHIP_LIMIT
        return score + max(0.0, found.texture - FREE_TEXTURE) / TEXTURE_LIMIT

    def transitions(
        self, frames: Array, pairs: Array, first: int, barriers: Sequence[int], low: int, limit: int
    ) -> list[Fit]:
        """All gradual transitions of a stretch that begin at ``low`` or later and end at ``limit`` or sooner, in order of time.

        frames: ``(T, H, W, 3)``; pairs: ``(T, T, K)``; first: the clip's number of frame 0 here; barriers: cuts, numbered in this stretch.
        """
        table = scores(pairs, barriers)
        self.turned_down = [window for window in self.turned_down if window[1] > first]
        edges = [0, *(cut for cut in barriers if cut > 0), len(frames)]
        for span, score in table.items():
            score[:low] = 0
            score[max(0, limit - span + 1) :] = 0
        found: list[Fit] = []
        for _ in range(MOST):
            best, window = LEAST, None
            for span, score in table.items():
                if len(score) and float(score.max()) > best:
                    best, window = (
                        float(score.max()),
                        (int(score.argmax()), int(score.argmax()) + span),
                    )
            if window is None:
                break
            taken, accepted = window, False
            known = (window[0] + first, window[1] + first)
            if all(overlap(known, other) < 0.5 for other in self.turned_down):
                lower = max(
                    [edge for edge in edges if edge <= window[0]]
                    + [low]
                    + [one.after for one in found if one.after <= window[0]]
                )
                upper = min(
                    [edge - 1 for edge in edges if edge > window[1]]
                    + [one.before for one in found if one.before >= window[1]]
                )
                judged = self.judged(frames, window, lower, upper)
                if judged is None:
                    self.turned_down.append(known)
                elif judged.after <= limit:
                    found.append(judged)
                    accepted = True
                    # Not the whole window: it may hold another one beside it, as one black frame between two fades.
                    taken = judged.before, judged.after
            for span, score in table.items():
                starts = np.arange(len(score))
                common = np.minimum(starts + span, taken[1]) - np.maximum(starts, taken[0])
                if accepted:
                    score[common > 0] = 0
                else:  # others that overlap it may still be right
                    score[
                        common
                        > 0.4 * (np.maximum(starts + span, taken[1]) - np.minimum(starts, taken[0]))
                    ] = 0
        return sorted(found, key=lambda one: one.before)
