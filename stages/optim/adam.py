"""Adam with the state that a checkpoint needs, on PyTorch's own function for its step.

``torch.optim.Adam`` loads PyTorch's compiler with its first step: 800 modules, 1.4 s on a laptop's
processor. A short run notices that. The function that computes the step does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

EPSILON = 1e-8
"""What is added to the root of the second moment, as usual."""


class Adam:
    """Adam (Kingma and Ba, ICLR 2015) over groups of tensors, each with a learning rate.

    groups: dictionaries with the tensors ``params`` and their rate ``lr``, which may be changed
        before any step; with the fused kernel it may be a scalar tensor.
    betas: the decay of both moments. fused: use the fused kernel.

    The values are those of ``torch.optim.Adam``, bit by bit. A tensor without a gradient is left
    as it is.
    """

    def __init__(
        self,
        groups: Iterable[Mapping[str, Any]],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        fused: bool = False,
    ) -> None:
        self.param_groups = [dict(group, params=list(group["params"])) for group in groups]
        self.betas = betas
        self.fused = fused
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for value in self._values():
            value.grad = None

    @torch.no_grad()
    def forget(self) -> None:
        """Return to the state before the first step, in the same memory: a graph may use it."""
        for state in self.state.values():
            for part in state.values():
                part.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Move every tensor that has a gradient."""
        for group in self.param_groups:
            values = [value for value in group["params"] if value.grad is not None]
            states = [self._state_of(value) for value in values]
            adam(
                values,
                [value.grad for value in values],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=self.fused or None,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=group["lr"],
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the moments and the steps of each tensor, by its number among all of them."""
        numbered = enumerate(self._values())
        return {
            "state": {
                number: dict(self.state[value]) for number, value in numbered if value in self.state
            }
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned for tensors of the same shapes."""
        values = self._values()
        self.state = {
            values[int(number)]: {
                name: part if name == "step" else part.to(values[int(number)])
                for name, part in state.items()
            }
            for number, state in saved["state"].items()
        }

    def _values(self) -> Sequence[Tensor]:
        return [value for group in self.param_groups for value in group["params"]]

    def _state_of(self, value: Tensor) -> dict[str, Tensor]:
        if value not in self.state:
            # The fused kernel counts steps where it computes.
            place = value.device if self.fused else torch.device("cpu")
            self.state[value] = {
                "step": torch.zeros((), dtype=torch.float32, device=place),
                "exp_avg": torch.zeros_like(value, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(value, memory_format=torch.preserve_format),
            }
        return self.state[value]
