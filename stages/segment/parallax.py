"""Find long trajectories that neither the camera's motion nor the scene's parallax explains.

Under a moving camera, the points of a rigid scene move by one homography plus parallax. Parallax
has one direction in each frame and a length that depends on depth (plane and parallax; Irani and
Anandan 1998). Over several frames, the parallax of all depths lies in a space of few dimensions
(Sheikh et al. 2009). Its spread is measured by a robust covariance (minimum covariance determinant,
Rousseeuw 1984). A trajectory's Mahalanobis distance tells how far it is from the scene's own
motion. Without parallax, the covariance is that of noise.

Flows are as in :mod:`stages.motion.flow`. T is the number of frames of a window, L the number of
other frames that a trajectory is followed to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box, length, lookup, warp
from stages.optim.statistics import weighted_quantile
from stages.segment.background import dilate
from stages.segment.motion import WindowMotion, camera_flow, outer_weight

REACH = 6  # frames to each side over which a pixel is followed
KEPT = 0.75  # part of the trajectories' weight that counts as the rigid scene
ROUNDS = 12  # rounds in which that part is chosen anew
NOISE = 0.35  # least standard deviation of a chained flow, in pixels
EVERY = 5  # every fifth pixel is used for the covariance, which is enough
LEAST_TRUST = 0.02  # least weight of a trajectory
SMOOTHING = 5  # rounds of averaging along the flow
AROUND = 4  # pixels to each side of an outline in which motion is compared
LEAST_SIDE = 0.15  # least part of that square on either side of the outline
TYPICAL = 0.75  # quantile of the motion's local spread that an outline has to exceed
SLACK = 0.05  # pixels a frame that are added to that spread


def unexplained(motion: WindowMotion) -> Tensor:
    """Return every trajectory's distance from the motion of a rigid scene, ``(T, h, w)``.

    It is about 1 for the scene itself. motion: of a window of three or more frames.
    """
    count = len(motion.forward) + 1
    far = torch.stack([_distance(*trajectories(motion, t)) for t in range(count)])
    return motion.along(far.clamp_min(1e-3).log()[:, None], SMOOTHING)[:, 0].exp()


def trajectories(motion: WindowMotion, frame: int, reach: int = REACH) -> tuple[Tensor, Tensor]:
    """Follow the pixels of ``frame`` through up to ``2 reach`` other frames.

    At the ends of the window, more of them lie on the other side.
    Returns the flows from ``frame`` to each of them, ``(L, 2, h, w)``, and the confidence in them,
    ``(L, 1, h, w)`` in [0, 1].
    """
    count = len(motion.forward) + 1
    begin = min(max(0, frame - reach), max(0, count - 1 - 2 * reach))
    end = min(count - 1, begin + 2 * reach)
    ahead = follow(motion, frame, end - frame)
    behind = follow(motion, frame, begin - frame)
    return torch.cat([ahead[0], behind[0]]), torch.cat([ahead[1], behind[1]])


def follow(
    motion: WindowMotion, frame: int, steps: int, fading: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Chain the flows from ``frame`` over ``steps`` frames, backwards if that is negative.

    fading: the weight of each step's doubt; with 1, the confidences of all steps multiply.
    Returns flows ``(|steps|, 2, h, w)`` and confidences ``(|steps|, 1, h, w)``. The confidence is 0
    once a trajectory has left the picture.
    """
    size = motion.forward.shape[-2:]
    moved, trust = motion.forward.new_zeros(1, 2, *size), motion.forward.new_ones(1, 1, *size)
    found = [moved[:0]], [trust[:0]]
    for number in range(abs(steps)):
        at = frame + number if steps > 0 else frame - number - 1
        flow = motion.forward[at] if steps > 0 else motion.backward[at]
        agree = motion.trust_forward[at] if steps > 0 else motion.trust_backward[at]
        inside = lookup(moved).abs().amax(-1)[:, None] <= 1
        step = warp(torch.cat([flow, agree])[None], moved)
        moved = moved + step[:, :2]
        trust = trust * (1 - fading + fading * step[:, 2:]) * inside
        found[0].append(moved)
        found[1].append(trust)
    return torch.cat(found[0]), torch.cat(found[1])


def _distance(moved: Tensor, trust: Tensor) -> Tensor:
    """Return the Mahalanobis distance ``(h, w)`` per dimension to the rigid scene's trajectories.

    moved, trust: trajectories ``(L, 2, h, w)`` and confidence in them ``(L, 1, h, w)``.
    """
    size = (moved.shape[-2], moved.shape[-1])
    rest = (moved - camera_flow(moved)).double().flatten(0, 1).flatten(1).T
    weight = outer_weight(size).flatten() * trust.mean((0, 1)).flatten().double().clamp_min(
        LEAST_TRUST
    )
    covariance = scene_covariance(rest[::EVERY], weight[::EVERY])
    return (_squared(rest, covariance) / rest.shape[1]).sqrt().view(size).to(moved)


def scene_covariance(rest: Tensor, weight: Tensor) -> Tensor:
    """Return the covariance ``(d, d)``, around zero, of the points that lie closest together.

    Every round chooses anew which points, of :data:`KEPT` of the weight, count. So things that move
    by themselves do not widen it. It is scaled so that the median squared distance of all is d.

    rest: points ``(N, d)``. weight: ``(N,)``.
    """
    floor = NOISE**2 * torch.eye(rest.shape[1]).to(rest)
    squared = (rest**2).mean(1)
    covariance = floor
    for _ in range(ROUNDS):
        near = weight * (squared <= weighted_quantile(squared, weight, KEPT))
        covariance = (near[:, None] * rest).T @ rest / near.sum() + floor
        squared = _squared(rest, covariance)
    scaled: Tensor = covariance * (
        weighted_quantile(squared, weight, 0.5) / rest.shape[1]
    ).clamp_min(1e-6)
    return scaled


def _squared(rest: Tensor, covariance: Tensor) -> Tensor:
    squared: Tensor = (rest * torch.linalg.solve(covariance, rest.T).T).sum(1)
    return squared


def outline_motion(motion: WindowMotion, matte: Tensor) -> float:
    """Return the mean over frames of :func:`outline_jumps`, in [0, 1]."""
    return float(outline_jumps(motion, matte).mean())


def outline_jumps(motion: WindowMotion, matte: Tensor) -> Tensor:
    """Return how much the motion changes along a matte's outline in each frame, ``(T,)`` in [0, 1].

    Motion jumps at an object's outline, but not at that of a piece of receding ground. The part of
    the outline that the picture's outer edge cuts off counts as 0; so does a frame without a matte.

    matte: ``(T, h, w)`` of bool.
    """
    inside = matte[:, None]
    outline = (dilate(inside, 1) & ~inside) | (dilate(~inside, 1) & inside)
    share = box(inside.float(), AROUND)
    # Where one side fills nearly all of a square, too little of the other is in it to be compared.
    shown = outline & (share > LEAST_SIDE) & (share < 1 - LEAST_SIDE)
    # Each frame's flow to the next one and to the one before; at the ends, the only one there is.
    to_next = torch.cat([motion.forward, motion.backward[-1:]])
    to_previous = torch.cat([motion.forward[:1], motion.backward])
    jump = (_jumps(to_next, inside.float()) + _jumps(to_previous, inside.float())) / 2
    # The outline is two pixels wide, one on each of its sides.
    jumps = (jump * shown).sum((1, 2, 3)) / 2
    cut = matte[:, 0].sum(1) + matte[:, -1].sum(1) + matte[:, :, 0].sum(1) + matte[:, :, -1].sum(1)
    return jumps / (outline.sum((1, 2, 3)) / 2 + cut).clamp_min(1)


def _jumps(flow: Tensor, inside: Tensor) -> Tensor:
    """Return how much the mean flow in and outside a matte differs around each pixel, in [0, 1].

    The difference counts relative to how much flow varies elsewhere in the same frame.

    flow: ``(T, 2, h, w)``. inside: the matte, ``(T, 1, h, w)`` of 0 and 1, as the result's shape.
    """
    share = box(inside, AROUND)
    mean_inside = box(flow * inside, AROUND) / share.clamp_min(1e-3)
    mean_outside = box(flow * (1 - inside), AROUND) / (1 - share).clamp_min(1e-3)
    jump = length(mean_inside - mean_outside)
    variance = (box(flow**2, AROUND) - box(flow, AROUND) ** 2).clamp_min(0)
    spread = variance.sum(1, keepdim=True).sqrt()
    typical = spread.flatten(1).quantile(TYPICAL, dim=1).view(-1, 1, 1, 1) + SLACK
    return jump / (jump + 2 * typical)
