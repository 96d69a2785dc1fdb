"""Decide which of two moving layers is the transmission, alike in all windows of a clip."""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import shrunk
from stages.transparency.clip import LayerPair

SMALL_PIXELS = 4 * 64**2
"""Pixels of the small frames by which the layers of different windows are compared."""


def as_before(frames: Tensor, layers: LayerPair, seen: Tensor, transmission: Tensor) -> LayerPair:
    """Return ``layers`` named like a known transmission, where they share frames with it.

    frames: ``(T, 3, H, W)``, encoded. layers: both layers of them. seen, transmission: some small
    frames of the clip and their transmission, ``(S, 3, h, w)``; there may be none.
    """
    if not len(seen):
        return layers
    here = small(frames)
    known = [
        (t, s)
        for t in range(len(here))
        for s in range(len(seen))
        if bool((here[t] == seen[s]).all())
    ]
    if not known:
        return layers
    mine = [t for t, _ in known]
    its = [s for _, s in known]
    # Edges are compared, because smooth light is much the same in both layers.
    votes = [_edge_correlation(small(layer[mine]), transmission[its]) for layer in layers]
    return layers if votes[0] >= votes[1] else (layers[1], layers[0])


def _edge_correlation(one: Tensor, other: Tensor) -> float:
    """Return the correlation of the edges of two clips ``(T, 3, h, w)``, -1 to 1."""
    edges = [
        torch.cat([d.flatten() for d in (layer.diff(dim=-1), layer.diff(dim=-2))])
        for layer in (one, other)
    ]
    scale = (edges[0].norm() * edges[1].norm()).clamp_min(1e-9)
    return float((edges[0] * edges[1]).sum() / scale)


def small(frames: Tensor) -> Tensor:
    """Shrink frames to the size at which layers of different windows are compared."""
    return shrunk(frames, SMALL_PIXELS)
