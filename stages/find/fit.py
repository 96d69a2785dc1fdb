"""Exact ends, kind, light and curve of one transition whose place is roughly known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from stages.find.curve import CLEAN_FRAMES, NOISE, Curve, Measured, block_frames, measure
from stages.find.curve_prior import ends, rising, shaped
from stages.find.dense import Dense
from stages.find.features import Array, plain_colour
from stages.find.repeats import repeats, tied
from stages.find.track import Carried, Grid, Layers
from stages.find.wipes import COLUMNS, ROWS, Shape, block_weights, coverage, edges, shape_of
from stages.shots import Space

POWER = 2.2
# Mean log ratio of what is left over with linear and with encoded light, below which the mixture is in linear light. Of made mixtures of
# real shots nearly all in light came below -0.03, those of encoded values above 0.04.
LINEAR_GAIN = -0.03
LINEAR_FADE = -0.3  # the same against a colour: whatever moves is left over either way. Against black the two are one but for the curve
ROUNDS = 5
TURN = 5e-4  # a step back that is no more than noise
# What a matte may leave; see Fit.left. Wipes and irises over moving shots leave 0.01 to 0.23, pushes and squeezes 0.25 and more, for in
# these the scenes move as a whole.
MOST_LEFT = 0.24
PASSED = 0.03  # mean weight from which a frame is looked at for that
HOPELESS = 0.3  # a window of which more than this is unexplained holds no transition at all


@dataclass(frozen=True)
class Fit:
    """One transition. ``before`` and ``after`` are the clean frames next to it; ``mix`` holds one weight for each frame in between.

    unexplained, texture, restless: as of :class:`stages.find.curve.Measured`, the first as its mean over the frames. left: of a wipe or an
    iris, the squared error that its matte leaves, as part of the squared difference between the two scenes.
    """

    before: int
    after: int
    mix: Curve
    kind: Literal["dissolve", "wipe", "iris"] = "dissolve"
    space: Space = "gamma"
    unexplained: float = 0.0
    texture: float = 0.0
    restless: float = 0.0
    left: float = 0.0


@dataclass(frozen=True)
class Stretch:
    """Frames ``(T, H, W, 3)`` of which ``low..high`` hold the two shots and the transition between them and nothing else.

    dense: whether the clean frames are carried by dense flows, not by their cameras' motion alone.
    """

    frames: Array
    low: int
    high: int
    dense: bool = False
    known: dict[tuple[int, int], tuple[Measured, Layers]] = field(default_factory=dict)

    def widened(self, before: int, after: int) -> tuple[int, int]:
        """Clean frames away from a rough guess: with three more behind each where there is room for that, else halfway to the ends."""
        margin = max(4, (after - before) // 4)
        start = max(
            self.low, before - margin, min(self.low + 3, before - (before - self.low + 1) // 2)
        )
        end = min(
            self.high, after + margin, max(self.high - 3, after + (self.high - after + 1) // 2)
        )
        return start, end

    def wider(self, before: int, after: int) -> list[tuple[int, int]]:
        """Clean frames at a rough guess, and twice and three times as far apart: the middle of a soft wipe alone looks like a dissolve."""
        length = after - before
        windows = [
            (max(self.low, before - more // 2), min(self.high, after + more // 2))
            for more in (0, length, 2 * length)
        ]
        return list(dict.fromkeys(windows))

    def layers(
        self, before: int, after: int, share: Callable[[int, Grid], Array | float]
    ) -> Carried:
        """Two clean frames carried by motion to all frames around and between them that the measurement uses."""
        return Carried(
            self.frames,
            before,
            after,
            max(self.low, before - CLEAN_FRAMES),
            min(self.high, after + CLEAN_FRAMES),
            share,
        )

    def measured(self, before: int, after: int) -> tuple[Measured, Layers]:
        """Weights between two clean frames, measured against these carried by motion."""
        if (before, after) not in self.known:
            held = measure(self.frames, before, after, self.low, self.high).curve
            layers: Layers = self.layers(
                before, after, lambda time, _: float(held[time - before - 1])
            )
            found = measure(self.frames, before, after, self.low, self.high, layers)
            if self.dense and isinstance(layers, Carried):
                layers = Dense(
                    self.frames, layers, self.low, self.high, found.curve.astype(np.float32)
                )
                found = measure(self.frames, before, after, self.low, self.high, layers)
            self.known[before, after] = found, layers
        return self.known[before, after]


def fit(
    frames: Array, before: int, after: int, low: int, high: int, dense: bool = False
) -> Fit | None:
    """The transition near ``before..after`` within ``low..high``, or None where there turns out to be none.

    frames: ``(T, H, W, 3)``, encoded RGB. dense: as of :class:`Stretch`. Frames that repeat the one before them tell nothing new and
    hide how things move: they are left out, and have the weight of the frame that they repeat.
    """
    again = set(repeats(frames, low, high))
    if not any(before < place <= after for place in again):
        return _fit_distinct(frames, before, after, low, high, dense)
    kept = [place for place in range(len(frames)) if place not in again]
    index = np.searchsorted(kept, np.arange(len(frames)), side="right") - 1
    found = _fit_distinct(
        frames[kept],
        int(index[before]),
        int(index[after]),
        int(index[low]),
        int(index[high]),
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
    frames: Array, before: int, after: int, low: int, high: int, dense: bool
) -> Fit | None:
    """As :func:`fit`, of frames of which none repeats the one before it."""
    low, high = _plain_ends(frames, before, after, low, high)
    stretch = Stretch(frames, low, high, dense)
    if passed := _passing(stretch, before, after):
        return passed
    answer = _settled(stretch, before, after)
    if answer is None:
        return None
    if plain_colour(frames[answer[0]]) and plain_colour(
        frames[answer[1]]
    ):  # one number a frame fits either light
        return _dissolve(stretch, *answer, "gamma")
    linear = _in_linear_light(stretch, *answer)
    # Dense flows explain either light too well to tell them apart.
    if _mixed_in_light(
        replace(stretch, dense=False, known={}), replace(linear, dense=False, known={}), *answer
    ):
        return _dissolve(linear, *(_settled(linear, *answer) or answer), "linear")
    return _dissolve(stretch, *answer, "gamma")


def _in_linear_light(stretch: Stretch, before: int, after: int) -> Stretch:
    """The same frames in linear light, as far around a transition as it may still move."""
    low, high = (
        max(stretch.low, before - 2 * CLEAN_FRAMES),
        min(stretch.high, after + 2 * CLEAN_FRAMES),
    )
    frames = stretch.frames.copy()
    frames[low : high + 1] **= POWER
    return Stretch(frames, low, high, stretch.dense)


def _plain_ends(frames: Array, before: int, after: int, low: int, high: int) -> tuple[int, int]:
    """Takes ``low`` and ``high`` in to where a fade's plain side ends: the next picture appears, or the colour turns back.

    One black frame may be all there is between two fades, and what lies beyond it is another transition.
    """
    way = frames[after].mean((0, 1)) - frames[before].mean((0, 1))

    def goes_on(time: int) -> bool:
        return float((frames[time + 1].mean((0, 1)) - frames[time].mean((0, 1))) @ way) >= -TURN

    if plain_colour(frames[before]):
        low = next(
            (
                time + 1
                for time in range(before - 1, low - 1, -1)
                if not (plain_colour(frames[time]) and goes_on(time))
            ),
            low,
        )
    if plain_colour(frames[after]):
        high = next(
            (
                time - 1
                for time in range(after + 1, high + 1)
                if not (plain_colour(frames[time]) and goes_on(time - 1))
            ),
            high,
        )
    return low, high


def fit_between(
    frames: Array, first: int, last: int, before: int, after: int, low: int, high: int
) -> Fit:
    """The transition that fills exactly ``first..last``.

    before, after: the frames next to it, or its own ends where the clip has none there; low, high: the frames that may be looked at.
    """
    stretch = Stretch(frames, low, high)
    if after - before < 2:  # nothing in between to measure: a clip that is all transition
        return Fit(before, after, np.arange(1, last - first + 2) / (last - first + 2))
    shape = _shape(stretch, before, after)
    if shape:
        found = _passed(stretch, shape, before, after)
    else:
        linear = _in_linear_light(stretch, before, after)
        in_light = _mixed_in_light(stretch, linear, before, after)
        found = (
            _dissolve(linear, before, after, "linear")
            if in_light
            else _dissolve(stretch, before, after, "gamma")
        )
    # At an end of the clip the transition's own frame served as the clean one: it gets the least weight there is.
    least = 1e-3
    mix = np.concatenate(
        [np.full(before + 1 - first, least), found.mix, np.full(last + 1 - after, 1 - least)]
    )
    return replace(found, mix=tied(rising(mix), first, repeats(frames, low, high)))


def _dissolve(stretch: Stretch, before: int, after: int, space: Space) -> Fit:
    """The curve of a dissolve between exact ends."""
    measured, _ = stretch.measured(before, after)
    left = float(measured.unexplained.mean()), measured.texture, measured.restless
    return Fit(before, after, shaped(measured), "dissolve", space, *left)


def _settled(stretch: Stretch, before: int, after: int) -> tuple[int, int] | None:
    """Measures between clean frames away from the guess, takes the ends that explain the weights best, and again from there."""
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


def _mixed_in_light(encoded: Stretch, linear: Stretch, before: int, after: int) -> bool:
    """Whether the mixture explains itself clearly better in linear light."""
    fade = plain_colour(encoded.frames[before]) or plain_colour(encoded.frames[after])
    return _light_gain(encoded, linear, before, after) < (LINEAR_FADE if fade else LINEAR_GAIN)


def _light_gain(encoded: Stretch, linear: Stretch, before: int, after: int) -> float:
    """Mean log ratio, over blocks and frames, of the error of a mixture in linear light to that of one of encoded values."""
    errors = []
    for stretch, power in ((encoded, 1.0), (linear, POWER)):
        measured, layers = stretch.measured(before, after)
        each = []
        for place, weight in enumerate(measured.curve):
            time = before + 1 + place
            one, other = layers.outgoing_at(time), layers.incoming_at(time)
            mixed = np.maximum((1 - weight) * one + weight * other, 0).astype(
                np.float32
            ) ** np.float32(1 / power)
            each.append((mixed - encoded.frames[time]) ** 2)
        errors.append(block_frames(np.stack(each)).mean((2, 3)))
    return float(np.log((errors[1] + NOISE) / (errors[0] + NOISE)).mean())


# ---------------------------------------------------------------- wipes and irises


def _shape(stretch: Stretch, start: int, end: int) -> Shape | None:
    """The shape of the wipe between two clean frames, whose times then count from frame ``start + 1``."""
    frames = stretch.frames
    if min(frames.shape[1:3]) < 16 or end - start < 4:
        return None
    inner = frames[start + 1 : end]
    weights, power = block_weights(
        inner,
        np.broadcast_to(frames[start], inner.shape),
        np.broadcast_to(frames[end], inner.shape),
    )
    return shape_of(weights, power[0], frames.shape[1] / frames.shape[2])


def passing(frames: Array, before: int, after: int, low: int, high: int) -> Fit | None:
    """The wipe or iris near ``before..after`` within ``low..high``, or None where no shape passes over the picture; see :func:`fit`."""
    return _passing(Stretch(frames, low, high), before, after)


def _passing(stretch: Stretch, before: int, after: int) -> Fit | None:
    for one, other in stretch.wider(before, after):
        if passed := _wipe(stretch, one, other):
            return passed
    return None


def _wipe(stretch: Stretch, before: int, after: int) -> Fit | None:
    """Finds a wipe's ends from the way of its edge, then its curve."""
    seen: set[tuple[int, int]] = set()
    for _ in range(ROUNDS):
        seen.add((before, after))
        start, end = stretch.widened(before, after)
        shape = _shape(stretch, start, end)
        if shape is None:
            return None
        before, after = ends(_edge(stretch, shape, start, end)[0], robust=True)
        # The window may have held a part of the wipe only: then the edge has a way to go beyond it.
        before = max(stretch.low, min(before, round(start + shape.first)))
        after = min(stretch.high, max(after, round(start + 1 + shape.last)))
        if after - before < 2:
            return None
        if (before, after) in seen:
            break
    start, end = stretch.widened(before, after)
    shape = _shape(stretch, start, end)
    if shape is None:
        return None
    passed = _passed(stretch, shape, start, end, exact=False)
    return passed if passed.left <= MOST_LEFT else None


def _passed(stretch: Stretch, shape: Shape, start: int, end: int, exact: bool = True) -> Fit:
    """The transition in which a shape's edge passes over the picture between two clean frames, of which ``exact`` ones are next to it."""
    measured, soft, left = _edge(stretch, shape, start, end)
    before, after = (start, end) if exact else ends(measured, robust=True)
    part = slice(before - start, after - start - 1)
    inner = Measured(
        before, after, measured.curve[part], measured.error[part], measured.unexplained[part]
    )
    place = shape.place(*stretch.frames.shape[1:3])
    mix = np.array(
        [float(coverage(place, float(progress), soft).mean()) for progress in shaped(inner)]
    )
    return Fit(
        before,
        after,
        rising(mix),
        shape.kind,
        "gamma",
        float(measured.unexplained.mean()),
        left=left,
    )


def _edge(stretch: Stretch, shape: Shape, start: int, end: int) -> tuple[Measured, float, float]:
    """How far the edge has come in each frame between two clean ones, how soft it is, and what it leaves; see :class:`Fit`."""
    frames = stretch.frames
    height, width = frames.shape[1:3]
    places = np.asarray(shape.place(ROWS * 4, COLUMNS * 4))
    place = places.reshape(ROWS, 4, COLUMNS, 4).transpose(0, 2, 1, 3).reshape(ROWS * COLUMNS, 16)
    inner = frames[start + 1 : end]
    one, other = (np.broadcast_to(frames[time], inner.shape) for time in (start, end))
    progress, error, soft = edges(*block_weights(inner, one, other), place)
    known = dict(zip(range(start + 1, end), progress, strict=True))

    def share(time: int, grid: Grid) -> Array:
        return coverage(shape.place(*grid.x.shape), known[time], soft).astype(np.float32)

    layers = stretch.layers(start, end, share)
    one = np.stack([layers.outgoing_at(time) for time in known])
    other = np.stack([layers.incoming_at(time) for time in known])
    weights, power = block_weights(inner, one, other)
    progress, error, soft = edges(weights, power, place)
    model = np.stack([coverage(place, float(value), soft).mean(1) for value in progress])
    wrong = np.sqrt((power * (weights - model) ** 2).sum(1) / power.sum(1))
    measured = Measured(start, end, progress, np.maximum(error, 0.005), 0.1 * wrong)
    matte = np.stack(
        [coverage(shape.place(height, width), float(value), soft) for value in progress]
    )[..., None].astype(np.float32)
    passing = (matte.mean((1, 2, 3)) > PASSED) & (matte.mean((1, 2, 3)) < 1 - PASSED)
    if not passing.any():
        return measured, soft, 0.0
    inner, one, other, matte = (part[passing] for part in (inner, one, other, matte))
    left = float(
        ((inner - (1 - matte) * one - matte * other) ** 2).mean()
        / (((one - other) ** 2).mean() + NOISE)
    )
    return measured, soft, left
