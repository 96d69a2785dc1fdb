"""What a fit returns: a transition that is separated at its working size."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.motion.carry import CarriedLayers
from stages.optim.loss_curves import Curves


@dataclass(frozen=True)
class FittedTransition:
    """The separated transition at its working size, whatever method found it.

    layers: ``(n, 3, H, W)``. carried: the motion that they began with.
    mixture: the window, with the matte that was found. trust: mean trust in the motion.
    fit_steps: steps of the networks. trace: the losses. variance: that of the errors that are
    expected of each scene where the other one hides it, ``(n, 1, H, W)``, if it is known.
    """

    layers: Pair
    carried: CarriedLayers
    mixture: Mixture
    trust: float
    fit_steps: int = 0
    trace: Curves = field(default_factory=dict)
    variance: Pair | None = None

    def to(self, device: torch.device) -> FittedTransition:
        """Return the result with its tensors on ``device``."""
        carried = self.carried
        flows, layers = pair_on(carried.flows, device), pair_on(carried.layers, device)
        return replace(
            self,
            layers=pair_on(self.layers, device),
            carried=replace(carried, flows=flows, layers=layers),
            mixture=self.mixture.to(device),
        )


def no_motion(mixture: Mixture) -> Pair:
    """Return zero flows ``(n, 2, H, W)`` for both scenes of the mixed frames."""
    flow = torch.zeros(mixture.count, 2, *mixture.size)
    return flow, flow


def pair_on(pair: Pair, device: torch.device) -> Pair:
    """Return two tensors on ``device``."""
    return pair[0].to(device), pair[1].to(device)
