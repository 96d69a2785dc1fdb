"""Check values that were read from a file against the annotations of their dataclass."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from functools import lru_cache
from typing import Any


def check_types(instance: Any) -> None:
    """Raise TypeError where a field of a dataclass instance does not match its annotation.

    Annotations that cannot be resolved at run time, or that this module does not know, allow any
    value.
    """
    kind: Any = type(instance)
    for name, wanted in _annotations(kind).items():
        if not fits(getattr(instance, name), wanted):
            actual = type(getattr(instance, name)).__name__
            raise TypeError(f"{kind.__name__}.{name} is {wanted}, not {actual}")


@lru_cache(maxsize=64)
def _annotations(kind: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(kind)
    except NameError:
        return {}
    return {item.name: hints[item.name] for item in fields(kind)}


def fits(value: Any, wanted: Any) -> bool:
    """Return whether ``value`` matches the annotation ``wanted``. An int also counts as a float."""
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is None or wanted is types.NoneType:
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is typing.Literal:
        return value in inner
    if origin is tuple:
        return _tuple_fits(value, inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(key, inner[0]) and fits(item, inner[1]) for key, item in value.items()
        )
    if isinstance(origin, type) and issubclass(origin, Sequence | Set):
        return (
            isinstance(value, origin)
            and not isinstance(value, str)
            and all(fits(item, inner[0]) for item in value)
        )
    if wanted is float:
        return isinstance(value, float | int) and not isinstance(value, bool)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    # Any is a class too, but isinstance does not accept it.
    is_class = origin is None and isinstance(wanted, type) and wanted is not Any
    return isinstance(value, wanted) if is_class else True


def _tuple_fits(value: Any, inner: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(fits(item, inner[0]) for item in value)
    return len(value) == len(inner) and all(
        fits(item, one) for item, one in zip(value, inner, strict=True)
    )
