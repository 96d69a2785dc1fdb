"""Find the entries of a registry: a folder in which each module may define one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Protocol, TypeVar


class NamedEntry(Protocol):
    """An entry of a registry; it has a ``name``, which is unique in it."""

    @property
    def name(self) -> str:
        """Return the entry's name."""


EntryT = TypeVar("EntryT", bound=NamedEntry)


def entries_in(
    package: str, path: Iterable[str], attribute: str, kind: type[EntryT]
) -> dict[str, EntryT]:
    """Import every module of a folder and return its entries by name, in the files' order.

    package, path: the folder's ``__name__`` and ``__path__``. attribute: the name by which a module
    defines its entry; a module without it has none. kind: the class of the entries.

    Raises AssertionError where an entry is of another class, or two have the same name.
    """
    entries: dict[str, EntryT] = {}
    for module in sorted(pkgutil.iter_modules(path), key=lambda module: module.name):
        entry = getattr(importlib.import_module(f"{package}.{module.name}"), attribute, None)
        if entry is not None:
            where = f"{package}.{module.name}.{attribute}"
            assert isinstance(entry, kind), f"{where} is no {kind.__name__}"
            assert entry.name not in entries, f"{where}: there are two entries named {entry.name}"
            entries[entry.name] = entry
    return entries
