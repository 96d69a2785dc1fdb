"""Use the marked frames of a window in the log-odds and the matte of all its frames.

Log-odds are ``(T, h, w)``, at most :data:`stages.segment.log_odds.MOST_ODDS` from zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.motion.flow import resize, warp
from stages.segment.hints.marked_frames import Marked
from stages.segment.log_odds import MOST_ODDS
from stages.segment.motion import FADING, WindowMotion

MOST_BY_CUT = 2.0
"""Most log-odds by which a cut supports motion; certain pixels overrule it."""


def with_marked(odds: Tensor, marked: Marked, motion: WindowMotion) -> Tensor:
    """Return the log-odds ``(T, h, w)`` of motion, joined with those of the marked frames.

    What a marked frame says is carried along the flow in both directions, as far as the flow is
    trusted. Certain pixels overrule motion, and the rest of the cut supports it.

    odds: of motion. motion: of frames of this size.
    """
    if not marked:
        return odds
    size = (odds.shape[-2], odds.shape[-1])
    certain = torch.zeros_like(odds)
    likely = torch.zeros_like(odds)
    for place, frame in marked.items():
        known = frame.known.foreground.float() - frame.known.background.float()
        certain[place] = resize(known[None, None], size)[0, 0]
        likely[place] = resize(frame.odds[None, None], size)[0, 0] / MOST_ODDS
    certain = _carried(certain, marked, motion)
    likely = _carried(likely, marked, motion)
    supported = (odds + MOST_BY_CUT * likely).clamp(-MOST_ODDS, MOST_ODDS)
    return (1 - certain.abs()) * supported + MOST_ODDS * certain


def _carried(belief: Tensor, marked: Marked, motion: WindowMotion) -> Tensor:
    """Return ``belief`` ``(T, h, w)`` in [-1, 1], carried from the marked frames to the others.

    It is carried forwards and backwards. Where both arrive at a pixel, the stronger one holds.
    """
    forwards = belief[:, None].clone()
    for t in range(1, len(belief)):
        if t not in marked:
            brought = warp(forwards[t - 1 : t], motion.backward[t - 1 : t])[0]
            forwards[t] = (1 - FADING) * (motion.trust_backward[t - 1] * brought)
    backwards = belief[:, None].clone()
    for t in range(len(belief) - 2, -1, -1):
        if t not in marked:
            brought = warp(backwards[t + 1 : t + 2], motion.forward[t : t + 1])[0]
            backwards[t] = (1 - FADING) * (motion.trust_forward[t] * brought)
    return torch.where(forwards.abs() >= backwards.abs(), forwards, backwards)[:, 0]


def with_certain_odds(odds: Tensor, marked: Marked) -> Tensor:
    """Return the log-odds ``(T, h, w)``, in which certain pixels have twice :data:`MOST_ODDS`.

    odds: at the size of what is known of the marked frames.
    """
    result = odds.clone()
    for place, frame in marked.items():
        result[place] = result[place].masked_fill(frame.known.foreground, 2 * MOST_ODDS)
        result[place] = result[place].masked_fill(frame.known.background, -2 * MOST_ODDS)
    return result


def with_cuts(matte: Tensor, marked: Marked) -> Tensor:
    """Return a hard matte ``(T, 1, h, w)`` in which marked pictures are as they were cut out."""
    cuts = matte.clone()
    for place, frame in marked.items():
        cuts[place, 0] = (frame.odds > 0).to(matte)
    return cuts


def with_certain_alpha(matte: Tensor, marked: Marked) -> Tensor:
    """Return a soft matte ``(T, 1, H, W)`` that is 1 and 0 at the pixels that are certain.

    Softening the edge may have moved them, where a stroke lies on a texture.
    """
    size = (matte.shape[-2], matte.shape[-1])
    result = matte.clone()
    for place, frame in marked.items():
        for certain, value in ((frame.known.foreground, 1.0), (frame.known.background, 0.0)):
            pixels = resize(certain.float()[None, None], size)[0, 0] > 0.5
            result[place, 0] = result[place, 0].masked_fill(pixels, value)
    return result
