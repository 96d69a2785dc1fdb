"""Estimate the airlight as a field: brighter near the sun or a lamp, and of another tint elsewhere.

Two kinds of places tell the field, and they are asked in this order:

1. Opaque haze, such as a sky, shows the airlight itself (:mod:`stages.dehaze.field_by_sky`).
2. Highlights tell the least airlight, as they do for the one colour in
   :mod:`stages.dehaze.airlight`. They count only if they agree all over the picture
   (:mod:`stages.dehaze.field_by_highlights`).

Elsewhere a frame cannot tell a dimmer airlight from thinner haze before something dark. There the
field continues from the nearest places that tell. If no place tells, it stays one colour.

Measured with haze made by a field (15 % from left to right, a glow, two tints): up to nine tenths
of the one colour's error disappear, and the clear picture gains up to 5 dB. Where nothing tells,
nothing changes.
"""

from __future__ import annotations

from torch import Tensor

from stages.dehaze.field_by_highlights import field_by_highlights
from stages.dehaze.field_by_sky import field_by_sky, opaque_places, trust_in_sky
from stages.dehaze.field_grid import can_have_field
from stages.dehaze.veil import grid_size
from stages.motion.flow import resize


def find_field(frames: Tensor, airlight: Tensor, black: float, in_view: float) -> Tensor:
    """Estimate the airlight's field ``(1, 3, h, w)``; without evidence return ``airlight`` itself.

    frames: working pictures ``(T, 3, H, W)``. airlight: the one colour, ``(1, 3, 1, 1)``. black:
    see :func:`stages.dehaze.veil.transmission_of`. in_view: how sure it is that the airlight is in
    view, 0 to 1, from :func:`stages.dehaze.airlight.find_airlight`; otherwise an even place is
    rather a lit wall.
    """
    size = (frames.shape[-2], frames.shape[-1])
    if not can_have_field(size):
        return airlight
    offset = resize(frames, grid_size(size)).clamp_min(1e-3).log().double() - airlight.log()
    opaque = opaque_places(frames, offset)
    trust = trust_in_sky(opaque, in_view)
    if trust == 0:
        return field_by_highlights(frames, airlight, black)
    return field_by_sky(frames, airlight, offset, opaque, trust)
