"""CUDA graphs that are only pretended, so that a machine without a GPU can test what uses them.

A pretended graph notes PyTorch's operations while work is done, takes their effects back, and does
the same operations on the same tensors when it is repeated. So a number that was noted as a number
stays as it was, and a tensor is read anew: like a real graph. It also refuses what a real one
refuses, such as to ask the GPU for a number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

REFUSED = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "masked_select", "lift_fresh")
"""Operators that wait for a GPU, or that bring numbers of the program to it."""

Call = tuple[Any, tuple[Any, ...], dict[str, Any], Any]


def tensors_of(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


class _Notes(TorchDispatchMode):
    """Notes operations, and what their results and the tensors that they change were before."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self._before: list[tuple[Tensor, Tensor]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        by_mask = name == "index" and any(x.dtype == torch.bool for x in tensors_of(args[1]))
        if by_mask or name in REFUSED:
            raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
        for place, argument in enumerate(func._schema.arguments):
            declared = argument.alias_info is not None and argument.alias_info.is_write
            # Batch norm does not declare that it changes these.
            if declared or argument.name in ("running_mean", "running_var"):
                given = args[place] if place < len(args) else kwargs.get(argument.name)
                self._before += [(each.detach(), each.clone()) for each in tensors_of(given)]
        made = func(*args, **kwargs)
        self.calls.append((func, args, kwargs, made))
        return made

    @torch.no_grad()
    def undo(self) -> None:
        """Take all changes back: work that is recorded is not done."""
        for changed, before in reversed(self._before):
            changed.copy_(before)
        self._before.clear()

    def repeat(self) -> None:
        """Do the same operations on the same tensors."""
        # Below autograd, as they were noted: it chooses other ways to compute a convolution.
        with torch._C._AutoDispatchBelowAutograd():
            for func, args, kwargs, made in self.calls:
                found = func(*args, **kwargs)
                given = {each.untyped_storage().data_ptr() for each in tensors_of((args, kwargs))}
                for kept, new in zip(tensors_of(made), tensors_of(found), strict=True):
                    if kept.untyped_storage().data_ptr() not in given:
                        kept.copy_(new)


class PretendedRecorder:
    """Records pretended graphs. graphs: how many were recorded. repeated: how often, in all."""

    def __init__(self) -> None:
        self.graphs = 0
        self.repeated = 0

    def __call__(self, work: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        notes = _Notes()
        try:
            with notes:
                result = work()
        finally:
            notes.undo()
        self.graphs += 1

        def repeat() -> None:
            self.repeated += 1
            notes.repeat()

        return repeat, result
