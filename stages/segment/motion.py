"""What moves against the camera: optical flow, the camera's own motion as homographies, and what is left between the two.

Flows are as in :mod:`stages.motion.flow`: ``(n, 2, h, w)``, pixels, x then y. T is the number of frames of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from stages.motion.flow import Pair, box, consistency, flows, length, resize, resize_flow, warp

GAPS = (1, 2)
"""Frames between the two of a pair. Over 4 frames what is near the camera moves differently enough to look like a foreground."""
ENLARGED = 2  # times the size at which flow is found
ENLARGED_FRAMES = 12  # that are held enlarged at once

BORDER = 0.15  # the camera's motion is believed to show at the picture's border; its weight falls to a third over this part of the side
INSIDE = 0.1  # weight in the middle
POINTS = 1600
ROUNDS = 30
ROUGH = 0.1  # a flow is believed to this part of its length, and to a pixel
SMOOTHING = 5
FADING = 0.02
RESTS = 0.003  # part of the width that a fixed camera may be off in most frames


@dataclass(frozen=True)
class Motion:
    """The motion of a window of T frames of one size.

    forward, backward: flow from each frame to the next and back, ``(T - 1, 2, h, w)``; camera_forward, camera_backward: what of it is
    the camera's. trust_forward, trust_backward: confidence in [0, 1], ``(T - 1, 1, h, w)``.
    residual: motion against the camera's in pixels a frame, averaged along the trajectories, ``(T, 2, h, w)``.
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
        """Length of the residual, ``(T, h, w)``."""
        return length(self.residual)[:, 0]

    def resized(self, size: tuple[int, int]) -> Motion:
        """The same for frames of another size ``(H, W)``."""
        return Motion(
            resize_flow(self.forward, size),
            resize_flow(self.backward, size),
            resize_flow(self.camera_forward, size),
            resize_flow(self.camera_backward, size),
            resize(self.trust_forward, size),
            resize(self.trust_backward, size),
            resize_flow(self.residual, size),
        )

    def to(self, device: torch.device) -> Motion:
        """The same on ``device``."""
        return Motion(*(getattr(self, each.name).to(device) for each in fields(self)))

    def along(self, values: Tensor, turns: int) -> Tensor:
        """``values`` ``(T, C, h, w)`` averaged ``turns`` times with those of the neighbouring frames along the flow, by its confidence."""
        for _ in range(turns):
            total, weight = values.clone(), torch.ones_like(values[:, :1])
            total[:-1] += self.trust_forward * warp(values[1:], self.forward)
            weight[:-1] += self.trust_forward
            total[1:] += self.trust_backward * warp(values[:-1], self.backward)
            weight[1:] += self.trust_backward
            values = total / weight
        return values

    def carried(self, matte: Tensor) -> Tensor:
        """The most of ``matte`` ``(T, 1, h, w)`` that each pixel's trajectory meets, less :data:`FADING` a frame: what moved once."""
        ways = []
        for frames, flow, trust, step in (
            (range(1, len(matte)), self.backward, self.trust_backward, -1),
            (range(len(matte) - 2, -1, -1), self.forward, self.trust_forward, 1),
        ):
            most = matte.clone()
            for t in frames:
                at = min(t, t + step)
                brought = (1 - FADING) * trust[at : at + 1] * warp(most[t + step : t + step + 1], flow[at : at + 1])
                most[t] = torch.maximum(most[t], brought[0])
            ways.append(most)
        return torch.maximum(*ways)


def find_motion(frames: Tensor) -> Motion:
    """The motion of ``frames`` ``(T, 3, h, w)`` in [0, 1], two or more.

    A pixel's residual is the mean over its pairs of flow less camera, a frame, by forward-backward agreement; then the mean along its
    trajectory: ripples and noise change their direction from frame to frame and cancel, a body does not.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    total, weight = frames.new_zeros(count, 2, *size), frames.new_zeros(count, 1, *size)
    near: Motion | None = None
    for gap in GAPS:
        if gap >= count:
            break
        pairs = [(t, t + gap) for t in range(count - gap)]
        found = _enlarged_flows(frames, [*pairs, *((u, t) for t, u in pairs)])
        forward = torch.stack([found[t, u] for t, u in pairs])
        backward = torch.stack([found[u, t] for t, u in pairs])
        cameras = camera_flow(forward), camera_flow(backward)
        both = ((forward, backward, cameras[0], slice(0, count - gap), gap), (backward, forward, cameras[1], slice(gap, count), -gap))
        for flow, back, camera, at, frames_on in both:
            trust = _agreement(flow, back)
            total[at] += trust * (flow - camera) / frames_on
            weight[at] += trust
        if gap == 1:
            trusts = consistency(forward, backward, 1.0), consistency(backward, forward, 1.0)
            near = Motion(forward, backward, *cameras, *trusts, residual=total)
    assert near is not None, "a window with motion has two frames or more"
    motion = replace(near, residual=total / weight)
    return replace(motion, residual=motion.along(motion.residual, SMOOTHING))


def _enlarged_flows(frames: Tensor, pairs: Sequence[Pair]) -> dict[Pair, Tensor]:
    """Return the flow of each of ``pairs`` of ``frames`` ``(T, 3, h, w)``, found on enlarged frames.

    DIS stops at half the size of the pictures it is given; on enlarged ones it resolves limbs and outlines of this size.
    """
    size = (frames.shape[-2], frames.shape[-1])
    found: dict[Pair, Tensor] = {}
    for begin in range(0, len(frames), ENLARGED_FRAMES):
        here = [pair for pair in pairs if begin <= min(pair) < begin + ENLARGED_FRAMES]
        if here:
            first, last = min(map(min, here)), max(map(max, here))
            shown = frames[first : last + 1]
            large = functional.interpolate(shown, scale_factor=ENLARGED, mode="bicubic", align_corners=False).clamp(0, 1)
            for pair, flow in flows(large, [(t - first, u - first) for t, u in here]).items():
                found[pair[0] + first, pair[1] + first] = resize_flow(flow[None], size)[0]
    return found


def shown_motion(frames: Tensor, motion: Motion) -> Tensor:
    """How far ``frames`` ``(T, 3, h, w)`` show that something moves against the camera: ``(T, h, w)``, 0 where nothing tells.

    The logarithm by how much the flow explains the neighbouring frames better than the camera's motion does. On plain or glittering
    surfaces flow is guessed, and explains nothing. motion: of frames of this size.
    """
    ways = []
    for one, other, flow, camera in (
        (frames[:-1], frames[1:], motion.forward, motion.camera_forward),
        (frames[1:], frames[:-1], motion.backward, motion.camera_backward),
    ):
        ways.append([(one - warp(other, by)).abs().mean(1, keepdim=True) for by in (camera, flow)])
    noise = float(sum(missed.median() for _, missed in ways)) / 2 + 1 / 255
    ahead, behind = (torch.log((box(still, 2) + noise) / (box(missed, 2) + noise)).clamp_min(0) for still, missed in ways)
    none = torch.zeros_like(ahead[:1])
    return box(torch.maximum(torch.cat([ahead, none]), torch.cat([none, behind])), 2)[:, 0]


def camera_rests(sample: Tensor) -> bool:
    """Whether the camera stands still over ``sample`` ``(S, 3, h, w)``, S of 2 or more: no frame is moved against the middle one."""
    middle = len(sample) // 2
    pairs = [(middle, index) for index in range(len(sample)) if index != middle]
    found = flows(sample, pairs)
    moved = length(camera_flow(torch.stack([found[pair] for pair in pairs]))).flatten(1).median(1).values
    return float(moved.quantile(0.9)) <= RESTS * sample.shape[-1]


def _agreement(flow: Tensor, back: Tensor) -> Tensor:
    """Weight of a flow ``(n, 2, h, w)`` by how well ``back`` undoes it; never quite nothing. Returns ``(n, 1, h, w)``."""
    missed = length(flow + warp(back, flow))
    return torch.exp(-((missed / (1 + ROUGH * length(flow))) ** 2)) + 0.02


def camera_flow(flow: Tensor) -> Tensor:
    """The camera's part of ``flow`` ``(n, 2, h, w)``: the flow of the homography that most of it follows, the border above all."""
    return homography_flow(fit_homographies(flow), (flow.shape[-2], flow.shape[-1])).to(flow)


def fit_homographies(flow: Tensor) -> Tensor:
    """The homographies ``(n, 3, 3)``, float64, that the flows ``(n, 2, h, w)`` follow, in coordinates of half the width from the centre.

    Re-weighted least squares with Geman and McClure's weight ``1 / (1 + (e / s)²)²`` of the miss e, s falling from one that takes
    nearly all in to twice the median miss (graduated non-convexity): no random samples, the same answer every time.
    """
    height, width = flow.shape[-2:]
    stride = max(1, round((height * width / POINTS) ** 0.5))
    x, y = places((height, width))
    x, y = x[::stride, ::stride].flatten(), y[::stride, ::stride].flatten()
    moved = flow[:, :, ::stride, ::stride].flatten(2).double().cpu() * (2 / width)
    u, v = x + moved[:, 0], y + moved[:, 1]
    given = border_weight((height, width))[::stride, ::stride].flatten()
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    xs, ys = x.expand_as(u), y.expand_as(u)
    across = torch.stack([xs, ys, one, zero, zero, zero, -u * x, -u * y], -1)
    down = torch.stack([zero, zero, zero, xs, ys, one, -v * x, -v * y], -1)
    design, wanted = torch.cat([across, down], 1), torch.cat([u, v], 1)
    still = torch.eye(3, dtype=torch.float64).flatten()[:8]
    # A little pull towards "no motion": a picture of a few pixels does not settle eight numbers.
    ridge = 1e-4 * torch.eye(8, dtype=torch.float64)
    weight, scale = given.expand_as(u), torch.zeros(0)
    for number in range(ROUNDS):
        weighted = design * torch.cat([weight, weight], 1)[..., None]
        right = (weighted.mT @ (wanted - design @ still)[..., None])[..., 0]
        terms = still + torch.linalg.solve(weighted.mT @ design + ridge, right)
        matrices = torch.cat([terms, torch.ones(len(terms), 1, dtype=torch.float64)], 1).view(-1, 3, 3)
        predicted = project_points(matrices, x, y)
        missed = torch.hypot(predicted[:, 0] - u, predicted[:, 1] - v) * (width / 2)
        if not number:
            scale = missed.quantile(0.9, dim=1, keepdim=True) + 0.5
        scale = torch.maximum(0.8 * scale, (2 * missed.median(dim=1, keepdim=True).values).clamp_min(0.5))
        weight = given / (1 + (missed / scale) ** 2) ** 2
    return matrices


def homography_flow(matrices: Tensor, size: tuple[int, int]) -> Tensor:
    """The flow ``(n, 2, H, W)``, float64, of homographies ``(n, 3, 3)`` in the coordinates of :func:`fit_homographies`."""
    x, y = places(size)
    moved = project_points(matrices, x.flatten(), y.flatten()).view(-1, 2, *size)
    flow: Tensor = (moved - torch.stack([x, y])) * (size[1] / 2)
    return flow


def project_points(matrices: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Where homographies ``(n, 3, 3)`` take the points ``(N,)``: ``(n, 2, N)``."""
    moved = matrices @ torch.stack([x, y, torch.ones_like(x)])
    depth = moved[:, 2:]
    # A wild first guess may send points behind the camera; they must not divide by nothing.
    return moved[:, :2] / torch.where(depth.abs() < 0.05, 0.05, depth)


def places(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """x and y of every pixel, ``(H, W)``, float64, in halves of the width from the centre."""
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) - (side - 1) / 2 for side in size), indexing="ij")
    return x * (2 / size[1]), y * (2 / size[1])


def border_distance(size: tuple[int, int]) -> Tensor:
    """How far inside every pixel lies, in parts of the sides: ``(H, W)``, 0 at the border and 0.5 in the middle."""
    sides: Sequence[Tensor] = [torch.minimum(torch.arange(side) + 0.5, side - 0.5 - torch.arange(side)) / side for side in size]
    return torch.minimum(sides[0][:, None], sides[1][None])


def border_weight(size: tuple[int, int]) -> Tensor:
    """How far every pixel is believed to be background: ``(H, W)``, float64."""
    return (torch.exp(-border_distance(size) / BORDER) + INSIDE).double()
