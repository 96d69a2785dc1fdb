"""Find something small that crosses a fixed scene.

Votes by colour and motion drown what covers a few pixels: the scene has more pixels that look alike
(:mod:`stages.segment.votes`). But before a fixed background, each frame shows it as a spot that
differs, and from frame to frame the spot moves on. Leaves and water differ in places, too, but
they stay where they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.segment.notes import EMPTY
from stages.segment.odds_by_background import difference_to
from stages.segment.plate import Plate

NOTABLE = 1.0
"""Difference to the background from which a pixel belongs to a spot; see :func:`difference_to`."""
LEAST_PIXELS = 4  # pixels of a spot, at least
LARGEST_PART = 0.01  # area of a spot, as a part of the picture: larger things win votes
MOST_OFF_COURSE = 3.0  # distance of a spot from where it is expected, in its own sizes, at most
MOST_AREA_RATIO = 3.0  # most ratio of the areas of a spot in frames that follow each other
MOST_SPOTS = 12  # spots of a frame, at most: more are snow, rain or leaves
MOST_MISSED = 2  # frames in which a spot may be missing
LEAST_SHARE = 0.5  # least part of the frames in which something is seen
LEAST_DISTANCE = 2.0  # least distance from its first to its last place, in its own sizes
LEAST_STRAIGHTNESS = 0.5  # least ratio of that distance to the length of its path

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Spot:
    """Pixels of a frame that differ from the background and touch each other.

    place: its centre, x and y. pixels: rows and columns of its pixels.
    """

    place: NDArray[np.float64]
    pixels: tuple[NDArray[np.intp], NDArray[np.intp]]

    @property
    def area(self) -> int:
        """Its area in pixels."""
        return len(self.pixels[0])

    @property
    def size(self) -> float:
        """The side of a square of its area, in pixels."""
        return math.sqrt(self.area)


@dataclass(eq=False)
class _SpotTrack:
    """A spot in several frames. spots: by the number of the frame, in order."""

    spots: dict[int, _Spot] = field(default_factory=dict)

    def distance_to(self, frame: int, spot: _Spot) -> float:
        """Return how far a spot is from where this track would go on, in sizes of the spot.

        It is infinite where the spot does not look like the last one.
        """
        last_frame = max(self.spots)
        last = self.spots[last_frame]
        if max(spot.area, last.area) > MOST_AREA_RATIO * min(spot.area, last.area):
            return math.inf
        expected = last.place
        if len(self.spots) > 1:
            frame_before = sorted(self.spots)[-2]
            velocity = (last.place - self.spots[frame_before].place) / (last_frame - frame_before)
            expected = expected + velocity * (frame - last_frame)
        return float(np.linalg.norm(spot.place - expected)) / spot.size

    def touches(self, known: Mask) -> bool:
        """Return whether it lies in what is ``known``, ``(T, h, w)``, in any frame."""
        return any(bool(known[frame][spot.pixels].any()) for frame, spot in self.spots.items())

    def crosses(self, count: int) -> bool:
        """Return whether it goes somewhere, and is seen in enough of ``count`` frames."""
        if len(self.spots) < max(2, LEAST_SHARE * count):
            return False
        places = np.stack([self.spots[frame].place for frame in sorted(self.spots)])
        path = float(np.linalg.norm(np.diff(places, axis=0), axis=1).sum())
        distance = float(np.linalg.norm(places[-1] - places[0]))
        size = float(np.mean([spot.size for spot in self.spots.values()]))
        return distance >= LEAST_DISTANCE * size and distance >= LEAST_STRAIGHTNESS * path


def small_movers(frames: Tensor, plate: Plate, known: Tensor) -> Tensor:
    """Return where something small crosses a fixed scene, ``(T, h, w)`` of bool.

    What is known in some frames is followed through the others. Where nothing is known at all,
    everything that crosses counts.

    frames: ``(T, 3, h, w)`` in [0, 1]. plate: the scene, of this size. known: the foreground that
    was found, ``(T, h, w)`` of bool.
    """
    differs = (difference_to(frames, plate) > NOTABLE) & plate.trusted
    tracks: list[_SpotTrack] = []
    for number, frame_differs in enumerate(differs.cpu().numpy()):
        spots = _spots(frame_differs)
        if len(spots) <= MOST_SPOTS:
            _extend_tracks(tracks, number, spots)
    known_pixels = known.cpu().numpy()
    is_empty = float(known_pixels.mean()) < EMPTY
    found = np.zeros(known_pixels.shape, np.bool_)
    for track in tracks:
        if track.crosses(len(frames)) and (is_empty or track.touches(known_pixels)):
            for number, spot in track.spots.items():
                found[number][spot.pixels] = True
    return torch.from_numpy(found).to(frames.device)


def _spots(differs: Mask) -> list[_Spot]:
    """Return the small spots of a frame, the largest first. differs: ``(h, w)``."""
    count, labels, stats, centers = cv2.connectedComponentsWithStats(differs.astype(np.uint8))
    spots: list[_Spot] = []
    for label in range(1, count):
        left, top, width, height, area = stats[label].tolist()
        if LEAST_PIXELS <= area <= LARGEST_PART * differs.size:
            inside = labels[top : top + height, left : left + width] == label
            rows, columns = inside.nonzero()
            spots.append(_Spot(centers[label], (rows + top, columns + left)))
    return sorted(spots, key=lambda spot: -spot.area)


def _extend_tracks(tracks: list[_SpotTrack], frame: int, spots: Iterable[_Spot]) -> None:
    """Add the spots of a frame to the tracks that they go on, or as tracks of their own."""
    alive = [track for track in tracks if frame - max(track.spots) <= 1 + MOST_MISSED]
    for spot in spots:
        distances = [track.distance_to(frame, spot) for track in alive]
        nearest = int(np.argmin(distances)) if distances else 0
        if distances and distances[nearest] <= MOST_OFF_COURSE:
            alive.pop(nearest).spots[frame] = spot
        else:
            tracks.append(_SpotTrack({frame: spot}))
