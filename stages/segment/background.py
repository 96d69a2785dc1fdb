"""Complete the background: look up what the foreground hides in frames that show it.

Every hidden pixel keeps a pointer to a pixel of another frame that shows it. Pointers are passed
from frame to frame along the background's motion. Colours are read once, at the end, so that
nothing is interpolated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import resize, resize_flow
from stages.push_pull import push_pull
from stages.segment.motion import WindowMotion

HIDDEN = 0.05  # matte above which a pixel is not used as background
MARGIN = 0.012  # width around it that is not used either (blur, shadows), in longer sides
REACH = 2  # margins around the hidden pixels whose flow is not used as the background's
STEADY = 0.08  # colour difference within which a frame agrees with the plate
STEADY_SHARE = 0.6  # part of the picture that has to agree under a fixed camera
SAME_SHARE = 0.7  # agreeing part of a pixel's foreground frames above which the plate shows them
ROWS = 64  # of a picture that are sorted at once, to bound memory
PARTS = 4  # of the clip, each of which has to agree with a trusted pixel of the plate
SEEN_SHARE = 0.3  # part of the frames of each of them that has to agree


@dataclass(frozen=True)
class Plate:
    """Hold the background of a clip under a fixed camera.

    picture: ``(3, H, W)`` in [0, 1]. trusted: where it is known, ``(1, H, W)`` of bool.
    """

    picture: Tensor
    trusted: Tensor

    def resized(self, size: tuple[int, int]) -> Plate:
        """Return this plate at another size ``(H, W)``."""
        return Plate(
            resize(self.picture[None], size)[0], resize(self.trusted[None].float(), size)[0] > 0.5
        )

    def without(self, frames: Tensor, matte: Tensor) -> Plate:
        """Return the plate without the places that show the foreground itself.

        A body that hardly moves is the median of most frames. There the frames look like the plate
        exactly where the matte says foreground.

        frames: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)``.
        """
        marked, alike = torch.zeros_like(matte[0]), torch.zeros_like(matte[0])
        for frame, one in zip(frames, matte > 0.5, strict=True):
            marked += one
            alike += one & ((frame - self.picture).abs().amax(0, keepdim=True) < STEADY)
        return Plate(self.picture, self.trusted & (alike <= SAME_SHARE * marked))

    def completed(self, frames: Tensor, matte: Tensor) -> Plate:
        """Return the plate with its gaps filled by the median of the frames outside the matte.

        frames: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)``.
        """
        seen = _median(frames, _hidden(matte))
        known = seen.isfinite()[:1]
        return Plate(torch.where(self.trusted | ~known, self.picture, seen), self.trusted | known)


def find_plate(sample: Tensor) -> Plate | None:
    """Return the median of evenly spread frames ``(S, 3, H, W)`` if the camera stands still.

    Returns ``None`` if it moves, and for fewer than three frames.
    """
    if len(sample) < 3:
        return None
    # Row by row, because the median of whole frames would need their memory again.
    picture = torch.cat([rows.median(0).values for rows in torch.split(sample, ROWS, dim=2)], 1)
    agree = torch.stack(
        [(frame - picture).abs().amax(0, keepdim=True) < STEADY for frame in sample]
    )
    # A typical frame must agree with the plate over most of the picture.
    if float(agree.float().mean((1, 2, 3)).median()) < STEADY_SHARE:
        return None
    # Someone who comes and stays may be the median of most frames, but not of the first part.
    parts = [part.float().mean(0) for part in torch.tensor_split(agree, min(PARTS, len(agree)))]
    return Plate(picture, torch.stack(parts).amin(0) >= SEEN_SHARE)


def complete(
    frames: Tensor, matte: Tensor, motion: WindowMotion | None, plate: Plate | None
) -> tuple[Tensor, Tensor]:
    """Return the complete background, and where neither the window nor the plate shows it.

    Under a fixed camera, hidden pixels come from the plate, then from the median of the window:
    medians have little noise and suppress what a matte missed. Under a moving camera they come from
    the nearest frames before and after that show them; the nearer one counts more.

    frames: ``(T, 3, H, W)`` in [0, 1]. matte: ``(T, 1, H, W)``.
    motion: ``None`` for unrelated pictures. plate: ``None`` for a moving camera.

    Returns pictures ``(T, 3, H, W)`` and ``(T, 1, H, W)`` of bool.
    """
    hidden = _hidden(matte)
    background = frames.clone()
    missing = hidden.clone()
    if plate is not None:
        plate = plate.completed(frames, matte)
        background = torch.where(hidden & plate.trusted, plate.picture, background)
        missing &= ~plate.trusted
    elif motion is not None and bool(missing.any()):
        total, weight = torch.zeros_like(frames), torch.zeros_like(matte)
        for way in (1, -1):
            _collect(frames, hidden, missing, motion, way, total, weight)
        background = torch.where(missing & (weight > 0), total / weight.clamp_min(1e-9), background)
        missing &= weight == 0
    for t in range(len(frames)):
        if bool(missing[t].any()):
            background[t] = push_pull(background[t][None], ~missing[t][None])[0]
    return background.clamp(0, 1), missing


def _hidden(matte: Tensor) -> Tensor:
    """Return the foreground and a margin around it, ``(T, 1, H, W)`` of bool."""
    return torch.cat([dilate(one[None] > HIDDEN, margin_of(matte)) for one in matte])


def _median(frames: Tensor, hidden: Tensor) -> Tensor:
    """Return the median ``(3, H, W)`` of the pixels that are not hidden; NaN where all are."""
    parts = zip(torch.split(frames, ROWS, dim=2), torch.split(hidden, ROWS, dim=2), strict=True)
    return torch.cat(
        [torch.where(covered, torch.nan, rows).nanmedian(0).values for rows, covered in parts], 1
    )


def _collect(
    frames: Tensor,
    hidden: Tensor,
    wanted: Tensor,
    motion: WindowMotion,
    way: int,
    total: Tensor,
    weight: Tensor,
) -> None:
    """Add what later (``way`` 1) or earlier (-1) frames show of the ``wanted`` pixels.

    total, weight: ``(T, 3, H, W)`` and ``(T, 1, H, W)``, changed in place; the weight is 1 / time².
    """
    count, _, height, width = frames.shape
    flow, camera = (
        (motion.forward, motion.camera_forward)
        if way > 0
        else (motion.backward, motion.camera_backward)
    )
    order = range(count - 2, -1, -1) if way > 0 else range(1, count)
    y, x = (
        axis.flatten().float()
        for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    # The frame that shows each pixel of the last frame, and the place in it. -1 means none.
    last = order[0] + way
    source = torch.where(hidden[last].flatten(), -1, last)
    place = torch.stack([x, y])
    for t in order:
        step = t if way > 0 else t - 1
        moved = _flow_behind(flow[step][None], camera[step][None], hidden[t][None]).flatten(1)
        need = hidden[t].flatten().nonzero()[:, 0]
        at_x, at_y = x[need] + moved[0, need], y[need] + moved[1, need]
        near_x, near_y = at_x.round(), at_y.round()
        inside = (near_x >= 0) & (near_x <= width - 1) & (near_y >= 0) & (near_y <= height - 1)
        cell = (near_y.clamp(0, height - 1) * width + near_x.clamp(0, width - 1)).long()
        found = torch.where(inside, source[cell], -1)
        new_place = place[:, cell] + torch.stack([at_x - near_x, at_y - near_y])
        source = torch.full_like(source, t)
        place = torch.stack([x, y])
        source[need], place[:, need] = found, new_place
        known = need[(found >= 0) & wanted[t].flatten()[need]]
        if len(known):
            share = 1 / (source[known] - t).float() ** 2
            colors = read(frames, source[known], place[:, known])
            total[t].view(3, -1)[:, known] += share * colors
            weight[t].view(-1)[known] += share


def _flow_behind(flow: Tensor, camera: Tensor, hidden: Tensor) -> Tensor:
    """Return a flow ``(2, H, W)`` in which the foreground moves as the background around it does.

    flow, camera: ``(1, 2, h, w)``, of the frame and of its background. hidden: ``(1, 1, H, W)`` of
    bool, where the foreground is.
    """
    small = (flow.shape[-2], flow.shape[-1])
    # The foreground's flow leaks further beyond its edge than its colours do.
    leaking = dilate(resize(hidden.float(), small) > 0, REACH * margin_of(flow))
    moved = camera + push_pull(flow - camera, ~leaking)
    return resize_flow(moved, (hidden.shape[-2], hidden.shape[-1]))[0]


def read(frames: Tensor, index: Tensor, place: Tensor) -> Tensor:
    """Read colours ``(3, N)`` by bilinear interpolation; places outside are clamped to the edge.

    index: frame numbers, ``(N,)``. place: x and y in pixels, ``(2, N)``.
    """
    height, width = frames.shape[-2:]
    x, y = place[0].clamp(0, width - 1), place[1].clamp(0, height - 1)
    left, top = (
        x.floor().long().clamp(max=max(0, width - 2)),
        y.floor().long().clamp(max=max(0, height - 2)),
    )
    right, low = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    u, v = x - left, y - top
    upper = (1 - u) * frames[index, :, top, left].T + u * frames[index, :, top, right].T
    lower = (1 - u) * frames[index, :, low, left].T + u * frames[index, :, low, right].T
    return (1 - v) * upper + v * lower


def margin_of(matte: Tensor) -> int:
    """Return the width in pixels of the margin around a foreground in a matte of this size."""
    return max(1, round(MARGIN * max(matte.shape[-2:]))) if max(matte.shape[-2:]) > 8 else 0


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilate ``mask`` ``(n, 1, h, w)`` of bool by a square of ``2 radius + 1`` pixels."""
    return functional.max_pool2d(mask.float(), 2 * radius + 1, 1, radius) > 0
