"""Optical flow between frames, and what is done with it: warping, composing, checking.

A flow ``(T, 2, H, W)`` holds pixels (x, then y): ``warp(picture, flow)`` looks up ``picture`` at each place plus its flow, so the flow
from frame t to frame u brings u's pixels to t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.optim.threads import side_by_side

Pair = tuple[int, int]

_LEAST_SIDE = 16  # DIS refuses smaller pictures
# Flows are found side by side already; one call need not spread over threads too.
cv2.setNumThreads(1)


def lookup(flow: Tensor) -> Tensor:
    """Where ``flow`` ``(T, 2, H, W)`` points to, as ``grid_sample`` wants it: ``(T, H, W, 2)``, -1 to 1 from edge to edge."""
    height, width = flow.shape[-2:]
    x = (torch.arange(width, dtype=flow.dtype, device=flow.device) + 0.5) * (2 / width) - 1
    y = (torch.arange(height, dtype=flow.dtype, device=flow.device)[:, None] + 0.5) * (
        2 / height
    ) - 1
    scale = flow.new_tensor([2 / width, 2 / height]).view(2, 1, 1)
    # In one pass, x and y each in one piece as in the flow: interleaving them takes as long as all else.
    return torch.addcmul(
        torch.stack([x.expand(height, width), y.expand(height, width)]), flow, scale
    ).permute(0, 2, 3, 1)


def length(flow: Tensor) -> Tensor:
    """How long each vector of ``(T, 2, H, W)`` is: ``(T, 1, H, W)``. A hundred times as fast as ``norm`` over so few channels."""
    return torch.hypot(flow[:, :1], flow[:, 1:])


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """``picture`` ``(T, C, H, W)`` looked up along ``flow`` ``(T, 2, H, W)``; beyond the edge its last pixel."""
    return _sampled(picture, lookup(flow))


def warp_one(picture: Tensor, flow: Tensor) -> Tensor:
    """:func:`warp` of one picture ``(C, H, W)`` along one flow ``(2, H, W)``, which the processor need not have at hand: it is copied
    first, as reading it in a row and then looking it up takes half as long as fetching each place when it is wanted."""
    return warp(picture[None].clone(), flow[None])[0]


def _sampled(picture: Tensor, grid: Tensor) -> Tensor:
    return functional.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


SMALL = 128 * 72
"""Pixels of the largest picture whose combs are all of it."""


class InterleavedSampling:
    """Every second pixel, across and down, of pictures of a ``size``: number 0 to 3 of the four such combs that make them up.

    A sum over a picture that is taken over one comb after another costs a quarter, and is the same in the mean.
    """

    MANY = 4

    def __init__(self, size: tuple[int, int], number: int, like: Tensor) -> None:
        # One after the other they lie crosswise. A small picture is taken whole: it costs little, and a quarter of it says little.
        self._every = 1 if size[0] * size[1] <= SMALL else 2
        down, right = ((0, 0), (1, 1), (0, 1), (1, 0))[number] if self._every == 2 else (0, 0)
        # Of a picture one pixel high or wide that pixel.
        self._begin = min(down, size[0] - 1), min(right, size[1] - 1)
        still = lookup(like.new_zeros(1, 2, *size))
        self._places = self.of(still.permute(0, 3, 1, 2))
        self._scale = like.new_tensor([2 / size[1], 2 / size[0]]).view(2, 1, 1)

    def of(self, picture: Tensor) -> Tensor:
        """These pixels of ``(T, C, H, W)``."""
        return picture[
            ..., self._begin[0] :: self._every, self._begin[1] :: self._every
        ].contiguous()

    def resized(self, picture: Tensor) -> Tensor:
        """These pixels of ``(T, C, h, w)`` made as large as the picture."""
        return _sampled(picture, self._places.permute(0, 2, 3, 1).expand(len(picture), -1, -1, -1))

    def warp(self, picture: Tensor, flow: Tensor) -> Tensor:
        """``picture`` ``(T, C, H, W)`` looked up along the flow of these pixels, as :func:`warp` does for all."""
        return _sampled(picture, torch.addcmul(self._places, flow, self._scale).permute(0, 2, 3, 1))


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """``(T, C, h, w)`` to ``(T, C, H, W)``: area averages downwards, bilinear upwards."""
    if tuple(picture.shape[-2:]) == size:
        return picture
    if size[0] <= picture.shape[-2] and size[1] <= picture.shape[-1]:
        return functional.interpolate(picture, size=size, mode="area")
    return functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)


def within(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """The size of the largest picture of the same form with no more than about ``pixels``; never larger than it is."""
    scale = math.sqrt(min(1.0, pixels / (size[0] * size[1])))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shrunk(frames: Tensor, pixels: int) -> Tensor:
    """``frames`` ``(T, C, H, W)`` with at most about ``pixels`` each, by area averages; themselves where they have hardly more."""
    size = (frames.shape[-2], frames.shape[-1])
    if pixels > 0.98 * size[0] * size[1]:
        return frames
    return torch.cat([resize(frame[None], within(size, pixels)) for frame in frames])


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """A flow for pictures of another size: resized, and its pixels scaled with it."""
    scale = flow.new_tensor([size[1] / flow.shape[-1], size[0] / flow.shape[-2]]).view(1, 2, 1, 1)
    return resize(flow, size) * scale


def box(picture: Tensor, radius: int) -> Tensor:
    """Mean over a square of ``2 radius + 1`` pixels, edges repeated; ``(T, C, H, W)``."""
    padded = functional.pad(picture, (radius,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * radius + 1, 1)


def _grey(frame: Tensor) -> NDArray[np.uint8]:
    red, green, blue = frame.clamp(0, 1)
    grey: NDArray[np.uint8] = (
        (255 * (0.299 * red + 0.587 * green + 0.114 * blue)).round().to("cpu", torch.uint8).numpy()
    )
    height, width = grey.shape
    if min(height, width) < _LEAST_SIDE:
        edges = (0, max(0, _LEAST_SIDE - height), 0, max(0, _LEAST_SIDE - width))
        grey = np.asarray(cv2.copyMakeBorder(grey, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return grey


def _dis(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.float32]:
    # A new object each time: one that is used again keeps buffers, and its flow then depends on what it was asked before.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return np.asarray(dis.calc(target, source, None), np.float32)  # type: ignore[call-overload]


def flows(frames: Tensor, pairs: Iterable[Pair]) -> Mapping[Pair, Tensor]:
    """DIS flow (Kroeger et al., ECCV 2016) from frame t to frame u for each pair ``(t, u)``: ``(2, H, W)`` on the CPU."""
    wanted = sorted(set(pairs))
    height, width = frames.shape[-2:]
    greys = {
        index: _grey(frames[index])
        for index in sorted({index for pair in wanted for index in pair})
    }
    found = side_by_side(lambda pair: _dis(greys[pair[0]], greys[pair[1]]), wanted)
    cut = [np.ascontiguousarray(flow[:height, :width].transpose(2, 0, 1)) for flow in found]
    return {pair: torch.from_numpy(flow) for pair, flow in zip(wanted, cut, strict=True)}


def consistency(forward: Tensor, backward: Tensor, tolerance: float) -> Tensor:
    """Confidence ``exp(-(e / tolerance)²)`` of ``forward`` ``(T, 2, H, W)``: e pixels are missed there and ``backward``.

    Zero where the flow leaves the picture. Returns ``(T, 1, H, W)`` in [0, 1].
    """
    missed = length(forward + warp(backward, forward))
    inside = lookup(forward).abs().amax(-1)[:, None] <= 1
    return torch.exp(-((missed / tolerance) ** 2)) * inside
