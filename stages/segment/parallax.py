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

from stages.motion.flow import lookup, warp
from stages.optim.statistics import weighted_quantile
from stages.segment.camera import camera_flow, camera_weight
from stages.segment.motion import WindowMotion

REACH = 6  # frames to each side over which a pixel is followed
SCENE_PART = 0.75  # part of the trajectories' weight that counts as the rigid scene
ROUNDS = 12  # rounds in which that part is chosen anew
NOISE = 0.35  # least standard deviation of a chained flow, in pixels
EVERY = 5  # every fifth pixel is used for the covariance, which is enough
LEAST_TRUST = 0.02  # least weight of a trajectory
SMOOTHING = 5  # rounds of averaging along the flow


def distance_from_scene(motion: WindowMotion) -> Tensor:
    """Return every trajectory's distance from the motion of a rigid scene, ``(T, h, w)``.

    It is about 1 for the scene itself. motion: of a window of three or more frames.
    """
    count = len(motion.forward) + 1
    distances = torch.stack([_distance(*trajectories(motion, t)) for t in range(count)])
    return motion.averaged_along_flow(distances.clamp_min(1e-3).log()[:, None], SMOOTHING)[
        :, 0
    ].exp()


def trajectories(motion: WindowMotion, frame: int, reach: int = REACH) -> tuple[Tensor, Tensor]:
    """Follow the pixels of ``frame`` through up to ``2 reach`` other frames.

    At the ends of the window, more of them lie on the other side.
    Returns the flows from ``frame`` to each of them, ``(L, 2, h, w)``, and the confidence in them,
    ``(L, 1, h, w)`` in [0, 1].
    """
    count = len(motion.forward) + 1
    begin = min(max(0, frame - reach), max(0, count - 1 - 2 * reach))
    end = min(count - 1, begin + 2 * reach)
    later_flows, later_trust = follow(motion, frame, end - frame)
    earlier_flows, earlier_trust = follow(motion, frame, begin - frame)
    return torch.cat([later_flows, earlier_flows]), torch.cat([later_trust, earlier_trust])


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
    chained, confidences = [moved[:0]], [trust[:0]]
    for number in range(abs(steps)):
        if steps > 0:
            at = frame + number
            flow, flow_trust = motion.forward[at], motion.trust_forward[at]
        else:
            at = frame - number - 1
            flow, flow_trust = motion.backward[at], motion.trust_backward[at]
        is_inside = lookup(moved).abs().amax(-1)[:, None] <= 1
        step = warp(torch.cat([flow, flow_trust])[None], moved)
        moved = moved + step[:, :2]
        trust = trust * (1 - fading + fading * step[:, 2:]) * is_inside
        chained.append(moved)
        confidences.append(trust)
    return torch.cat(chained), torch.cat(confidences)


def scene_covariance(residual: Tensor, weight: Tensor) -> Tensor:
    """Return the covariance ``(d, d)``, around zero, of the points that lie closest together.

    Every round chooses anew which points, of :data:`SCENE_PART` of the weight, count. So things
    that move by themselves do not widen it. It is scaled so that the median squared distance of all
    is d.

    residual: points ``(N, d)``. weight: ``(N,)``.
    """
    floor = NOISE**2 * torch.eye(residual.shape[1]).to(residual)
    squared = (residual**2).mean(1)
    covariance = floor
    for _ in range(ROUNDS):
        near = weight * (squared <= weighted_quantile(squared, weight, SCENE_PART))
        covariance = (near[:, None] * residual).T @ residual / near.sum() + floor
        squared = _squared_distance(residual, covariance)
    typical = weighted_quantile(squared, weight, 0.5) / residual.shape[1]
    scaled: Tensor = covariance * typical.clamp_min(1e-6)
    return scaled


def _distance(moved: Tensor, trust: Tensor) -> Tensor:
    """Return the Mahalanobis distance ``(h, w)`` per dimension to the rigid scene's trajectories.

    moved, trust: trajectories ``(L, 2, h, w)`` and confidence in them ``(L, 1, h, w)``.
    """
    size = (moved.shape[-2], moved.shape[-1])
    residual = (moved - camera_flow(moved)).double().flatten(0, 1).flatten(1).T
    mean_trust = trust.mean((0, 1)).flatten().double().clamp_min(LEAST_TRUST)
    weight = camera_weight(size).flatten() * mean_trust
    covariance = scene_covariance(residual[::EVERY], weight[::EVERY])
    squared = _squared_distance(residual, covariance)
    return (squared / residual.shape[1]).sqrt().view(size).to(moved)


def _squared_distance(residual: Tensor, covariance: Tensor) -> Tensor:
    """Return the squared Mahalanobis distance of points ``(N, d)`` from zero, ``(N,)``."""
    squared: Tensor = (residual * torch.linalg.solve(covariance, residual.T).T).sum(1)
    return squared
