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

MOST_CLEAN_FRAMES = 3
"""Clean frames that are compared beside a seam, at most."""

JUMP_RATIO = 4.0
"""Squared error at a seam, relative to that between clean frames, above which it is a jump."""

INVISIBLE_PSNR = 38.0
"""PSNR in dB from which a difference cannot be seen, whatever its neighbours are."""

EQUAL_PSNR = 60.0
"""PSNR in dB of equal frames."""


@dataclass(frozen=True)
class Seam:
    """How alike successive frames are along their motion, in dB.

    clean_psnr: of clean frames. seam_psnr: of the last clean and the first separated one.
    """

    clean_psnr: float
    seam_psnr: float

    @property
    def is_steady(self) -> bool:
        """Whether nobody would see the seam by its difference."""
        is_invisible = self.seam_psnr >= INVISIBLE_PSNR
        return is_invisible or self.clean_psnr - self.seam_psnr <= 10 * math.log10(JUMP_RATIO)


def measure_seam(clean: Sequence[Picture], separated: Picture) -> Seam | None:
    """Return the seam between a scene's clean frames and its first separated one.

    Two successive frames are compared by the PSNR of ``I_t - warp(I_(t-1))`` along the dense flow
    from t to t - 1, so that motion is no difference. For clean frames the mean error counts.

    clean: 8-bit pictures, the one next to the mixture last. separated: the scene's picture in the
    mixed frame beside it.

    Returns ``None`` for fewer than two clean frames.
    """
    if len(clean) < 2:
        return None
    frames = torch.from_numpy(np.stack([*clean, separated])).permute(0, 3, 1, 2).float() / 255
    pairs = [(t, t - 1) for t in range(1, len(frames))]
    flow_of_pair = flows(frames, pairs)
    errors = [
        float(((warp(frames[u][None], flow_of_pair[t, u][None])[0] - frames[t]) ** 2).mean())
        for t, u in pairs
    ]
    mean = sum(errors[:-1]) / len(errors[:-1])
    return Seam(psnr_of(mean, EQUAL_PSNR), psnr_of(errors[-1], EQUAL_PSNR))
