"""Two pictures on two moving planes whose sum is every frame of a clip: ``I_t = warp(T, A_t) + warp(R, C_t)``, all of it fitted at once.

Each layer is one picture on a canvas, larger than a frame, and a homography a frame; many frames together tell what belongs to which, also
in what is smooth, where frame by frame nothing could. What is no plane is left over, for the frames' own layers (clip).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import resize
from stages.optim.losses import smoothness
from stages.transparency.motion import Homography

MARGIN = 0.5  # of a frame's side that the canvas may be wider at each end
SMOOTH = 0.003  # weight of each layer's total variation beside the difference to the input
DIM = 0.02  # weight of the reflection's mean: what could be either belongs to the transmission
ROUND = 0.01  # below this a difference counts squared, above it as it is
RATE, MOTION_RATE = 0.03, 0.05  # Adam's steps: of the pictures' values, and of the homographies' corners in pixels
GAIN_RATE = 0.003  # of the logarithms of the frames' gains
MOST = 12  # frames that the pictures are fitted to

Placed = tuple[list[Homography], list[Homography]]


@dataclass(frozen=True)
class Mosaic:
    """Both layers in every frame ``(T, 3, h, w)``, the homographies from the first frame to each, and the loss that was reached."""

    layers: tuple[Tensor, Tensor]
    placed: Placed
    loss: float


class _Plane:
    """One layer: canvas, where it lies, and how each frame looks at it."""

    def __init__(self, placed: Sequence[Homography], size: tuple[int, int]) -> None:
        height, width = size
        self.size = size
        middle = placed[len(placed) // 2]
        corners = np.stack([_rim(middle @ np.linalg.inv(each), size) for each in placed])  # of each frame, as the middle one sees them
        seen = corners.reshape(-1, 2)
        low = np.maximum(seen.min(0), [-MARGIN * width, -MARGIN * height])
        high = np.minimum(seen.max(0), [(1 + MARGIN) * width, (1 + MARGIN) * height])
        self.low, self.high = np.floor(low).astype(int), np.ceil(high).astype(int)
        self.canvas = (int(self.high[1] - self.low[1]), int(self.high[0] - self.low[0]))
        # A homography as where it puts the frame's corners, in canvas pixels: four points that Adam can move.
        self.corners = torch.tensor(corners, dtype=torch.float32)

    def lookup(self, corners: Tensor) -> Tensor:
        """Where each frame's pixels lie on the canvas, as grid_sample wants it: ``(n, h, w, 2)``, for corners ``(n, 4, 2)``."""
        height, width = self.size
        matrix = homography_of(corners, self.size)
        x = torch.arange(width) + 0.5
        y = torch.arange(height)[:, None] + 0.5
        across, down, depth = (
            matrix[:, row, 0, None, None] * x + matrix[:, row, 1, None, None] * y + matrix[:, row, 2, None, None] for row in range(3)
        )
        scale = 2 / torch.tensor([self.canvas[1], self.canvas[0]])
        origin = torch.from_numpy(self.low).float()
        return torch.stack([(across / depth - origin[0]) * scale[0] - 1, (down / depth - origin[1]) * scale[1] - 1], -1)


def _rim(view: Homography, size: tuple[int, int]) -> Homography:
    """Where ``view`` puts the corners of a picture of ``size``, ``(4, 2)``; where it puts them out of all reach, the corners themselves."""
    height, width = size
    rim = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    put = rim @ view.T
    if put[:, 2].min() < 0.2 or np.abs(put[:, :2] / put[:, 2:] - rim[:, :2]).max() > 1.5 * max(size):
        return rim[:, :2]
    placed: Homography = put[:, :2] / put[:, 2:]
    return placed


def homography_of(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """The homographies ``(n, 3, 3)`` that put the corners of a picture of ``size`` at ``(n, 4, 2)``: left upper, right upper, left lower,
    right lower (Heckbert 1989, section 2.2.3); differentiable."""
    p0, p1, p3, p2 = corners.unbind(1)
    total, one, other = p0 - p1 + p2 - p3, p1 - p2, p3 - p2
    bottom = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    g = (total[:, 0] * other[:, 1] - total[:, 1] * other[:, 0]) / bottom
    h = (one[:, 0] * total[:, 1] - one[:, 1] * total[:, 0]) / bottom
    first = p1 - p0 + g[:, None] * p1
    second = p3 - p0 + h[:, None] * p3
    rows = torch.stack([torch.stack([first, second, p0], -1)[:, 0], torch.stack([first, second, p0], -1)[:, 1]], 1)
    last = torch.stack([g, h, torch.ones_like(g)], -1)[:, None]
    return torch.cat([rows, last], 1) / torch.tensor([size[1], size[0], 1.0])


def fit_mosaic(
    frames: Tensor,
    placed: Placed,
    start: tuple[Tensor, Tensor],
    steps: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Mosaic:
    """Fits both pictures and all homographies to ``frames`` ``(T, 3, h, w)``; ``start``: layers ``(T, 3, h, w)`` to begin with.

    Motion is measured in pixels of these frames. No chance is involved.
    """
    size = (frames.shape[-2], frames.shape[-1])
    planes = [_Plane(each, size) for each in placed]
    used = sorted({round(i * (len(frames) - 1) / (MOST - 1)) for i in range(MOST)})
    # Looked at through a rough start: the median over frames of what each sees of the canvas.
    pictures = [_spread(plane, layer[used], plane.corners[used]).requires_grad_() for plane, layer in zip(planes, start, strict=True)]
    moved = [torch.zeros(len(used), 4, 2, requires_grad=True) for _ in planes]
    gains = torch.zeros(len(used), 3, 1, 1, requires_grad=True)
    groups = [{"params": pictures, "lr": RATE}, {"params": moved, "lr": MOTION_RATE}, {"params": [gains], "lr": GAIN_RATE}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
    target = frames[used]
    between = _interpolation(used, len(frames))
    loss = target.new_zeros(())
    for step in range(steps):
        down = 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.param_groups[0]["lr"], optimiser.param_groups[1]["lr"] = RATE * down, MOTION_RATE * min(1.0, 4 * down)
        optimiser.zero_grad()
        seen = [_look(plane, picture, plane.corners[used] + move) for plane, picture, move in zip(planes, pictures, moved, strict=True)]
        # Cameras correct exposure and colour as they go: a gain for each frame and channel, one in the mean over frames.
        exposed = (gains - gains.mean(0)).exp()
        loss = ((exposed * (seen[0] + seen[1]) - target) ** 2 + ROUND**2).sqrt().mean()
        loss = loss + SMOOTH * (smoothness(pictures[0]) + smoothness(pictures[1])) + DIM * pictures[1].mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            for picture in pictures:
                picture.clamp_(0, 1)
        progress((step + 1) / steps)
    with torch.no_grad():
        # Frames that were not looked at are corrected as their neighbours that were.
        exposed = (between @ (gains - gains.mean(0)).flatten(1)).exp().view(-1, 3, 1, 1)
        corners = [plane.corners + (between @ move.flatten(1)).view(-1, 4, 2) for plane, move in zip(planes, moved, strict=True)]
        layers = [
            torch.cat([exposed[t] * _look(plane, picture, corner[t : t + 1]) for t in range(len(frames))])
            for plane, picture, corner in zip(planes, pictures, corners, strict=True)
        ]
    fitted = [_placed(plane, corner.detach()) for plane, corner in zip(planes, corners, strict=True)]
    return Mosaic((layers[0], layers[1]), (fitted[0], fitted[1]), float(loss.detach()))


def _interpolation(used: list[int], count: int) -> Tensor:
    """``(count, len(used))``: linear interpolation from the frames ``used`` to all."""
    x = np.interp(np.arange(count), used, np.arange(len(used)))
    low = np.minimum(x.astype(int), max(0, len(used) - 2))
    matrix = np.zeros((count, len(used)), np.float32)
    matrix[np.arange(count), low] = 1 - (x - low)
    if len(used) > 1:
        matrix[np.arange(count), low + 1] = x - low
    return torch.from_numpy(matrix)


def _placed(plane: _Plane, corners: Tensor) -> list[Homography]:
    """The homographies from the first frame to each that views with these corners make."""
    views = homography_of(corners, plane.size).double().numpy()
    return [np.linalg.inv(view) @ views[0] for view in views]


def _look(plane: _Plane, picture: Tensor, corners: Tensor) -> Tensor:
    grid = plane.lookup(corners)
    return functional.grid_sample(picture.expand(len(grid), -1, -1, -1), grid, mode="bilinear", padding_mode="border", align_corners=False)


def _spread(plane: _Plane, layer: Tensor, corners: Tensor) -> Tensor:
    """The canvas ``(1, 3, H, W)`` as the mean of what frames see of it: one step of least squares by splatting, holes from a blur."""
    picture = torch.zeros(1, 3, *plane.canvas, requires_grad=True)
    ones = torch.zeros(1, 1, *plane.canvas, requires_grad=True)
    seen = _look(plane, picture, corners)
    (total,) = torch.autograd.grad((seen * layer).sum(), picture)
    (weight,) = torch.autograd.grad(_look(plane, ones, corners).sum(), ones)
    full = layer.mean((0, 2, 3), keepdim=True).expand(1, 3, *plane.canvas)
    for scale in (32, 8, 2):
        small = (-(-plane.canvas[0] // scale), -(-plane.canvas[1] // scale))
        few = resize(weight, small)
        mean = (resize(total, small) + 0.05 * resize(full, small)) / (few + 0.05)
        full = resize(mean, plane.canvas)
    return ((total + 0.1 * full) / (weight + 0.1)).detach()
