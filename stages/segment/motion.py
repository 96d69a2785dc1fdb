"""Find what moves against the camera: optical flow minus the camera's motion.

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
from stages.segment.camera import camera_flow

GAPS = (1, 2)
"""Distances in frames of the pairs whose flow is used.

At 4, parallax of near things looks like a foreground.
"""
ENLARGED = 2  # factor by which frames are enlarged before the flow is computed
ENLARGED_FRAMES = 12  # most first frames of pairs that are enlarged at once, to bound memory

ROUGH = 0.1  # tolerated error of a flow as a part of its length, in addition to one pixel
LEAST_AGREEMENT = 0.02  # weight of a flow that is not undone at all, so that means over it exist
SMOOTHING = 5  # rounds of averaging along the flow
FADING = 0.02  # part that a value carried along a trajectory loses with each frame


@dataclass(frozen=True)
class WindowMotion:
    """The motion of a window of T frames of one size.

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
        """The length of the residual in pixels a frame, ``(T, h, w)``."""
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

    def averaged_along_flow(self, values: Tensor, turns: int) -> Tensor:
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

    def largest_along_flow(self, matte: Tensor) -> Tensor:
        """Return the largest value of ``matte`` ``(T, 1, h, w)`` along each pixel's trajectory.

        Values lose :data:`FADING` a frame on their way.
        """
        return torch.maximum(
            *self.carried_both_ways(matte, lambda t, brought: matte[t].maximum(brought))
        )

    def carried_both_ways(
        self, values: Tensor, merge: Callable[[int, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return ``values`` ``(T, 1, h, w)`` carried along the trajectories, forwards and back.

        They lose :data:`FADING` a frame on their way, and more where the flow is not trusted.

        merge: takes a frame's index and what its neighbour brings there, ``(1, h, w)``, and returns
        the frame's new values, which are carried on.
        """
        forwards, backwards = values.clone(), values.clone()
        for carried, frames, flow, trust, step in (
            (forwards, range(1, len(values)), self.backward, self.trust_backward, -1),
            (backwards, range(len(values) - 2, -1, -1), self.forward, self.trust_forward, 1),
        ):
            for t in frames:
                neighbor, pair = t + step, min(t, t + step)
                brought = warp(carried[neighbor : neighbor + 1], flow[pair : pair + 1])
                carried[t] = merge(t, ((1 - FADING) * trust[pair : pair + 1] * brought)[0])
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
        camera_forward, camera_backward = camera_flow(forward), camera_flow(backward)
        for flow, back, camera, start, frames_on in (
            (forward, backward, camera_forward, slice(0, count - gap), gap),
            (backward, forward, camera_backward, slice(gap, count), -gap),
        ):
            agreement = _agreement(flow, back)
            total[start] += agreement * (flow - camera) / frames_on
            weight[start] += agreement
        if gap == 1:
            of_neighbors = WindowMotion(
                forward,
                backward,
                camera_forward,
                camera_backward,
                trust_forward=consistency(forward, backward, 1.0),
                trust_backward=consistency(backward, forward, 1.0),
                residual=total,
            )
    assert of_neighbors is not None, "a window with motion has two frames or more"
    motion = replace(of_neighbors, residual=total / weight)
    return replace(motion, residual=motion.averaged_along_flow(motion.residual, SMOOTHING))


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
            (one - warp(other, each)).abs().mean(1, keepdim=True) for each in (camera, flow)
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
        group = [pair for pair in pairs if begin <= min(pair) < begin + ENLARGED_FRAMES]
        if group:
            first, last = min(map(min, group)), max(map(max, group))
            shown = frames[first : last + 1]
            large = functional.interpolate(
                shown, scale_factor=ENLARGED, mode="bicubic", align_corners=False
            ).clamp(0, 1)
            for pair, flow in flows(large, [(t - first, u - first) for t, u in group]).items():
                found[pair[0] + first, pair[1] + first] = resize_flow(flow[None], size)[0]
    return found


def _agreement(flow: Tensor, back: Tensor) -> Tensor:
    """Return the weight ``(n, 1, h, w)`` of a flow ``(n, 2, h, w)`` by how well ``back`` undoes it.

    It lies between :data:`LEAST_AGREEMENT` and 1 more.
    """
    missed = length(flow + warp(back, flow))
    return torch.exp(-((missed / (1 + ROUGH * length(flow))) ** 2)) + LEAST_AGREEMENT
