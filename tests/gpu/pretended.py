"""A GPU that is only pretended: tensors that say they lie elsewhere and are computed on the CPU.

A machine without a GPU can so test three things about code that is meant for one: that no operation
mixes tensors of two devices, that the results are those of the CPU, and how often the program waits
for the GPU::

    with PretendedGpu() as gpu:
        result = work(frames.to(PRETENDED))
    assert gpu.waits < 10

The pretended device is PyTorch's "meta", which every build has. Speed, memory and the rounding of a
real GPU cannot be seen here; the tests marked ``gpu`` are for those.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

PRETENDED = torch.device("meta")
"""The device that is pretended to be a GPU."""

COPIES = ("copy_", "_to_copy", "index_put_", "index", "set_")
"""Operators that may take tensors of both devices."""

WAITS = ("_local_scalar_dense", "nonzero", "equal", "is_nonzero")
"""Operators whose answer the program needs before it can go on."""


class _OnGpu(torch.Tensor):
    """A tensor that says it lies on the pretended GPU."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _OnGpu:
        made: _OnGpu = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=PRETENDED,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise AssertionError(f"{func}: a tensor of the pretended GPU was used outside of it")


class _NumbersToGpu(TorchFunctionMode):
    """Moves numbers between Python and the pretended GPU."""

    def __init__(self, gpu: PretendedGpu) -> None:
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.new_tensor:
            like, *data = args
            kwargs = {"dtype": like.dtype, "device": like.device} | kwargs
            args = tuple(data)
        if func in (torch.tensor, Tensor.new_tensor):
            # PyTorch itself would drop the numbers on "meta".
            asked = kwargs.pop("device", None)
            made = torch.tensor(*args, **kwargs)
            if asked is None or torch.device(asked).type != PRETENDED.type:
                return made if asked is None else made.to(asked)
            self.gpu.waits += 1
            return made.to(PRETENDED)
        if func is Tensor.tolist and isinstance(args[0], _OnGpu):
            return args[0].detach().cpu().tolist()
        return func(*args, **kwargs)


class PretendedGpu(TorchDispatchMode):
    """Pretends a GPU inside a ``with`` block.

    waits: how often the program waited for it. calls: of each operator on it.
    Raises AssertionError where an operation mixes devices.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = 0
        self.calls: Counter[str] = Counter()
        self._numbers = _NumbersToGpu(self)

    def __enter__(self) -> PretendedGpu:
        super().__enter__()  # type: ignore[no-untyped-call]
        self._fused = mock.patch(
            "torch.optim.optimizer._get_fused_kernels_supported_devices", lambda: ["cpu", "meta"]
        )
        self._fused.start()
        self._numbers.__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self._numbers.__exit__(*error)  # type: ignore[no-untyped-call]
        self._fused.stop()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__
        tensors = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, Tensor)]
        here = any(isinstance(x, _OnGpu) for x in tensors)
        asked = kwargs.get("device")
        stays = here if asked is None else torch.device(asked).type == PRETENDED.type
        if here:
            self._count(name, tensors, stays)
        if asked is not None:
            kwargs["device"] = torch.device("cpu")
        held = tree_map_only(_OnGpu, lambda x: x.held, (args, kwargs))
        made = func(*held[0], **held[1])
        if func._schema.is_mutable and args and made is held[0][0]:
            return args[0]
        return tree_map_only(Tensor, _OnGpu, made) if stays else made

    def _count(self, name: str, tensors: list[Tensor], stays: bool) -> None:
        """Count a call on the GPU, and a wait; refuse tensors of two devices."""
        strangers = [x for x in tensors if not isinstance(x, _OnGpu) and x.dim()]
        assert name in COPIES or not strangers, f"{name} mixes devices: {tensors}"
        self.calls[name] += 1
        self.waits += name in WAITS or not stays or (name == "copy_" and bool(strangers))
