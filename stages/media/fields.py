"""Recognise interlacing in the picture: do a frame's odd and even lines show two moments?

If so, also decide which field came first. The measure is that of FFmpeg's filter idet, but taken
only where something moves: a line b fits badly between the lines a and c above and below it if
d(a, b, c) = |a - 2 b + c| is large. A frame's lines are put between the frame's own lines, and
between those of the frames before and after it. In a progressive frame, they fit best between the
frame's own. In an interlaced frame, a field fits one of the two neighbour frames about as badly as
its own frame, because they show moments equally near, and it fits the other one far worse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.signedinteger[Any]]
"""``(H, W)`` luma codes."""

EXAMINED_FRAMES = 24
"""Frames that are examined, about a second."""

# What counts as motion. Chosen by us.
_COLUMNS = 480  # columns that are enough; all lines are needed
_MOTION = 10 / 255  # change between the neighbour frames from which a pixel counts as moving
_MIN_MOVING_PART = 0.002  # part of the picture that must move for a frame to be classified
_MIN_MOVING_PIXELS = 128  # so that noise in a tiny picture is not taken for fields

# Ratios of how badly lines fit, for one frame. Tuned by us where idet has another value.
_ORDER_RATIO = 1.12  # the wrong field order fits worse by this; idet uses 1.04 on whole pictures
_PROGRESSIVE_RATIO = 1.5  # neighbour frames fit worse than the frame itself by this, as in idet
_COMBED_RATIO = 1.05  # in an interlaced frame, neighbour frames fit at most this much worse
_CLEAR_ORDER_RATIO = 2.0  # the wrong field order fits so much worse that there is no doubt
_CLEAR_COMBED_RATIO = 1.3  # used in place of _COMBED_RATIO where there is no doubt

# How many frames make a verdict on the clip. Chosen by us.
_MIN_FRAMES = 6  # frames that must agree
_SAME_ORDER = 0.8  # part of the combed frames that must agree on the field order
_INTERLACED_PART = 0.3  # part of the moving frames that are combed in interlaced material, at least
_INTERLACED_RATIO = 1.2  # combed frames for each progressive one, at least
_PULLDOWN_PART = (0.25, 0.5)  # part of combed frames in film with 3:2 pulldown; it should be 2 in 5
_PROGRESSIVE_PART = 0.9  # part of the moving frames that are progressive in progressive material


@dataclass
class ScanEvidence:
    """How many of the examined frames are of each class.

    counts: how many frames are ``tff`` or ``bff`` (interlaced, by the field that comes first),
    ``progressive``, or ``unsure`` (something moves, but the frame could be either).
    """

    counts: Counter[str] = field(default_factory=Counter)

    @property
    def combed(self) -> int:
        """The number of interlaced frames."""
        return self.counts["tff"] + self.counts["bff"]

    @property
    def scan(self) -> str:
        """The clip's scan: ``interlaced``, ``telecined``, ``progressive``, or empty if unknown.

        In a telecined clip (film with pulldown), some frames are interlaced.
        """
        moving = sum(self.counts.values())
        agree = max(self.counts["tff"], self.counts["bff"]) >= _SAME_ORDER * self.combed
        progressive = self.counts["progressive"]
        if self.combed >= _MIN_FRAMES and agree:
            if self.combed > max(_INTERLACED_PART * moving, _INTERLACED_RATIO * progressive):
                return "interlaced"
            least, most = _PULLDOWN_PART
            if least <= self.combed / moving <= most and progressive >= self.combed:
                return "telecined"
        enough = progressive >= max(2 * _MIN_FRAMES, _PROGRESSIVE_PART * moving)
        return "progressive" if enough else ""

    @property
    def parity(self) -> str:
        """The field that comes first in most frames: ``tff`` (top) or ``bff`` (bottom)."""
        return "bff" if self.counts["bff"] > self.counts["tff"] else "tff"


def collect_evidence(lumas: Iterable[Luma], top: int) -> ScanEvidence:
    """Classify consecutive frames and count the classes.

    lumas: ``(H, W)`` codes of each frame, in order of time. top: their largest possible value.
    """
    evidence = ScanEvidence()
    before: list[Luma] = []
    for luma in lumas:
        step = max(1, luma.shape[1] // _COLUMNS)
        before = [*before[-2:], luma[:, ::step]]
        if len(before) == 3 and len({each.shape for each in before}) == 1:
            scan_class = classify_frame(before[0], before[1], before[2], top)
            if scan_class:
                evidence.counts[scan_class] += 1
    return evidence


def classify_frame(before: Luma, frame: Luma, after: Luma, top: int) -> str:
    """Return a frame's class: ``tff``, ``bff``, ``progressive``, ``unsure``, or "" without motion.

    before, frame, after: ``(H, W)`` codes from 0 to ``top`` of three consecutive frames.
    """
    if frame.shape[0] < 4:
        return ""
    # a - 2 b + c spans four times the largest code.
    kind = np.int32 if top > 8191 else np.int16
    stack: Luma = np.stack([before, frame, after]).astype(kind)
    past, now, future = stack
    middle = now[:-2] + now[2:]
    moving = np.abs(past - future)[1:-1] > _MOTION * top
    if moving.sum() < max(_MIN_MOVING_PIXELS, _MIN_MOVING_PART * moving.size):
        return ""
    from_past, from_future, own = (
        np.abs(middle - 2 * each[1:-1]) * moving for each in (past, future, now)
    )
    # Even and odd lines of the picture, whose first line is left out here.
    even = slice(1, None, 2)
    odd = slice(0, None, 2)
    early = float(from_past[even].sum(dtype=np.int64) + from_future[odd].sum(dtype=np.int64))
    late = float(from_past[odd].sum(dtype=np.int64) + from_future[even].sum(dtype=np.int64))
    combs = float(own.sum(dtype=np.int64))
    least = min(early, late)
    order_ratio = max(early, late) / max(least, 1.0)
    # Where things also move up or down, the frame's own lines fit a little better than those of its
    # neighbours, even in an interlaced frame.
    allowed = _COMBED_RATIO if order_ratio < _CLEAR_ORDER_RATIO else _CLEAR_COMBED_RATIO
    if order_ratio > _ORDER_RATIO and combs * allowed > least:
        # With the top field first, the top lines of the frame before are furthest in time from the
        # bottom lines of this frame.
        return "tff" if early > late else "bff"
    return "progressive" if least > _PROGRESSIVE_RATIO * combs else "unsure"
