"""Complete the background: look up what the foreground hides in frames that show it.

Every hidden pixel keeps a pointer to a pixel of another frame that shows it. Pointers are passed
from frame to frame along the background's motion. Colours are read once, at the end, so that
nothing is interpolated twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.motion.flow import resize, resize_flow
from stages.push_pull import push_pull
from stages.segment.margins import dilate, hidden_background, margin_of
from stages.segment.motion import WindowMotion
from stages.segment.plate import Plate

FLOW_MARGINS = 2
"""Width around the foreground whose flow is not used as the background's, in margins of colours:
flow leaks further beyond an edge than colours do."""


def complete_background(
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
    hidden = hidden_background(matte)
    background = frames.clone()
    missing = hidden.clone()
    if plate is not None:
        plate = plate.completed(frames, matte)
        background = torch.where(hidden & plate.trusted, plate.picture, background)
        missing &= ~plate.trusted
    elif motion is not None and bool(missing.any()):
        colors, shown = _FrameSearch(frames, hidden, motion).colors()
        background = torch.where(shown, colors, background)
        missing &= ~shown
    for t in range(len(frames)):
        if bool(missing[t].any()):
            background[t] = push_pull(background[t][None], ~missing[t][None])[0]
    return background.clamp(0, 1), missing


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
        # The pointer belongs to the nearest whole pixel, so the fraction of a pixel is added to it.
        fraction = torch.stack([to_x - near_x, to_y - near_y])
        passed.place[:, pixels] = self.place[:, cell] + fraction
        return passed


class _FrameSearch:
    """The search for hidden background in the frames before and after.

    frames: ``(T, 3, H, W)`` in [0, 1]. hidden: where each does not show its background,
    ``(T, 1, H, W)`` of bool. motion: at any size.
    """

    def __init__(self, frames: Tensor, hidden: Tensor, motion: WindowMotion) -> None:
        self.frames = frames
        self.hidden = hidden
        self.motion = motion
        # Sums of the colours that were found, and of their weights.
        self.total = torch.zeros_like(frames)
        self.weight = torch.zeros_like(frames[:, :1])

    def colors(self) -> tuple[Tensor, Tensor]:
        """Return the hidden background, and where any frame shows it.

        Returns ``(T, 3, H, W)`` and ``(T, 1, H, W)`` of bool.
        """
        for time_step in (1, -1):
            self._look(time_step)
        return self.total / self.weight.clamp_min(1e-9), self.weight > 0

    def _look(self, time_step: int) -> None:
        """Add what other frames show of hidden pixels: later frames for 1, earlier ones for -1.

        A colour's weight is 1 over the squared number of frames to it.
        """
        count = len(self.frames)
        if time_step > 0:
            flow, camera = self.motion.forward, self.motion.camera_forward
            order = range(count - 2, -1, -1)
        else:
            flow, camera = self.motion.backward, self.motion.camera_backward
            order = range(1, count)
        first = order[0] + time_step
        pointers = _Pointers.of_shown(first, self.hidden[first])
        for t in order:
            pair = min(t, t + time_step)
            moved = _flow_behind(flow[pair][None], camera[pair][None], self.hidden[t][None])
            pointers = pointers.passed_on(t, self.hidden[t], moved)
            found = self.hidden[t].flatten() & (pointers.source >= 0)
            pixels = found.nonzero()[:, 0]
            if len(pixels):
                source, place = pointers.source[pixels], pointers.place[:, pixels]
                weight = 1 / (source - t).float() ** 2
                colors = weight * read_colors(self.frames, source, place)
                self.total[t].view(3, -1)[:, pixels] += colors
                self.weight[t].view(-1)[pixels] += weight


def _flow_behind(flow: Tensor, camera: Tensor, hidden: Tensor) -> Tensor:
    """Return a flow ``(2, H, W)`` in which the foreground moves as the background around it does.

    flow, camera: ``(1, 2, h, w)``, of the frame and of its background. hidden: ``(1, 1, H, W)`` of
    bool, where the foreground is.
    """
    small = (flow.shape[-2], flow.shape[-1])
    leaking = dilate(resize(hidden.float(), small) > 0, FLOW_MARGINS * margin_of(flow))
    moved = camera + push_pull(flow - camera, ~leaking)
    return resize_flow(moved, (hidden.shape[-2], hidden.shape[-1]))[0]
