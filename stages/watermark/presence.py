"""Tell in which frames of a clip a mark is shown, and where in time a mark may be.

Frames ``(T, 3, H, W)`` in [0, 1]; matte ``(1, H, W)``; colour ``(3, H, W)``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.watermark.continuity import residual_cost
from stages.watermark.mark import Mark
from stages.watermark.pixel_maps import bounds_around

MARGIN = 8  # pixels around the mark that are compared
CHANGE_COST = 1.0
"""Cost of a change between shown and not shown, as a multiple of a frame's usual evidence. A mark
that is shown, or not shown, for two frames alone is not believed."""
LEAST_PART_FRAMES = 4  # of a part of the sample that is searched alone


def shown_frames(frames: Tensor, matte: Tensor, color: Tensor) -> Tensor:
    """Return in which of a clip's ``frames`` the mark is shown, ``(T,)`` boolean.

    In a frame without the mark, undoing it leaves a ghost, so the frame becomes less continuous.
    Single frames that say otherwise than their neighbours, if only faintly, follow these.
    """
    gains = shown_gains(frames, matte, color)
    if not bool((gains > 0).any()):
        return torch.zeros(len(frames), dtype=torch.bool)
    # Undoing a nearly opaque mark that is not there costs far more than one that is there gains.
    usual = float(gains[gains > 0].median())
    return _most_likely_states(gains.clamp(-usual, usual), CHANGE_COST * usual)


def _most_likely_states(gains: Tensor, change_cost: float) -> Tensor:
    """Return the best sequence of shown and not shown, ``(T,)`` boolean (Viterbi 1967).

    gains: for each frame, how much more likely it is that it shows the mark, ``(T,)``.
    change_cost: of each change, in the same unit.
    """
    best = torch.zeros(2)
    before: list[Tensor] = []
    for gain in gains:
        stay_or_change = torch.stack([best, best.flip(0) - change_cost])
        before.append(stay_or_change.argmax(0))
        best = stay_or_change.amax(0) + torch.stack([-gain / 2, gain / 2])
    state = int(best.argmax())
    states = []
    for has_changed in reversed(before):
        states.append(state)
        state = 1 - state if int(has_changed[state]) else state
    return torch.tensor(states[::-1], dtype=torch.bool)


def shown_gains(frames: Tensor, matte: Tensor, color: Tensor) -> Tensor:
    """Return by how much undoing the mark makes each frame more continuous, ``(T,)``."""
    if not bool((matte > 0).any()):
        return torch.zeros(len(frames))
    area = bounds_around(matte[0] > 0, MARGIN)
    mark = Mark(matte, matte * color, float(matte.max()), 0.0).cropped(area)
    near = frames[(..., *area)]
    nothing = Mark.nothing(near)
    gains = [
        residual_cost(frame[None], nothing) - residual_cost(frame[None], mark) for frame in near
    ]
    return torch.tensor(gains)


def parts_in_time(count: int) -> list[slice]:
    """Return the parts of a sample of ``count`` frames in which a mark is looked for alone.

    They are the halves and the middle: a mark that is shown for long fills most of one of them.
    """
    half = count // 2
    if half < LEAST_PART_FRAMES:
        return []
    quarter = (count - half) // 2
    return [slice(0, half), slice(count - half, count), slice(quarter, quarter + half)]
