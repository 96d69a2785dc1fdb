"""Measure how far carried layers can be trusted, and make layers mix to the input.

Every step of :mod:`stages.transition.alternate` ends here: its layers explain the input only
roughly, and the rest is given to the layer that is more likely to be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import FULL_TRUST, SIDES, Mixture, Side, project
from stages.motion.flow import box
from stages.optim.threads import map_in_threads, pays_in_threads

HALF_TRUST_ERROR = 0.015
"""Root mean square of the residual, in values of [0, 1], at which the trust is one half."""

RADIUS_DIVISOR = 48
"""The shorter side divided by this is the radius of the near mean of :func:`trust_of`."""

LEAST_RADIUS = 2
"""Least radius of that mean, in pixels."""

FLAT_GRADIENT = 3e-4
"""Mean square gradient, in squared values of [0, 1] per pixel, that is added to every gradient, so
that flat parts are not trusted without limit."""


def trust_of(mixture: Mixture, layers: Pair) -> Tensor:
    """Return the trust in carried layers, ``(n, 1, H, W)`` in [0, 1].

    It is ``1 / (1 + e / HALF_TRUST_ERROR²)``, where e is the mean square of the residual around a
    pixel. It is averaged over a near and over a wide square; the larger mean counts.

    layers: of the mixed frames, ``(n, 3, H, W)``, before they are made to mix to the input.
    """
    frames = mixture.frames[mixture.mixed]
    weights = mixture.weight[mixture.mixed]
    radius = max(LEAST_RADIUS, round(min(mixture.size) / RADIUS_DIVISOR))

    def trust(place: int) -> Tensor:
        """Return the trust in one of the mixed frames."""
        mixed = mixture.dissolve(weights[place]).mix(layers[0][place], layers[1][place])
        squared = (mixed - frames[place]) ** 2
        near = box(squared.mean(0)[None, None], radius)
        error = torch.maximum(near, box(near, radius))
        return 1 / (1 + error / HALF_TRUST_ERROR**2)

    return torch.cat(
        map_in_threads(trust, range(mixture.count), parallel=pays_in_threads(frames[0]))
    )


def reconcile(mixture: Mixture, layers: Pair) -> Pair:
    """Return carried layers that mix to the input; the one more likely to be wrong moves more.

    Two things make a carried layer wrong: a flow that is slightly off, which matters more where
    neighbouring pixels differ more, and a long way from the clean frame, over which flows get
    worse. So a layer is trusted as ``1 / (d (FLAT_GRADIENT + g))``, where d is the distance in
    frames and g the mean square gradient around a pixel.

    layers: of the mixed frames, ``(n, 3, H, W)``; the result has the same shape.
    """
    distance = torch.arange(
        1, mixture.count + 1, dtype=torch.float32, device=layers[0].device
    ).view(-1, 1, 1, 1)
    error_out = distance * (FLAT_GRADIENT + _mean_square_gradient(layers[0]))
    error_in = distance.flip(0) * (FLAT_GRADIENT + _mean_square_gradient(layers[1]))
    ratio = (error_in / error_out).sqrt_()
    return project(mixture, *layers, trust=(ratio, 1 / ratio))


def _mean_square_gradient(layer: Tensor) -> Tensor:
    """Return the mean square gradient around each pixel of ``(n, 3, H, W)``: ``(n, 1, H, W)``."""

    def around(frame: Tensor) -> Tensor:
        """Return that of one frame; the temporaries take several times as much memory."""
        padded = functional.pad(frame[None], (1, 1, 1, 1), mode="replicate")
        across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
        down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
        square = (across**2 + down**2).mean(1, keepdim=True) / 4
        return box(box(square, 1), 1)

    return torch.cat(map_in_threads(around, layer, parallel=pays_in_threads(layer[0])))


def clarity(mixture: Mixture, side: Side, frame: int, others: Sequence[int]) -> Tensor:
    """Return how clearly other frames show a scene, compared with one frame: ``(K, 1, 1, 1)``.

    It is the ratio of the scene's weights, in (0, 1]; 1 where the other frame shows the scene as
    clearly or more clearly. A layer is worse where its scene is fainter, so clear frames should
    change faint ones, and hardly the other way round. With a matte it is always 1, because the
    weights differ within a frame.

    frame: a mixed frame. others: K frames of the window in which the scene is visible.
    """
    if mixture.has_matte:
        return mixture.weight.new_ones(len(others), 1, 1, 1)
    # A few numbers, which are chosen on the CPU: a GPU would only wait for their places.
    incoming = mixture.weight.flatten().cpu()
    own = incoming if side == "incoming" else 1 - incoming
    ratio = (own[list(others)] / own[frame]).clamp(max=1)
    return ratio.view(-1, 1, 1, 1).to(mixture.weight.device)


def mix_offers(
    mixture: Mixture, frame: int, rows: slice, offers: Sequence[Pair], known: Pair, data: float
) -> Pair:
    """Return rows of a frame's layers that are near to the offers and mix to the input.

    rows: of the frame. offers: for each scene the value ``(3, h, W)`` that these rows should have,
    and the trust in it. known: the values of both scenes that replace the offer of a locked one,
    which is known exactly. data: weight of the mixture with the input frame, relative to the
    trusts.
    """
    values, trusts = [], []
    for side, own, (value, trust) in zip(SIDES, known, offers, strict=True):
        locked = mixture.locked == side
        values.append(own if locked else value)
        trusts.append(torch.full_like(trust, FULL_TRUST) if locked else trust)
    weight = mixture.weight_of(frame, rows)
    model = mixture.dissolve(weight, (trusts[0], trusts[1]), data)
    return model.distribute_residual(mixture.frames[frame, :, rows], values[0], values[1])
