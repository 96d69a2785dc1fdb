"""Layers from ties: fit the ties' flows, then solve for the layers that agree with them.

The carried template alone misses what it never showed, and flow between half-separated layers
blurs. So each mixed frame is tied to several others in both scenes, the flows of these ties are
fitted to the mixture, and the layers are solved for in closed form. A tie weighs more where what it
brings agrees with the layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture
from stages.motion.carry import CarriedLayers
from stages.motion.flow import box, lookup, warp, warp_one
from stages.optim.descent import OnStep
from stages.optim.threads import WORTH, side_by_side
from stages.transition.reconcile import clarity, mix_offers
from stages.transition.tie_fit import fit_ties
from stages.transition.ties import FrameTies, find_ties, tied_frames

PASSES = 4
"""Passes through the frames in a solution, forwards and backwards in turn."""

FLOOR = 0.01
"""Smallest error assumed for a tie, in values of [0, 1]."""

DISTANCE = 5
"""Frames of distance that double the squared error assumed for a tie."""

SCALE = 0.01
"""Scale of a tie's weight, so that the most reliable one weighs about 100."""

ROBUST = 10
"""Squared error, in units of ``FLOOR²``, from which a tie counts by its absolute value."""

TIED = 2 / 3
"""Part of the tied layers in their mean with the layers before. On six dissolves 1 / 2 and
2 / 3 were equally good."""

DATA = 5e4
"""Weight of the mixture, relative to a tie's."""

HOLD = 1.0
"""Weight of a frame's current value, relative to a tie's."""

RADIUS = 2
"""Radius, in pixels, of the square over which a tie is judged."""

INSIDE = 1.01
"""Where a tie's flow still counts as inside of the picture, whose edges are at -1 and 1."""

MOST_PIXELS = 20_000_000
"""Pixels of all ties of a scene at the finest level: bounds the memory of their flows."""

COARSEST = 64
"""Largest divisor of the sides of a level."""


def solve(mixture: Mixture, layers: Pair, ties: tuple[FrameTies, FrameTies]) -> Pair:
    """Return the layers that agree with their ties and mix to the input, over the window.

    They are solved for in closed form, frame by frame, in :data:`PASSES` passes. A tie weighs
    ``0.01 c / (e + FLOOR² (1 + d / 5))``, where e is the mean square around a pixel of how far what
    it brings is from the layer, d its distance in frames, and c the ratio of
    :func:`stages.transition.reconcile.clarity`.

    layers: both scenes over the window, ``(N, 3, H, W)``, as the result.
    """
    out = layers[0].clone(), layers[1].clone()
    count = len(ties[0].frames)
    parallel = layers[0][0].numel() >= WORTH and layers[0].device.type == "cpu"
    scenes = list(zip(out, ties, strict=True))
    jobs = [
        (
            layer,
            tie,
            place,
            clarity(mixture, side, mixture.first + place, tie.frames[place].tolist()),
        )
        for side, (layer, tie) in zip(SIDES, scenes, strict=True)
        for place in range(count)
    ]
    weighed = side_by_side(lambda job: _tie_weights(mixture.first, *job), jobs, worth=parallel)
    weights = weighed[:count], weighed[count:]
    for number in range(PASSES):
        places = range(count)
        for place in places if number % 2 == 0 else reversed(places):
            frame = mixture.first + place
            wanted = [
                (layer, tie, frame, place, weight[place])
                for (layer, tie), weight in zip(scenes, weights, strict=True)
            ]
            found = side_by_side(lambda job: _drawn_value(*job), wanted, worth=parallel)
            known = out[0][frame], out[1][frame]
            out[0][frame], out[1][frame] = mix_offers(mixture, frame, found, known, DATA)
    return out


def _tie_weights(first: int, layer: Tensor, tie: FrameTies, place: int, clear: Tensor) -> Tensor:
    """Return the weights ``(K, 1, H, W)`` of the ties of mixed frame number ``place``.

    first: the first mixed frame. clear: how clear the scene is in the frames that they lead to,
        ``(K, 1, 1, 1)``.
    """
    frame = first + place
    flow = tie.flow(place, (layer.shape[-2], layer.shape[-1]))
    brought = warp(layer[tie.frames[place].to(layer.device)], flow)
    error = box(((brought - layer[frame]) ** 2).mean(1, keepdim=True), RADIUS)
    distance = (tie.frames[place] - frame).abs().view(-1, 1, 1, 1).to(layer.device)
    inside = lookup(flow).abs().amax(-1)[:, None] <= INSIDE
    return SCALE * clear / (error + FLOOR**2 * (1 + distance / DISTANCE)) * inside


def _drawn_value(layer: Tensor, tie: FrameTies, frame: int, place: int, weight: Tensor) -> Pair:
    """Return the value ``(3, H, W)`` that ties and current value give a frame, and its weight."""
    current = layer[frame]
    total = HOLD * current
    trust = torch.full_like(current, HOLD)
    # One tie at a time and in place, so that the temporaries stay in the processor's cache.
    others = tie.frames[place].tolist()
    flows = tie.flow(place, (layer.shape[-2], layer.shape[-1]))
    for other, flow, known in zip(others, flows, weight, strict=True):
        brought = warp_one(layer[other], flow)
        robust = (current - brought).square_().div_(ROBUST * FLOOR**2).add_(1).rsqrt_().mul_(known)
        total.addcmul_(robust, brought)
        trust += robust
    return total.div_(trust), trust


def tie_down(
    mixture: Mixture,
    layers: Pair,
    carried: CarriedLayers,
    levels: Sequence[tuple[int, int]],
    *,
    seed: int = 0,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
) -> Pair:
    """Return the layers after ties were fitted and solved for at each of ``levels``.

    layers: both scenes over the window, ``(N, 3, H, W)``, as the result.
    carried: the motion that the ties begin with.
    levels: pairs of a divisor of the sides and a number of steps, the coarsest first.
    seed: of the fit. device: where to fit. on_step: called after each step of it.

    Raises FitError where a fit diverges.
    """
    most = min(len(tied_frames(mixture, side)[0]) for side in SIDES)
    if not most:
        return layers
    area = mixture.size[0] * mixture.size[1] * mixture.count * most
    scales = (1, 2, 4, 8, 16, 32, COARSEST)
    finest = next((scale for scale in scales if area / scale**2 <= MOST_PIXELS), COARSEST)
    # A level too large for the memory gives way to a coarser one: long transitions get ties too.
    fitting = list({max(scale, finest): steps for scale, steps in levels}.items())
    # The same number in both scenes, because they are fitted in pairs.
    found = [find_ties(mixture, carried, side).first(most) for side in SIDES]
    ties = found[0], found[1]
    for number, (scale, steps) in enumerate(fitting):

        def note(done: float, losses: Mapping[str, float], number: int = number) -> None:
            if on_step:
                on_step((number + done) / len(fitting), losses)

        ties = fit_ties(
            mixture, layers, ties, (scale, steps), seed=seed, device=device, on_step=note
        )
        layers = solve(mixture, layers, ties)
    return layers


def mean_of(before: Pair, tied: Pair) -> Pair:
    """Return the mean of two answers for both layers, with :data:`TIED` for the tied ones.

    Both answers mix to the input, and so does their mean. As each is wrong in places of its own,
    the mean is usually nearer to the truth; for short dissolves it may be a little worse.

    before, tied: ``(n, 3, H, W)`` for each scene, as the result.
    """
    outgoing, incoming = (torch.lerp(old, new, TIED) for old, new in zip(before, tied, strict=True))
    return outgoing, incoming
