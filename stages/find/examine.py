"""Examine whether a transition lies near a window of frames, and reject what only looks like one.

A change of light and a moving camera may look like a mixture. In a transition the two sides have
little in common, and the model leaves little unexplained. What speaks against it is added up as the
rejection score.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stages.find.blurs import as_blur
from stages.find.correlation import motion_compensated_ncc
from stages.find.curve import even_mix
from stages.find.features import Array, plain_color
from stages.find.fit import fit
from stages.find.light_change import is_change_of_light
from stages.find.pans import is_pan
from stages.find.prefer_model import SAME_SHOT_NCC, better_placement, has_contrast_of_mixture
from stages.find.same_place import show_one_place
from stages.find.stretch import TransitionFit
from stages.kinds import DISSOLVE, PIXELS, TRANSITION_KINDS
from stages.kinds.pixels import RANDOM

# The limits below were set on synthetic transitions between real shots and on single real shots.
# The rejection score is a sum of terms max(0, measure - FREE_x) / x_LIMIT. So FREE_x is the measure
# that counts nothing, and x_LIMIT the excess that counts 1.
FREE_NCC, NCC_LIMIT = 0.2, 0.25  # NCC of the two sides
UNEXPLAINED_LIMIT = 0.25  # amplitude of the change that is not explained, in [0, 1]
RESTLESS_LIMIT = 0.8  # the same in the clean frames around
FREE_TEXTURE, TEXTURE_LIMIT = 0.5, 0.4  # the same for structure within blocks
# Score from which a transition is rejected. In single shots of real footage no value below 1.4 was
# seen; fast cameras in true dissolves reach 1.2.
REJECTION_LIMIT = 1.2
# NCC of the sides that rejects by itself. The sides of drawn dissolves had 0.24 at most.
ALIKE_NCC = FREE_NCC + REJECTION_LIMIT * NCC_LIMIT
# Random pixels change evenly in all blocks: synthetic ones over moving shots left 0.12 to 0.19,
# pans 0.27 and more.
LEAST_RANDOM = 8  # frames
MOST_UNEXPLAINED_RANDOM = 0.22  # most unexplained part of the change, in [0, 1]
UNEVEN = 0.1  # how far a weight may be from an even course


def transition_near(
    frames: Array, window: tuple[int, int], reach: tuple[int, int]
) -> TransitionFit | None:
    """Return the transition near a window, or None if there is none.

    frames: ``(T, H, W, 3)``. window: its first and last frame. reach: the first and the last
    frame of the stretch.
    """
    found = _best_model(frames, window, reach)
    return None if found is None or _is_one_shot(found, frames, reach) else found


def cut_off_transition(
    frames: Array, window: tuple[int, int], reach: tuple[int, int]
) -> TransitionFit | None:
    """Return the dissolve near a window of which one side may be a mixture itself, or None.

    What the two sides have in common is ignored. All other evidence counts: their mixture
    explains the frames, these have the contrast of a mixture, and neither a camera nor a change
    of light explains both sides as one shot. Of 377 stretches of single real shots, taken from
    wherever they were cut, none began like this. Arguments as of :func:`transition_near`.
    """
    # Most shots are told by these, which cost far less than a fit.
    if is_change_of_light(frames[window[0]], frames[window[1]]):
        return None
    if show_one_place(frames, window, reach):
        return None
    found = fit(frames, window, reach)
    if found is None or found.kind != DISSOLVE or _is_beside_color(found, frames):
        return None
    if rejection_score(found, frames, ncc=0.0) >= REJECTION_LIMIT:
        return None
    if not has_contrast_of_mixture(found, frames, related=True):
        return None
    return None if _is_one_shot(found, frames, reach) else found


def rejection_score(found: TransitionFit, frames: Array, ncc: float | None = None) -> float:
    """Return the sum of what speaks against a transition in ``frames`` ``(T, H, W, 3)``.

    ncc: of its two sides, measured unless given.
    """
    score = found.unexplained / UNEXPLAINED_LIMIT
    # A colour has nothing in common with any picture, and against it all structure moves as
    # its shot does.
    if _is_beside_color(found, frames):
        return score
    if ncc is None:
        ncc = motion_compensated_ncc(frames[found.before], frames[found.after])
    score += found.restless / RESTLESS_LIMIT + max(0.0, ncc - FREE_NCC) / NCC_LIMIT
    return score + max(0.0, found.texture - FREE_TEXTURE) / TEXTURE_LIMIT


def _best_model(
    frames: Array, window: tuple[int, int], reach: tuple[int, int]
) -> TransitionFit | None:
    """Return the transition that is believed near a window, or None.

    Where camera motion leaves too much unexplained, dense flows have a second look.
    """
    ncc = _ncc_of_sides(frames, window)
    if ncc > SAME_SHOT_NCC:
        return None
    found = fit(frames, window, reach)
    if found is None:
        return _mixture_by_dense_flows(frames, window, reach, ncc)
    is_believed = rejection_score(found, frames) < REJECTION_LIMIT
    if found.kind != DISSOLVE:
        return better_placement(frames, found, reach) if is_believed else None
    if _is_beside_color(found, frames):
        return found if is_believed else None
    if is_believed and (blur := as_blur(found, frames)):
        return blur
    # One single frame between two shots may be anything: its contrast tells nothing.
    if len(found.mix) > 1 and not has_contrast_of_mixture(found, frames):
        return _as_random_pixels(found) if is_believed else None
    if is_believed:
        return found
    return _mixture_by_dense_flows(frames, window, reach, ncc)


def _mixture_by_dense_flows(
    frames: Array, window: tuple[int, int], reach: tuple[int, int], ncc: float
) -> TransitionFit | None:
    """Return the dissolve that is explained by dense flows, or None.

    ncc: of the two sides. Dense flows explain pans as well as they do mixtures. The contrast
    tells those apart.
    """
    if ncc >= ALIKE_NCC:  # Dense flows are dear, and do not make the sides less alike.
        return None
    found = fit(frames, window, reach, dense=True)
    if found is None or found.kind != DISSOLVE:
        return None
    if rejection_score(found, frames) > REJECTION_LIMIT:
        return None
    return found if has_contrast_of_mixture(found, frames) else None


def _ncc_of_sides(frames: Array, window: tuple[int, int]) -> float:
    """Return the NCC of two frames. A frame of one colour has nothing in common with others."""
    one, other = frames[window[0]], frames[window[1]]
    if plain_color(one) or plain_color(other):
        return 0.0
    return motion_compensated_ncc(one, other)


def _is_one_shot(found: TransitionFit, frames: Array, reach: tuple[int, int]) -> bool:
    """Return whether what was found is one shot: its camera moves, or its light changes.

    frames: ``(T, H, W, 3)``. reach: the first and the last frame of the stretch.
    """
    if _is_pan(found, frames):
        return True
    # A plain colour is no place.
    if _is_beside_color(found, frames):
        return False
    return _is_change_of_light(found, frames) or show_one_place(
        frames, (found.before, found.after), reach
    )


def _is_change_of_light(found: TransitionFit, frames: Array) -> bool:
    """Return whether light and motion explain how a mixture changes the picture."""
    if found.kind not in (DISSOLVE, PIXELS):
        return False
    return is_change_of_light(frames[found.before], frames[found.after])


def _as_random_pixels(found: TransitionFit) -> TransitionFit | None:
    """Return a dissolve as one in which whole pixels change one after another, or None.

    Such a transition is even and well explained as blocks see it, but has the contrast of whole
    pixels.
    """
    if len(found.mix) < LEAST_RANDOM or found.unexplained > MOST_UNEXPLAINED_RANDOM:
        return None
    if np.abs(found.mix - even_mix(len(found.mix))).max() > UNEVEN:
        return None
    return replace(found, kind=PIXELS, space="gamma", effect=RANDOM)


def _is_beside_color(found: TransitionFit, frames: Array) -> bool:
    """Return whether one of the clean frames beside a transition has one colour."""
    return bool(plain_color(frames[found.before]) or plain_color(frames[found.after]))


def _is_pan(found: TransitionFit, frames: Array) -> bool:
    """Return whether a transition in ``frames`` ``(T, H, W, 3)`` is a fast pan of one camera."""
    # Scenes that move as a whole look like a pan in this respect, and are judged on their own.
    if TRANSITION_KINDS[found.kind].undo == "placement":
        return False
    return is_pan(frames[found.before : found.after + 1])
