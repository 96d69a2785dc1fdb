"""The matte of any kind of transition: a soft edge of a known pattern, or the weight of each pixel.

A pattern has few numbers, so errors of the layers hardly reach it: it is better for soft edges. But
its edge is never quite hard, and real edges may be ragged. Where a single sudden change of each
pixel explains the frames clearly better, each pixel gets a weight of its own.
"""

from __future__ import annotations

from torch import Tensor

from stages.kinds import TRANSITION_KINDS
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.mixing.pixel_matte import PixelEvidence, neighborhood, pixel_matte
from stages.transition.matte import SoftEdge, fit_matte

CLEARLY = 0.8
"""Squared error of sudden changes, relative to that of the pattern, up to which they are taken. On
made wipes with true layers it was 0 for hard edges, 0.7 to 0.75 for ragged ones, and above 6 for
soft ones."""

FoundMatte = tuple[Tensor, SoftEdge | None]
"""A matte ``(n, 1, H, W)``, and the edge that it is made of, or None for a weight of each pixel."""


def fit_any_matte(
    mixture: Mixture, kind: str, layers: Pair, means: Tensor, previous: FoundMatte | None = None
) -> FoundMatte:
    """Return the matte of the mixed frames.

    kind: of the transition; it has a matte. layers: both scenes in the mixed frames,
    ``(n, 3, H, W)``, as well as they are known. means: the mean weight of each frame, ``(n,)``.
    previous: the matte that was found with earlier layers; its edge is changed in place.
    """
    frames = mixture.frames[mixture.mixed]
    by_pixels = previous is not None and previous[1] is None
    if by_pixels or TRANSITION_KINDS[kind].undo == "pixels":
        return pixel_matte(frames, layers, means), None
    found = fit_matte(mixture, layers, means, previous[1] if previous else None)
    # The first layers are held, and what moves in them looks like a ragged matte.
    if found is not None and not (previous and _is_sudden(frames, layers, means, found[0])):
        return found
    return pixel_matte(frames, layers, means), None


def _is_sudden(frames: Tensor, layers: Pair, means: Tensor, matte: Tensor) -> bool:
    """Return whether sudden changes explain the frames clearly better than a matte."""
    own = PixelEvidence.of(frames, layers, means)
    sudden = own.around(neighborhood(own)).sudden()
    return own.error(sudden) <= CLEARLY * own.error(matte)
