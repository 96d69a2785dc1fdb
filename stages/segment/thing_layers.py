"""Give each thing of a divided foreground its own layers.

The division is a layer of its own: the number of the thing that every pixel belongs to. A pixel
belongs to one thing, so the things' mattes add up to the whole matte, and laid over each other in
any order they give the same picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from stages.context import Separation, SeparationContext
from stages.motion.flow import box, resize
from stages.occlusion import Occlusion
from stages.push_pull import push_pull
from stages.segment.depth_order import occlusions
from stages.segment.motion import WindowMotion
from stages.segment.things import find_things

LEVELS = 255
"""The number 1 is kept as 1 / 255, so that a layer of numbers has values from 0 to 1.

There are fewer things than that, see :data:`stages.setting_values.MOST_THINGS`.
"""
INSIDE = 0.5  # matte from which a pixel is followed as a part of a thing


def divided(
    matte: Tensor, small: Tensor, motion: WindowMotion | None, context: SeparationContext
) -> tuple[Tensor, tuple[Occlusion, ...]]:
    """Return the layer of numbers ``(T, 1, H, W)``, and what was seen of the things' order.

    matte: ``(T, 1, H, W)`` in [0, 1]. small: the frames at the size of the votes,
    ``(T, 3, h, w)``. motion: of the window; ``None`` where nothing moves. Then there is one thing
    if the user marks it or asks for some, and else none.
    """
    if motion is None:
        is_marked = context.hint is not None or bool(context.hint_regions)
        number = int(is_marked or context.most_things > 0)
        return torch.full_like(matte, number / LEVELS), ()
    size = (small.shape[-2], small.shape[-1])
    inside = resize(matte, size)[:, 0] > INSIDE
    before = None
    if (earlier := context.before.get("things")) is not None:
        numbers = functional.interpolate(earlier * LEVELS, size=size, mode="nearest")
        there = resize(context.before["matte"], size) > INSIDE
        before = (numbers * there).round().int()[:, 0]
    moved = motion.resized(size)
    found = find_things(
        small,
        inside,
        moved,
        before=before,
        highest=context.known_things,
        most=context.most_things,
    )
    seen = occlusions(small, inside, found.labels, found.numbers, moved)
    return _enlarged(torch.from_numpy(found.labels), found.numbers, matte) / LEVELS, seen


def _enlarged(labels: Tensor, numbers: tuple[int, ...], matte: Tensor) -> Tensor:
    """Return ``labels`` ``(T, h, w)`` at the size of ``matte``; outlines between things are smooth.

    The result is ``(T, 1, H, W)``.
    """
    size = (matte.shape[-2], matte.shape[-1])
    large = torch.zeros_like(matte)
    if not numbers:
        return large
    named = torch.tensor(numbers, dtype=matte.dtype)
    for t, one in enumerate(labels):
        shares = torch.stack([(one == number).float() for number in numbers])
        shares = resize(box(shares[None], 1), size)[0]
        large[t, 0] = named[shares.argmax(0)]
    return large


def as_one_thing(separated: Separation) -> Separation:
    """Return a separation whose whole foreground is the thing with the number 1."""
    matte = separated.layers["matte"]
    things = torch.full_like(matte, 1 / LEVELS)
    return replace(separated, layers={**separated.layers, "things": things})


def thing_numbers(things: Tensor) -> list[int]:
    """Return the numbers of the things in a layer of numbers ``(T, 1, H, W)``, rising."""
    counts = torch.bincount((things * LEVELS).round().long().flatten())
    return [number for number in counts.nonzero().flatten().tolist() if number]


def layers_of_thing(layers: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
    """Return the layers ``foreground`` and ``matte`` of one thing.

    layers: ``(T, C, H, W)``, those of the window, with the layer of numbers ``things``.

    Where the thing is not, its colours are filled in from around it, so that its edge stays clean
    when the layer is resized.
    """
    own = (layers["things"] * LEVELS).round() == number
    matte = layers["matte"] * own
    colors = torch.cat(
        [
            push_pull(color[None], shown[None] > 0)
            for color, shown in zip(layers["foreground"], matte, strict=True)
        ]
    )
    return {"foreground": colors, "matte": matte}
