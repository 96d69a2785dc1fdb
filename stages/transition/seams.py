"""Whether a scene flows from its clean frames into those that were taken out of a mixture, or jumps there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stages.media.thumbnails import Picture
from stages.motion.flow import flows, warp

CLEAN = 3
"""Clean frames that are looked at beside a seam, where there are as many."""
TIMES = 4.0
"""How much larger than between clean frames the difference at a seam must be, as a mean square, to count as a jump."""
VISIBLE = 38.0
"""PSNR in dB from which a difference is too small to be seen, whatever its neighbours are."""


@dataclass(frozen=True)
class Seam:
    """How alike successive frames are along their motion, in dB: ``clean`` ones, and the last clean and the first mixed one (``seam``)."""

    clean: float
    seam: float

    @property
    def steady(self) -> bool:
        """Whether nobody would see the seam by its difference."""
        return self.seam >= VISIBLE or self.clean - self.seam <= 10 * math.log10(TIMES)


def seam(clean: Sequence[Picture], mixed: Picture) -> Seam | None:
    """The seam between ``clean`` frames, the one next to the mixture last, and the first ``mixed`` one; ``None`` for fewer than two clean.

    PSNR = -10 log10 mean (I_t - warp(I_{t-1}))² along the dense flow from t to t - 1, so that motion is no difference; for clean
    pairs of the mean over them.
    """
    if len(clean) < 2:
        return None
    frames = torch.from_numpy(np.stack([*clean, mixed])).permute(0, 3, 1, 2).float() / 255
    pairs = [(t, t - 1) for t in range(1, len(frames))]
    found = flows(frames, pairs)
    errors = [
        float(((warp(frames[u][None], found[t, u][None])[0] - frames[t]) ** 2).mean())
        for t, u in pairs
    ]
    return Seam(_decibels(sum(errors[:-1]) / len(errors[:-1])), _decibels(errors[-1]))


def _decibels(error: float) -> float:
    return -10 * math.log10(max(error, 1e-6))
