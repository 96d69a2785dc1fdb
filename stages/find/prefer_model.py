"""Prefer the model of a transition that explains its frames: mixture, matte, or moving scenes.

A matte between scenes that are carried by motion explains much of what scenes that move as a whole
leave, and so does a mixture. Each function here weighs one model against another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stages.find.correlation import motion_compensated_ncc
from stages.find.curve import squared_difference
from stages.find.features import Array, contrast_ratio, plain_color
from stages.find.moved_scenes import placed_errors
from stages.find.pixels import pixels_between
from stages.find.placements import best_placement, find_placement, placement_between
from stages.find.quick_look import may_be_placed
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import DISSOLVE, TRANSITION_KINDS
from stages.mixing.light_dissolve import GAMMA

MOST_ERROR_OF_WIPE = 2.0  # times the error of a wipe up to which moving scenes are preferred
# Scenes that move as a whole are believed near a wipe if they leave at most this part of what the
# two clean frames, unmoved, leave. True ones left 0.05 to 0.42, and 0.68 once.
MOST_ERROR_OF_UNMOVED = 0.5
# Where a scene moves as a whole, its moved clean frame leaves at most this part of what the unmoved
# one leaves. Drawn pushes, covers, reveals and squeezes left 0.008 to 0.58. In hard wipes the best
# placement left 0.95 and more, in soft ones 0.64 and more.
MOST_ERROR_OF_SCENE = 0.75
# Between the ends of a wipe, a placement leaves at most this many times what the two clean frames,
# unmoved, leave. A drawn squeeze left 1.25 times as much. In soft wipes the best placement left
# 1.36 times as much and more.
MOST_ERROR_BETWEEN = 1.3
# The error of a placement between the ends of a wipe counts this many times against one that
# measured its own ends. Both leave nearly the same where still pictures are wiped.
HANDICAP = 1.25
LEAST_COVERED = 0.8  # part of a wipe that a push or cover explains if it counts as all of it
# The contrast ratio is 0 for the contrast of a mixture and 1 for that of a single picture. True
# dissolves between real shots are mostly within 0.3 of 0, whip pans near 1.
CONTRAST_RATIO_LIMIT = 0.6
# NCC of two frames above which they are of one shot. They may be mixtures themselves.
SAME_SHOT_NCC = 0.6
# NCC of the two sides of a wipe up to which they are two shots, so that a faint seam is enough to
# tell a push from a pan. The sides of drawn dissolves had 0.24 at most.
LITTLE_IN_COMMON = 0.25
MOST_ERROR_OF_PIXELS = 0.5  # part of the error of a dissolve that changing pixels may leave


def better_placement(frames: Array, wipe: TransitionFit, reach: tuple[int, int]) -> TransitionFit:
    """Return the transition with moving scenes that a wipe turns out to be, or the wipe.

    A wipe whose scenes are carried by dense motion explains scenes that move as a whole nearly as
    well, and better if these move by themselves, too. So it is asked of each scene whether it
    moves as a whole.
    """
    stretch = Stretch(frames, *reach)
    between = _between_ends(stretch, wipe)
    sides = frames[wipe.before], frames[wipe.after]
    two_shots = motion_compensated_ncc(*sides) <= LITTLE_IN_COMMON
    near = find_placement(stretch, wipe.before, wipe.after, two_shots=two_shots)
    if near and not _explains_more(frames, near, wipe):
        near = None
    believed = [
        (errors.whole * (1.0 if placed is near else HANDICAP), placed)
        for placed in ([near] if near else []) + between
        if placed.relative_error <= MOST_ERROR_BETWEEN * error_unmoved(frames, placed)
        and (errors := placed_errors(stretch, placed, wipe)).moved <= MOST_ERROR_OF_SCENE
    ]
    return min(believed, key=lambda item: item[0], default=(0.0, wipe))[1]


def _explains_more(frames: Array, placed: TransitionFit, wipe: TransitionFit) -> bool:
    """Return whether moving scenes near a wipe explain clearly more than it does."""
    most = max(
        MOST_ERROR_OF_WIPE * wipe.relative_error,
        MOST_ERROR_OF_UNMOVED * error_unmoved(frames, placed),
    )
    return _error_in_wipe(frames, wipe, placed) <= most


def _between_ends(stretch: Stretch, wipe: TransitionFit) -> list[TransitionFit]:
    """Return transitions with moving scenes between the ends of a wipe, the best of each kind.

    Where scenes move much by themselves, their frames tell less well where a transition ends than
    the wipe does. Kinds that resemble a pan are left out.
    """
    if not may_be_placed(stretch, wipe.before, wipe.after):
        return []
    return [
        placement_between(stretch, wipe.before, wipe.after, kind.name, None)
        for kind in TRANSITION_KINDS.values()
        if kind.effects and not kind.found_around_fade and not kind.resembles_pan
    ]


def _error_in_wipe(frames: Array, wipe: TransitionFit, placed: TransitionFit) -> float:
    """Return the relative error that a placement leaves in the frames of a wipe.

    The frames beside the placement have to show one scene alone, as they do where the wipe is too
    long. Otherwise the placement explains only a part of it.
    """
    count = wipe.after - wipe.before
    common = min(wipe.after, placed.after) - max(wipe.before, placed.before)
    if common >= LEAST_COVERED * count:
        return placed.relative_error
    before, after = frames[placed.before], frames[placed.after]
    apart = squared_difference(before, after)
    beside = [(time, before) for time in range(wipe.before + 1, placed.before)]
    beside += [(time, after) for time in range(placed.after + 1, wipe.after)]
    errors = [float(((frames[time] - clean) ** 2).mean()) / apart for time, clean in beside]
    return (common * placed.relative_error + sum(min(1.0, error) for error in errors)) / count


def error_unmoved(frames: Array, found: TransitionFit) -> float:
    """Return what a transition leaves whose pixels come from the nearer of the two clean frames.

    No wipe between scenes that stand still leaves less. It is relative to the squared difference of
    the clean frames, as :attr:`stages.find.stretch.TransitionFit.relative_error` is.
    """
    before, after = frames[found.before], frames[found.after]
    inner = frames[found.before + 1 : found.after]
    errors = [((inner - clean) ** 2).mean(-1) for clean in (before, after)]
    apart = squared_difference(before, after)
    return float(np.minimum(*errors).mean()) / apart


def model_between(stretch: Stretch, found: TransitionFit) -> TransitionFit:
    """Return the transition between two clean frames that explains its frames best.

    Where the search finds a transition, it has looked for the evidence of one. Here it is known
    that one fills the frames between ``found.before`` and ``found.after``, and only its kind is
    asked for. found: it as a dissolve or a wipe.
    """
    frames, sides = stretch.frames, (found.before, found.after)
    one, other = (frames[side] for side in sides)
    if plain_color(one) or plain_color(other):
        return found  # a plain colour neither moves nor has pixels of its own
    if motion_compensated_ncc(one, other) > SAME_SHOT_NCC:
        return found  # what moves in one shot may look like any of them
    if found.kind == DISSOLVE:
        inner = frames[found.before + 1 : found.after]
        error = error_of_mixture(frames[found.before], frames[found.after], inner)
        found = replace(found, relative_error=error)
    if may_be_placed(stretch, *sides):
        placed = best_placement(stretch, *sides)
        if placed.relative_error <= min(
            found.relative_error, MOST_ERROR_OF_UNMOVED * error_unmoved(frames, placed)
        ):
            return placed
    if found.kind != DISSOLVE or has_contrast_of_mixture(found, frames):
        return found
    pixels = pixels_between(stretch, *sides)
    if pixels is not None and pixels.relative_error <= MOST_ERROR_OF_PIXELS * found.relative_error:
        return pixels
    return found


def error_of_mixture(one: Array, other: Array, frames: Array) -> float:
    """Return what mixtures of two pictures leave, as part of their squared difference.

    one, other: ``(H, W, 3)``. frames: ``(T, H, W, 3)``; each has the weight that explains it best.
    """
    step = other - one
    power = squared_difference(other, one)
    errors = []
    for frame in frames:
        weight = float(np.clip(((frame - one) * step).mean() / power, 0, 1))
        errors.append(float(((frame - one - weight * step) ** 2).mean()))
    return float(np.mean(errors)) / power


def has_contrast_of_mixture(found: TransitionFit, frames: Array, *, related: bool = False) -> bool:
    """Return whether frames ``(T, H, W, 3)`` of a dissolve have the contrast of two pictures.

    related: as of :func:`stages.find.features.contrast_ratio`.
    """
    part = frames[found.before : found.after + 1]
    if found.space == "linear":
        part = part**GAMMA
    return abs(contrast_ratio(part, found.mix, related=related)) <= CONTRAST_RATIO_LIMIT
