"""Keep the foreground's identity from one window to the next.

The windows of a clip overlap. What the window before found in the shared frames is the best
evidence there is of what the foreground is: it holds where the foreground rests now.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import resize, warp
from stages.segment.account import EMPTY
from stages.segment.motion import WindowMotion
from stages.segment.votes import SURE

MOTION_SHARE = 1 / 3
"""Weight of motion in the shared frames, beside what the window before found there."""
HELD = 0.9  # confidence in the flow above which a pixel keeps its identity without loss
STAYS = 1.5  # most log-odds of a resting pixel that was foreground in the window before


def with_before(odds: Tensor, before: Tensor | None, motion: WindowMotion) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of motion, joined with the matte of the window before.

    odds: of motion. motion: of frames of this size.
    before: the matte of the first n frames, ``(n, 1, H, W)`` in [0, 1]; ``None`` in a first window.
        One without a foreground says nothing.
    """
    if before is None or float((before > 0.5).float().mean()) < EMPTY:
        return odds
    size = (odds.shape[-2], odds.shape[-1])
    count = min(len(before), len(odds))
    found = resize(before[:count], size)[:, 0]
    edge = torch.sigmoid(torch.tensor(-SURE)).item()
    known = found.clamp(edge, 1 - edge).logit()
    joined = odds.clone()
    joined[:count] = (known + MOTION_SHARE * odds[:count]).clamp(-SURE, SURE)
    stays = found[count - 1][None, None]
    for t in range(count, len(odds)):
        held = (motion.trust_backward[t - 1 : t] / HELD).clamp(max=1)
        stays = held * warp(stays, motion.backward[t - 1 : t])
        raised = torch.maximum(joined[t], STAYS * (2 * stays[0, 0] - 1))
        joined[t] = torch.where(stays[0, 0] > 0.5, raised, joined[t])
    return joined
