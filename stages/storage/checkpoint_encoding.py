"""Encode results for checkpoints: values as JSON, with their tensors kept beside it.

A value is made of tensors, numbers, text, lists, tuples, frozensets, mappings, and dataclasses of
these. In JSON, whatever is not plain becomes an object with one key that names its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import torch

from stages.storage.value_types import check_types

_LISTS: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "frozenset": frozenset,
}
_LONG_LIST = 1000
"""A list of more numbers than this is stored as a tensor, outside the JSON header."""


def encode(value: object, tensors: dict[str, torch.Tensor]) -> Any:
    """Return ``value`` as JSON. Its tensors are added to ``tensors``, under numbers as names.

    They may be the value's own, not copies, so they must be used before the value changes.

    Raises TypeError where the value holds something that cannot be saved.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensor = value.detach().to("cpu").contiguous()
        # The format refuses two views of the same memory.
        is_shared = any(_memory_of(tensor) == _memory_of(other) for other in tensors.values())
        tensors[name] = tensor.clone() if is_shared else tensor
        return {"tensor": name}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if (
        isinstance(value, list)
        and len(value) > _LONG_LIST
        and (numbers := _numbers(value)) is not None
    ):
        # The header is limited to 100 MB, and a long film has millions of times.
        return {"ints" if numbers.ndim == 1 else "fractions": encode(numbers, tensors)}
    if type(value) in (list, tuple, frozenset):
        assert isinstance(value, list | tuple | frozenset)
        return {type(value).__name__: [encode(item, tensors) for item in value]}
    if isinstance(value, Mapping):
        return {
            "dict": [[encode(key, tensors), encode(item, tensors)] for key, item in value.items()]
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {
            type(value).__name__: {
                item.name: encode(getattr(value, item.name), tensors) for item in fields(value)
            }
        }
    raise TypeError(f"{type(value).__name__} cannot be saved in a checkpoint")


def _memory_of(tensor: torch.Tensor) -> int:
    """Return where the memory of a tensor on the CPU begins, which its views share."""
    return tensor.untyped_storage().data_ptr()


def _numbers(values: list[Any]) -> torch.Tensor | None:
    """Return a list of integers as ``(n,)``, one of fractions as ``(n, 2)``, both int64.

    Returns ``None`` where the list holds anything else, or numbers that are too large.
    """
    kinds = {type(value) for value in values}
    try:
        if kinds == {int}:
            return torch.tensor(values, dtype=torch.int64)
        if kinds == {Fraction}:
            return torch.tensor(
                [[value.numerator, value.denominator] for value in values], dtype=torch.int64
            )
    except (RuntimeError, OverflowError):
        return None
    return None


def decode(value: Any, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, type]) -> Any:
    """Return the value that :func:`encode` turned into JSON and tensors.

    kinds: the dataclasses that may occur in it, by name. Raises KeyError, TypeError or ValueError
    where the JSON was not made by :func:`encode`, or a field has another type than its annotation.
    """
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "ints":
        return decode(inside, tensors, kinds).tolist()
    if kind == "fractions":
        return [Fraction(*pair) for pair in decode(inside, tensors, kinds).tolist()]
    if kind == "fraction":
        return Fraction(*inside)
    if kind in _LISTS:
        return _LISTS[kind](decode(item, tensors, kinds) for item in inside)
    if kind == "dict":
        return {decode(key, tensors, kinds): decode(item, tensors, kinds) for key, item in inside}
    instance = kinds[kind](**{name: decode(item, tensors, kinds) for name, item in inside.items()})
    check_types(instance)
    return instance
