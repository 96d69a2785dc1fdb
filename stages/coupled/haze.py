"""Coupled generators on haze: ``I = t J + (1 - t) A``, with the airlight A given.

``t = 1`` explains every input, so two priors say what haze is: the clear picture has something
dark in every patch (He et al., CVPR 2009), and the transmission is smooth except at the picture's
edges.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from stages.coupled.layers import CoupledLayers, fit_coupled
from stages.mixing.haze import Haze
from stages.optim.fit import FitRun
from stages.optim.losses import Schedule, constant, reconstruction, smoothness, steady_matte

WEIGHTS: dict[str, Schedule] = {
    "reconstruction": constant(1.0),
    "dark channel": constant(0.1),
    "smoothness": constant(0.05),
    "mask_consistency": constant(0.1),
}
"""The weight of every loss."""

PATCH = 9
"""Side of a patch of the dark channel, in pixels of the generated pictures."""


def dark_channel(picture: Tensor) -> Tensor:
    """Return the mean over the picture of the least value in each patch, for ``(B, 3, H, W)``."""
    return -F.max_pool2d(-picture.amin(1, keepdim=True), PATCH, 1, PATCH // 2).mean()


def fit_haze(frames: Tensor, airlight: Tensor, run: FitRun) -> Tensor:
    """Fit generators of the clear frames and of the transmission; return ``(T, 1, h, w)``.

    frames: ``(T, 3, h, w)`` in [0, 1]. airlight: ``(1, 3, 1, 1)`` or ``(1, 3, h, w)``.
    """
    count = len(frames)
    size = (frames.shape[-2], frames.shape[-1])
    module = CoupledLayers((3, 1), (count, count), size, run.seed, run.device)
    target, light = frames.to(run.device), airlight.to(run.device)

    def terms(index: Tensor, progress: float) -> Mapping[str, Tensor]:
        del progress
        clear, transmission = module(index)
        frame = target[index]
        return {
            "reconstruction": reconstruction(Haze(transmission).mix(light, clear), frame),
            "dark channel": dark_channel(clear),
            "smoothness": smoothness(transmission, frame),
            "mask_consistency": steady_matte(transmission, index),
        }

    fit_coupled(module, terms, WEIGHTS, run, frames=count)
    return module.render()[1]
