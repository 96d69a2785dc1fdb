"""Made clips whose scenes move as a whole."""

from __future__ import annotations

import numpy as np
import torch
from find_clips import Stack, texture

from stages.find.composed import place
from stages.kinds import TRANSITION_KINDS


def moved(seed: int, kind: str, effect: str, pre: int, steps: int, size: tuple[int, int]) -> Stack:
    """Return a clip ``(2 pre + steps, H, W, 3)`` between two still scenes, rounded to bytes.

    kind, effect: of the transition. pre, steps: clean frames on each side, and mixed ones.
    """
    one, other = (
        torch.from_numpy(texture(number, *size)).permute(2, 0, 1)
        for number in (2 * seed, 2 * seed + 1)
    )
    placer, aspect = TRANSITION_KINDS[kind].effects[effect], size[0] / size[1]
    parts = np.clip((np.arange(2 * pre + steps) - pre + 1) / (steps + 1), 0, 1)
    frames = torch.stack([place((one, other), placer(float(part), aspect)) for part in parts])
    return np.asarray(np.round(frames.permute(0, 2, 3, 1).numpy() * 255) / 255, np.float32)
