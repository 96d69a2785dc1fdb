"""Keep an airlight that varies over the picture: a field on a few nodes.

The field is ``(1, 3, h, w)``, with :data:`NODES` nodes along the longer side. Around one colour it
is given by offsets in log brightness, which are fitted elsewhere and applied here.
"""

from __future__ import annotations

from torch import Tensor

from stages.dehaze.airlight import LEAST_AIRLIGHT
from stages.dehaze.model import fraction_between
from stages.dehaze.veil import envelope

NODES = 6  # of the field along the longer side
LEAST_SIDE = 16  # in pixels, of pictures that have a field
DIMMEST = 0.65
"""Least value of the field, in parts of the brightest airlight. What is dimmer is no airlight."""
CHANCE_OFFSET = 0.015
"""Largest offset by which a field differs from one colour by chance. Twice as much counts fully."""
FIRST_TURNS = 10
"""Turns of the first fit of the transmission's envelope.

Later fits start from the one before, which is near, and take half as many.
"""


def nodes_of(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the field's grid for pictures of ``size`` (H, W)."""
    longer = max(size)
    return max(1, round(NODES * size[0] / longer)), max(1, round(NODES * size[1] / longer))


def can_have_field(size: tuple[int, int]) -> bool:
    """Return whether pictures of ``size`` (H, W) are large enough for a field."""
    return min(nodes_of(size)) >= 2 and min(size) >= LEAST_SIDE


def field_around(airlight: Tensor, offset: Tensor) -> Tensor:
    """Return the field ``(1, 3, h, w)`` that differs from one colour by ``offset``.

    Where the whole offset may be chance, the field is that colour everywhere.

    airlight: the one colour, ``(1, 3, 1, 1)``. offset: in log brightness, ``(1, 3, h, w)``.
    """
    part = fraction_between(float(offset.abs().max()), CHANCE_OFFSET, 2 * CHANCE_OFFSET)
    log = airlight.log() + part * offset
    return log.exp().clamp(LEAST_AIRLIGHT, 1).float()


def refined_envelope(frames: Tensor, field: Tensor, before: Tensor | None) -> Tensor:
    """Return the log transmission ``(T, 1, h, w)`` under a field, see :func:`envelope`.

    before: the answer under an earlier field, from which the fit starts; ``None`` for the first.
    """
    turns = FIRST_TURNS if before is None else FIRST_TURNS // 2
    return envelope(frames, field, start=before, turns=turns)
