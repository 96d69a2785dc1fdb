"""Let all frames of a trajectory decide together whether it is foreground.

A point of the scene is either foreground or background, in every frame that shows it. What one
frame says of it, such as a body that moves before it rests, is evidence for all the others. Along
each trajectory the two labels are a Markov chain, whose messages are passed forwards and backwards
(Rabiner 1989, section III). Where the flow is not trusted, the chain breaks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import warp
from stages.segment.motion import WindowMotion

# The constants below were chosen on one window of each of seven DAVIS clips, where J changes by
# 0.001 in the mean between (0.25, 0.01) and (0.4, 0.02).
NEW_EVIDENCE = 0.3
"""Part of a frame's log-odds that its neighbours do not say as well."""
CHANGE = 0.02
"""Probability that the label changes from a frame to the next where the flow is certain."""


def joined_along(odds: Tensor, motion: WindowMotion) -> Tensor:
    """Return log-odds of the foreground, given those of all frames along each trajectory.

    odds: what each frame says by itself, ``(T, h, w)``, as the result. motion: of this size.
    """
    own = NEW_EVIDENCE * odds[:, None]
    joined = own.clone()
    last = len(odds) - 1
    belief = own[:1]
    for t in range(1, last + 1):
        message = _message(belief, motion.backward[t - 1], motion.trust_backward[t - 1])
        joined[t] += message[0]
        belief = own[t : t + 1] + message
    belief = own[last:]
    for t in range(last - 1, -1, -1):
        message = _message(belief, motion.forward[t], motion.trust_forward[t])
        joined[t] += message[0]
        belief = own[t : t + 1] + message
    return joined[:, 0]


def _message(belief: Tensor, flow: Tensor, trust: Tensor) -> Tensor:
    """Return what a neighbouring frame says of a frame, log-odds ``(1, 1, h, w)``.

    belief: the neighbour's log-odds, ``(1, 1, h, w)``. flow: to the neighbour, ``(2, h, w)``.
    trust: confidence in it, ``(1, h, w)`` in [0, 1].
    """
    change = (CHANGE + (1 - trust) / 2).clamp(max=0.5)
    foreground = torch.sigmoid(warp(belief, flow[None]))
    return (change + (1 - 2 * change) * foreground).logit()
