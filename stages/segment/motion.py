"""Find what moves against the camera: optical flow minus the camera's motion as a homography.

Flows are as in :mod:`stages.motion.flow`: ``(n, 2, h, w)``, in pixels, x then y.
T is the number of frames of a window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import FramePair, box, consistency, flows, length, resize, resize_flow, warp

GAPS = (1, 2)
"""Distances in frames of the pairs whose flow is used.

At 4, parallax of near things looks like a foreground.
"""
ENLARGED = 2  # factor by which frames are enlarged before the flow is computed
ENLARGED_FRAMES = 12  # most first frames of pairs that are enlarged at once, to bound memory

OUTER_REACH = 0.15
"""Part of the side over which a pixel's weight in the camera's motion falls to a third.

The picture's outer edge counts most, because the foreground is mostly in the middle.
"""
INSIDE = 0.1  # weight in the middle of the picture, relative to 1 more at its outer edge
POINTS = 1600  # flow vectors that a homography is fitted to
ROUNDS = 30  # rounds of re-weighting these vectors
ROUGH = 0.1  # tolerated error of a flow as a part of its length, in addition to one pixel
LEAST_AGREEMENT = 0.02  # weight of a flow that is not undone at all, so that means over it exist
SMOOTHING = 5  # rounds of averaging along the flow
FADING = 0.02  # part that a value carried along a trajectory loses with each frame
RESTS = 0.003  # part of the width by which a fixed camera's picture may seem to shift
LEAST_DEPTH = 0.05
"""Depth that is divided by at least: a bad first guess may send points behind the camera."""
IDENTITY = torch.eye(3, dtype=torch.float64).flatten()[:8]
"""The first eight entries of the homography that moves nothing; the ninth one is always 1."""
QUADRATIC = torch.tensor([[0, 1, 3], [1, 2, 4], [3, 4, 5]])
"""Places of the products of x, y and 1 with each other in (x x, x y, y y, x, y, 1)."""


@dataclass(frozen=True)
class WindowMotion:
    """Hold the motion of a window of T frames of one size.

    forward, backward: flow from each frame to the next and back, ``(T - 1, 2, h, w)``.
    camera_forward, camera_backward: the camera's part of that flow.
    trust_forward, trust_backward: confidence in the flow in [0, 1], ``(T - 1, 1, h, w)``.
    residual: motion against the camera in pixels a frame, averaged along the trajectories,
    ``(T, 2, h, w)``.
    """

    forward: Tensor
    backward: Tensor
    camera_forward: Tensor
    camera_backward: Tensor
    trust_forward: Tensor
    trust_backward: Tensor
    residual: Tensor

    @property
    def speed(self) -> Tensor:
        """Return the length of the residual in pixels a frame, ``(T, h, w)``."""
        return length(self.residual)[:, 0]

    def resized(self, size: tuple[int, int]) -> WindowMotion:
        """Return this motion for frames of another size ``(H, W)``."""
        return WindowMotion(
            resize_flow(self.forward, size),
            resize_flow(self.backward, size),
            resize_flow(self.camera_forward, size),
            resize_flow(self.camera_backward, size),
            resize(self.trust_forward, size),
            resize(self.trust_backward, size),
            resize_flow(self.residual, size),
        )

    def to(self, device: torch.device) -> WindowMotion:
        """Return this motion on ``device``."""
        return WindowMotion(*(getattr(self, each.name).to(device) for each in fields(self)))

    def along(self, values: Tensor, turns: int) -> Tensor:
        """Return ``values`` ``(T, C, h, w)`` averaged along the flow with the neighbouring frames.

        turns: how often. The confidence in the flow is the neighbours' weight.
        """
        for _ in range(turns):
            total, weight = values.clone(), torch.ones_like(values[:, :1])
            total[:-1] += self.trust_forward * warp(values[1:], self.forward)
            weight[:-1] += self.trust_forward
            total[1:] += self.trust_backward * warp(values[:-1], self.backward)
            weight[1:] += self.trust_backward
            values = total / weight
        return values

    def carried(self, matte: Tensor) -> Tensor:
        """Return the largest value of ``matte`` ``(T, 1, h, w)`` along each pixel's trajectory.

        Values lose :data:`FADING` a frame on their way.
        """
        return torch.maximum(*self.followed(matte, lambda t, brought: matte[t].maximum(brought)))

    def followed(
        self, values: Tensor, merge: Callable[[int, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return ``values`` ``(T, 1, h, w)`` carried along the trajectories, forwards and back.

        They lose :data:`FADING` a frame on their way, and more where the flow is not trusted.

        merge: takes a frame's index and what its neighbour brings there, ``(1, h, w)``, and returns
        the frame's new values, which are carried on.
        """
        forwards, backwards = values.clone(), values.clone()
        for found, frames, flow, trust, step in (
            (forwards, range(1, len(values)), self.backward, self.trust_backward, -1),
            (backwards, range(len(values) - 2, -1, -1), self.forward, self.trust_forward, 1),
        ):
            for t in frames:
                at, other = min(t, t + step), t + step
                brought = warp(found[other : other + 1], flow[at : at + 1])
                found[t] = merge(t, ((1 - FADING) * trust[at : at + 1] * brought)[0])
        return forwards, backwards


def find_motion(frames: Tensor) -> WindowMotion:
    """Return the motion of two or more ``frames`` ``(T, 3, h, w)`` in [0, 1].

    The residual is flow minus the camera's motion a frame, averaged over pairs with the weight of
    forward-backward agreement, then along trajectories. Ripples and noise change direction from
    frame to frame and cancel; bodies do not.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    total, weight = frames.new_zeros(count, 2, *size), frames.new_zeros(count, 1, *size)
    of_neighbors: WindowMotion | None = None
    for gap in GAPS:
        if gap >= count:
            break
        forward, backward = _flows_both_ways(frames, gap)
        cameras = camera_flow(forward), camera_flow(backward)
        both = (
            (forward, backward, cameras[0], slice(0, count - gap), gap),
            (backward, forward, cameras[1], slice(gap, count), -gap),
        )
        for flow, back, camera, at, frames_on in both:
            trust = _agreement(flow, back)
            total[at] += trust * (flow - camera) / frames_on
            weight[at] += trust
        if gap == 1:
            trusts = consistency(forward, backward, 1.0), consistency(backward, forward, 1.0)
            of_neighbors = WindowMotion(forward, backward, *cameras, *trusts, residual=total)
    assert of_neighbors is not None, "a window with motion has two frames or more"
    motion = replace(of_neighbors, residual=total / weight)
    return replace(motion, residual=motion.along(motion.residual, SMOOTHING))


def _flows_both_ways(frames: Tensor, gap: int) -> tuple[Tensor, Tensor]:
    """Return the flows between frames that are ``gap`` apart, ``(T - gap, 2, h, w)`` each.

    The first one leads from every frame to the later one, the second one back.
    """
    pairs = [(t, t + gap) for t in range(len(frames) - gap)]
    found = _enlarged_flows(frames, [*pairs, *((u, t) for t, u in pairs)])
    forward = torch.stack([found[t, u] for t, u in pairs])
    backward = torch.stack([found[u, t] for t, u in pairs])
    return forward, backward


def _enlarged_flows(frames: Tensor, pairs: Sequence[FramePair]) -> dict[FramePair, Tensor]:
    """Return the flow ``(2, h, w)`` of each pair of ``frames`` ``(T, 3, h, w)``.

    DIS works at half the size of its input at most. On enlarged frames it resolves thin limbs.
    """
    size = (frames.shape[-2], frames.shape[-1])
    found: dict[FramePair, Tensor] = {}
    for begin in range(0, len(frames), ENLARGED_FRAMES):
        here = [pair for pair in pairs if begin <= min(pair) < begin + ENLARGED_FRAMES]
        if here:
            first, last = min(map(min, here)), max(map(max, here))
            shown = frames[first : last + 1]
            large = functional.interpolate(
                shown, scale_factor=ENLARGED, mode="bicubic", align_corners=False
            ).clamp(0, 1)
            for pair, flow in flows(large, [(t - first, u - first) for t, u in here]).items():
                found[pair[0] + first, pair[1] + first] = resize_flow(flow[None], size)[0]
    return found


def shown_motion(frames: Tensor, motion: WindowMotion) -> Tensor:
    """Return how clearly the frames show motion against the camera, ``(T, h, w)``, 0 or more.

    It is the logarithm of how much better the flow explains the neighbouring frames than the
    camera's motion does. On plain or glittering surfaces the flow is a guess and explains nothing.

    frames: ``(T, 3, h, w)`` in [0, 1]. motion: of frames of this size.
    """
    errors = []
    for one, other, flow, camera in (
        (frames[:-1], frames[1:], motion.forward, motion.camera_forward),
        (frames[1:], frames[:-1], motion.backward, motion.camera_backward),
    ):
        by_camera, by_flow = (
            (one - warp(other, way)).abs().mean(1, keepdim=True) for way in (camera, flow)
        )
        errors.append((by_camera, by_flow))
    noise = float(sum(by_flow.median() for _, by_flow in errors)) / 2 + 1 / 255
    to_next, to_previous = (
        torch.log((box(by_camera, 2) + noise) / (box(by_flow, 2) + noise)).clamp_min(0)
        for by_camera, by_flow in errors
    )
    # The last frame has no next one, and the first frame no previous one.
    none = torch.zeros_like(to_next[:1])
    clearer = torch.maximum(torch.cat([to_next, none]), torch.cat([none, to_previous]))
    return box(clearer, 2)[:, 0]


def camera_rests(sample: Tensor) -> bool:
    """Return whether the camera stands still over two or more frames ``(S, 3, h, w)``.

    It does if the homographies to the middle frame hardly move anything.
    """
    middle = len(sample) // 2
    pairs = [(middle, index) for index in range(len(sample)) if index != middle]
    found = flows(sample, pairs)
    moved = (
        length(camera_flow(torch.stack([found[pair] for pair in pairs])))
        .flatten(1)
        .median(1)
        .values
    )
    return float(moved.quantile(0.9)) <= RESTS * sample.shape[-1]


def _agreement(flow: Tensor, back: Tensor) -> Tensor:
    """Return the weight ``(n, 1, h, w)`` of a flow ``(n, 2, h, w)`` by how well ``back`` undoes it.

    It lies between :data:`LEAST_AGREEMENT` and 1 more.
    """
    missed = length(flow + warp(back, flow))
    return torch.exp(-((missed / (1 + ROUGH * length(flow))) ** 2)) + LEAST_AGREEMENT


def camera_flow(flow: Tensor) -> Tensor:
    """Return the camera's part of ``flow`` ``(n, 2, h, w)``: that of the best homography."""
    return homography_flow(fit_homographies(flow), (flow.shape[-2], flow.shape[-1])).to(flow)


def fit_homographies(flow: Tensor) -> Tensor:
    """Fit a homography to each of the flows ``(n, 2, h, w)``; the outer edge counts most.

    Coordinates are in halves of the width from the centre. Re-weighted least squares uses Geman and
    McClure's weight ``1 / (1 + (e / s)²)²`` of the error e, in pixels. The scale s falls from one
    that accepts nearly all points to twice the median error (graduated non-convexity). Nothing is
    random.

    Returns ``(n, 3, 3)``, float64.
    """
    height, width = flow.shape[-2:]
    stride = max(1, round((height * width / POINTS) ** 0.5))
    x, y = places((height, width))
    x, y = x[::stride, ::stride].flatten(), y[::stride, ::stride].flatten()
    moved = flow[:, :, ::stride, ::stride].flatten(2).double().cpu() * (2 / width)
    to_x, to_y = x + moved[:, 0], y + moved[:, 1]
    by_place = outer_weight((height, width))[::stride, ::stride].flatten()
    weight = by_place.expand_as(to_x)
    scale = torch.zeros(0)
    for number in range(ROUNDS):
        matrices = _least_squares_homographies(x, y, to_x, to_y, weight)
        predicted = project_points(matrices, x, y)
        error = torch.hypot(predicted[:, 0] - to_x, predicted[:, 1] - to_y) * (width / 2)
        if number == 0:
            scale = error.quantile(0.9, dim=1, keepdim=True) + 0.5
        typical = error.median(dim=1, keepdim=True).values
        scale = torch.maximum(0.8 * scale, (2 * typical).clamp_min(0.5))
        weight = by_place / (1 + (error / scale) ** 2) ** 2
    return matrices


def _least_squares_homographies(
    x: Tensor, y: Tensor, to_x: Tensor, to_y: Tensor, weight: Tensor
) -> Tensor:
    """Return the homographies ``(n, 3, 3)`` of least weighted squared error.

    They take points (x, y) to (to_x, to_y). With q = (x, y, 1) and the homography's first eight
    entries h, a point has two linear equations, ``(q, 0, -to_x x, -to_x y) h = to_x`` and
    ``(0, q, -to_y x, -to_y y) h = to_y``. Their normal equations have sums of few products only.

    x, y: ``(N,)``. to_x, to_y: ``(n, N)``, for n homographies. weight: of each point, ``(n, N)``.
    """
    products = torch.stack([x * x, x * y, y * y, x, y, torch.ones_like(x)], 1)
    across, down = weight * to_x, weight * to_y
    sums, by_x, by_y, by_both = (
        each @ products for each in (weight, across, down, across * to_x + down * to_y)
    )
    normal = torch.zeros(len(weight), 8, 8, dtype=torch.float64)
    normal[:, :3, :3] = normal[:, 3:6, 3:6] = sums[:, QUADRATIC]
    for rows, moved in ((slice(0, 3), by_x), (slice(3, 6), by_y)):
        normal[:, rows, 6:] = -moved[:, QUADRATIC][:, :, :2]
        normal[:, 6:, rows] = normal[:, rows, 6:].mT
    normal[:, 6:, 6:] = by_both[:, QUADRATIC][:, :2, :2]
    # How far the wanted places are from where the identity leaves the points.
    from_x, from_y = sums[:, QUADRATIC[0]], sums[:, QUADRATIC[1]]
    tilt = by_x[:, QUADRATIC[0, :2]] + by_y[:, QUADRATIC[1, :2]] - by_both[:, QUADRATIC[2, :2]]
    right = torch.cat([by_x[:, QUADRATIC[2]] - from_x, by_y[:, QUADRATIC[2]] - from_y, tilt], 1)
    # Pictures of a few pixels do not determine eight numbers: pull gently towards no motion.
    ridge = 1e-4 * torch.eye(8, dtype=torch.float64)
    entries = IDENTITY + torch.linalg.solve(normal + ridge, right)
    last = torch.ones(len(entries), 1, dtype=torch.float64)
    return torch.cat([entries, last], 1).view(-1, 3, 3)


def homography_flow(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the flow ``(n, 2, H, W)``, float64, of homographies ``(n, 3, 3)``.

    Their coordinates are those of :func:`fit_homographies`.
    """
    x, y = places(size)
    moved = project_points(matrices, x.flatten(), y.flatten()).view(-1, 2, *size)
    flow: Tensor = (moved - torch.stack([x, y])) * (size[1] / 2)
    return flow


def project_points(matrices: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Apply homographies ``(n, 3, 3)`` to the points x, y ``(N,)``; return ``(n, 2, N)``."""
    moved = matrices @ torch.stack([x, y, torch.ones_like(x)])
    depth = moved[:, 2:]
    return moved[:, :2] / torch.where(depth.abs() < LEAST_DEPTH, LEAST_DEPTH, depth)


def places(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return every pixel's x and y, ``(H, W)``, float64, in halves of the width from the centre."""
    y, x = torch.meshgrid(
        *(torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in size), indexing="ij"
    )
    return x * (2 / size[1]), y * (2 / size[1])


def outer_distance(size: tuple[int, int]) -> Tensor:
    """Return each pixel's distance to the outer edge in parts of a side, ``(H, W)``, 0 to 0.5."""
    sides: Sequence[Tensor] = [
        torch.minimum(torch.arange(side) + 0.5, side - 0.5 - torch.arange(side)) / side
        for side in size
    ]
    return torch.minimum(sides[0][:, None], sides[1][None])


def outer_weight(size: tuple[int, int]) -> Tensor:
    """Return the weight of every pixel for the camera's motion, ``(H, W)``, float64."""
    return (torch.exp(-outer_distance(size) / OUTER_REACH) + INSIDE).double()
