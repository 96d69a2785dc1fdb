"""Measure the exact ends, the kind, the light and the weights of one transition.

Its place is roughly known (:func:`fit`), or exactly (:func:`fit_between`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stages.find.curve import CLEAN_FRAMES, NOISE, block_frames, even_mix
from stages.find.curve_prior import ends, rising, smooth_curve
from stages.find.edge_fit import ROUNDS, find_wipe, pattern_between, wipe_of_pattern
from stages.find.features import Array, plain_color
from stages.find.placements import placement_between
from stages.find.prefer_model import model_between
from stages.find.repeats import repeated_frames, tie_repeated
from stages.find.stretch import Stretch, TransitionFit
from stages.kinds import DISSOLVE, TRANSITION_KINDS
from stages.mixing.blend import blend
from stages.mixing.light_dissolve import GAMMA
from stages.shots import Space

# Mean log ratio of the error of a mixture in linear light to that of one of encoded values, below
# which the mixture is in linear light. Of synthetic mixtures of real shots nearly all in linear
# light were below -0.03, those of encoded values above 0.04.
LINEAR_GAIN = -0.03
# The same against a plain colour. What moves is unexplained in either light, and against black the
# two differ in the curve alone.
LINEAR_GAIN_FADE = -0.3
REVERSAL = 5e-4  # change of the mean colour back, in [0, 1], that is no more than noise
HOPELESS = 0.3  # a window of which more than this is unexplained holds no transition at all
LEAST_WEIGHT = 1e-3  # of a mixed frame that has no clean one beside it


def fit(
    frames: Array, sides: tuple[int, int], reach: tuple[int, int], dense: bool = False
) -> TransitionFit | None:
    """Measure the transition near two frames.

    frames: ``(T, H, W, 3)``, encoded RGB.
    sides: roughly the last clean frame before it and the first one after it.
    reach: the first and the last frame of the stretch that it lies in.
    dense: as of :class:`stages.find.stretch.Stretch`.

    Returns None where there turns out to be none. Frames that repeat the one before them add
    nothing and hide how things move: they are left out, and have the weight of the frame that they
    repeat.
    """
    (before, after), (low, high) = sides, reach
    repeated = set(repeated_frames(frames, low, high))
    if not any(before < place <= after for place in repeated):
        return _fit_distinct(frames, sides, reach, dense)
    kept = [place for place in range(len(frames)) if place not in repeated]
    index = np.searchsorted(kept, np.arange(len(frames)), side="right") - 1
    found = _fit_distinct(
        frames[kept],
        (int(index[before]), int(index[after])),
        (int(index[low]), int(index[high])),
        dense,
    )
    if found is None:
        return None
    last_clean, first_clean = int(np.flatnonzero(index == found.before)[-1]), kept[found.after]
    mix = np.array(
        [found.mix[index[place] - found.before - 1] for place in range(last_clean + 1, first_clean)]
    )
    return replace(found, before=last_clean, after=first_clean, mix=mix)


def _fit_distinct(
    frames: Array, sides: tuple[int, int], reach: tuple[int, int], dense: bool
) -> TransitionFit | None:
    """Measure the transition in frames without repetitions; see :func:`fit`."""
    low, high = _plain_ends(frames, sides, reach)
    stretch = Stretch(frames, low, high, dense)
    if wipe := find_wipe(stretch, *sides):
        return wipe
    settled = _settled_ends(stretch, *sides)
    if settled is None:
        return None
    if wipe := find_wipe(stretch, *settled, carried=True):
        return wipe
    # A mixture of two colours is one number a frame and fits either light.
    if plain_color(frames[settled[0]]) and plain_color(frames[settled[1]]):
        return _dissolve(stretch, *settled, "gamma")
    linear = _in_linear_light(stretch, *settled)
    # Dense flows explain either light too well to tell them apart.
    if _is_mixed_in_light(stretch.sparse(), linear.sparse(), *settled):
        return _dissolve(linear, *(_settled_ends(linear, *settled) or settled), "linear")
    return _dissolve(stretch, *settled, "gamma")


def _in_linear_light(stretch: Stretch, before: int, after: int) -> Stretch:
    """Return the same frames in linear light, as far around a transition as its ends may move."""
    low = max(stretch.low, before - 2 * CLEAN_FRAMES)
    high = min(stretch.high, after + 2 * CLEAN_FRAMES)
    frames = stretch.frames.copy()
    frames[low : high + 1] **= GAMMA
    return Stretch(frames, low, high, stretch.dense)


def _plain_ends(frames: Array, sides: tuple[int, int], reach: tuple[int, int]) -> tuple[int, int]:
    """Return ``reach`` shortened to where the plain side of a fade ends.

    There the next picture appears, or the colour turns back. One black frame may be all there is
    between two fades, and what lies beyond it is another transition.
    """
    (before, after), (low, high) = sides, reach
    change = frames[after].mean((0, 1)) - frames[before].mean((0, 1))

    def continues(time: int) -> bool:
        step = frames[time + 1].mean((0, 1)) - frames[time].mean((0, 1))
        return float(step @ change) >= -REVERSAL

    if plain_color(frames[before]):
        for time in range(before - 1, low - 1, -1):
            if not (plain_color(frames[time]) and continues(time)):
                low = time + 1
                break
    if plain_color(frames[after]):
        for time in range(after + 1, high + 1):
            if not (plain_color(frames[time]) and continues(time - 1)):
                high = time - 1
                break
    return low, high


def fit_between(
    frames: Array,
    span: tuple[int, int],
    sides: tuple[int, int],
    reach: tuple[int, int],
    kind: str | None = None,
    effect: str | None = None,
) -> TransitionFit:
    """Measure the transition that fills exactly the frames of ``span``.

    frames: ``(T, H, W, 3)``, encoded RGB.
    span: its first and last frame.
    sides: the frames next to it, or its own ends where the clip has none there.
    reach: the first and the last frame that may be looked at.
    kind, effect: what it is, where that is known; else the kind is measured, too.
    """
    (first, last), (before, after) = span, sides
    if after - before < 2:
        # There is nothing to measure it against: the whole clip is the transition.
        return TransitionFit(before, after, even_mix(last - first + 1))
    stretch = Stretch(frames, *reach)
    if kind is None:
        found = model_between(stretch, _wipe_or_dissolve(stretch, before, after))
    elif TRANSITION_KINDS[kind].undo == "placement":
        found = placement_between(stretch, before, after, kind, effect)
    elif TRANSITION_KINDS[kind].has_matte:
        found = _wipe_or_dissolve(stretch, before, after)
    else:
        found = _dissolve_in_likelier_light(stretch, before, after)
    # At an end of the clip one of the transition's own frames served as the clean one.
    mix = np.concatenate(
        [
            np.full(before + 1 - first, LEAST_WEIGHT),
            found.mix,
            np.full(last + 1 - after, 1 - LEAST_WEIGHT),
        ]
    )
    return replace(found, mix=tie_repeated(rising(mix), first, repeated_frames(frames, *reach)))


def _wipe_or_dissolve(stretch: Stretch, before: int, after: int) -> TransitionFit:
    """Return the wipe or iris between two exact ends, or the dissolve where there is no pattern."""
    pattern = pattern_between(stretch, before, after)
    if pattern is None:
        return _dissolve_in_likelier_light(stretch, before, after)
    return wipe_of_pattern(stretch, pattern, before, after)


def _dissolve_in_likelier_light(stretch: Stretch, before: int, after: int) -> TransitionFit:
    """Return the dissolve between two exact ends, in encoded values or in linear light."""
    linear = _in_linear_light(stretch, before, after)
    if _is_mixed_in_light(stretch, linear, before, after):
        return _dissolve(linear, before, after, "linear")
    return _dissolve(stretch, before, after, "gamma")


def _dissolve(stretch: Stretch, before: int, after: int, space: Space) -> TransitionFit:
    """Return the dissolve between two exact ends with its curve."""
    measured, _ = stretch.measured(before, after)
    return TransitionFit(
        before,
        after,
        smooth_curve(measured),
        DISSOLVE,
        space,
        unexplained=float(measured.unexplained.mean()),
        texture=measured.texture,
        restless=measured.restless,
    )


def _settled_ends(stretch: Stretch, before: int, after: int) -> tuple[int, int] | None:
    """Return the exact ends of a dissolve, or None where it is none.

    The weights are measured between clean frames away from the guess; the ends that explain them
    best are the next guess, until it no longer changes.
    """
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        seen.add((before, after))
        measured, _ = stretch.measured(*stretch.widened(before, after))
        if float(measured.unexplained.mean()) > HOPELESS:
            return None
        before, after = ends(measured)
        if after - before < 2:
            return None
        if (before, after) in seen:
            break
    return before, after


def _is_mixed_in_light(encoded: Stretch, linear: Stretch, before: int, after: int) -> bool:
    """Return whether the mixture is explained clearly better in linear light."""
    is_fade = plain_color(encoded.frames[before]) or plain_color(encoded.frames[after])
    limit = LINEAR_GAIN_FADE if is_fade else LINEAR_GAIN
    return _light_gain(encoded, linear, before, after) < limit


def _light_gain(encoded: Stretch, linear: Stretch, before: int, after: int) -> float:
    """Return how much better a mixture in linear light explains the frames: less is better.

    It is the mean log ratio, over blocks and frames, of its squared error to that of a mixture of
    encoded values.
    """
    errors = []
    for stretch, power in ((encoded, 1.0), (linear, GAMMA)):
        measured, layers = stretch.measured(before, after)
        each = []
        for place, weight in enumerate(measured.curve):
            time = before + 1 + place
            one, other = layers.outgoing_at(time), layers.incoming_at(time)
            light = np.maximum(blend(one, other, weight), 0).astype(np.float32)
            mixed = light ** np.float32(1 / power)
            each.append((mixed - encoded.frames[time]) ** 2)
        errors.append(block_frames(np.stack(each)).mean((2, 3)))
    return float(np.log((errors[1] + NOISE) / (errors[0] + NOISE)).mean())
