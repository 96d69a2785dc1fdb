"""Keep what a matte hides of a scene as it was last seen.

A matte hides more and more of the outgoing scene and uncovers the incoming one. What a frame hides
of the outgoing scene looks as it did when it was last seen; what it hides of the incoming scene
looks as it will when it is first seen. Both move on as the scene's camera moves.

That is a Kalman filter at each pixel, forwards in time for the outgoing scene and backwards for the
incoming one. Between two frames a scene changes by a variance that is measured on its clean frames,
and each mixed frame tells of a scene as much as its weight there allows. So hard and soft mattes
are the same case: where a matte is soft, the residual goes to the scene that is less certain.

Axes: n mixed frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.find.track import STILL, Grid, Params
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture, Side
from stages.motion.flow import box, resize, within
from stages.transition.hidden import ShownScene, camera_motions, inverse, moved_on

NOISE_VARIANCE = (0.3 / 255) ** 2
"""Variance of a frame's own error: rounding to 8 bits."""

LEAST_CHANGE_VARIANCE = (1 / 255) ** 2
"""Least variance, per frame, by which a scene is assumed to change."""

CHANGE_RADIUS = 6
"""Radius in pixels of the squares over which changes are averaged."""

COMPARED_FRAMES = 6
"""Clean frames of a scene on which its changes are measured."""

KNOWN_VARIANCE = 1e-8
"""Variance of what is known exactly."""

MOTION_PIXELS = 160 * 90
"""Size at which the motion of the cameras is measured."""

OWN_WEIGHT = 0.98
"""Weight from which a pixel counts as one scene's own when its camera's motion is measured."""


@dataclass(frozen=True)
class Prediction:
    """What is known of a scene in each mixed frame without that frame itself.

    value: ``(n, 3, H, W)``. variance: of its error, ``(n, 1, H, W)``.
    """

    value: Tensor
    variance: Tensor


@dataclass(frozen=True)
class FollowedScene:
    """A scene that is followed through the mixed frames.

    side: which one. template: its nearest clean frame, ``(1, 3, H, W)``.
    change: its variance from one frame to the next, ``(1, 1, H, W)``.
    motions: of its camera since the template, ``(6,)`` for each mixed frame.
    """

    side: Side
    template: Tensor
    change: Tensor
    motions: list[Params]

    def held(self) -> Prediction:
        """Return the prediction of the template alone, moved as the camera moves."""
        count = len(self.motions)
        value = torch.cat([_moved(self.template, motion) for motion in self.motions])
        frames = torch.arange(1, count + 1, dtype=value.dtype).view(-1, 1, 1, 1)
        distance = frames if self.side == "outgoing" else frames.flip(0)
        return Prediction(value, KNOWN_VARIANCE + distance * self.change)


def followed(mixture: Mixture, side: Side, motions: list[Params] | None = None) -> FollowedScene:
    """Return a scene of a mixture; its camera stands still unless ``motions`` are given."""
    height, width = mixture.size
    motions = motions or [STILL] * mixture.count
    plain = mixture.plain(side)
    if plain is not None:
        template = plain.expand(1, 3, height, width).contiguous()
        return FollowedScene(side, template, torch.zeros(1, 1, height, width), motions)
    template = mixture.frames[mixture.template(side)][None]
    return FollowedScene(side, template, _change(mixture, side), motions)


def _change(mixture: Mixture, side: Side) -> Tensor:
    """Return how much a scene changes from one clean frame to the next, ``(1, 1, H, W)``."""
    clean = mixture.clean(side)
    near = clean[-COMPARED_FRAMES:] if side == "outgoing" else clean[:COMPARED_FRAMES]
    frames = mixture.frames[near.start : near.stop]
    if len(frames) < 2:
        return torch.full((1, 1, *mixture.size), LEAST_CHANGE_VARIANCE)
    squared = (frames[1:] - frames[:-1]).square().mean((0, 1), keepdim=True)
    return box(squared, CHANGE_RADIUS) + LEAST_CHANGE_VARIANCE


def predict(mixture: Mixture, scene: FollowedScene, other: Prediction) -> Prediction:
    """Return what the frames before (of the incoming scene: after) each one tell of a scene.

    other: the same of the other scene, as far as it is known.
    """
    count = mixture.count
    values = torch.empty(count, 3, *mixture.size)
    variances = torch.empty(count, 1, *mixture.size)
    is_outgoing = scene.side == "outgoing"
    # What is known of the scene so far, at the places of the template.
    value, variance = scene.template, torch.full_like(scene.change, KNOWN_VARIANCE)
    for number in range(count) if is_outgoing else reversed(range(count)):
        motion = scene.motions[number]
        variance = variance + scene.change
        values[number] = _moved(value, motion)[0]
        variances[number] = _moved(variance, motion)[0]
        own = Prediction(values[number][None], variances[number][None])
        beside = _only(other, number)
        pair = (own, beside) if is_outgoing else (beside, own)
        seen_value = update(mixture, number, pair)[0 if is_outgoing else 1]
        seen_variance = _variance_left(mixture, number, scene.side, pair)
        if not motion.any():
            value, variance = seen_value, seen_variance
            continue
        # What leaves the template's picture is lost, and what enters it stays as it is there.
        back = inverse(motion)
        seen_value, seen_variance = _moved(seen_value, back), _moved(seen_variance, back)
        is_surer = seen_variance < variance
        value = torch.where(is_surer, seen_value, value)
        variance = torch.where(is_surer, seen_variance, variance)
    return Prediction(values, variances)


def update(mixture: Mixture, number: int, predicted: tuple[Prediction, Prediction]) -> Pair:
    """Return both layers ``(1, 3, H, W)`` of a mixed frame: as predicted, and put right by it.

    predicted: of the outgoing and the incoming scene, for this one frame.
    """
    place = mixture.first + number
    trust = 1 / predicted[0].variance, 1 / predicted[1].variance
    model = mixture.dissolve(mixture.weight[place][None], trust, 1 / NOISE_VARIANCE)
    frame = mixture.frames[place][None]
    return model.distribute_residual(frame, predicted[0].value, predicted[1].value)


def _variance_left(
    mixture: Mixture, number: int, side: Side, predicted: tuple[Prediction, Prediction]
) -> Tensor:
    """Return the variance ``(1, 1, H, W)`` of a scene's error after :func:`update`."""
    incoming = mixture.weight[mixture.first + number][None]
    weights = 1 - incoming, incoming
    # How much each scene's own variance adds to that of the frame.
    in_frame = [weight**2 * part.variance for weight, part in zip(weights, predicted, strict=True)]
    own = SIDES.index(side)
    left = predicted[own].variance * (
        1 - in_frame[own] / (NOISE_VARIANCE + in_frame[0] + in_frame[1])
    )
    return left.clamp_min(KNOWN_VARIANCE)


def layers_of(mixture: Mixture, predicted: tuple[Prediction, Prediction]) -> Pair:
    """Return both scenes in the mixed frames, ``(n, 3, H, W)``, in [0, 1]."""
    pairs = [
        update(mixture, number, (_only(predicted[0], number), _only(predicted[1], number)))
        for number in range(mixture.count)
    ]
    outgoing = torch.cat([pair[0] for pair in pairs]).clamp_(0, 1)
    incoming = torch.cat([pair[1] for pair in pairs]).clamp_(0, 1)
    return outgoing, incoming


def _only(prediction: Prediction, number: int) -> Prediction:
    """Return the prediction of one frame."""
    return Prediction(prediction.value[number][None], prediction.variance[number][None])


def motions_of_cameras(mixture: Mixture) -> tuple[list[Params], list[Params]]:
    """Return the motion of both cameras since their templates, for each mixed frame.

    What the matte leaves of a scene tells how its camera moves.
    """
    size = within(mixture.size, MOTION_PIXELS)
    small = resize(mixture.frames, size)
    weight = resize(mixture.weight[mixture.mixed].expand(-1, 1, *mixture.size), size)
    motions_of_sides = []
    for side in SIDES:
        outgoing = side == "outgoing"
        template = mixture.template(side)
        beyond = template - 1 if outgoing else template + 1
        if mixture.plain(side) is not None or not len(mixture.clean(side)):
            motions_of_sides.append([STILL] * mixture.count)
            continue
        mixed = small[mixture.mixed]
        shown = (1 - weight if outgoing else weight) >= OWN_WEIGHT
        scene = ShownScene(
            small[template],
            small[beyond] if beyond in mixture.clean(side) else None,
            mixed if outgoing else mixed.flip(0),
            shown if outgoing else shown.flip(0),
        )
        motions = camera_motions(scene)
        motions_of_sides.append(motions if outgoing else motions[::-1])
    return motions_of_sides[0], motions_of_sides[1]


def flow_of(motion: Params, size: tuple[int, int]) -> Tensor:
    """Return a camera's motion as a flow ``(1, 2, H, W)`` for :func:`stages.motion.flow.warp`."""
    return torch.from_numpy(Grid.of(*size).flow(motion)).permute(2, 0, 1)[None]


def _moved(picture: Tensor, motion: Params) -> Tensor:
    """Return a picture ``(1, C, H, W)`` as a camera sees it after a motion."""
    return moved_on(picture[0], motion)[None]
