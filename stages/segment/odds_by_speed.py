"""Say how likely a pixel is foreground by its speed against the camera's motion.

Log-odds are ``(T, h, w)``, at most :data:`stages.segment.log_odds.MOST_ODDS` from zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stages.segment.log_odds import odds_above, otsu, running_median

# The constants below were chosen on the development footage.
LEVELING = 0.7
"""Power of speeds before they are thresholded, so that a fast limb does not hide a slow body."""
STRIP = 0.05
"""Part of the side along the picture's outer edge whose motion is taken for the background's."""
STRIP_QUANTILE = 0.9  # of the speeds in a strip, which counts as the strip's speed
ABOVE_OUTER = 1.2  # least ratio of a foreground's speed to that of the outer edge
MOST_RAISED = 2.0  # most factor by which the outer edge's motion raises Otsu's threshold
SLOWEST = 1e-3  # least speed of a foreground, in widths a frame
LEAST_SHOWN = 0.1  # least shown motion that is evidence, in [0, 1]
SHOWN_STEEPNESS = 1.5  # log-odds for each factor of e by which more motion is shown
FAST = 0.01  # speed in widths a frame above which motion needs no such evidence


@dataclass(frozen=True)
class SpeedOdds:
    """What speeds against the camera say.

    odds: log-odds of the foreground, ``(T, h, w)``.
    threshold: of each frame's speeds, ``(T,)``, in their unit.
    outer_motion: how fast the picture's outer edge moves, as a part of what Otsu's threshold asks
        for, ``(T,)`` in [0, 1].
    """

    odds: Tensor
    threshold: Tensor
    outer_motion: Tensor


def odds_by_speed(speed: Tensor, least: float | None = None) -> SpeedOdds:
    """Return the log-odds of the foreground by speed, with each frame's threshold.

    The threshold is Otsu's. It rises if the picture's outer edge moves too, as water and leaves do.

    speed: ``(T, h, w)`` in pixels a frame. least: lowest threshold; by default :data:`SLOWEST`.
    """
    least = SLOWEST * speed.shape[-1] if least is None else least
    rows, columns = max(1, round(STRIP * speed.shape[-2])), max(1, round(STRIP * speed.shape[-1]))
    thresholds, outer_motion = [], []
    for frame in speed:
        by_otsu = otsu(frame**LEVELING) ** (1 / LEVELING)
        strips = (frame[:rows], frame[-rows:], frame[:, :columns], frame[:, -columns:])
        speeds = sorted(float(strip.quantile(STRIP_QUANTILE)) for strip in strips)
        # Three of the strips have to move: where the picture cuts it off, the foreground may touch
        # two of them.
        by_outer_edge = ABOVE_OUTER * speeds[1]
        thresholds.append(min(max(by_otsu, by_outer_edge), MOST_RAISED * by_otsu))
        outer_motion.append(min(1.0, by_outer_edge / max(by_otsu, least)))
    threshold = running_median(torch.tensor(thresholds), 3).clamp_min(least).to(speed)
    odds = odds_above(speed / threshold.view(-1, 1, 1))
    return SpeedOdds(odds, threshold, torch.tensor(outer_motion).to(speed))


def limited_by_shown_motion(odds: Tensor, shown: Tensor, speed: Tensor) -> Tensor:
    """Limit the log-odds for the foreground to where the frames show motion; elsewhere to zero.

    Fast motion needs no such evidence, because neither flow nor camera explains the frames there.

    odds: by speed, ``(T, h, w)``. speed: ``(T, h, w)`` in pixels a frame.
    shown: see :func:`stages.segment.motion.shown_motion`; Otsu's threshold of it is enough.
    """
    enough = max(LEAST_SHOWN, otsu(shown**LEVELING) ** (1 / LEVELING))
    log_excess = torch.log(speed / (FAST * speed.shape[-1])).clamp_min(0)
    evidence = SHOWN_STEEPNESS * (torch.log((shown + 0.01) / enough) + log_excess)
    return torch.minimum(odds, evidence.clamp_min(0))
