"""Evaluate the losses of a descent part by part, each differentiated by itself.

So the temporaries of one part stay in the processor's cache, and several threads can work on
different parts. The result is a :class:`stages.optim.steps.Losses` as for one piece, whose total
can be differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from stages.optim.steps import Losses, Weights, weighted
from stages.optim.threads import map_in_threads


@dataclass(frozen=True)
class Part:
    """A part of the fitted tensors that is evaluated by itself.

    index: what each tensor is indexed with. frames: the mixed frames that it is about.
    share: its share of the mean loss.
    """

    index: tuple[Any, ...]
    frames: slice
    share: float


PartLosses = Callable[[Part, Sequence[Tensor]], Mapping[str, Tensor]]
"""``losses_of(part, pieces)``: the named losses of a part, from its pieces of the tensors."""

OwnLosses = Callable[[Tensor], Mapping[str, Tensor]]
"""The named losses of one fitted tensor, as a whole and by itself."""


def evaluate_in_parts(
    tensors: Sequence[Tensor],
    parts: Sequence[Part],
    losses_of: PartLosses,
    weights: Weights,
    *,
    own_losses: Sequence[OwnLosses] = (),
    parallel: bool,
) -> Losses:
    """Return the losses of all parts together, each part evaluated and differentiated by itself.

    The result does not depend on the number of threads.

    tensors: all that is fitted; an element belongs to one part at most.
    losses_of: computes the losses of a part. weights: of all losses.
    own_losses: compute the losses of each tensor, or none; their names are not those of parts.
    parallel: whether the parts are worth handing to other threads.

    A loss of the parts is the mean over them, by their shares. An own loss is the sum over the
    tensors. An element's gradient is that of its part's loss times the part's share, plus that of
    its tensor's own losses.
    """
    gradients = [torch.zeros_like(tensor) for tensor in tensors]

    def evaluate_part(part: Part) -> Losses:
        pieces = [tensor.detach()[index] for tensor, index in zip(tensors, part.index, strict=True)]
        losses, slopes = _differentiated(
            partial(losses_of, part), pieces, weights, share=part.share
        )
        # No other part writes to these elements, so threads need not wait for each other.
        for gradient, index, slope in zip(gradients, part.index, slopes, strict=True):
            gradient[index] = slope
        return losses

    def evaluate_own(number: int) -> tuple[Losses, Tensor]:
        losses, slopes = _differentiated(
            lambda pieces: own_losses[number](pieces[0]), [tensors[number].detach()], weights
        )
        return losses, slopes[0]

    # The larger jobs come first, so that no thread waits for one of them at the end.
    jobs: list[Callable[[], Any]] = [
        *(partial(evaluate_own, number) for number in range(len(own_losses))),
        *(partial(evaluate_part, part) for part in parts),
    ]
    values = map_in_threads(lambda job: job(), jobs, parallel=parallel)
    own, of_parts = values[: len(own_losses)], values[len(own_losses) :]
    losses = _mean_of_parts(of_parts, parts, tensors[0].device)
    for gradient, (_, slope) in zip(gradients, own, strict=False):
        gradient += slope
    if own:
        losses = _sum_of([losses, *(its for its, _ in own)])
    return _with_gradients(losses, gradients, tensors)


def _differentiated(
    losses_of: Callable[[Sequence[Tensor]], Mapping[str, Tensor]],
    pieces: Sequence[Tensor],
    weights: Weights,
    share: float = 1.0,
) -> tuple[Losses, Sequence[Tensor]]:
    """Return the losses of some tensors, and the gradients of ``share`` times their total.

    pieces: the tensors, of any shape. The gradients have their shapes.
    """
    pieces = [piece.requires_grad_() for piece in pieces]
    losses = weighted(losses_of(pieces), weights)
    slopes = torch.autograd.grad(losses.total * share, pieces, materialize_grads=True)
    named = {name: loss.detach() for name, loss in losses.named.items()}
    return Losses(losses.total.detach(), named), slopes


def _mean_of_parts(found: Sequence[Losses], parts: Sequence[Part], device: torch.device) -> Losses:
    """Return the mean of the losses of all parts, by their shares."""
    if len(found) == 1:
        return found[0]
    total = sum(part.share for part in parts)
    shares = _shares(tuple(part.share / total for part in parts), device)
    named = {
        name: torch.stack([losses.named[name] for losses in found]) @ shares
        for name in found[0].named
    }
    return Losses(torch.stack([losses.total for losses in found]) @ shares, named)


def _sum_of(found: Sequence[Losses]) -> Losses:
    """Return the sum of losses; those of the same name are added up."""
    named: dict[str, Tensor] = {}
    for losses in found:
        for name, loss in losses.named.items():
            named[name] = named[name] + loss if name in named else loss
    return Losses(torch.stack([losses.total for losses in found]).sum(), named)


def _with_gradients(losses: Losses, gradients: list[Tensor], tensors: Sequence[Tensor]) -> Losses:
    """Return the losses with a total whose gradient to each tensor is the given one.

    gradients: of the shapes of ``tensors``.
    """
    total = _KnownGradient.apply(losses.total, gradients, *tensors)  # type: ignore[no-untyped-call]
    return Losses(total, losses.named)


@lru_cache(maxsize=16)
def _shares(shares: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the shares as a tensor, kept: bringing numbers to a GPU waits for its work."""
    return torch.tensor(shares, device=device)


class _KnownGradient(torch.autograd.Function):
    """A value whose gradients to some tensors are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.gradients
        # Given away, so that they can become the tensors' gradients without a copy.
        del ctx.gradients
        return None, None, *(gradient.mul_(above[0]) for gradient in gradients)
