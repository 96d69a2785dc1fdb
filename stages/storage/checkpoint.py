"""Checkpoints on disk: a run that is killed at any moment resumes instead of starting over.

Wrap one step of the work in :meth:`CheckpointStore.get_or_compute`, or a chain of steps in
:func:`run_resumable`. The step is computed once and its result is saved; a resumed run loads it.
Each step is a function of the results before it, so the layers of a resumed run are the same bytes
as those of a run that was never interrupted.

A file holds one result: its tensors as safetensors and everything else as JSON in the header of
the same file, with a checksum of both. Nothing is ever unpickled. A file is written under a
temporary name, flushed and renamed, so it is complete or not there at all. Reading a file that was
changed, or that is not a regular file, raises :class:`stages.errors.CheckpointError`.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from stages.errors import CheckpointError, UnlayerError
from stages.optim.threads import WorkQueue
from stages.storage import safe_files
from stages.storage.checkpoint_encoding import decode, encode

T = TypeVar("T")

SUFFIX = ".safetensors"
SAVE_INTERVAL = 5.0
"""Seconds between files, chosen so that writing costs little compared with the work.

Shorter work is computed again after an interruption, unless this much time has passed since the
last file.
"""


class CheckpointStore(Protocol):
    """What a long computation needs in order to be resumable.

    :class:`Checkpoints` saves to disk, :class:`NoCheckpoints` saves nothing.
    """

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return the result saved as ``name``, or ``make()``, which is saved if a save is due.

        kinds: the dataclasses that may occur in the result.
        """
        ...

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return the result saved as ``name``, or ``make()``, which is saved at once.

        Use this for results that would differ the second time, such as a plan that depends on the
        clock.
        """
        ...

    def newest(self, name: str, *kinds: type) -> Any:
        """Return the value that was last saved as ``name``, or ``None``."""
        ...

    def save_if_due(self, name: str, value: object) -> None:
        """Save ``value`` as ``name``, in place of the last one, if a save is due."""
        ...

    def due(self, seconds: float) -> bool:
        """Return whether at least ``seconds`` passed since anything was saved."""
        ...

    def namespace(self, name: str) -> CheckpointStore:
        """Return a store with its own names, for one part of the work."""
        ...


class NoCheckpoints:
    """A :class:`CheckpointStore` that saves nothing."""

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return ``make()``."""
        return make()

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return ``make()``."""
        return make()

    def newest(self, name: str, *kinds: type) -> Any:
        """Return ``None``."""
        return None

    def save_if_due(self, name: str, value: object) -> None:
        """Do nothing."""

    def due(self, seconds: float) -> bool:
        """Return False."""
        return False

    def namespace(self, name: str) -> NoCheckpoints:
        """Return this store."""
        return self


def run_resumable(
    store: CheckpointStore, name: str, steps: Sequence[Callable[[T], T]], start: T, *kinds: type
) -> T:
    """Run ``steps`` in order, each on the state that the previous one returned; return the last.

    The newest state is saved as ``name`` whenever a save is due. A resumed run continues after the
    last step whose state was saved.

    A state is saved while the next step goes on, so no step may change the state that it is given.
    """
    done, state = store.newest(name, *kinds) or (0, start)
    saving = WorkQueue(1)
    try:
        for number, step in enumerate(steps[done:], done + 1):
            state = step(state)
            saving.do(partial(store.save_if_due, name, (number, state)))
        saving.finish()
    finally:
        saving.stop()
    return state


class Checkpoints:
    """A folder of saved results that belong to one run.

    folder: made when something is saved.
    fingerprint: stands for the input, the settings and the version. Files with another fingerprint
        are refused.
    every: seconds between files, see :data:`SAVE_INTERVAL`. clock: returns the time in seconds.
    on_save: called after something was saved.
    files_read: the files that something was read from. All namespaces share this list.

    Values are made of tensors, numbers, text, lists, tuples, mappings, and dataclasses of these.
    ``kinds`` are the dataclasses that may occur in what is read. Reading raises CheckpointError
    where the file is not a checkpoint of this run; writing raises UnlayerError where the disk is
    full.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        *,
        every: float = SAVE_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.every = every
        self.clock = clock
        # A list, because all namespaces share the time of the last save.
        self._last_save = [clock()]
        self.on_save: Callable[[], None] | None = None
        self.files_read: list[Path] = []

    def get_or_compute(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return the result saved as ``name``, or ``make()``, which is saved if a save is due."""
        return self._load_or_make(name, make, kinds, self.save_if_due)

    def compute_and_save(self, name: str, make: Callable[[], T], *kinds: type) -> T:
        """Return the result saved as ``name``, or ``make()``, which is saved at once."""
        return self._load_or_make(name, make, kinds, self.save)

    def _load_or_make(
        self,
        name: str,
        make: Callable[[], T],
        kinds: tuple[type, ...],
        save: Callable[[str, object], None],
    ) -> T:
        path = self._path(name)
        if os.path.lexists(path):
            found: T = self._load(path, kinds, lambda value: value[0])
            return found
        result = make()
        save(name, (result,))
        return result

    def newest(self, name: str, *kinds: type) -> Any:
        """Return the value that was last saved as ``name``, or ``None``."""
        path = self._path(name)
        return self._load(path, kinds) if os.path.lexists(path) else None

    def save_if_due(self, name: str, value: object) -> None:
        """Save ``value`` as ``name`` if at least ``every`` seconds passed since the last save."""
        if self.due(self.every):
            self.save(name, value)

    def due(self, seconds: float) -> bool:
        """Return whether at least ``seconds`` passed since anything was saved."""
        return self.clock() - self._last_save[0] >= seconds

    def has(self, name: str) -> bool:
        """Return whether something is saved as ``name``."""
        return os.path.lexists(self._path(name))

    def save(self, name: str, value: object) -> None:
        """Save ``value`` as ``name`` at once, replacing what was saved under that name."""
        tensors: dict[str, torch.Tensor] = {}
        body = json.dumps(encode(value, tensors))
        path = self._path(name)
        part = path.with_name(f".{path.name}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Create the file here: the library would follow a link of that name.
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
                f"{self.folder}: a checkpoint could not be written ({error}); "
                "free some space there, then resume the run",
                settings=("resume",),
            ) from error
        self._last_save[0] = self.clock()
        if self.on_save is not None:
            self.on_save()

    def namespace(self, name: str) -> Checkpoints:
        """Return a store in the folder ``name`` inside this one."""
        inner = Checkpoints(
            self.folder / name, self.fingerprint, every=self.every, clock=self.clock
        )
        inner.on_save = self.on_save
        # One clock for all namespaces: the time of several short pieces of work adds up.
        inner._last_save = self._last_save
        inner.files_read = self.files_read
        return inner

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def delete(self, name: str) -> None:
        """Delete what was saved as ``name``, if anything was."""
        self._path(name).unlink(missing_ok=True)

    def verify(self, name: str, checksum: object) -> Path:
        """Return the path of the file ``name`` in the folder, which a saved result refers to.

        checksum: the file's SHA-256 at the time the result was saved. Raises CheckpointError where
        the file is missing or has other content.
        """
        try:
            path = safe_files.inside(self.folder, name)
            if safe_files.checksum(path) == checksum:
                return path
        except (OSError, ValueError, TypeError, AttributeError):
            path = self.folder
        raise _unusable(path, "is missing or damaged")

    def _load(
        self, path: Path, kinds: tuple[type, ...], take: Callable[[Any], Any] = lambda value: value
    ) -> Any:
        """Return ``take`` of the value in a file. Any fault of the file is a CheckpointError."""
        try:
            # Check first: the library would wait for a pipe.
            safe_files.open_regular(path).close()
            with safe_open(path, framework="pt") as file:
                about = file.metadata() or {}
                if about["fingerprint"] != self.fingerprint:
                    raise _unusable(
                        path,
                        "was saved by another version, or for another input or other settings",
                    )
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about.pop("checksum") != _checksum(about, tensors):
                raise ValueError("the content does not match its checksum")
            self.files_read.append(path)
            value = decode(
                json.loads(about["value"]), tensors, {kind.__name__: kind for kind in kinds}
            )
            return take(value)
        except (CheckpointError, MemoryError):
            raise
        # Whoever changed the file may have corrected its checksum too. Then anything can go wrong.
        except Exception as error:
            if "DefaultCPUAllocator" in str(error):
                raise
            raise _unusable(path, "is not one of our checkpoints, or is damaged") from error


def _unusable(path: Path, problem: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: {problem}; start the run again and replace what is there",
        settings=("overwrite",),
    )


def _checksum(about: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of a file's content, as hexadecimal digits.

    It covers the texts and the names, types, shapes and bytes of the tensors, which must be on the
    CPU.
    """
    checksum = hashlib.sha256()
    for name, text in sorted(about.items()):
        checksum.update(json.dumps([name, text]).encode())
    for name, tensor in sorted(tensors.items()):
        checksum.update(json.dumps([name, str(tensor.dtype), list(tensor.shape)]).encode())
        if tensor.numel():
            checksum.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return checksum.hexdigest()
