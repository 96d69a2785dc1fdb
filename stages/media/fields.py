"""Interlacing, seen in the picture: whether a frame's odd and even lines are of two moments, and which came first.

The measure is that of FFmpeg's filter idet, taken where something moves alone. For a line between its neighbours,
d(a, b, c) = |a - 2 b + c|. In an interlaced frame the lines between fit those of one neighbour frame as badly as each
other, and those of the other far worse; in a progressive frame they fit each other best.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.signedinteger[Any]]

LOOKED_AT = 24
"""Frames that are looked at, about a second."""
_COLUMNS = 480  # columns that are enough; all lines are needed
_MOVES = 10 / 255  # change between the neighbour frames from which a place counts as moving
_LEAST = 0.002  # part of the picture that has to move for a frame to tell anything
_PLACES = 128  # places that have to move, so that noise in a tiny picture is not taken for fields
_UNEQUAL = (
    1.12  # how much worse the fields of the wrong order fit; idet has 1.04 for whole pictures
)
_PROGRESSIVE = 1.5  # how much worse neighbour frames fit than the frame itself, as in idet
_COMBED = (
    1.05  # how much worse neighbour frames may at most fit than an interlaced frame's own lines do
)
_CLEARLY = 2.0  # how much worse one order fits when the picture leaves no doubt
_MOVED = 1.3  # the same as _COMBED where it does not
_SURE = 6  # frames of one verdict that make one
_SAME = 0.8  # part of the combed frames that have to agree on the order of fields
_MANY = 0.3  # part of the moving frames that have to be combed in interlaced material
_MORE = 1.2  # how many combed frames there have to be for each progressive one
_PULLDOWN = (
    0.25,
    0.5,
)  # part of the combed frames in film with 3:2 pulldown, which has two in each five


@dataclass
class Verdict:
    """What the frames that were looked at are.

    counts: of ``tff`` and ``bff`` (interlaced, by the field that comes first), ``progressive``, and ``unsure`` for
    frames in which something moves and tells nothing.
    """

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def combed(self) -> int:
        """How many frames are interlaced."""
        return self.counts["tff"] + self.counts["bff"]

    @property
    def scan(self) -> str:
        """``interlaced``, ``telecined`` (some frames are, as in film with pulldown), ``progressive``; empty where nobody knows."""
        moving = sum(self.counts.values())
        agree = max(self.counts["tff"], self.counts["bff"]) >= _SAME * self.combed
        if self.combed >= _SURE and agree:
            if self.combed > max(_MANY * moving, _MORE * self.counts["progressive"]):
                return "interlaced"
            if (
                _PULLDOWN[0] <= self.combed / moving <= _PULLDOWN[1]
                and self.counts["progressive"] >= self.combed
            ):
                return "telecined"
        return "progressive" if self.counts["progressive"] >= max(2 * _SURE, 0.9 * moving) else ""

    @property
    def parity(self) -> str:
        """``tff`` or ``bff``."""
        return "bff" if self.counts["bff"] > self.counts["tff"] else "tff"


def judge(lumas: Iterable[Luma], top: int) -> Verdict:
    """Return what consecutive frames are. lumas: ``(H, W)`` each, in order of time. top: their largest value."""
    verdict = Verdict()
    before: list[Luma] = []
    for luma in lumas:
        step = max(1, luma.shape[1] // _COLUMNS)
        before = [*before[-2:], luma[:, ::step]]
        if len(before) == 3 and len({each.shape for each in before}) == 1:
            found = judge_frame(before[0], before[1], before[2], top)
            if found:
                verdict.counts[found] += 1
    return verdict


def judge_frame(before: Luma, frame: Luma, after: Luma, top: int) -> str:
    """Return ``tff``, ``bff``, ``progressive``, ``unsure`` or, where nothing moves, nothing. ``(H, W)`` codes from 0 to ``top``."""
    if frame.shape[0] < 4:
        return ""
    wide = np.int32 if top > 8191 else np.int16
    stack: Luma = np.stack([before, frame, after]).astype(wide)
    past, now, future = stack
    middle = now[:-2] + now[2:]
    # Lines of both fields have to move: what flickers in one alone tells nothing.
    moving = np.abs(past - future)[1:-1] > _MOVES * top
    if moving.sum() < max(_PLACES, _LEAST * moving.size):
        return ""
    from_past, from_future, own = (
        np.abs(middle - 2 * each[1:-1]) * moving for each in (past, future, now)
    )
    even, odd = (
        slice(1, None, 2),
        slice(0, None, 2),
    )  # of the picture's lines; the first line is left out
    early = float(from_past[even].sum(dtype=np.int64) + from_future[odd].sum(dtype=np.int64))
    late = float(from_past[odd].sum(dtype=np.int64) + from_future[even].sum(dtype=np.int64))
    combs = float(own.sum(dtype=np.int64))
    least = min(early, late)
    unequal = max(early, late) / max(least, 1.0)
    # Where fields also move up or down, the frame's own lines fit a little better than its neighbours'.
    if unequal > _UNEQUAL and combs * (_COMBED if unequal < _CLEARLY else _MOVED) > least:
        # With the top field first, the lines of the top field before this frame are furthest from its bottom ones.
        return "tff" if early > late else "bff"
    return "progressive" if least > _PROGRESSIVE * combs else "unsure"
