"""Find what a rigid scene cannot explain: long trajectories against the camera's motion and the parallax of the scene.

Under a moving camera the places of a rigid scene move as one homography plus parallax, which has one direction in each frame and a size
that depends on depth (plane and parallax; Irani and Anandan 1998). Over several frames the parallax of all depths thus lies in a space
of few dimensions, as Sheikh et al. (2009) use it. Its spread is measured here by a robust covariance (minimum covariance determinant,
Rousseeuw 1984), and a trajectory counts as far away as its Mahalanobis distance says. Without parallax that covariance is noise.

Flows are as in :mod:`stages.motion.flow`. T is the number of frames of a window, L the number of other frames
that a trajectory is followed to.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import box, length, lookup, warp
from stages.segment.background import grown
from stages.segment.motion import Motion, border_weight, camera_flow

REACH = 6  # frames to each side over which a pixel is followed
KEPT = 0.75  # part of the picture's weight that is taken for a rigid scene
ROUNDS = 12
NOISE = 0.35  # pixels: standard deviation of a chained flow that is always allowed for
EVERY = 5  # every so many pixels are enough for the covariance
LEAST_TRUST = 0.02
SMOOTHING = 5
AROUND = 4  # pixels to each side of an outline in which its motion is compared
TYPICAL = 0.75  # quantile of the motion's spread that an outline has to stand out from
SLACK = 0.05  # pixels a frame of that spread that are always allowed for


def unexplained(motion: Motion) -> Tensor:
    """Return how far each pixel's trajectory is from those of a rigid scene: ``(T, h, w)``, about 1 for the scene itself.

    motion: of a window of T frames, three or more.
    """
    count = len(motion.forward) + 1
    far = torch.stack([_distance(*trajectories(motion, t)) for t in range(count)])
    return motion.along(far.clamp_min(1e-3).log()[:, None], SMOOTHING)[:, 0].exp()


def trajectories(motion: Motion, frame: int, reach: int = REACH) -> tuple[Tensor, Tensor]:
    """Follow the pixels of ``frame`` through up to ``2 reach`` other frames, as many on each side as the window has.

    Returns flows from ``frame`` to each of them ``(L, 2, h, w)`` and confidence in them ``(L, 1, h, w)`` in [0, 1].
    """
    count = len(motion.forward) + 1
    begin = min(max(0, frame - reach), max(0, count - 1 - 2 * reach))
    end = min(count - 1, begin + 2 * reach)
    ahead = follow(motion, frame, end - frame)
    behind = follow(motion, frame, begin - frame)
    return torch.cat([ahead[0], behind[0]]), torch.cat([ahead[1], behind[1]])


def follow(motion: Motion, frame: int, steps: int, fading: float = 1.0) -> tuple[Tensor, Tensor]:
    """Chain flows from ``frame`` over ``steps`` frames, backwards where that is negative.

    fading: how far doubt in one step counts; with 1 the confidences of all steps multiply.
    Returns flows ``(|steps|, 2, h, w)`` and confidence ``(|steps|, 1, h, w)``, which is 0 once a trajectory has left the picture.
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
    """Mahalanobis distance ``(h, w)`` per dimension of trajectories ``(L, 2, h, w)`` to those of the rigid scene."""
    size = (moved.shape[-2], moved.shape[-1])
    rest = (moved - camera_flow(moved)).double().flatten(0, 1).flatten(1).T
    weight = border_weight(size).flatten() * trust.mean((0, 1)).flatten().double().clamp_min(
        LEAST_TRUST
    )
    covariance = scene_covariance(rest[::EVERY], weight[::EVERY])
    return (_squared(rest, covariance) / rest.shape[1]).sqrt().view(size).to(moved)


def scene_covariance(rest: Tensor, weight: Tensor) -> Tensor:
    """Return the covariance ``(d, d)`` of those of the points ``rest`` ``(N, d)`` that lie closest together, around zero.

    The :data:`KEPT` part of ``weight`` ``(N,)`` counts, chosen anew in every round; what moves by itself must not widen it. It is scaled
    so that the median of all squared distances is d.
    """
    floor = NOISE**2 * torch.eye(rest.shape[1]).to(rest)
    squared = (rest**2).mean(1)
    covariance = floor
    for _ in range(ROUNDS):
        near = weight * (squared <= _weighted_quantile(squared, weight, KEPT))
        covariance = (near[:, None] * rest).T @ rest / near.sum() + floor
        squared = _squared(rest, covariance)
    scaled: Tensor = covariance * (
        _weighted_quantile(squared, weight, 0.5) / rest.shape[1]
    ).clamp_min(1e-6)
    return scaled


def _squared(rest: Tensor, covariance: Tensor) -> Tensor:
    squared: Tensor = (rest * torch.linalg.solve(covariance, rest.T).T).sum(1)
    return squared


def _weighted_quantile(values: Tensor, weight: Tensor, part: float) -> Tensor:
    order = values.argsort()
    total = weight[order].cumsum(0)
    return values[order[int((total < part * total[-1]).sum().clamp(max=len(order) - 1))]]


def outline_motion(motion: Motion, matte: Tensor) -> float:
    """Return how far motion changes along a matte's outline: the mean over frames, in [0, 1].

    An object's outline is where motion jumps; a part of a receding ground has none there. Where the picture's border cuts
    the matte nothing is known to change, which counts as nothing; so does a frame without a matte.

    matte: ``(T, h, w)`` of bool.
    """
    inside = matte[:, None].float()
    share = box(inside, AROUND)
    outline = (grown(matte[:, None], 1) & ~matte[:, None]) | (
        grown(~matte[:, None], 1) & matte[:, None]
    )
    ways = []
    for flow in (
        torch.cat([motion.forward, motion.backward[-1:]]),
        torch.cat([motion.forward[:1], motion.backward]),
    ):
        ours = box(flow * inside, AROUND) / share.clamp_min(1e-3)
        others = box(flow * (1 - inside), AROUND) / (1 - share).clamp_min(1e-3)
        jump = length(ours - others)
        spread = (
            (box(flow**2, AROUND) - box(flow, AROUND) ** 2).clamp_min(0).sum(1, keepdim=True).sqrt()
        )
        typical = spread.flatten(1).quantile(TYPICAL, dim=1).view(-1, 1, 1, 1) + SLACK
        ways.append(jump / (jump + 2 * typical))
    # Next to a corner too little of one side is seen.
    shown = outline & (share > 0.15) & (share < 0.85)
    cut = matte[:, 0].sum(1) + matte[:, -1].sum(1) + matte[:, :, 0].sum(1) + matte[:, :, -1].sum(1)
    # An outline is drawn twice, on both of its sides.
    jumps = ((ways[0] + ways[1]) / 2 * shown).sum((1, 2, 3)) / 2
    return float((jumps / (outline.sum((1, 2, 3)) / 2 + cut).clamp_min(1)).mean())
