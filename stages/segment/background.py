"""Complete the background: look up what the foreground hides in frames that show it.

Every hidden pixel keeps a pointer to a pixel of another frame that shows it. Pointers are passed
from frame to frame along the background's motion. Colours are read once, at the end, so that
nothing is interpolated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.motion.flow import box_max, resize, resize_flow
from stages.push_pull import push_pull
from stages.segment.motion import WindowMotion

HIDDEN = 0.05  # matte above which a pixel shows too little background to be used
MARGIN = 0.012
"""Width, in longer sides of the picture, around the foreground that is not used as background.

Blur and shadows reach that far.
"""
FLOW_MARGINS = 2
"""The same for the flow, as a multiple: flow leaks further beyond an edge than colours do."""
STEADY = 0.08  # largest difference of any channel, in [0, 1], with which a pixel shows the plate
STEADY_SHARE = 0.6
"""Least part of a typical frame that has to show the plate, for the camera to count as fixed."""
SAME_SHARE = 0.7
"""Largest part of a pixel's foreground frames that may look like the plate.

Where more of them do, the plate shows the foreground itself.
"""
ROWS = 64  # rows of a picture that are sorted at once, to bound memory
PARTS = 4  # parts of the clip, in each of which a trusted pixel of the plate has to be seen
SEEN_SHARE = 0.3  # least part of the frames of each of these parts that has to show it


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
    # In groups of rows, because the median of whole frames would need their memory again.
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
        for time_step in (1, -1):
            _add_shown(frames, hidden, missing, motion, time_step, total, weight)
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


@dataclass(frozen=True)
class _Pointers:
    """Where the background of each pixel of one frame is shown.

    source: the number of the frame that shows it, -1 for none, ``(H * W,)``.
    place: x and y in that frame, in pixels, ``(2, H * W)``.
    """

    source: Tensor
    place: Tensor

    @classmethod
    def of_shown(cls, frame: int, hidden: Tensor) -> _Pointers:
        """Return pointers of pixels to themselves, and to nothing where they are hidden.

        hidden: of the frame, ``(1, H, W)`` of bool.
        """
        height, width = hidden.shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        source = torch.where(hidden.flatten(), -1, frame)
        return cls(source, torch.stack([x.flatten().float(), y.flatten().float()]))

    def passed_on(self, frame: int, hidden: Tensor, flow: Tensor) -> _Pointers:
        """Return the pointers of a frame, whose hidden pixels take over these of its neighbour.

        hidden: of the frame, ``(1, H, W)`` of bool. flow: from it to the neighbour, ``(2, H, W)``.
        """
        height, width = hidden.shape[-2:]
        passed = _Pointers.of_shown(frame, hidden)
        pixels = hidden.flatten().nonzero()[:, 0]
        to_x, to_y = passed.place[:, pixels] + flow.flatten(1)[:, pixels]
        near_x, near_y = to_x.round(), to_y.round()
        inside = (near_x >= 0) & (near_x <= width - 1) & (near_y >= 0) & (near_y <= height - 1)
        cell = (near_y.clamp(0, height - 1) * width + near_x.clamp(0, width - 1)).long()
        passed.source[pixels] = torch.where(inside, self.source[cell], -1)
        # The pointer belongs to the nearest whole pixel; the rest of the way is added to it.
        rest = torch.stack([to_x - near_x, to_y - near_y])
        passed.place[:, pixels] = self.place[:, cell] + rest
        return passed


def _add_shown(
    frames: Tensor,
    hidden: Tensor,
    wanted: Tensor,
    motion: WindowMotion,
    time_step: int,
    total: Tensor,
    weight: Tensor,
) -> None:
    """Add to ``total`` what other frames show of the background at the ``wanted`` pixels.

    hidden, wanted: ``(T, 1, H, W)`` of bool. time_step: 1 to look in later frames, -1 in earlier.
    total: sum of weighted colours, ``(T, 3, H, W)``, and weight: sum of weights, ``(T, 1, H, W)``;
    both are changed in place. A colour's weight is 1 over the squared number of frames to it.
    """
    count = len(frames)
    if time_step > 0:
        flow, camera = motion.forward, motion.camera_forward
        order = range(count - 2, -1, -1)
    else:
        flow, camera = motion.backward, motion.camera_backward
        order = range(1, count)
    last = order[0] + time_step
    pointers = _Pointers.of_shown(last, hidden[last])
    for t in order:
        pair = min(t, t + time_step)
        moved = _flow_behind(flow[pair][None], camera[pair][None], hidden[t][None])
        pointers = pointers.passed_on(t, hidden[t], moved)
        found = hidden[t].flatten() & (pointers.source >= 0) & wanted[t].flatten()
        pixels = found.nonzero()[:, 0]
        if len(pixels):
            source, place = pointers.source[pixels], pointers.place[:, pixels]
            share = 1 / (source - t).float() ** 2
            total[t].view(3, -1)[:, pixels] += share * read_colors(frames, source, place)
            weight[t].view(-1)[pixels] += share


def _flow_behind(flow: Tensor, camera: Tensor, hidden: Tensor) -> Tensor:
    """Return a flow ``(2, H, W)`` in which the foreground moves as the background around it does.

    flow, camera: ``(1, 2, h, w)``, of the frame and of its background. hidden: ``(1, 1, H, W)`` of
    bool, where the foreground is.
    """
    small = (flow.shape[-2], flow.shape[-1])
    leaking = dilate(resize(hidden.float(), small) > 0, FLOW_MARGINS * margin_of(flow))
    moved = camera + push_pull(flow - camera, ~leaking)
    return resize_flow(moved, (hidden.shape[-2], hidden.shape[-1]))[0]


def read_colors(frames: Tensor, index: Tensor, place: Tensor) -> Tensor:
    """Read colours ``(3, N)`` by bilinear interpolation; places outside are clamped to the edge.

    index: frame numbers, ``(N,)``. place: x and y in pixels, ``(2, N)``.
    """
    height, width = frames.shape[-2:]
    x, y = place[0].clamp(0, width - 1), place[1].clamp(0, height - 1)
    left = x.floor().long().clamp(max=max(0, width - 2))
    top = y.floor().long().clamp(max=max(0, height - 2))
    right, low = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    u, v = x - left, y - top
    upper = (1 - u) * frames[index, :, top, left].T + u * frames[index, :, top, right].T
    lower = (1 - u) * frames[index, :, low, left].T + u * frames[index, :, low, right].T
    return (1 - v) * upper + v * lower


def margin_of(matte: Tensor) -> int:
    """Return the width in pixels of the margin around a foreground.

    matte: ``(..., H, W)``, of which only the size matters.
    """
    return max(1, round(MARGIN * max(matte.shape[-2:]))) if max(matte.shape[-2:]) > 8 else 0


def dilate(mask: Tensor, radius: int) -> Tensor:
    """Dilate ``mask`` ``(n, 1, h, w)`` of bool by a square of ``2 radius + 1`` pixels."""
    return box_max(mask.float(), radius) > 0
