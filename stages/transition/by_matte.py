"""Separate a wipe, an iris, or a change of pixels: its matte and its scenes are found in turn.

A pixel that a hard matte leaves to a scene is the scene itself, and what is hidden is kept as it
was last seen (:mod:`stages.transition.last_seen`). So nothing has to be fitted but the matte. It is
fitted to what the *other* frames tell of both scenes: what was put right by a frame explains that
frame with any matte.

Under a soft matte, what was last seen of a scene alone is too old, and only its motion tells how it
goes on. That is another method's task (:mod:`stages.transition.alternate`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from stages.find.track import Params
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.motion.carry import CarriedLayers, carried_layers
from stages.transition.any_matte import FoundMatte, fit_any_matte
from stages.transition.fitted_transition import FittedTransition
from stages.transition.last_seen import (
    FollowedScene,
    Prediction,
    flow_of,
    followed,
    layers_of,
    motions_of_cameras,
    predict,
)
from stages.transition.reconcile import trust_of

EXPECTED_ERROR = (2 / 255) ** 2
"""Variance of a prediction's error from which its pixel counts half."""

LEAST_CLEAN = 2
"""Clean frames of a scene that are never taken for mixed."""

ROUNDS = 3
"""How often the matte and the scenes are found in turn."""

LEAST_SHARE = 0.1
"""Weight of either scene from which a pixel shows both."""

MOST_MIXED = 0.05
"""Most part of the pixels of a hard matte that shows both scenes. Hard wipes have 0.00, FFmpeg's
`radial` 0.08, its winds 0.16, and its soft wipes and circles 0.26 and more."""


def separate_by_matte(
    mixture: Mixture, kind: str, effect: str | None, progress: Callable[[float], None]
) -> FittedTransition | None:
    """Separate a transition whose kind has a matte, or return None where the matte is soft.

    mixture: its window, on the CPU. kind, effect: of the transition.
    progress: takes the fraction done.
    """
    wide = widened(mixture)
    means = wide.weight[wide.mixed].mean((1, 2, 3))
    scenes = followed(wide, "outgoing"), followed(wide, "incoming")
    known = scenes[0].held(), scenes[1].held()
    fitted: FoundMatte | None = None
    for number in range(ROUNDS):
        fitted = fit_any_matte(
            wide, kind, _values(known), means, fitted, certainty_of(known), effect
        )
        if not number and mixed_part(fitted[0]) > MOST_MIXED:
            return None
        wide = with_matte(wide, fitted[0])
        motions = motions_of_cameras(wide)
        scenes = followed(wide, "outgoing", motions[0]), followed(wide, "incoming", motions[1])
        outgoing = predict(wide, scenes[0], known[1] if number else scenes[1].held())
        known = outgoing, predict(wide, scenes[1], outgoing)
        progress((number + 1) / ROUNDS)
    return _result(mixture, wide, scenes, known)


def mixed_part(matte: Tensor) -> float:
    """Return which part of the pixels of a matte ``(n, 1, H, W)`` shows both scenes."""
    is_mixed = (matte > LEAST_SHARE) & (matte < 1 - LEAST_SHARE)
    return float(is_mixed.float().mean())


def _result(
    mixture: Mixture,
    wide: Mixture,
    scenes: tuple[FollowedScene, FollowedScene],
    known: tuple[Prediction, Prediction],
) -> FittedTransition:
    """Return what was found of the mixed frames of ``mixture``, which ``wide`` has more of."""
    begin = mixture.first - wide.first
    own = slice(begin, begin + mixture.count)
    mixture = with_matte(mixture, wide.weight[mixture.mixed])
    flows = _flows(scenes[0].motions[own], wide.size), _flows(scenes[1].motions[own], wide.size)
    templates = wide.template("outgoing"), wide.template("incoming")
    carried = CarriedLayers(flows, templates, carried_layers(wide, flows))
    predicted = known[0].value[own], known[1].value[own]
    outgoing, incoming = layers_of(wide, known)
    trust = float(trust_of(mixture, predicted).mean())
    variance = known[0].variance[own], known[1].variance[own]
    layers = outgoing[own], incoming[own]
    return FittedTransition(layers, carried, mixture, trust, variance=variance)


def _flows(motions: Sequence[Params], size: tuple[int, int]) -> Tensor:
    """Return the motions of a camera as flows ``(n, 2, H, W)``."""
    return torch.cat([flow_of(motion, size) for motion in motions])


def widened(mixture: Mixture) -> Mixture:
    """Return the mixture with the clean frames beside the transition among its mixed ones.

    The search does not see a thin border that is the other scene's already. A scene keeps at least
    :data:`LEAST_CLEAN` clean frames.
    """
    before, after = len(mixture.clean("outgoing")), len(mixture.clean("incoming"))
    first = mixture.first - (before > LEAST_CLEAN)
    last = mixture.last + (after > LEAST_CLEAN)
    return replace(mixture, first=first, last=last)


def _values(known: tuple[Prediction, Prediction]) -> Pair:
    return known[0].value, known[1].value


def certainty_of(known: tuple[Prediction, Prediction]) -> Tensor:
    """Return how much the pixels tell of the matte, ``(n, 1, H, W)``, 1 in the mean.

    Where a scene changes much, its prediction is wrong, and so is what it says of the matte.
    """
    certainty = 1 / (EXPECTED_ERROR + (known[0].variance + known[1].variance) / 2)
    return certainty / certainty.mean()


def with_matte(mixture: Mixture, matte: Tensor) -> Mixture:
    """Return the mixture with the matte ``(n, 1, H, W)`` of its mixed frames."""
    weight = torch.zeros(len(mixture.frames), 1, *mixture.size)
    weight[mixture.mixed] = matte
    weight[mixture.last + 1 :] = 1
    return replace(mixture, weight=weight)
