"""Optical flow between frames, and what is done with it: warping, resizing, checking.

A flow ``(T, 2, H, W)`` holds offsets in pixels, x before y. ``warp(picture, flow)`` looks up
``picture`` at each place plus its flow. So the flow from frame t to frame u brings u's pixels to t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from stages.optim.threads import map_in_threads, pays_in_threads

FramePair = tuple[int, int]
"""Two frames ``(t, u)``, for the flow from t to u."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey picture that the flow sees (Rec. ITU-R BT.601)."""

SHRINK_WORTH = 0.98
"""Part of a picture's pixels from which shrinking it to them is not worth the blur."""

_LEAST_SIDE = 16  # Side in pixels below which OpenCV's DIS flow refuses a picture.

# Flows are computed side by side already, so a single call need not spread over threads.
cv2.setNumThreads(1)


@lru_cache(maxsize=256)
def pair_of_numbers(x: float, y: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return two numbers ``(2, 1, 1)`` for the x and the y of flows, of a type, on a device.

    They are kept, because bringing numbers to a GPU waits for its earlier work.
    """
    return torch.tensor([x, y], dtype=dtype, device=device).view(2, 1, 1)


def lookup(flow: Tensor, first_row: int = 0, height: int | None = None) -> Tensor:
    """Return where ``flow`` ``(T, 2, h, W)`` points to, in the convention of ``grid_sample``.

    first_row: of the flow, in the picture. height: of the picture; by default that of the flow.

    The result is ``(T, h, W, 2)``, with -1 and 1 at the outer edges of the picture.
    """
    rows, width = flow.shape[-2:]
    height = rows if height is None else height
    x = (torch.arange(width, dtype=flow.dtype, device=flow.device) + 0.5) * (2 / width) - 1
    row = torch.arange(first_row, first_row + rows, dtype=flow.dtype, device=flow.device)[:, None]
    y = (row + 0.5) * (2 / height) - 1
    scale = pair_of_numbers(2 / width, 2 / height, flow.dtype, flow.device)
    # One pass, with x and y as planes like the flow: interleaving takes as long as the rest.
    places = torch.stack([x.expand(rows, width), y.expand(rows, width)])
    return torch.addcmul(places, flow, scale).permute(0, 2, 3, 1)


def length(flow: Tensor) -> Tensor:
    """Return the length of each vector of ``(T, 2, H, W)``, in pixels: ``(T, 1, H, W)``.

    Over so few channels this is a hundred times as fast as ``norm``.
    """
    return torch.hypot(flow[:, :1], flow[:, 1:])


def sample(picture: Tensor, grid: Tensor) -> Tensor:
    """Return ``picture`` ``(T, C, H, W)`` at the places of a ``grid`` ``(T, h, w, 2)``, bilinear.

    Beyond the edge it is the last pixel.
    """
    return functional.grid_sample(
        picture, grid, mode="bilinear", padding_mode="border", align_corners=False
    )


def warp(picture: Tensor, flow: Tensor) -> Tensor:
    """Return ``picture`` ``(T, C, H, W)`` looked up along ``flow`` ``(T, 2, H, W)``, bilinear.

    Beyond the edge it is the last pixel.
    """
    return sample(picture, lookup(flow))


def warp_by_each(picture: Tensor, flow: Tensor) -> Tensor:
    """Return one picture ``(1, C, H, W)`` warped along each flow ``(T, 2, H, W)``."""
    parallel = pays_in_threads(picture[0])
    return torch.cat(map_in_threads(lambda one: warp(picture, one[None]), flow, parallel=parallel))


def warp_rows(picture: Tensor, flow: Tensor, first_row: int) -> Tensor:
    """Return some rows of :func:`warp` of one picture ``(C, H, W)``: ``(C, h, W)``.

    flow: ``(2, h, W)``, of these rows. first_row: the first of them.
    """
    return sample(picture[None], lookup(flow[None], first_row, picture.shape[-2]))[0]


def resize(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``(T, C, h, w)`` resized to ``size`` (H, W): area averages down, bilinear up."""
    if tuple(picture.shape[-2:]) == size:
        return picture
    if size[0] <= picture.shape[-2] and size[1] <= picture.shape[-1]:
        return functional.interpolate(picture, size=size, mode="area")
    return functional.interpolate(picture, size=size, mode="bilinear", align_corners=False)


def within(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Return the size with the aspect of ``size`` and at most about ``pixels``, never larger."""
    scale = math.sqrt(min(1.0, pixels / (size[0] * size[1])))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def within_side(size: tuple[int, int], longer_side: int) -> tuple[int, int]:
    """Return the size with the aspect of ``size`` and at most this longer side, never larger."""
    scale = min(1.0, longer_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def shrunk(frames: Tensor, pixels: int) -> Tensor:
    """Return ``frames`` ``(T, C, H, W)`` with at most about ``pixels`` each, by area averages.

    Frames that have hardly more are returned as they are.
    """
    size = (frames.shape[-2], frames.shape[-1])
    if pixels > SHRINK_WORTH * size[0] * size[1]:
        return frames
    return torch.cat([resize(frame[None], within(size, pixels)) for frame in frames])


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a flow for pictures of another ``size`` (H, W): resized, its offsets scaled alike."""
    across, down = size[1] / flow.shape[-1], size[0] / flow.shape[-2]
    return resize(flow, size) * pair_of_numbers(across, down, flow.dtype, flow.device)


def box(picture: Tensor, radius: int) -> Tensor:
    """Return the mean over squares of ``2 radius + 1`` pixels, with edges repeated.

    picture: ``(T, C, H, W)``, as the result.
    """
    side = 2 * radius + 1
    if picture.device.type == "cpu" and not picture.requires_grad and picture.numel():
        # Running sums cost the same for every radius: they are up to 40 times as fast.
        means = torch.empty_like(picture, memory_format=torch.contiguous_format)
        planes = zip(picture.flatten(0, 1), means.flatten(0, 1), strict=True)
        for plane, mean in planes:
            blurred = cv2.blur(plane.numpy(), (side, side), borderType=cv2.BORDER_REPLICATE)
            mean.copy_(torch.from_numpy(blurred))
        return means
    padded = functional.pad(picture, (radius,) * 4, mode="replicate")
    return functional.avg_pool2d(padded, side, 1)


def box_max(picture: Tensor, radius: int) -> Tensor:
    """Return the largest value in squares of ``2 radius + 1`` pixels, as far as they are inside.

    picture: ``(T, C, H, W)`` of finite values, as the result.
    """
    if picture.device.type == "cpu" and not picture.requires_grad and picture.numel():
        # OpenCV goes along rows and columns in turn: 40 times as fast as squares, or more.
        most = torch.empty_like(picture, memory_format=torch.contiguous_format)
        square = np.ones((2 * radius + 1,) * 2, np.uint8)
        for plane, largest in zip(picture.flatten(0, 1), most.flatten(0, 1), strict=True):
            cv2.dilate(plane.numpy(), square, dst=largest.numpy())
        return most
    return functional.max_pool2d(picture, 2 * radius + 1, 1, radius)


def range_around(picture: Tensor, radius: int) -> tuple[Tensor, Tensor]:
    """Return the least and the largest value in the same squares as :func:`box_max`."""
    return -box_max(-picture, radius), box_max(picture, radius)


def _gray(frame: Tensor) -> NDArray[np.uint8]:
    """Return a frame ``(3, H, W)`` as 8-bit grey, padded to the least size that DIS accepts."""
    red, green, blue = frame.clamp(0, 1)
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    gray: NDArray[np.uint8] = (255 * luma).round().to("cpu", torch.uint8).numpy()
    height, width = gray.shape
    if min(height, width) < _LEAST_SIDE:
        edges = (0, max(0, _LEAST_SIDE - height), 0, max(0, _LEAST_SIDE - width))
        gray = np.asarray(cv2.copyMakeBorder(gray, *edges, cv2.BORDER_REPLICATE), np.uint8)
    return gray


def _dis(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.float32]:
    # A new object for each pair: a used one keeps buffers, and its flow depends on earlier calls.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = np.asarray(dis.calc(target, source, None), np.float32)  # type: ignore[call-overload]
    # As planes, here where the threads work side by side.
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


def flows(frames: Tensor, pairs: Iterable[FramePair]) -> Mapping[FramePair, Tensor]:
    """Return the DIS flow (Kroeger et al., ECCV 2016) of each pair of frames.

    frames: ``(T, 3, H, W)`` in [0, 1]. pairs: ``(t, u)``, for the flow from frame t to frame u.

    Returns the flows ``(2, H, W)`` by pair, on the device of the frames. OpenCV computes them on
    the CPU.
    """
    wanted = sorted(set(pairs))
    height, width = frames.shape[-2:]
    used = sorted({index for pair in wanted for index in pair})
    gray_frames = map_in_threads(
        _gray, [frames[index] for index in used], parallel=pays_in_threads(frames[0])
    )
    grays = dict(zip(used, gray_frames, strict=True))
    pair_flows = map_in_threads(lambda pair: _dis(grays[pair[0]], grays[pair[1]]), wanted)
    return {
        pair: torch.from_numpy(flow)[:, :height, :width].contiguous().to(frames.device)
        for pair, flow in zip(wanted, pair_flows, strict=True)
    }


def consistency(forward: Tensor, backward: Tensor, tolerance: float) -> Tensor:
    """Return the confidence of a flow by going there and back: ``exp(-(e / tolerance)²)``.

    forward, backward: flows ``(T, 2, H, W)`` from t to u and from u to t. tolerance: in pixels.

    e is how many pixels the way there and back misses. Returns ``(T, 1, H, W)`` in [0, 1], zero
    where the flow leaves the picture.
    """
    missed = length(forward + warp(backward, forward))
    inside = lookup(forward).abs().amax(-1)[:, None] <= 1
    return torch.exp(-((missed / tolerance) ** 2)) * inside
