"""Tell fast camera pans from transitions: a pan shows one continuous world.

From a still view to another in a few frames, a pan changes as much as a transition does, and what
moves that fast is beyond optical flow. Two things are different. In a pan every frame is the frame
before it, shifted, apart from what enters at the border. And nothing in it is discontinuous: where
a push has a seam between its two scenes, a pan has none.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.borders import shared_border
from stages.find.features import Array
from stages.find.shifts import shift_correlations
from stages.kinds.base import AffineMap, Placement

# The limits below were set on synthetic whip pans and pushes of real shots, and on real pans.
WIDTH = 48  # pixels of the longer side at which frames are shifted against each other
LEAST_OVERLAP = 0.35  # part of the picture that two frames of a pan have in common
# Least correlation of two neighbours over that part; in synthetic whip pans it was 0.95 to 1.
LEAST_CORRELATION = 0.85
FEWEST, MOST = 3, 18  # frames of a fast pan, with a still one at each end
LEAST_DISTANCE = 0.5  # least distance from a pan's start to its end, in picture widths
FULL_PUSH = 0.6  # least distance that a push moves, as a part of the picture's width or height
LEAST_STRAIGHTNESS = 0.8
"""Least distance from a pan's start to its end, as a part of the length of its path."""
LEAST_DEVIATION = 0.01  # root mean square of a part that is structured, in [0, 1]
# How many times as large the difference across a push's seam is as those elsewhere: on synthetic
# pushes of real shots 1.7 and more, in pans mostly below 1.5 (few of them).
SEAM = 1.6
# The same where the pictures before and after have little in common. A drawn push with a faint seam
# had 1.59, drawn pans by exactly one width 0.94 to 0.97.
SEAM_OF_TWO_SHOTS = 1.3
SEAM_REACH = 2  # pixels by which a seam may be beside its expected place
BORDER = 6  # pixels from the border in which no seam is looked for
TINY = 1e-6  # keeps ratios finite


def is_pan(frames: Array) -> bool:
    """Return whether frames are one view that moves fast and straight to another.

    Longer pans are slow enough for optical flow, and a long dissolve over a pan looks like one.

    frames: ``(T, H, W, 3)`` in [0, 1], with a still frame at each end.
    """
    if not FEWEST <= len(frames) <= MOST:
        return False
    shifts = _shifts(frames)
    if shifts is None:
        return False
    distance = np.hypot(*shifts.sum(0))
    path = np.hypot(*shifts.T).sum()
    return bool(distance >= LEAST_DISTANCE and distance >= LEAST_STRAIGHTNESS * path)


def is_pan_for_push(
    frames: Array,
    placements: Sequence[Placement],
    *,
    two_shots: bool = False,
    cameras_move: bool = False,
) -> bool:
    """Return whether frames that look like a push are one view that moves.

    A push moves by the whole picture, and has a seam. Between two pictures with a border of one
    colour there is no seam to be seen. Where a camera moves, a cover or a reveal may look like a
    push, and how far the view moves says nothing.

    frames: ``(T + 2, H, W, 3)`` in [0, 1], the clean frames first and last.
    placements: of the T frames in between.
    two_shots: whether the pictures before and after are known to have little in common.
    cameras_move: whether the scenes are explained as their cameras go on.
    """
    shifts = _shifts(frames)
    if shifts is None:
        return False
    down, right = np.abs(shifts.sum(0))
    way = max(right, down * frames.shape[2] / frames.shape[1])
    if way < FULL_PUSH and not cameras_move:
        return True
    if _meet_in_one_color(frames[0], frames[-1], sideways=right > down):
        return False
    return seam_contrast(frames[1:-1], placements) < (SEAM_OF_TWO_SHOTS if two_shots else SEAM)


def _meet_in_one_color(one: Array, other: Array, sideways: bool) -> bool:
    """Return whether the borders at which a push joins two frames ``(H, W, 3)`` have one colour."""
    shared = shared_border(one, other)
    if shared is None:
        return False
    edges = shared[:, [0, -1]] if sideways else shared[[0, -1]]
    return bool(edges.all())


def _shifts(frames: Array) -> npt.NDArray[np.float64] | None:
    """Return how far the view moves (down, right) from each frame to the next one.

    frames: ``(T, H, W, 3)`` in [0, 1]. Returns ``(T - 1, 2)`` in picture widths, or None where
    some frame is not the one before it, shifted.
    """
    scale = min(1.0, WIDTH / max(frames.shape[1:3]))
    grays = [
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale)
        for frame in frames
    ]
    pixels = []
    for frame, next_frame in zip(grays, grays[1:], strict=False):
        correlation, shift = best_shift(frame, next_frame)
        if correlation < LEAST_CORRELATION:
            return None
        pixels.append(shift)
    shifts: npt.NDArray[np.float64] = np.array(pixels, np.float64).reshape(-1, 2)
    return np.asarray(shifts / grays[0].shape[1])


def best_shift(one: Array, other: Array) -> tuple[float, tuple[int, int]]:
    """Return the largest correlation of two pictures over all shifts, and the shift (down, right).

    one, other: ``(H, W)`` in [0, 1]. Returns a correlation in [-1, 1] and how far ``one`` is
    shifted against ``other``: ``one[y + down, x + right]`` shows the same as ``other[y, x]``. The
    shift is in pixels, shorter than a side, and leaves an overlap of :data:`LEAST_OVERLAP`.
    """
    height, width = one.shape
    correlation, overlap = shift_correlations(one, other, LEAST_DEVIATION)
    correlation[overlap < LEAST_OVERLAP] = -1
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    down = int(row) - 2 * height * (row >= height)
    return float(correlation[row, column]), (down, int(column) - 2 * width * (column >= width))


def seam_contrast(frames: Array, placements: Sequence[Placement]) -> float:
    """Return the difference across a push's seam, divided by the differences elsewhere.

    frames: ``(T, H, W, 3)`` in [0, 1]. placements: one for each of them, of a push, cover or reveal
    along a side.
    Returns infinity where no frame shows the seam.
    """
    ratios = []
    for frame, placement in zip(frames, placements, strict=True):
        is_still = placement.incoming == AffineMap()
        right, down = (placement.outgoing if is_still else placement.incoming).shift
        sideways = abs(right) >= abs(down)
        picture = frame if sideways else frame.transpose(1, 0, 2)
        shift = (right if sideways else down) * frame.shape[1]
        # The outgoing scene moves out on the side on which the incoming one would move in.
        place = round(-shift if shift < 0 else picture.shape[1] - shift)
        differences = np.abs(picture[:, 2:] - picture[:, :-2]).mean((0, 2))
        if not BORDER <= place < len(differences) - BORDER:
            continue
        wide = [
            float(differences[max(0, near - SEAM_REACH) : near + SEAM_REACH + 1].max())
            for near in range(len(differences))
        ]
        ratios.append((wide[place - 1] + TINY) / (float(np.median(wide)) + TINY))
    return float(np.exp(np.mean(np.log(ratios)))) if ratios else np.inf
