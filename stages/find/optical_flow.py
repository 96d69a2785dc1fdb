"""Dense optical flow between small frames, by DIS (Kroeger et al., ECCV 2016).

Frames are ``(H, W, 3)`` float32, RGB in [0, 1]. A flow is ``(H, W, 2)`` (x, y) in pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from stages.find.features import LEAST_SIDE, Array

LEAST_DIS_SIDE = 32  # pixels; with a shorter side this preset of DIS reads beyond its memory


def optical_flow(first: Array, second: Array) -> Array:
    """Return the displacement from each pixel of ``first`` to its place in ``second``.

    first, second: ``(H, W, 3)``. Returns ``(H, W, 2)``, which is 0 for frames with a side under 16
    pixels.
    """
    height, width = first.shape[:2]
    if min(height, width) < LEAST_SIDE:
        return np.zeros((height, width, 2), np.float32)
    edges = (0, max(0, LEAST_DIS_SIDE - height), 0, max(0, LEAST_DIS_SIDE - width))
    one, two = (
        cv2.copyMakeBorder(gray_bytes(frame), *edges, cv2.BORDER_REPLICATE)
        for frame in (first, second)
    )
    # An object that was used for frames of another size before finds another flow.
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    found = np.asarray(dis.calc(one, two, np.zeros((*one.shape[:2], 2), np.float32)), np.float32)
    return np.ascontiguousarray(found[:height, :width])


def motion_residual(first: Array, second: Array) -> float:
    """Return the mean absolute difference that is left after motion compensation.

    first, second: ``(H, W, 3)``; ``second`` is warped to ``first`` by their flow.
    """
    return float(np.abs(warped(second, optical_flow(first, second)) - first).mean())


def warped(frame: Array, flow: Array) -> Array:
    """Return ``out(x) = frame(x + flow(x))``; the frame's borders are repeated outwards.

    frame: ``(H, W, 3)`` or ``(H, W)``; flow: ``(H, W, 2)`` (x, y) in pixels.
    """
    height, width = frame.shape[:2]
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    seen = cv2.remap(
        frame, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return seen.astype(np.float32, copy=False)


def gray_bytes(frame: Array) -> npt.NDArray[np.uint8]:
    """Return the luma of a frame ``(H, W, 3)`` as bytes, the format for optical flow."""
    return (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) * 255 + 0.5).astype(np.uint8)
