"""Keep the foreground's identity from one window to the next.

The windows of a clip overlap. Motion shows a moving object only. The previous window's matte also
covers an object that has stopped.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import resize, warp
from stages.segment.log_odds import MOST_ODDS, matte_log_odds
from stages.segment.motion import WindowMotion
from stages.segment.notes import EMPTY

# The constants below were chosen on the development footage.
PREVIOUS_MATTE_MOTION_WEIGHT = 1 / 3
"""Weight of motion's log-odds in the shared frames, where the previous matte's log-odds have 1."""
FULL_TRUST = 0.9  # confidence in the flow, 0 to 1, from which a pixel keeps its identity entirely
CARRIED_LOG_ODDS = 1.5  # largest log-odds of a resting pixel that was foreground before


def with_previous_matte(
    log_odds: Tensor, previous_matte: Tensor | None, motion: WindowMotion
) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of motion, joined with the previous window's matte.

    log_odds: the log-odds of being foreground, from motion, ``(T, h, w)``.
    previous_matte: the matte of the first n frames, ``(n, 1, H, W)`` in [0, 1]; ``None`` in a first
        window. An empty matte is ignored.
    motion: of frames of this size. Its ``backward`` is the flow from frame t to t - 1.
    """
    if previous_matte is None or float((previous_matte > 0.5).float().mean()) < EMPTY:
        return log_odds
    size = (log_odds.shape[-2], log_odds.shape[-1])
    count = min(len(previous_matte), len(log_odds))
    previous_alpha = resize(previous_matte[:count], size)[:, 0]
    previous_log_odds = matte_log_odds(previous_alpha[:, None])
    weighted_motion = PREVIOUS_MATTE_MOTION_WEIGHT * log_odds[:count]
    joined = log_odds.clone()
    joined[:count] = (previous_log_odds + weighted_motion).clamp(-MOST_ODDS, MOST_ODDS)
    # After the shared frames, the flow carries the last alpha on, and loses it where it is unsure.
    carried_alpha = previous_alpha[count - 1][None, None]
    for t in range(count, len(log_odds)):
        flow_trust = (motion.trust_backward[t - 1 : t] / FULL_TRUST).clamp(max=1)
        carried_alpha = flow_trust * warp(carried_alpha, motion.backward[t - 1 : t])
        alpha = carried_alpha[0, 0]
        raised = torch.maximum(joined[t], CARRIED_LOG_ODDS * (2 * alpha - 1))
        joined[t] = torch.where(alpha > 0.5, raised, joined[t])
    return joined
