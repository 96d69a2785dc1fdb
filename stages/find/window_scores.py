"""Score windows of frames by how much they look like a transition.

Take the frames between s and e. If they are mixtures of frame s and frame e, then every block of
them lies on the straight line between the same block of s and of e. Project frame t on that line.
If it lands at the part u of the way, then ``|t - s|^2 = u^2 D + r`` with ``D = |e - s|^2``. Here r
is the squared distance from the line, and it is small. Moving objects and cameras take a block
along a crooked path instead. A wipe is straight in this sense, too: each block keeps one picture,
changes to the other, and keeps that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.find.features import Array

SPANS = (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)  # lengths of windows that are tried, in frames
LONGEST = SPANS[-1]
SAMPLES = 8  # frames of a window that are compared with the line between its ends
CROOKED = 6.0  # a window scores 0 where 1/CROOKED or more of its change lies off the line
LEAST_SCORE = 0.07  # root mean square change of the block contents that a candidate needs
SIMILAR_WINDOW = 0.4  # overlap with a rejected window from which another one is not tried


class ScoreTable:
    """The scores of all windows: how much each of them looks like a transition.

    scores: for each span ``(T - span,)``, by the window's first frame; 0 where it holds a barrier.
    """

    def __init__(self, pairs: Array, barriers: Sequence[int]) -> None:
        self.scores: dict[int, Array] = {}
        for span in SPANS:
            if span >= len(pairs):
                break
            score = _scores(pairs, span)
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


def window_score(pairs: Array, start: int, end: int) -> float:
    """Return how much the window ``start..end`` looks like a transition. pairs: ``(T, T, K)``."""
    window = pairs[start : end + 1, start : end + 1]
    return float(_scores(window, end - start)[0])


def _scores(pairs: Array, span: int) -> Array:
    """Return the scores ``(T - span,)`` of all windows of ``span`` frames."""
    change, crooked = change_and_crookedness(pairs, span)
    return np.asarray(np.sqrt(change) * np.clip(1 - CROOKED * crooked, 0, 1))


def change_and_crookedness(pairs: Array, span: int) -> tuple[Array, Array]:
    """Return the change across every window of ``span`` frames, and its crookedness.

    pairs: squared distances between the blocks of all frames, ``(T, T, K)``. Returns two arrays
    ``(T - span,)``: the mean squared change from end to end, and the part of it that no mixture of
    the ends explains.
    """
    start = np.arange(len(pairs) - span)
    whole = pairs[start, start + span]
    off_line = np.zeros_like(whole)
    places = np.unique(np.linspace(0, span, SAMPLES + 2).round().astype(int)[1:-1])
    for place in places:
        near, far = pairs[start + place, start], pairs[start + place, start + span]
        along = (near + whole - far) / 2
        part = np.clip(along / np.maximum(whole, 1e-9), 0, 1)
        off_line += np.maximum(near - 2 * part * along + part**2 * whole, 0)
    change = whole.mean(1)
    return change, off_line.mean(1) / len(places) / np.maximum(change, 1e-6)
