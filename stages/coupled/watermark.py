"""Coupled generators for watermarks: ``I = m W + (1 - m) C``; all frames share W and m."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from stages.coupled.layers import CoupledLayers, fit_coupled
from stages.mixing.watermark_composite import WatermarkComposite
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, agreement, constant, exclusion, reconstruction

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "outside": constant(1.0),
    "matte": constant(0.02),
    "exclusion": constant(0.05),
}
"""The weight of every loss. ``matte`` is the mean matte: a mark covers as little as it can."""


def fit_watermark(frames: Tensor, box: Tensor, run: FitRun) -> tuple[Tensor, Tensor, Tensor]:
    """Fit clean frames ``(T, 3, h, w)``, a mark ``(1, 3, h, w)`` and its matte ``(1, 1, h, w)``.

    frames: ``(T, 3, h, w)``. box: where the mark may be, ``(1, 1, h, w)`` in [0, 1].
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    module = CoupledLayers((3, 3, 1), (count, 1, 1), size, run.seed, run.device)
    target, inside = frames.to(run.device), box.to(run.device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        clean, mark, matte = module(index)
        held = matte * inside
        return {
            "reconstruction": reconstruction(
                WatermarkComposite(held).mix(clean, mark), target[index]
            ),
            "outside": agreement(clean, target[index], 1 - inside),
            "matte": held.mean(),
            "exclusion": exclusion(clean, (held * mark).expand(len(index), -1, -1, -1)),
        }

    fit_coupled(module, terms, WEIGHTS, run, frames=count)
    clean, mark, matte = module.render()
    return clean, mark, matte * box
