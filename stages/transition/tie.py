"""Improve layers by ties: fit the ties' flows, then solve for the layers that agree with them.

A tie links a mixed frame to another frame of the same scene by a flow. Two things make it worth
while. A frame carried from the nearest clean one lacks what that one does not show, so each mixed
frame is tied to several frames. And the flow between layers that are only half separated is wrong,
so the flows of ties are fitted to the mixture itself (:mod:`stages.transition.tie_fit`). The layers
then follow in closed form. How ties are weighed is in :mod:`stages.transition.tie_weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import SIDES, Mixture
from stages.motion.carry import CarriedLayers
from stages.motion.flow import warp_rows
from stages.optim.descent import OnStep, part_of_fit
from stages.optim.threads import bands, map_in_threads, pays_in_threads
from stages.transition.reconcile import mix_offers
from stages.transition.tie_fit import fit_ties
from stages.transition.tie_weights import (
    WeighTies,
    brought,
    weigh_by_difference,
    weigh_by_spread,
)
from stages.transition.ties import FrameTies, find_ties, tied_frames

PASSES = 4
"""Passes through the frames in a solution, forwards and backwards in turn."""

ROBUST_FROM = 1e-3
"""Squared error, in squared values of [0, 1], from which a tie's error counts by its absolute value
and no longer by its square."""

TIED_SHARE = 2 / 3
"""Share of the tied layers, 0 to 1, in their mean with the layers before. On six dissolves 1 / 2
and 2 / 3 were equally good."""

FRAME_WEIGHT = 5e4
"""Weight of the mixture with the input frame, relative to a tie's weight."""

CURRENT_WEIGHT = 1.0
"""Weight of a frame's current value, relative to a tie's weight."""

MOST_PIXELS = 20_000_000
"""Most pixels of all ties of a scene at the finest level. It bounds the memory of their flows."""

SCALES = (1, 2, 4, 8, 16, 32, 64)
"""Divisors of the sides that a level may have."""


def solve(
    mixture: Mixture,
    layers: Pair,
    ties: tuple[FrameTies, FrameTies],
    weigh: WeighTies = weigh_by_difference,
) -> Pair:
    """Return the layers that agree with their ties and mix to the input, over the window.

    They are solved for in closed form, frame by frame, in :data:`PASSES` passes. The weights of the
    ties stay as they are at the beginning.

    layers: both scenes over the window, ``(N, 3, H, W)``; the result has the same shape.
    ties: of the outgoing and of the incoming scene. weigh: the rule by which they are weighed.
    """
    solved = layers[0].clone(), layers[1].clone()
    count = len(ties[0].frames)
    parallel = pays_in_threads(layers[0][0])
    weights = _all_tie_weights(mixture, solved, ties, weigh, parallel=parallel)
    for number in range(PASSES):
        places = range(count)
        for place in places if number % 2 == 0 else reversed(places):
            frame = mixture.first + place
            flows = map_in_threads(partial(_flow_of, place, mixture.size), ties, parallel=parallel)
            ties_of_frame = [
                _TiesOfFrame(scene_ties.frames[place].tolist(), flow, weight[place])
                for scene_ties, flow, weight in zip(ties, flows, weights, strict=True)
            ]
            map_in_threads(
                partial(_solve_rows, mixture, solved, frame, ties_of_frame),
                bands(mixture.size[0], parallel=parallel),
            )
    return solved


class _TiesOfFrame(NamedTuple):
    """The ties of one frame of a scene.

    frames: where they lead to. flows: ``(K, 2, H, W)``. weights: ``(K, 1, H, W)``.
    """

    frames: list[int]
    flows: Tensor
    weights: Tensor


def _flow_of(place: int, size: tuple[int, int], tie: FrameTies) -> Tensor:
    return tie.flow(place, size)


def _solve_rows(
    mixture: Mixture, layers: Pair, frame: int, ties: Sequence[_TiesOfFrame], rows: slice
) -> None:
    """Set some rows of a frame of both layers. They depend on other frames alone."""
    offers = [
        _offered_value(layer, frame, scene_ties, rows)
        for layer, scene_ties in zip(layers, ties, strict=True)
    ]
    known = layers[0][frame, :, rows], layers[1][frame, :, rows]
    mixed = mix_offers(mixture, frame, rows, offers, known, FRAME_WEIGHT)
    layers[0][frame, :, rows], layers[1][frame, :, rows] = mixed


def _all_tie_weights(
    mixture: Mixture,
    layers: Pair,
    ties: tuple[FrameTies, FrameTies],
    weigh: WeighTies,
    *,
    parallel: bool,
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the weights ``(K, 1, H, W)`` of the ties of every mixed frame, for both scenes."""
    count = len(ties[0].frames)
    jobs = [
        (side, layer, tie, place)
        for side, layer, tie in zip(SIDES, layers, ties, strict=True)
        for place in range(count)
    ]
    weights = map_in_threads(lambda job: weigh(brought(mixture, *job)), jobs, parallel=parallel)
    return weights[:count], weights[count:]


def _offered_value(layer: Tensor, frame: int, ties: _TiesOfFrame, rows: slice) -> Pair:
    """Return the mean ``(3, h, W)`` of a frame's current value and its ties', and its weight.

    layer: ``(N, 3, H, W)``. frame: index in the window. rows: of the frame.
    """
    current = layer[frame, :, rows]
    total = CURRENT_WEIGHT * current
    trust = torch.full_like(current, CURRENT_WEIGHT)
    # One tie at a time and in place, so that the temporaries stay in the processor's cache.
    flows, weights = ties.flows[..., rows, :], ties.weights[..., rows, :]
    for other, flow, weight in zip(ties.frames, flows, weights, strict=True):
        offer = warp_rows(layer[other], flow, rows.start)
        robust = (current - offer).square_().div_(ROBUST_FROM)
        robust = robust.add_(1).rsqrt_().mul_(weight)
        total.addcmul_(robust, offer)
        trust += robust
    return total.div_(trust), trust


def improve_by_ties(
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
    # The same number of ties in both scenes, because they are fitted in pairs.
    count = min(len(tied_frames(mixture, side)[0]) for side in SIDES)
    if not count:
        return layers
    possible = _levels_in_memory(levels, mixture.count * count, mixture.size)
    ties_of_sides = [find_ties(mixture, carried, side).first(count) for side in SIDES]
    ties = ties_of_sides[0], ties_of_sides[1]
    for number, level in enumerate(possible):
        note = part_of_fit(on_step, number, 1, len(possible))
        ties = fit_ties(mixture, layers, ties, level, seed=seed, device=device, on_step=note)
        is_last = number == len(possible) - 1
        weigh = weigh_by_spread if is_last else weigh_by_difference
        layers = solve(mixture, layers, ties, weigh)
    return layers


def _levels_in_memory(
    levels: Sequence[tuple[int, int]], ties: int, size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the levels with coarser ones in place of those that need too much memory.

    So long transitions get ties, too.

    levels: pairs of a divisor of the sides and a number of steps. ties: of a scene, in all frames.
    size: ``(H, W)`` at divisor 1.
    """
    area = size[0] * size[1] * ties
    finest = next((scale for scale in SCALES if area / scale**2 <= MOST_PIXELS), SCALES[-1])
    return list({max(scale, finest): steps for scale, steps in levels}.items())


def mean_with_tied(before: Pair, tied: Pair) -> Pair:
    """Return the mean of the layers before and after the ties, weighted by :data:`TIED_SHARE`.

    Both mix to the input, and so does their mean. As each is wrong in places of its own, the mean
    is usually nearer to the truth; for short dissolves it may be a little worse.

    before, tied: ``(n, 3, H, W)`` for each scene; the result has the same shape.
    """
    outgoing, incoming = (
        torch.lerp(old, new, TIED_SHARE) for old, new in zip(before, tied, strict=True)
    )
    return outgoing, incoming
