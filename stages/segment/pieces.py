"""Follow the connected pieces of a matte from frame to frame, until they meet or part.

A piece is a connected part of one frame's matte; parts with a narrow gap between them count as
one. A track is a piece that goes on from frame to frame, one to one, along the flow. Where pieces
meet or part, their tracks end and new ones begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.segment.motion import WindowMotion

Labels = NDArray[np.int32]

# The constants below were chosen on drawn clips, see tests/measure_movers.py.
GAP = 0.012
"""Widest gap between two parts of one piece, in longer sides of the picture."""
LEAST_PIECE = 2e-4
"""Least area of a piece, as a part of the picture; smaller ones are nobody's."""
OVERLAP = 0.2
"""Part of the smaller of two pieces that the flow has to carry into the other to link them."""


@dataclass
class Track:
    """Hold one piece through consecutive frames.

    first: its first frame. pieces: its label in each of its frames. areas: its pixels there.
    centers: its middle there, x and y in pixels. before, after: the tracks that it was linked with
    at its beginning and at its end.
    """

    first: int
    pieces: list[int] = field(default_factory=list)
    areas: list[float] = field(default_factory=list)
    centers: list[tuple[float, float]] = field(default_factory=list)
    before: set[int] = field(default_factory=set)
    after: set[int] = field(default_factory=set)

    @property
    def last(self) -> int:
        """Return the last frame."""
        return self.first + len(self.pieces) - 1

    def covers(self, frame: int) -> bool:
        """Return whether the piece is there in ``frame``."""
        return self.first <= frame <= self.last


def pieces_of(matte: Tensor) -> Labels:
    """Return the number of the piece of every pixel, ``(T, h, w)``; 0 for none.

    matte: ``(T, h, w)`` of bool.
    """
    height, width = matte.shape[-2:]
    side = 2 * max(1, round(GAP * max(height, width) / 2)) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    least = LEAST_PIECE * height * width
    found = []
    for frame in matte.cpu().numpy().astype(np.uint8):
        # Dilated parts that meet are one piece.
        _, labels = cv2.connectedComponents(cv2.dilate(frame, disc))
        labels = np.where(frame > 0, labels, 0)
        areas = np.bincount(labels.ravel())
        areas[0] = 0
        kept = areas >= least
        numbers = np.where(kept, np.cumsum(kept), 0)
        found.append(numbers[labels].astype(np.int32))
    return np.stack(found)


def tracks_of(pieces: Labels, motion: WindowMotion) -> list[Track]:
    """Return the tracks of all pieces ``(T, h, w)``, in the order of their first frames.

    motion: of frames of this size.
    """
    tracks: list[Track] = []
    current: dict[int, int] = {}
    for t in range(len(pieces)):
        links = _links(pieces, motion, t) if t else set()
        ahead: dict[int, set[int]] = {}
        behind: dict[int, set[int]] = {}
        for one, other in links:
            ahead.setdefault(one, set()).add(other)
            behind.setdefault(other, set()).add(one)
        now: dict[int, int] = {}
        for number in range(1, int(pieces[t].max()) + 1):
            sources = behind.get(number, set())
            (source,) = sources if len(sources) == 1 else (None,)
            if source is not None and len(ahead[source]) == 1:
                now[number] = current[source]
            else:
                now[number] = len(tracks)
                tracks.append(Track(t, before={current[each] for each in sources}))
            _extend(tracks[now[number]], pieces[t], number)
        for one, other in links:
            if current[one] != now[other]:
                tracks[current[one]].after.add(now[other])
        current = now
    return tracks


def _extend(track: Track, labels: Labels, number: int) -> None:
    rows, columns = (labels == number).nonzero()
    track.pieces.append(number)
    track.areas.append(float(len(rows)))
    track.centers.append((float(columns.mean()), float(rows.mean())))


def _links(pieces: Labels, motion: WindowMotion, frame: int) -> set[tuple[int, int]]:
    """Return the pairs of pieces of ``frame - 1`` and ``frame`` that the flow links."""
    counts = _carried_counts(pieces[frame - 1], pieces[frame], motion.forward[frame - 1])
    counts = np.maximum(
        counts, _carried_counts(pieces[frame], pieces[frame - 1], motion.backward[frame - 1]).T
    )
    areas = [np.bincount(pieces[t].ravel(), minlength=1) for t in (frame - 1, frame)]
    smaller = np.minimum(areas[0][1:, None], areas[1][None, 1:])
    one, other = (counts > OVERLAP * smaller).nonzero()
    return {(int(i) + 1, int(j) + 1) for i, j in zip(one, other, strict=True)}


def _carried_counts(here: Labels, there: Labels, flow: Tensor) -> NDArray[np.int64]:
    """Return how many pixels of each piece of ``here`` the flow carries into each of ``there``."""
    height, width = here.shape
    rows, columns = (here > 0).nonzero()
    moved = flow.cpu().numpy()[:, rows, columns]
    x = np.rint(columns + moved[0]).astype(np.int64)
    y = np.rint(rows + moved[1]).astype(np.int64)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    ours = here[rows[inside], columns[inside]]
    theirs = there[y[inside], x[inside]]
    counts = np.zeros((int(here.max()) + 1, int(there.max()) + 1), np.int64)
    np.add.at(counts, (ours, theirs), 1)
    return counts[1:, 1:]


def mask_of(track: Track, pieces: Labels, frame: int) -> Tensor:
    """Return the track's piece in ``frame`` as ``(h, w)`` of bool."""
    return torch.from_numpy(pieces[frame] == track.pieces[frame - track.first])
