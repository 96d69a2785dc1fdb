"""Fit two pictures on moving planes whose sum is every frame of a clip.

``I_t = warp(T, A_t) + warp(R, C_t)``. Each layer is one picture on a canvas, larger than a frame,
and a homography per frame. Many frames together tell what belongs to which layer, also in smooth
places, where single frames say nothing. What is not a plane is left to the layers of each frame
(:mod:`stages.transparency.clip`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.motion.flow import resize, sample
from stages.optim.descent import Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.losses import Schedule, constant, smoothness
from stages.transparency.layer_pair import LayerPair
from stages.transparency.motion import Homography, LayerHomographies

MARGIN = 0.5
"""Part of a frame's side by which the canvas may be wider at each end."""
WEIGHTS: dict[str, Schedule] = {
    "unexplained": constant(1.0),
    "roughness": constant(0.003),
    "reflection": constant(0.02),
}
"""The weight of every loss: what is left unexplained, the layers' total variation, and the
reflection's mean, so that what could be either layer goes to the transmission."""
QUADRATIC_BELOW = 0.01
"""Difference below which the loss is quadratic and above which it is linear."""
RATE = 0.03
"""Adam's learning rate of the pictures' values."""
MOTION_RATE = 0.05
"""Adam's learning rate of the frames' corners, in pixels."""
GAIN_RATE = 0.003
"""Adam's learning rate of the logarithms of the gains."""
MOST_FRAMES = 12
"""Largest number of frames that the pictures are fitted to."""
LEAST_DEPTH = 0.2
"""Least depth of a frame's corner under a homography, relative to 1 in the middle frame."""
FARTHEST_CORNER = 1.5
"""Largest distance of a frame's corner from its place, in longer sides of a frame."""
HOLE_SCALES = (32, 8, 2)
"""Divisors of the canvas's sides at which holes are filled, one after the other."""
COARSE_WEIGHT, FILL_WEIGHT = 0.05, 0.1
"""Weight of the coarser picture where a canvas is filled, relative to 1 for one frame that shows
the place: in the rounds of the filling, and in the canvas itself."""


@dataclass(frozen=True)
class Mosaic:
    """Two fitted planes.

    layers: both layers in every frame, ``(T, 3, h, w)`` each. homographies: those of the layers.
    loss: the loss that was reached.
    """

    layers: LayerPair
    homographies: LayerHomographies
    loss: float


def fit_mosaic(
    frames: Tensor,
    homographies: LayerHomographies,
    start: LayerPair,
    steps: int,
    progress: Callable[[float], None] = lambda done: None,
) -> Mosaic:
    """Fit both pictures and all homographies to ``frames`` ``(T, 3, h, w)``; deterministic.

    homographies: to start with, in pixels of these frames. start: layers ``(T, 3, h, w)`` to start
    with. steps: of Adam. progress: called with the fraction done.
    """
    fitted = _MosaicFit(frames, homographies, start)
    reached = 0.0

    def after_step(done: float, losses: Mapping[str, float]) -> None:
        nonlocal reached
        reached = losses["total"]
        fitted.clamp()
        progress(done)

    descent = Descent(fitted.groups(), name="the fit of the mosaics")
    descent.run(fitted.evaluate, WEIGHTS, steps, after_step)
    return fitted.result(reached)


def fitted_frames(count: int) -> list[int]:
    """Return the numbers of the frames, of ``count``, that the pictures are fitted to."""
    return sorted({round(i * (count - 1) / (MOST_FRAMES - 1)) for i in range(MOST_FRAMES)})


def interpolation_matrix(used: list[int], count: int) -> Tensor:
    """Return the matrix that interpolates from the frames ``used`` to all ``count`` frames.

    Its shape is ``(count, len(used))``.
    """
    x = np.interp(np.arange(count), used, np.arange(len(used)))
    low = np.minimum(x.astype(int), max(0, len(used) - 2))
    matrix = np.zeros((count, len(used)), np.float32)
    matrix[np.arange(count), low] = 1 - (x - low)
    if len(used) > 1:
        matrix[np.arange(count), low + 1] = x - low
    return torch.from_numpy(matrix)


def homography_of(corners: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the homographies ``(n, 3, 3)`` that put a picture's corners at ``(n, 4, 2)``.

    The corners are the upper left, upper right, lower left and lower right one (Heckbert 1989,
    section 2.2.3). Differentiable.
    """
    p0, p1, p3, p2 = corners.unbind(1)
    total, one, other = p0 - p1 + p2 - p3, p1 - p2, p3 - p2
    bottom = one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
    g = (total[:, 0] * other[:, 1] - total[:, 1] * other[:, 0]) / bottom
    h = (one[:, 0] * total[:, 1] - one[:, 1] * total[:, 0]) / bottom
    first = p1 - p0 + g[:, None] * p1
    second = p3 - p0 + h[:, None] * p3
    rows = torch.stack([first, second, p0], -1)
    last = torch.stack([g, h, torch.ones_like(g)], -1)[:, None]
    return torch.cat([rows, last], 1) / torch.tensor([size[1], size[0], 1.0])


class _MosaicFit:
    """The tensors of a fit of two mosaics, and its losses.

    frames: ``(T, 3, h, w)``. homographies, start: as in :func:`fit_mosaic`.
    used: the frames that the fit sees, at most :data:`MOST_FRAMES`. pictures: both canvases.
    moved: how far the frames' corners are moved on them, in pixels.
    gains: logarithms of a gain for each frame and channel.
    """

    def __init__(self, frames: Tensor, homographies: LayerHomographies, start: LayerPair) -> None:
        self.count = len(frames)
        self.used = fitted_frames(self.count)
        self.target = frames[self.used]
        size = (frames.shape[-2], frames.shape[-1])
        self.planes = [_Plane(each, size) for each in homographies]
        self.pictures = [
            plane.canvas_of(layer[self.used], plane.corners[self.used]).requires_grad_()
            for plane, layer in zip(self.planes, start, strict=True)
        ]
        self.moved = [torch.zeros(len(self.used), 4, 2, requires_grad=True) for _ in self.planes]
        self.gains = torch.zeros(len(self.used), 3, 1, 1, requires_grad=True)

    def groups(self) -> list[ParameterGroup]:
        """Return the fitted tensors with their learning rates."""
        return [
            ParameterGroup(self.pictures, lambda progress: RATE * _cosine(progress)),
            ParameterGroup(
                self.moved, lambda progress: MOTION_RATE * min(1.0, 4 * _cosine(progress))
            ),
            ParameterGroup([self.gains], constant(GAIN_RATE)),
        ]

    def evaluate(self, step: int, weights: Weights) -> Losses:
        """Return the losses of a step."""
        seen = [
            plane.seen_in(picture, plane.corners[self.used] + moved)
            for plane, picture, moved in zip(self.planes, self.pictures, self.moved, strict=True)
        ]
        error = self._log_gains().exp() * (seen[0] + seen[1]) - self.target
        losses = {
            "unexplained": (error**2 + QUADRATIC_BELOW**2).sqrt().mean(),
            "roughness": smoothness(self.pictures[0]) + smoothness(self.pictures[1]),
            "reflection": self.pictures[1].mean(),
        }
        return weighted(losses, weights)

    @torch.no_grad()
    def clamp(self) -> None:
        """Bring the canvases back into [0, 1]."""
        for picture in self.pictures:
            picture.clamp_(0, 1)

    @torch.no_grad()
    def result(self, loss: float) -> Mosaic:
        """Return both layers in all frames, and their homographies.

        loss: the loss that was reached.
        """
        between = interpolation_matrix(self.used, self.count)
        # Frames that were not used are corrected like their neighbours that were.
        gains = (between @ self._log_gains().flatten(1)).exp().view(-1, 3, 1, 1)
        layers, fitted = [], []
        for plane, picture, moved in zip(self.planes, self.pictures, self.moved, strict=True):
            corners = plane.corners + (between @ moved.flatten(1)).view(-1, 4, 2)
            frames = [
                gains[t] * plane.seen_in(picture, corners[t : t + 1]) for t in range(self.count)
            ]
            layers.append(torch.cat(frames))
            fitted.append(plane.homographies_to(corners))
        return Mosaic((layers[0], layers[1]), (fitted[0], fitted[1]), loss)

    def _log_gains(self) -> Tensor:
        """Return the logarithms of the gains, with a mean of 0: cameras adapt their exposure."""
        return self.gains - self.gains.mean(0)


class _Plane:
    """The canvas of one layer, and where each frame lies on it.

    homographies: from the first frame to each. size: height and width of a frame.
    corners: where the corners of each frame lie, ``(T, 4, 2)``, in the coordinates of the middle
    frame. This is how homographies are kept: as four points that Adam can move.
    """

    def __init__(self, homographies: Sequence[Homography], size: tuple[int, int]) -> None:
        height, width = size
        self.size = size
        middle = homographies[len(homographies) // 2]
        corners = np.stack(
            [_corners_under(middle @ np.linalg.inv(each), size) for each in homographies]
        )
        self.corners = torch.tensor(corners, dtype=torch.float32)
        points = corners.reshape(-1, 2)
        low = np.maximum(points.min(0), [-MARGIN * width, -MARGIN * height])
        high = np.minimum(points.max(0), [(1 + MARGIN) * width, (1 + MARGIN) * height])
        self._low = np.floor(low).astype(int)
        across, down = np.ceil(high).astype(int) - self._low
        self._canvas_size = (int(down), int(across))

    def seen_in(self, canvas: Tensor, corners: Tensor) -> Tensor:
        """Return what frames see of a canvas ``(1, C, H, W)``, ``(n, C, h, w)``.

        corners: where the frames' corners lie, ``(n, 4, 2)`` in pixels.
        """
        grid = self._lookup(corners)
        return sample(canvas.expand(len(grid), -1, -1, -1), grid)

    def canvas_of(self, layer: Tensor, corners: Tensor) -> Tensor:
        """Return the canvas ``(1, 3, H, W)`` as the mean of what frames ``(n, 3, h, w)`` see of it.

        One step of least squares by splatting; holes are filled from a blur.
        """
        size = self._canvas_size
        picture = torch.zeros(1, 3, *size, requires_grad=True)
        ones = torch.zeros(1, 1, *size, requires_grad=True)
        (total,) = torch.autograd.grad((self.seen_in(picture, corners) * layer).sum(), picture)
        (weight,) = torch.autograd.grad(self.seen_in(ones, corners).sum(), ones)
        fill = layer.mean((0, 2, 3), keepdim=True).expand(1, 3, *size)
        for scale in HOLE_SCALES:
            small = (-(-size[0] // scale), -(-size[1] // scale))
            coarser = COARSE_WEIGHT * resize(fill, small)
            mean = (resize(total, small) + coarser) / (resize(weight, small) + COARSE_WEIGHT)
            fill = resize(mean, size)
        return ((total + FILL_WEIGHT * fill) / (weight + FILL_WEIGHT)).detach()

    def homographies_to(self, corners: Tensor) -> list[Homography]:
        """Return the homographies from the first frame to each, for corners ``(n, 4, 2)``."""
        to_middle = homography_of(corners, self.size).double().numpy()
        return [np.linalg.inv(each) @ to_middle[0] for each in to_middle]

    def _lookup(self, corners: Tensor) -> Tensor:
        """Return where the pixels of n frames lie on the canvas, ``(n, h, w, 2)``, for grid_sample.

        corners: where the frames' corners lie, ``(n, 4, 2)`` in pixels.
        """
        height, width = self.size
        matrix = homography_of(corners, self.size)[..., None, None]
        x = torch.arange(width) + 0.5
        y = torch.arange(height)[:, None] + 0.5
        across, down, depth = (
            matrix[:, row, 0] * x + matrix[:, row, 1] * y + matrix[:, row, 2] for row in range(3)
        )
        scale = 2 / torch.tensor([self._canvas_size[1], self._canvas_size[0]])
        origin = torch.from_numpy(self._low).float()
        return torch.stack(
            [
                (across / depth - origin[0]) * scale[0] - 1,
                (down / depth - origin[1]) * scale[1] - 1,
            ],
            -1,
        )


def _corners_under(view: Homography, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return where the homography ``view`` puts the corners of a picture, ``(4, 2)``.

    The corners stay where they are if ``view`` puts one too far away.
    """
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float64)
    projected = corners @ view.T
    if projected[:, 2].min() < LEAST_DEPTH:
        return corners[:, :2]
    moved: NDArray[np.float64] = projected[:, :2] / projected[:, 2:]
    if np.abs(moved - corners[:, :2]).max() > FARTHEST_CORNER * max(size):
        return corners[:, :2]
    return moved


def _cosine(progress: float) -> float:
    """Return half a period of a cosine, from 1 down to 0."""
    return 0.5 * (1 + math.cos(math.pi * progress))
