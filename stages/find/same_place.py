"""Tell whether the frames beside a supposed transition show one place, seen by one camera.

Optical flow finds a thing again that moved by a few pixels. A camera that turns fast, or a car that
shakes, moves the whole view by a third of its width and more, and two frames of one shot then seem
to have nothing in common. Here one frame is shifted over the other first, and flow does the rest
within the part that both frames show. Two kinds of shifts are tried: those at which the two frames
are most alike, and the way of the camera, which is the sum of the shifts from each frame to the
next one.

Two shots may show one place, too. Then the frames between them are mixtures, each part of which is
at one end of the way. In a turn of the camera some frame in between is in the middle of the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from stages.find.borders import is_plain
from stages.find.correlation import motion_compensated_ncc
from stages.find.features import LEAST_SIDE, Array
from stages.find.shifts import shift_correlations

# NCC within the common part from which two frames show one place. Of 965 random pairs of frames of
# unrelated real clips that had this much in common, the largest was 0.587; of 300 pairs of frames
# of one shot, 4 to 40 frames apart, 86 % reached 0.55.
SAME_PLACE_NCC = 0.55
LEAST_OVERLAP = 0.4  # part of the picture that both frames have to show
# The same at the way of the camera, where no other shifts compete. There 220 transitions between
# real shots reached an NCC of 0.49; 15 of 30 drawn whip pans, of 0.25 to 1.4 picture widths, 0.66
# and more.
LEAST_FOLLOWED = 0.08
LOST = 0.08  # how far the camera may be from where it was followed to, in picture widths
TRIED = 3  # shifts that are tried for a pair of frames
SEARCH_SIDE = 64  # pixels of the longer side at which shifts are looked for
DETAIL = 6.0  # pixels of a small frame: coarser structure, such as sky above ground, tells nothing
LEAST_DEVIATION = 0.004  # root mean square of a part that is structured, in [0, 1]
COLOR_CELLS = 16  # cells along the longer side of the common part, each with one mean colour
MOST_UNLIKE = 0.5
"""Most squared difference of the mean colours, relative to the sum of their variances, of one
place. It is about 1 for pictures that have nothing to do with each other."""
COLOR_FLOOR = 0.02  # difference of colours that counts as none, in [0, 1]
BESIDE = 2  # pixels of the search around a shift that count as the same shift
FAR = 0.1  # shift, in picture widths, from which the way of the camera is asked for
ON_THE_WAY = (0.15, 0.85)  # parts of the way between which a frame is neither at its start nor end
FURTHER_OUT = (0, 4, 8, 12)  # frames beside a transition, on both sides of it, that are compared
LOOKS = (0.25, 0.5, 0.75)  # places in a transition, as parts of it, at which the way is looked at


@dataclass(frozen=True)
class View:
    """A shift at which two frames may show one place.

    ncc: of their common part, up to 1. overlap: that part of the picture, 0 to 1.
    right, down: how far the one frame is shifted against the other, in pixels.
    """

    ncc: float
    overlap: float
    right: float = 0.0
    down: float = 0.0

    @property
    def is_same_place(self) -> bool:
        """Whether both frames show one place."""
        return self.ncc >= SAME_PLACE_NCC and self.overlap >= LEAST_OVERLAP


def compare_views(one: Array, other: Array) -> View:
    """Return the shift at which two frames ``(H, W, 3)`` have the most in common.

    Black bars beside the picture do not count: all frames of a film have them.
    """
    one, other = _without_bars(one, other)
    if not _is_large(one):
        return View(0.0, 0.0)
    best = _view_at(one, other, 0.0, 0.0)
    for right, down in _likely_shifts(one, other):
        view = _view_at(one, other, right, down)
        if view.overlap >= LEAST_OVERLAP and view.ncc > best.ncc:
            best = view
    return best


def show_one_place(frames: Array, sides: tuple[int, int], reach: tuple[int, int]) -> bool:
    """Return whether what lies around a supposed transition is one place, seen by one camera.

    The frames beside it may be mixed themselves, if only a part of a longer transition was found:
    both of them then show some of the same scene. So frames further out on both sides have to show
    one place, too.

    frames: ``(T, H, W, 3)``. sides: the frames beside the supposed transition. reach: the first and
    the last frame of the stretch that it lies in.
    """
    (before, after), (low, high) = sides, reach
    camera = CameraPath(frames)
    pairs = [(max(low, before - more), min(high, after + more)) for more in FURTHER_OUT]
    return all(
        _show_place_and_way(frames, one, other) or _is_reached_by_camera(camera, one, other)
        for one, other in dict.fromkeys(pairs)
    )


def _show_place_and_way(frames: Array, before: int, after: int) -> bool:
    """Return whether two frames show one place, and some frame between them is on the way there.

    Where the way is short, the two frames are enough.
    """
    whole = compare_views(frames[before], frames[after])
    if not whole.is_same_place:
        return False
    way = np.array([whole.right, whole.down])
    if np.hypot(*way) < FAR * frames.shape[2]:
        return True
    places = {before + round(part * (after - before)) for part in LOOKS} - {before, after}
    for place in sorted(places):
        view = compare_views(frames[before], frames[place])
        part = float(way @ [view.right, view.down]) / float(way @ way)
        if ON_THE_WAY[0] <= part <= ON_THE_WAY[1]:
            return True
    return False


@dataclass
class CameraPath:
    """The path of a camera from frame to frame of ``frames`` ``(T, H, W, 3)``.

    steps: the shifts (right, down) in pixels from some frames to the ones behind them.
    """

    frames: Array
    steps: dict[int, tuple[float, float]] = field(default_factory=dict)

    def shift_between(self, one: int, other: int) -> tuple[float, float]:
        """Return the sum of the shifts from frame ``one`` to frame ``other``."""
        for place in range(one, other):
            if place not in self.steps:
                pair = _without_bars(self.frames[place], self.frames[place + 1])
                likely = _likely_shifts(*pair, count=1) if _is_large(pair[0]) else [(0.0, 0.0)]
                self.steps[place] = likely[0]
        right, down = np.sum([self.steps[place] for place in range(one, other)], axis=0)
        return float(right), float(down)


def _is_reached_by_camera(camera: CameraPath, before: int, after: int) -> bool:
    """Return whether two frames show one place at the shift that is the way of the camera.

    A transition of two shots has no such way. What its frames seem to be shifted by leads to a
    shift at which its two sides have nothing in common.
    """
    one, other = _without_bars(camera.frames[before], camera.frames[after])
    if not _is_large(one):
        return False
    allowed = ShiftRange(camera.shift_between(before, after), LOST * one.shape[1], LEAST_FOLLOWED)
    views = (_view_at(one, other, *shift) for shift in _likely_shifts(one, other, allowed))
    return max((view.ncc for view in views), default=0.0) >= SAME_PLACE_NCC


def _is_large(frame: Array) -> bool:
    return bool(min(frame.shape[:2]) >= LEAST_SIDE)


def _without_bars(one: Array, other: Array) -> tuple[Array, Array]:
    """Return two frames ``(H, W, 3)`` without the plain rows and columns at the edges of both."""
    rows, columns = (_busy_part(one, other, axis) for axis in (1, 0))
    return np.ascontiguousarray(one[rows, columns]), np.ascontiguousarray(other[rows, columns])


def _busy_part(one: Array, other: Array, axis: int) -> slice:
    """Return the rows (``axis`` 1) or columns (0) between the plain ones that both frames have."""
    busy = np.flatnonzero(~(is_plain(one, axis) & is_plain(other, axis)))
    return slice(int(busy[0]), int(busy[-1]) + 1) if len(busy) else slice(0)


@dataclass(frozen=True)
class ShiftRange:
    """The shifts among which a likely one is looked for.

    middle: of them (right, down), in pixels. reach: how far they are from it, in pixels.
    overlap: the least part of the picture that both frames show.
    """

    middle: tuple[float, float] = (0.0, 0.0)
    reach: float = np.inf
    overlap: float = LEAST_OVERLAP


def _likely_shifts(
    one: Array, other: Array, allowed: ShiftRange | None = None, count: int = TRIED
) -> list[tuple[float, float]]:
    """Return the shifts (right, down), in pixels, at which the detail of two frames is most alike.

    one, other: ``(H, W, 3)``. allowed: the shifts that are tried. Unless given, these are all at
    which the frames have enough in common. count: how many are returned, if there are that many.
    """
    allowed = allowed or ShiftRange()
    scale = min(1.0, SEARCH_SIDE / max(one.shape[:2]))
    first, second = (_detail(frame, scale) for frame in (one, other))
    correlation, overlap = shift_correlations(first, second, LEAST_DEVIATION)
    # A small common part is alike by chance more easily than a large one.
    value = np.where(overlap >= allowed.overlap, correlation * np.sqrt(overlap), -np.inf)
    height, width = first.shape
    downs, rights = (np.fft.fftfreq(2 * side, 0.5 / side) / scale for side in (height, width))
    value[np.abs(downs - allowed.middle[1]) > allowed.reach] = -np.inf
    value[:, np.abs(rights - allowed.middle[0]) > allowed.reach] = -np.inf
    found: list[tuple[float, float]] = []
    while len(found) < count and value.max() > -np.inf:
        row, column = np.unravel_index(int(value.argmax()), value.shape)
        found.append((float(rights[column]), float(downs[row])))
        rows = np.arange(row - BESIDE, row + BESIDE + 1) % (2 * height)
        columns = np.arange(column - BESIDE, column + BESIDE + 1) % (2 * width)
        value[np.ix_(rows, columns)] = -np.inf
    return found


def _detail(frame: Array, scale: float) -> Array:
    """Return the fine structure of a frame ``(H, W, 3)`` as a smaller grey picture."""
    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(small - cv2.GaussianBlur(small, (0, 0), DETAIL * scale), np.float32)


def _are_alike_in_color(one: Array, other: Array) -> bool:
    """Return whether two pictures ``(H, W, 3)`` of one size have the same colours at each place.

    Little detail may be alike by chance. The coarse colours of two places seldom are.
    """
    scale = min(1.0, COLOR_CELLS / max(one.shape[:2]))
    cells = [
        cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        for picture in (one, other)
    ]
    middle = np.mean([picture.mean((0, 1)) for picture in cells], axis=0)
    variances = sum(float(np.square(picture - middle).mean()) for picture in cells)
    difference = float(np.square(cells[0] - cells[1]).mean())
    return difference <= MOST_UNLIKE * variances + COLOR_FLOOR**2


def _view_at(one: Array, other: Array, right: float, down: float) -> View:
    """Return how alike two frames ``(H, W, 3)`` are where both show the place, at one shift."""
    height, width = one.shape[:2]
    x, y = round(right), round(down)
    part = one[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)]
    same = other[max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)]
    overlap = part.shape[0] * part.shape[1] / (height * width)
    if min(part.shape[:2]) < LEAST_SIDE:
        return View(0.0, overlap)
    pair = np.ascontiguousarray(part), np.ascontiguousarray(same)
    if not _are_alike_in_color(*pair):
        return View(0.0, overlap, float(x), float(y))
    return View(motion_compensated_ncc(*pair), overlap, float(x), float(y))
