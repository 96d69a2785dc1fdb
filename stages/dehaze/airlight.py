"""Estimate the airlight: the colour of haze with nothing behind it.

Two lower bounds are known. No channel of the clear picture is above 1, so with a transmission t
every value I requires ``A >= (I - t) / (1 - t)``. And what is bright all over a patch (sky, thick
fog) is haze, as the dark channel prior says (He et al., CVPR 2009, section 4.4). The least airlight
that meets both is taken: without any opaque place, the brightest thing of the clear picture is then
just white. Transmission and airlight depend on each other and are estimated in turn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.dehaze.model import fraction_between
from stages.dehaze.veil import envelope, transmission_of
from stages.motion.flow import box, box_max, resize

ROUNDS = 5
"""Rounds in which transmission and airlight are estimated in turn."""
FIRST_TURNS, LATER_TURNS = 14, 5
"""Turns of the envelope's fit in the first round, and in later ones, which start from it."""
LEAST_THROUGH, MOST_THROUGH = 0.02, 0.98
"""Range of the transmission where ``1 - t`` divides."""
FEW_HIGHLIGHTS = 1e-4
"""Part of the haze that may lie above white, as a few highlights do."""
MANY_HIGHLIGHTS = 3e-3
"""Part of the haze above white that is more than a few highlights."""
BELIEVED_FALL = 0.03
"""Largest fall of the airlight, from few to many highlights, with which its colour is believed.

Where the airlight hardly depends on how many highlights there may be, a large place shows it.
"""
DOUBTED_FALL = 0.06
"""The fall from which its colour is not believed at all."""
PATCH_RADIUS = 7
"""Radius, in working pixels, of a patch that is bright all over."""
OPAQUE_PART = 2e-3
"""Part of all patches, the brightest ones, that show the airlight."""
CLEAR_EXCESS = 0.05
"""How much brighter than highlights require patches must be to be surely an opaque sky."""
LEAST_AIRLIGHT = 0.2
"""Least value of an airlight, in [0, 1]."""
SKY_BLUENESS = 0.04
"""Least difference of blue and red in a hazy blue sky."""
SKY_BRIGHTNESS = 0.35
"""Least brightness of a sky."""
SKY_EVENNESS = 0.02
"""Largest difference of a sky pixel from its surroundings."""
SURE_SKY_PART = 0.15
"""Part of the picture from which a sky is sure."""


def find_airlight(frames: Tensor, black: float) -> tuple[Tensor, float]:
    """Estimate the airlight that working pictures ``(T, 3, H, W)`` have in common.

    Its colour is believed where a large place shows it. Where only highlights tell, the haze is
    assumed to be grey. The airlight is in view where patches are brighter than the highlights
    require, because only haze is that bright.

    black: see :func:`stages.dehaze.veil.transmission_of`.

    Returns the airlight ``(1, 3, 1, 1)``, and how sure it is that it is in view, 0 to 1.
    """
    size = frames.shape[-2], frames.shape[-1]
    patch = _patches(frames)
    airlight = with_many = torch.ones(1, 3, 1, 1)
    log_transmission: Tensor | None = None
    in_view = 0.0
    for number in range(ROUNDS):
        turns = LATER_TURNS if number else FIRST_TURNS
        log_transmission = envelope(frames, airlight, start=log_transmission, turns=turns)
        transmission = resize(transmission_of(log_transmission, black), size)
        few, many = _bounds(frames, transmission.clamp(LEAST_THROUGH, MOST_THROUGH))
        in_view = min(1.0, max(0.0, float((patch - few).mean()) / CLEAR_EXCESS))
        airlight, with_many = torch.maximum(few, patch), torch.maximum(many, patch)
    fall = float((1 - with_many / airlight).mean())
    gray = airlight.amax(1, keepdim=True).expand_as(airlight)
    sure = fraction_between(fall, DOUBTED_FALL, BELIEVED_FALL)
    return gray + sure * (airlight - gray), in_view


def _bounds(frames: Tensor, transmission: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least airlights that leave few, and many, highlights above white.

    Under the first, the part :data:`FEW_HIGHLIGHTS` of the haze ``1 - t`` lies above white; under
    the second, the part :data:`MANY_HIGHLIGHTS`. Each is ``(1, 3, 1, 1)``.
    """
    thick = (1 - transmission).flatten()
    bounds = []
    for channel in range(3):
        one = frames[:, channel : channel + 1]
        needed = ((one - transmission) / (1 - transmission)).flatten()
        # The part is small, so few values have to be sorted.
        values, order = highest_values(needed, thick, MANY_HIGHLIGHTS)
        share = thick[order].cumsum(0) / thick.sum()
        parts = torch.tensor([FEW_HIGHLIGHTS, MANY_HIGHLIGHTS], dtype=share.dtype)
        at = torch.searchsorted(share, parts).clamp(max=len(values) - 1)
        bounds.append(values[at].clamp(LEAST_AIRLIGHT, 1))
    few, many = torch.stack(bounds, 1)
    return few.view(1, 3, 1, 1), many.view(1, 3, 1, 1)


def highest_values(values: Tensor, weights: Tensor, part: float) -> tuple[Tensor, Tensor]:
    """Return the highest values in falling order, and their places.

    They are all values, or so many that they have clearly more than ``part`` of the weight.

    values, weights: ``(N,)``. part: 0 to 1.
    """
    count = max(1, round(4 * part * len(values)))
    while count < len(values):
        highest, places = values.topk(count)
        if float(weights[places].sum()) > 2 * part * float(weights.sum()):
            return highest, places
        count *= 4
    return values.sort(descending=True)


def _patches(frames: Tensor) -> Tensor:
    """Return the least value within the brightest patches, ``(1, 3, 1, 1)``."""
    radius = min(PATCH_RADIUS, (min(frames.shape[-2:]) - 1) // 2)
    least = -box_max(-frames, radius)
    bright = least.transpose(0, 1).flatten(1).double().quantile(1 - OPAQUE_PART, 1)
    return bright.float().clamp(LEAST_AIRLIGHT, 1).view(1, 3, 1, 1)


def blue_sky(frames: Tensor) -> float:
    """Return how likely working pictures ``(T, 3, h, w)`` were taken under a blue sky, 0 to 1.

    A sky is even, lit and blue, and reaches down from the upper edge.
    """
    middle = box(frames, 2)
    even = (frames - middle).abs().amax(1) < SKY_EVENNESS
    lit = middle.mean(1) > SKY_BRIGHTNESS
    blue = (middle[:, 2] - middle[:, 0] > SKY_BLUENESS) & (middle[:, 2] > middle[:, 1])
    sky = (even & lit & blue).cummin(1).values
    return min(1.0, float(sky.float().mean()) / SURE_SKY_PART)
