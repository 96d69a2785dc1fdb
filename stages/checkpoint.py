"""Results that are worth keeping, on disk, so that a run that is killed at any moment goes on instead of beginning again.

A step of the work is wrapped in :meth:`CheckpointStore.get_or_compute`, or a chain of them in :func:`run_resumable`: done once, its result is kept, and a resumed
run takes it from there. As each step is a function of the results before it, the resumed run's layers are those of one that was never
interrupted, byte for byte.

A file holds one result: its tensors as safetensors, everything else as JSON in the same file's header, with a checksum of both. Nothing
is ever unpickled. A file is written beside its place, flushed and renamed, so it is whole or not there at all. Reading one that was
changed, or that is no regular file, raises :class:`stages.errors.CheckpointError`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stages import safe_files
from stages.errors import CheckpointError, UnlayerError
from stages.value_types import check_types

T = TypeVar("T")

SUFFIX = ".safetensors"
_LISTS: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "frozenset": frozenset,
}
LONG = 1000  # numbers in a list from which they are kept as a tensor
EVERY = 5.0
"""Seconds of work that are worth a file: a result that took less is made again, unless so much has gathered since the last file."""


class CheckpointStore(Protocol):
    """What a long computation needs to be resumable; :class:`Checkpoints` keeps on disk, :class:`Nothing` does not."""

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """The result kept as ``name``, or ``make()``, kept where it took long enough."""
        ...

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """As :meth:`get_or_compute`, but kept at once: for what a second time would come out differently, as a plan by the clock."""
        ...

    def newest(self, name: str, *kinds: type) -> Any:
        """What was noted last as ``name``; ``None`` where nothing was."""
        ...

    def save_if_due(self, name: str, value: object) -> None:
        """Keeps ``value`` as ``name`` in place of what was noted before, where long enough has passed since anything was kept."""
        ...

    def due(self, seconds: float) -> bool:
        """Whether so many seconds went by since anything was kept."""
        ...

    def within(self, name: str) -> CheckpointStore:
        """A room of its own for a part of the work."""
        ...


class Nothing:
    """A :class:`CheckpointStore` that keeps nothing."""

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """``make()``."""
        return make()

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """``make()``."""
        return make()

    def newest(self, name: str, *kinds: type) -> Any:
        """Nothing."""
        return None

    def save_if_due(self, name: str, value: object) -> None:
        """Does nothing."""

    def due(self, seconds: float) -> bool:
        """Never."""
        return False

    def within(self, name: str) -> Nothing:
        """The same."""
        return self


def run_resumable(
    keeper: CheckpointStore, name: str, steps: Sequence[Callable[[T], T]], start: T, *kinds: type
) -> T:
    """Does ``steps`` in order, each from the state that the one before gave, and returns the last state.

    The newest state is noted as ``name``, so that a resumed run goes on behind the last step whose state was kept.
    """
    done, state = keeper.newest(name, *kinds) or (0, start)
    for number, step in enumerate(steps[done:], done + 1):
        state = step(state)
        keeper.save_if_due(name, (number, state))
    return state


class Checkpoints:
    """A folder of kept results that belong to one run.

    fingerprint: of the input, the settings and the version; a file with another one is refused. every: see :data:`EVERY`.
    after: called when something was kept.
    Values are made of tensors, numbers, text, lists, tuples, mappings and dataclasses of them; ``kinds`` are the dataclasses that may be
    in what is read. Reading raises CheckpointError where the file is no checkpoint of this run, writing UnlayerError where there is no
    room. read: the files that something was read from; the rooms of a folder share it.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        *,
        every: float = EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.fingerprint, self.every, self.clock = folder, fingerprint, every, clock
        self._last = [clock()]
        self.after: Callable[[], None] | None = None
        self.read: list[Path] = []

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """The result kept as ``name``, or ``make()``, which is kept where at least ``every`` seconds went by since anything was."""
        return self._recalled(name, make, kinds, self.save_if_due)

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """The result kept as ``name``, or ``make()``, which is kept at once."""
        return self._recalled(name, make, kinds, self.keep)

    def _recalled(
        self,
        name: str,
        make: Callable[[], T],
        kinds: tuple[type, ...],
        keep: Callable[[str, object], None],
    ) -> T:
        path = self._path(name)
        if os.path.lexists(path):
            found: T = self._load(path, kinds, lambda value: value[0])
            return found
        made = make()
        keep(name, (made,))
        return made

    def newest(self, name: str, *kinds: type) -> Any:
        """What was noted last as ``name``; ``None`` where nothing was."""
        path = self._path(name)
        return self._load(path, kinds) if os.path.lexists(path) else None

    def save_if_due(self, name: str, value: object) -> None:
        """Keeps ``value`` as ``name`` where at least ``every`` seconds went by since anything was kept."""
        if self.due(self.every):
            self.keep(name, value)

    def due(self, seconds: float) -> bool:
        """Whether at least ``seconds`` went by since anything was kept."""
        return self.clock() - self._last[0] >= seconds

    def has(self, name: str) -> bool:
        """Whether something is kept as ``name``."""
        return os.path.lexists(self._path(name))

    def keep(self, name: str, value: object) -> None:
        """Keeps ``value`` as ``name`` at once, in place of what was kept under that name."""
        tensors: dict[str, torch.Tensor] = {}
        body = json.dumps(_encoded(value, tensors))
        path = self._path(name)
        part = path.with_name(f".{path.name}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Made here, so that the library finds a file of ours and follows no link of that name.
            safe_files.create(part).close()
            tensors = tensors or {"": torch.zeros(0)}
            about = {"fingerprint": self.fingerprint, "value": body}
            save_file(tensors, part, metadata={**about, "checksum": _checksum(about, tensors)})
            with part.open("rb+") as file:
                os.fsync(file.fileno())
            part.replace(path)
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise UnlayerError(
                f"{self.folder}: a checkpoint could not be written ({error}); make room, then go on with --resume"
            ) from error
        self._last[0] = self.clock()
        if self.after is not None:
            self.after()

    def within(self, name: str) -> Checkpoints:
        """A folder in the folder."""
        room = Checkpoints(self.folder / name, self.fingerprint, every=self.every, clock=self.clock)
        # One clock for all rooms: what several short pieces of work took adds up.
        room.after, room._last, room.read = self.after, self._last, self.read
        return room

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def drop(self, name: str) -> None:
        """Removes what was kept as ``name``, where something was."""
        self._path(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove the folder and all that is in it."""
        with suppress(OSError):
            safe_files.remove(self.folder)

    def verify(self, name: str, checksum: object) -> Path:
        """Return the path of the file ``name`` in the folder, which a result refers to.

        checksum: the file's SHA-256 as it was when the result was kept. Raises CheckpointError where the file is another one.
        """
        try:
            path = safe_files.inside(self.folder, name)
            if safe_files.checksum(path) == checksum:
                return path
        except (OSError, ValueError, TypeError, AttributeError):
            path = self.folder
        raise CheckpointError(f"{path}: is missing or damaged; begin anew with --overwrite")

    def _load(
        self, path: Path, kinds: tuple[type, ...], take: Callable[[Any], Any] = lambda value: value
    ) -> Any:
        """Return what ``take`` makes of the value in a file. Whatever is wrong with the file becomes a CheckpointError."""
        try:
            # The library would wait for a pipe.
            safe_files.open_regular(path).close()
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                if about["fingerprint"] != self.fingerprint:
                    raise CheckpointError(
                        f"{path}: was kept by another version, or for another input or other settings; begin anew with --overwrite"
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}
            if about.pop("checksum") != _checksum(about, tensors):
                raise ValueError("its content is not what was kept")
            self.read.append(path)
            return take(
                _decoded(
                    json.loads(about["value"]), tensors, {kind.__name__: kind for kind in kinds}
                )
            )
        except (CheckpointError, MemoryError):
            raise
        # Whoever changes a file may mend its checksum as well; then anything may go wrong with what is in it.
        except Exception as error:
            if "DefaultCPUAllocator" in str(error):
                raise
            raise CheckpointError(
                f"{path}: is no checkpoint of ours or is damaged; begin anew with --overwrite"
            ) from error


def _checksum(about: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a file's content: its texts, and the names, kinds, shapes and bytes of its tensors, which lie on the CPU."""
    found = hashlib.sha256()
    for name, text in sorted(about.items()):
        found.update(json.dumps([name, text]).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            found.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _encoded(value: object, tensors: dict[str, torch.Tensor]) -> Any:
    """``value`` as JSON; its tensors go into ``tensors`` under the numbers that stand for them."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        # A copy: two views of one memory are refused by the format.
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if isinstance(value, list) and len(value) > LONG and (numbers := _numbers(value)) is not None:
        # Not in the header, which may hold 100 MB: a long film has millions of times.
        return {"ints" if numbers.ndim == 1 else "fractions": _encoded(numbers, tensors)}
    if isinstance(value, list | tuple | frozenset):
        return {type(value).__name__: [_encoded(item, tensors) for item in value]}
    if isinstance(value, Mapping):
        return {
            "dict": [
                [_encoded(key, tensors), _encoded(item, tensors)] for key, item in value.items()
            ]
        }
    if is_dataclass(value) and not isinstance(value, type):
        return {
            type(value).__name__: {
                item.name: _encoded(getattr(value, item.name), tensors) for item in fields(value)
            }
        }
    raise TypeError(f"{type(value).__name__} cannot be kept in a checkpoint")


def _numbers(values: list[Any]) -> torch.Tensor | None:
    """Whole numbers ``(n,)`` or fractions ``(n, 2)`` of a list; ``None`` where something else is in it, or too large."""
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


def _decoded(value: Any, tensors: Mapping[str, torch.Tensor], kinds: Mapping[str, type]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "tensor":
        return tensors[inside]
    if kind == "ints":
        return _decoded(inside, tensors, kinds).tolist()
    if kind == "fractions":
        return [Fraction(*pair) for pair in _decoded(inside, tensors, kinds).tolist()]
    if kind == "fraction":
        return Fraction(*inside)
    if kind in _LISTS:
        return _LISTS[kind](_decoded(item, tensors, kinds) for item in inside)
    if kind == "dict":
        return {
            _decoded(key, tensors, kinds): _decoded(item, tensors, kinds) for key, item in inside
        }
    made = kinds[kind](**{name: _decoded(item, tensors, kinds) for name, item in inside.items()})
    check_types(made)
    return made
