"""The airlight: the colour of haze without anything behind it.

Two things bound it from below. No channel of the clear picture is above 1, so with a transmission t every value I says ``A >= (I - t) /
(1 - t)``; and what is bright all over a patch (sky, thick fog) is haze, as the dark channel has it (He et al., CVPR 2009, section 4.4).
The least airlight that both allow is taken: without any opaque place the brightest thing of the clear picture is then just white.
Transmission and airlight need each other and are found in turn.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.dehaze.veil import envelope, transmission_of
from stages.motion.flow import box, resize

ROUNDS = 5
OUTLIERS = 1e-4  # part of the haze whose values may be above what the airlight allows
MANY = 3e-3  # a part of the haze that is no longer some highlights
SURE, UNSURE = 0.03, 0.06  # fall of the airlight from OUTLIERS to MANY up to which its colour is believed, and from which it is not
PATCH, OPAQUE = 7, 2e-3  # radius of a patch in working pixels, and the part of them that has to be as bright as the airlight
CLEARLY = 0.05  # how much brighter patches are than what highlights ask for, where they are an opaque sky for sure
DARKEST = 0.2
BLUE, LIT = 0.04, 0.35  # least blue above red in a hazed blue sky, and its least brightness
EVEN = 0.02  # the most that it differs from its surroundings
SKY = 0.15  # part of the picture that is sky for sure


def find_airlight(frames: Tensor, black: float) -> tuple[Tensor, float]:
    """The airlight ``(1, 3, 1, 1)`` that working pictures ``(T, 3, H, W)`` have in common, and how sure it is seen itself, 0 to 1.

    Its colour is that of the haze where a large place shows it; where only highlights speak, haze is taken to be grey. It is seen where
    patches are brighter than the highlights ask for: nothing but haze is. ``black``: see ``transmission_of``.
    """
    airlight = torch.ones(1, 3, 1, 1)
    log: Tensor | None = None
    size = frames.shape[-2], frames.shape[-1]
    few, many, patch, seen = airlight, airlight, _patches(frames), 0.0
    for number in range(ROUNDS):
        log = envelope(frames, airlight, start=log, turns=5 if number else 14)
        transmission = resize(transmission_of(log, black), size).clamp(0.02, 0.98)
        few, many = _bounds(frames, transmission)
        seen = min(1.0, max(0.0, float((patch - few).mean()) / CLEARLY))
        few, many = torch.maximum(few, patch), torch.maximum(many, patch)
        airlight = few
    fall = float((1 - many / few).mean())
    grey = few.amax(1, keepdim=True).expand_as(few)
    sure = min(1.0, max(0.0, (UNSURE - fall) / (UNSURE - SURE)))
    return grey + sure * (few - grey), seen


def _bounds(frames: Tensor, transmission: Tensor) -> tuple[Tensor, Tensor]:
    """The least airlights ``(1, 3, 1, 1)`` under which parts OUTLIERS and MANY of the haze ``1 - t`` still lie above white."""
    thick = (1 - transmission).flatten()
    found = []
    for channel in range(3):
        values, order = ((frames[:, channel : channel + 1] - transmission) / (1 - transmission)).flatten().sort(descending=True)
        share = thick[order].cumsum(0) / thick.sum()
        at = torch.searchsorted(share, torch.tensor([OUTLIERS, MANY], dtype=share.dtype)).clamp(max=len(values) - 1)
        found.append(values[at].clamp(DARKEST, 1))
    few, many = torch.stack(found, 1)
    return few.view(1, 3, 1, 1), many.view(1, 3, 1, 1)


def _patches(frames: Tensor) -> Tensor:
    """What the brightest patches have in all their pixels, ``(1, 3, 1, 1)``."""
    radius = min(PATCH, (min(frames.shape[-2:]) - 1) // 2)
    least = -F.max_pool2d(-frames, 2 * radius + 1, 1, radius)
    return least.transpose(0, 1).flatten(1).double().quantile(1 - OPAQUE, 1).float().clamp(DARKEST, 1).view(1, 3, 1, 1)


def blue_sky(frames: Tensor) -> float:
    """How much working pictures look as if taken under a blue sky, 0 to 1: even, lit, blue places that reach down from the edge above."""
    middle = box(frames, 2)
    even = (frames - middle).abs().amax(1) < EVEN
    lit = middle.mean(1) > LIT
    blue = (middle[:, 2] - middle[:, 0] > BLUE) & (middle[:, 2] > middle[:, 1])
    sky = (even & lit & blue).cummin(1).values
    return min(1.0, float(sky.float().mean()) / SKY)
