"""The whole background: what the foreground hides in one frame is looked up, along the background's motion, in frames where it is seen.

Every hidden pixel keeps a pointer to the pixel of another frame that shows it. Pointers are handed from frame to frame and colours are
read once, at the end: nothing is interpolated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import resize, resize_flow
from stages.segment.motion import Motion

HIDDEN = 0.05  # matte above which a pixel is not taken for background
MARGIN = 0.012  # part of the longer side around the foreground that is not taken either: blurred edges, contact shadows
REACH = 2  # margins around the hidden pixels whose flow is not taken for the background's
STEADY = 0.08  # a frame and the plate agree within this
STEADY_SHARE = (
    0.6  # part of the picture that has to agree with the plate for the camera to count as fixed
)
SAME_SHARE = 0.7  # part of its foreground frames in which a pixel must look like the plate for the plate to show the foreground
ROWS = 64  # of a picture that are sorted at once
PARTS = 4
SEEN_SHARE = 0.3  # part of the frames of each part of the clip that have to agree at a pixel for its plate to be trusted


@dataclass(frozen=True)
class Plate:
    """The background of a whole clip under a fixed camera: ``picture`` ``(3, H, W)`` and where it is trusted, ``(1, H, W)`` of bool."""

    picture: Tensor
    trusted: Tensor

    def resized(self, size: tuple[int, int]) -> Plate:
        """The same at another size ``(H, W)``."""
        return Plate(
            resize(self.picture[None], size)[0], resize(self.trusted[None].float(), size)[0] > 0.5
        )

    def without(self, frames: Tensor, matte: Tensor) -> Plate:
        """The plate less where it shows the foreground itself: a body that hardly moves is most frames' median.

        There ``frames`` ``(T, 3, H, W)`` look like the plate just where ``matte`` ``(T, 1, H, W)`` says foreground.
        """
        marked, alike = torch.zeros_like(matte[0]), torch.zeros_like(matte[0])
        for frame, one in zip(frames, matte > 0.5, strict=True):
            marked += one
            alike += one & ((frame - self.picture).abs().amax(0, keepdim=True) < STEADY)
        return Plate(self.picture, self.trusted & (alike <= SAME_SHARE * marked))

    def completed(self, frames: Tensor, matte: Tensor) -> Plate:
        """The plate with the median of ``frames`` ``(T, 3, H, W)`` beside ``matte`` ``(T, 1, H, W)`` where it is not trusted itself."""
        seen = _median(frames, _hidden(matte))
        known = seen.isfinite()[:1]
        return Plate(torch.where(self.trusted | ~known, self.picture, seen), self.trusted | known)


def find_plate(sample: Tensor) -> Plate | None:
    """The median of evenly spread frames ``(S, 3, H, W)`` where the camera stands still; ``None`` where it moves, or for a few frames."""
    if len(sample) < 3:
        return None
    # Row by row: the median of whole frames would need their memory again.
    picture = torch.cat([rows.median(0).values for rows in torch.split(sample, ROWS, dim=2)], 1)
    agree = torch.stack(
        [(frame - picture).abs().amax(0, keepdim=True) < STEADY for frame in sample]
    )
    # Half the frames may show a foreground; each must still agree with the plate over most of the picture.
    if float(agree.float().mean((1, 2, 3)).median()) < STEADY_SHARE:
        return None
    # In every part of the clip: someone who comes and stays may be most frames' median, but was not there before.
    parts = [part.float().mean(0) for part in torch.tensor_split(agree, min(PARTS, len(agree)))]
    return Plate(picture, torch.stack(parts).amin(0) >= SEEN_SHARE)


def complete(
    frames: Tensor, matte: Tensor, motion: Motion | None, plate: Plate | None
) -> tuple[Tensor, Tensor]:
    """The background of ``frames`` ``(T, 3, H, W)`` behind ``matte`` ``(T, 1, H, W)``, and where nothing in the window or plate shows it.

    Under a fixed camera (it has a plate) that is the plate, then the median of the window's frames: medians have less noise and do not take
    over what a matte missed. Else of two frames that show a pixel the nearer in time counts more.

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
            background[t] = spread(background[t][None], ~missing[t][None])[0]
    return background.clamp(0, 1), missing


def _hidden(matte: Tensor) -> Tensor:
    """Where nothing is taken for background, ``(T, 1, H, W)`` of bool: the foreground and a margin."""
    return torch.cat([grown(one[None] > HIDDEN, margin_of(matte)) for one in matte])


def _median(frames: Tensor, hidden: Tensor) -> Tensor:
    """The median over ``frames`` ``(T, 3, H, W)`` of where they are not ``hidden`` ``(T, 1, H, W)``: ``(3, H, W)``, NaN where none is."""
    parts = zip(torch.split(frames, ROWS, dim=2), torch.split(hidden, ROWS, dim=2), strict=True)
    return torch.cat(
        [torch.where(covered, torch.nan, rows).nanmedian(0).values for rows, covered in parts], 1
    )


def _collect(
    frames: Tensor,
    hidden: Tensor,
    wanted: Tensor,
    motion: Motion,
    way: int,
    total: Tensor,
    weight: Tensor,
) -> None:
    """Adds to ``total`` and ``weight`` what later (``way`` 1) or earlier (-1) frames show of the ``wanted`` pixels, by 1 / time²."""
    count, _, height, width = frames.shape
    size = (height, width)
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
    # Where a hidden pixel of the frame before can be seen: which frame, and the place in it. A frame of -1 says nowhere.
    last = order[0] + way
    shown = hidden[last].flatten()
    source = torch.where(shown, -1, last)
    place = torch.stack([x, y])
    for t in order:
        step = t if way > 0 else t - 1
        # Flow reaches beyond the foreground's edge: further than the colours do.
        small_hidden = resize(hidden[t][None].float(), (flow.shape[-2], flow.shape[-1])) > 0
        small_hidden = grown(small_hidden, REACH * margin_of(flow))
        away = flow[step : step + 1] - camera[step : step + 1]
        # The foreground's own motion is replaced by that of the background around it.
        moved = resize_flow(camera[step : step + 1] + spread(away, ~small_hidden), size)[0].flatten(
            1
        )
        need = hidden[t].flatten().nonzero()[:, 0]
        at_x, at_y = x[need] + moved[0, need], y[need] + moved[1, need]
        near_x, near_y = at_x.round(), at_y.round()
        inside = (near_x >= 0) & (near_x <= width - 1) & (near_y >= 0) & (near_y <= height - 1)
        cell = (near_y.clamp(0, height - 1) * width + near_x.clamp(0, width - 1)).long()
        found = torch.where(inside, source[cell], -1)
        offset = torch.stack([at_x - near_x, at_y - near_y])
        new_place = place[:, cell] + offset
        source = torch.full_like(source, t)
        place = torch.stack([x, y])
        source[need], place[:, need] = found, new_place
        known = need[(found >= 0) & wanted[t].flatten()[need]]
        if len(known):
            share = 1 / (source[known] - t).float() ** 2
            colours = read(frames, source[known], place[:, known])
            total[t].view(3, -1)[:, known] += share * colours
            weight[t].view(-1)[known] += share


def read(frames: Tensor, index: Tensor, place: Tensor) -> Tensor:
    """Colours ``(3, N)`` of frames ``index`` ``(N,)`` at ``place`` ``(2, N)`` in pixels, bilinear; beyond the edge its last pixel."""
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


def spread(values: Tensor, known: Tensor) -> Tensor:
    """``values`` ``(1, C, h, w)`` with the unknown ones taken from the known ``(1, 1, h, w)`` around them, smoothly (push and pull).

    Halved until all is known, then filled from coarse to fine (Gortler et al. 1996, section 3.4). Nothing known gives zeros.
    """
    weight = known.to(values)
    if bool(known.all()):
        return values
    if min(values.shape[-2:]) == 1 and max(values.shape[-2:]) == 1 or not bool(known.any()):
        return values * weight
    size = (values.shape[-2], values.shape[-1])
    total = functional.avg_pool2d(values * weight, 2, ceil_mode=True, count_include_pad=False)
    mass = functional.avg_pool2d(weight, 2, ceil_mode=True, count_include_pad=False)
    coarse = spread(total / mass.clamp_min(1e-6), mass > 0)
    return torch.where(
        known,
        values,
        functional.interpolate(coarse, size=size, mode="bilinear", align_corners=False),
    )


def margin_of(matte: Tensor) -> int:
    """Pixels around the foreground that are not taken for background, for a matte of this size."""
    return max(1, round(MARGIN * max(matte.shape[-2:]))) if max(matte.shape[-2:]) > 8 else 0


def grown(mask: Tensor, radius: int) -> Tensor:
    """``mask`` ``(n, 1, h, w)`` of bool with every true pixel grown to a square of ``2 radius + 1``."""
    return functional.max_pool2d(mask.float(), 2 * radius + 1, 1, radius) > 0
