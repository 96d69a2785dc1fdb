"""Whether a scene flows from its clean frames into its separated ones, or jumps there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from stages.media.thumbnails import Picture
from stages.mixing.psnr import psnr_of
from stages.motion.flow import flows, warp

CLEAN = 3
"""Most clean frames that are compared beside a seam."""

TIMES = 4.0
"""How many times as large as between clean frames the mean square at a seam must be for a jump."""

VISIBLE = 38.0
"""PSNR in dB from which a difference cannot be seen, whatever its neighbours are."""

MOST_DECIBELS = 60.0
"""PSNR in dB of equal frames."""


@dataclass(frozen=True)
class Seam:
    """How alike successive frames are along their motion, in dB.

    clean: of clean frames. seam: of the last clean and the first separated one.
    """

    clean: float
    seam: float

    @property
    def steady(self) -> bool:
        """Whether nobody would see the seam by its difference."""
        return self.seam >= VISIBLE or self.clean - self.seam <= 10 * math.log10(TIMES)


def seam(clean: Sequence[Picture], mixed: Picture) -> Seam | None:
    """Return the seam between a scene's ``clean`` frames and its first ``mixed`` one.

    Two successive frames are compared by the PSNR of ``I_t - warp(I_(t-1))`` along the dense flow
    from t to t - 1, so that motion is no difference. For clean frames the mean error counts.

    clean: 8-bit pictures, the one next to the mixture last. mixed: the separated picture.

    Returns ``None`` for fewer than two clean frames.
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
    mean = sum(errors[:-1]) / len(errors[:-1])
    return Seam(psnr_of(mean, MOST_DECIBELS), psnr_of(errors[-1], MOST_DECIBELS))
