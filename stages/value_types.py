"""Whether values have the types that the fields of their dataclass are annotated with: for what is read from a file."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields
from functools import lru_cache
from typing import Any


def check_types(made: Any) -> None:
    """Raise TypeError where a field of the dataclass instance ``made`` does not hold what its annotation says.

    Annotations that cannot be known while the program runs, and kinds of annotation that are not known here, allow anything.
    """
    kind: Any = type(made)
    for name, wanted in _annotations(kind).items():
        if not fits(getattr(made, name), wanted):
            raise TypeError(
                f"{type(made).__name__}.{name} is {wanted}, not {type(getattr(made, name)).__name__}"
            )


@lru_cache(maxsize=64)
def _annotations(kind: Any) -> dict[str, Any]:
    try:
        hints = typing.get_type_hints(kind)
    except NameError:
        return {}
    return {item.name: hints[item.name] for item in fields(kind)}


def fits(value: Any, wanted: Any) -> bool:
    """Return whether ``value`` is what the annotation ``wanted`` says; a whole number is a float, too."""
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
    # Any is a class, too, but one that nothing can be asked to be an instance of.
    return (
        isinstance(value, wanted)
        if origin is None and isinstance(wanted, type) and wanted is not Any
        else True
    )


def _tuple_fits(value: Any, inner: tuple[Any, ...]) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(fits(item, inner[0]) for item in value)
    return len(value) == len(inner) and all(
        fits(item, one) for item, one in zip(value, inner, strict=True)
    )
