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

LEAST_INDEPENDENT = 1.5  # with fewer independent frames than this, a clip counts as one picture
MOVING_SPREAD = 0.03
"""Standard deviation over the frames at which a pixel counts fully. What never changes may belong
to the scene."""
NEARBY = 4  # pixels around a pixel in which its change over the frames is measured
COPY_CORRELATION = 0.9  # of edges, above which two pictures are copies
COMPARED_PIXELS = 40_000  # pixels of the reduced pictures that are compared
FAINT_EDGE = 0.02
"""Strength above which edges count alike, as an RGB distance. A translucent mark's edges are weaker
than many of the scene's."""


def motion_weight(pictures: Tensor) -> Tensor:
    """Return how much ``pictures`` (K, 3, H, W) change around each pixel, ``(H, W)`` in [0, 1]."""
    spread = pictures.std(0).amax(0)[None, None]
    return (box_max(spread, NEARBY)[0, 0] / MOVING_SPREAD).clamp(0, 1)


def independent_count(pictures: Tensor) -> float:
    """Return the effective number of independent pictures among ``pictures`` (K, 3, H, W).

    It is ``K / (1 + (K - 1) r)``, where r is the mean correlation of their edges.
    """
    count = len(pictures)
    if count < 2:
        return 1.0
    correlation = edge_correlation(pictures)
    mean = (correlation.sum() - correlation.diagonal().sum()) / (count * (count - 1))
    return float(count / (1 + (count - 1) * mean.clamp(0, 1)))


def without_copies(pictures: Tensor) -> Tensor:
    """Return the pictures ``(K, 3, H, W)`` without copies of earlier ones."""
    is_copy = (edge_correlation(pictures) > COPY_CORRELATION).tril(-1).any(1)
    return pictures[~is_copy]


def edge_correlation(pictures: Tensor) -> Tensor:
    """Return the correlation ``(K, K)`` of edges between the pictures ``(K, 3, H, W)``."""
    small = shrunk_to(pictures, COMPARED_PIXELS)
    edges = torch.cat([difference.flatten(1) for difference in gradients(small)], 1)
    edges = edges / edges.norm(dim=1, keepdim=True).clamp_min(1e-6)
    correlation: Tensor = edges @ edges.T
    return correlation


def signed_edges(picture: Tensor) -> Tensor:
    """Return the edges of ``picture`` (3, H, W) at about equal strength, ``(6, H, W)``.

    The first three planes are the differences across, the other three those down.
    """
    height, width = picture.shape[-2:]
    planes = []
    for down, right in ((0, 1), (1, 0)):
        edge = F.pad(
            picture[:, down:, right:] - picture[:, : height - down, : width - right],
            (0, right, 0, down),
        )
        planes.append(edge / (edge.square().sum(0) + FAINT_EDGE**2).sqrt())
    return torch.cat(planes)


def shrunk_to(pictures: Tensor, pixels: int) -> Tensor:
    """Return the pictures reduced by area averages to at most ``pixels`` each."""
    height, width = pictures.shape[-2:]
    scale = math.sqrt(min(1.0, pixels / (height * width)))
    if scale > 0.99:
        return pictures
    return F.interpolate(
        pictures, size=(max(8, round(height * scale)), max(8, round(width * scale))), mode="area"
    )


def spread_indices(count: int, most: int) -> Tensor:
    """Return at most ``most`` evenly spread indices below ``count``."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()
