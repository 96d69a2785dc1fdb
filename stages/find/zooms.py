"""Transitions whose scenes meet in one colour: told by the fade that is their second half.

FFmpeg's ``zoomin`` enlarges the outgoing scene up to a single pixel and then fades its colour into
the incoming scene. By themselves, the halves look like cuts and a fade out of a plain colour. A
scene that fades into a colour while its camera zooms in looks alike, so both are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.find.composed import composed_frames
from stages.find.curve import NOISE
from stages.find.features import Array, channels_first, is_too_small, plain_color
from stages.find.placements import find_placement, measured_progress
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds.base import Placer

REACH = 3
"""How many times as long as its second half a whole transition is, at most."""

FEWEST_ON_THE_WAY, LEAST_PROGRESS = 2, 0.05
"""How many frames have to show the outgoing scene on its way to the colour, and from which progress
on they count. Without them there is a cut to a colour that the outgoing scene happens to have."""

MIDDLE, MOST_AWAY = 0.2, 0.08
"""Part of the sides of the outgoing scene in whose middle the colour has to be seen before, and how
far a channel of it may be away, in [0, 1]. The middle may move, and a texture there is averaged."""

MOST_SHOWN = 0.65
"""Part of the outgoing scene's width down to which one of these frames has to come. A camera that
slowly zooms in before a cut to a colour shows more of its scene."""

STEPS = 65
"""Values of the progress at which the enlarged scene is compared with a frame."""

LEAST_OF_FADE = 0.6
"""Part of the zoom's error that is left, at least, if the enlarged scene may also fade.

What fades has 0.39 at most in made fades to a colour under a camera that zooms in, zooms from made
scenes and from footage have 0.69 and more. Scenes that move leave about the same either way.
"""

MOST_ERROR_OF_ZOOM = 0.5
"""As :data:`stages.find.placements.MOST_ERROR`, but looser, because there is other proof of a zoom:
its fade, and the outgoing scene that grows. Where people moved, a zoom left 0.45."""

MOST_OF_UNMOVED = 1.0
"""Most error of the enlarged scene, as a part of that without movement, in which each pixel has its
own colour or the plain one. In drawn zooms it was 0.06 to 0.57. A closing box once had 40: it shows
the outgoing scene in its middle, too."""


def zoom_around_fade(
    frames: Array, fade: TransitionFit, faded: Sequence[tuple[int, int]] = ()
) -> TransitionFit | None:
    """Return the transition through one colour whose second half is a fade, or None.

    frames: ``(T, H, W, 3)``. fade: out of a plain colour. The transition ends as the fade does.
    faded: first and last frames of the fades into a colour that were found before.
    """
    if is_too_small(frames) or not plain_color(frames[fade.before]):
        return None
    half = fade.after - fade.before
    before = max(0, fade.after - 2 * half)
    if plain_color(frames[before]):
        return None  # The colour has been there for long.
    if not _shows_in_the_middle(frames[before], frames[fade.before]):
        return None
    # The halves are equally long, but for a few frames at the ends that show no change. If the
    # outgoing scene moves much, only the frames of two halves are explained.
    for low in (max(0, fade.after - REACH * half), before):
        stretch = Stretch(frames, low, fade.after)
        found = find_placement(stretch, before, fade.after, MOST_ERROR_OF_ZOOM, around_fade=True)
        if found is not None and _scene_grows(stretch, found, fade.before, faded):
            return found
    return None


def _shows_in_the_middle(scene: Array, plain: Array) -> bool:
    """Return whether a scene has the colour of a plain frame in its middle; both ``(H, W, 3)``."""
    height, width = scene.shape[:2]
    top, left = (round((1 - MIDDLE) / 2 * side) for side in (height, width))
    middle = scene[top : height - top, left : width - left]
    away = np.abs(middle - np.median(plain, (0, 1))).max(-1)
    return bool(away.min() <= MOST_AWAY)


def _scene_grows(
    stretch: Stretch, found: TransitionFit, plain: int, faded: Sequence[tuple[int, int]]
) -> bool:
    """Return whether the outgoing scene is seen to grow, not to fade, on its way to the colour.

    plain: a frame that shows the colour alone. faded: as of :func:`zoom_around_fade`.
    """
    placer = found.placer
    on_the_way = stretch.frames[found.before + 1 : plain]
    shown = [
        min(placer(value, stretch.aspect).outgoing.scale)
        for frame, value in zip(on_the_way, measured_progress(stretch, found), strict=False)
        if value > LEAST_PROGRESS and not plain_color(frame)
    ]
    if len(shown) < FEWEST_ON_THE_WAY or min(shown) >= MOST_SHOWN:
        return False
    clean = stretch.frames[found.before], stretch.frames[found.after]
    # Where a fade was found, it is enough that its own frames fade.
    spans = [(first, last) for first, last in faded if found.before < first and last < plain]
    for first, last in spans or [(found.before + 1, plain - 1)]:
        frames = stretch.frames[first : last + 1]
        errors = _errors_of_zoom(frames, clean, stretch.frames[plain], placer)
        if errors.also_faded + NOISE < LEAST_OF_FADE * (errors.grown + NOISE):
            return False
    errors = _errors_of_zoom(on_the_way, clean, stretch.frames[plain], placer)
    unmoved = _error_unmoved(on_the_way, clean[0], stretch.frames[plain])
    return errors.grown <= MOST_OF_UNMOVED * unmoved


def _error_unmoved(frames: Array, scene: Array, plain: Array) -> float:
    """Return the mean squared error of frames whose pixels show a scene or a plain colour.

    Arguments as of :func:`_errors_of_zoom`.
    """
    color = np.median(plain, (0, 1))
    errors = (np.square(frames - known).mean(-1) for known in (scene, color))
    return float(np.minimum(*errors).mean())


class _ZoomErrors(NamedTuple):
    """Mean squared errors of frames as a scene that grows, and as one that also fades."""

    grown: float
    also_faded: float


def _errors_of_zoom(
    frames: Array, scenes: tuple[Array, Array], plain: Array, placer: Placer
) -> _ZoomErrors:
    """Return the errors of frames between a scene and its colour.

    frames: ``(T, H, W, 3)``. scenes: the clean frames of both scenes, ``(H, W, 3)``, of which the
    first grows. plain: a frame that shows alone the colour that it fades to, ``(H, W, 3)``.
    """
    one, other = (channels_first(scene) for scene in scenes)
    composed = composed_frames((one, other), placer, STEPS)[: STEPS // 2]
    color = np.median(plain, (0, 1))
    enlarged = (composed.permute(0, 2, 3, 1).numpy() - color).reshape(len(composed), -1)
    power = np.maximum(np.square(enlarged).sum(1), NOISE)
    grown, also_faded = [], []
    for frame in (frames - color).reshape(len(frames), -1):
        weight = np.clip(enlarged @ frame / power, 0, 1)[:, None]
        grown.append(np.square(frame - enlarged).mean(1).min())
        also_faded.append(np.square(frame - weight * enlarged).mean(1).min())
    return _ZoomErrors(float(np.mean(grown)), float(np.mean(also_faded)))
