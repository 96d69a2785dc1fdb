"""Compare, choose and resize the pictures in which a mark is searched.

Pictures ``(K, 3, H, W)`` in [0, 1]; maps ``(H, W)``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.motion.flow import box_max
from stages.optim.losses import gradients

MOVING_SPREAD = 0.03
"""Standard deviation over the frames at which a pixel counts fully. What never changes may belong
to the scene."""
NEARBY = 4  # pixels around a pixel in which its change over the frames is measured
COPY = 0.9  # correlation of edges above which two pictures are copies
COMPARED = 40_000  # pixels of the reduced pictures that are compared


def motion_weight(pictures: Tensor) -> Tensor:
    """Return how much ``pictures`` (K, 3, H, W) change around each pixel, ``(H, W)`` in [0, 1]."""
    spread = pictures.std(0).amax(0)[None, None]
    return (box_max(spread, NEARBY)[0, 0] / MOVING_SPREAD).clamp(0, 1)


def independent(pictures: Tensor) -> float:
    """Return the effective number of independent pictures among ``pictures`` (K, 3, H, W).

    It is ``K / (1 + (K - 1) r)``, where r is the mean correlation of their edges.
    """
    count = len(pictures)
    if count < 2:
        return 1.0
    likeness = edge_correlation(pictures)
    alike = (likeness.sum() - likeness.diagonal().sum()) / (count * (count - 1))
    return float(count / (1 + (count - 1) * alike.clamp(0, 1)))


def distinct(pictures: Tensor) -> Tensor:
    """Return the pictures ``(K, 3, H, W)`` without copies of earlier ones."""
    copies = (edge_correlation(pictures) > COPY).tril(-1).any(1)
    return pictures[~copies]


def edge_correlation(pictures: Tensor) -> Tensor:
    """Return the correlation ``(K, K)`` of edges between the pictures ``(K, 3, H, W)``."""
    small = shrunk_to(pictures, COMPARED)
    edges = torch.cat([difference.flatten(1) for difference in gradients(small)], 1)
    edges = edges / edges.norm(dim=1, keepdim=True).clamp_min(1e-6)
    likeness: Tensor = edges @ edges.T
    return likeness


def bounds_around(place: Tensor, margin: int, part: float = 0.0) -> tuple[slice, slice]:
    """Return the rows and columns that ``place`` spans, enlarged on every side.

    place: ``(H, W)``, boolean, true somewhere. margin: pixels to add on each side.
    part: fraction of the span's own length to add on each side.
    """
    spans = []
    for line in (place.any(1), place.any(0)):
        marked = line.nonzero()
        first, last = int(marked.min()), int(marked.max()) + 1
        more = margin + round(part * (last - first))
        spans.append(slice(max(0, first - more), min(len(line), last + more)))
    return spans[0], spans[1]


def inner_part(box: Tensor) -> Tensor:
    """Return ``box`` (H, W) without the outermost pixels, so that every mark has an outside."""
    allowed = box.clone()
    if min(box.shape) > 2:
        allowed[0], allowed[-1], allowed[:, 0], allowed[:, -1] = False, False, False, False
    return allowed.float()


def shrunk_to(pictures: Tensor, pixels: int) -> Tensor:
    """Return the pictures reduced by area averages to at most ``pixels`` each."""
    height, width = pictures.shape[-2:]
    scale = math.sqrt(min(1.0, pixels / (height * width)))
    if scale > 0.99:
        return pictures
    return F.interpolate(
        pictures, size=(max(8, round(height * scale)), max(8, round(width * scale))), mode="area"
    )


def resized_map(values: Tensor, size: torch.Size) -> Tensor:
    """Return the map ``values`` (H, W) at another size, by nearest neighbours."""
    if values.shape == size:
        return values
    return F.interpolate(values[None, None], size=tuple(size), mode="nearest")[0, 0]


def spread_indices(count: int, most: int) -> Tensor:
    """Return at most ``most`` evenly spread indices below ``count``."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()
