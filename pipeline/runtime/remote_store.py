"""Keep runs on shared storage: ``--store`` takes any URL that fsspec knows (``s3://``, ``file://``).

The work itself is done in a local folder. Checkpoints are sent as soon as they are made, and
fetched by the process that resumes the run. Layers are sent when the run is finished, and the
manifest last, so that a folder with a manifest is a finished run there too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.near_words import did_you_mean
from pipeline.runtime.run_record import KEPT, MANIFEST, RECORD, WORK, WRITTEN, files_of
from stages.errors import UnlayerError, UsageError
from stages.storage import safe_files
from stages.storage.safe_files import PART

CHECKPOINTS = f"{WORK}/{KEPT}"
"""The folder of the checkpoints, inside the run's folder."""
SUPERSEDED = {f"{CHECKPOINTS}/search.safetensors": f"{CHECKPOINTS}/find.safetensors"}
"""Checkpoints that are useless once another one is there: progress that has become a result."""
MAX_STORES = 64
"""Stores that a process remembers, one for each run's URL."""

# On Windows a single letter before the colon is a drive.
_ONE_LETTER = r"(?<!^[A-Za-z])" if os.name == "nt" else ""
_PROTOCOL = re.compile(rf"([A-Za-z][A-Za-z0-9+.-]*){_ONE_LETTER}:(.*)", re.S)


class Store:
    """The folder of one run on shared storage.

    url: the folder's URL. files: the storage, as fsspec has it. root: the folder's path there.
    local: whether the storage is a folder of this machine.

    Raises UsageError where no installed package knows such a URL.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise UsageError(
                "--store needs fsspec, which is not installed; pip install fsspec"
            ) from error
        self._check_protocol(url)
        try:
            opened: tuple[Any, str] = url_to_fs(self.url)
        except Exception as error:
            raise UsageError(f"--store {url}: {_first_line(error)}") from error
        self.files = opened[0]
        self.root = opened[1].rstrip("/")
        # On this machine links are refused, as in every run's folder.
        self.local = "file" in _protocols(self.files)
        self._known: dict[str, tuple[int, int]] = {}

    def _check_protocol(self, url: str) -> None:
        """Raise UsageError for an unknown protocol.

        fsspec would take such a URL for the name of a local folder.
        """
        from fsspec.registry import available_protocols

        match = _PROTOCOL.match(self.url)
        known = available_protocols()
        if match is None or (match[1].lower() in known and match[2].startswith("//")):
            return
        # Storage in memory is of no use here, so it is not suggested.
        choices = [name for name in known if name != "memory"]
        similar = "" if match[1] in known else did_you_mean(match[1], choices)
        raise UsageError(
            f"--store {url}: is not the address of a known kind of storage; "
            f"write it as s3://bucket/layers{similar}"
        )

    def within(self, name: PurePosixPath) -> Store:
        """Return the store of the folder ``name`` inside this one."""
        return store_at(f"{self.url}/{name}")

    def fetch(
        self,
        folder: Path,
        wanted: Callable[[str], bool] = lambda name: True,
        *,
        layers: bool = False,
    ) -> None:
        """Fetch the run's manifest and its checkpoints into ``folder``.

        wanted: returns whether to fetch a checkpoint file, by its name in the folder ``keep``.
        layers: whether to fetch the layers too. Raises UnlayerError where it cannot be read.
        """
        with self._one_line_errors("read"):
            names = self._names()
            # The manifest goes last: a folder with one is a finished run.
            for name in sorted(names, key=lambda name: name == MANIFEST):
                if self._is_wanted(name, names, wanted, layers):
                    self._fetch_file(name, folder)

    @staticmethod
    def _is_wanted(
        name: str, names: Iterable[str], wanted: Callable[[str], bool], layers: bool
    ) -> bool:
        """Return whether a file of the store is to be fetched."""
        if name.endswith(PART):
            return False
        if name.startswith(f"{WORK}/") and MANIFEST in names:
            # The checkpoints of a finished run are of no use.
            return False
        if name in SUPERSEDED and SUPERSEDED[name] in names:
            return False
        if name in (MANIFEST, f"{WORK}/{RECORD}"):
            return True
        if name.startswith(f"{CHECKPOINTS}/"):
            return wanted(name[len(CHECKPOINTS) + 1 :])
        return layers and not name.startswith(".")

    def _fetch_file(self, name: str, folder: Path) -> None:
        """Fetch one file so that it has its name only when it is whole."""
        folder.mkdir(parents=True, exist_ok=True)
        path = safe_files.inside(folder, name)
        safe_files.make_folder(path.parent, folder)
        part = path.with_name(path.name + PART)
        safe_files.create(part).close()
        self.files.get_file(f"{self.root}/{name}", str(part))
        part.replace(path)
        self._known[name] = _state(path)

    def check(self) -> None:
        """Write a file there and read it back, before any work is done.

        Raises UsageError where this kind of storage keeps nothing for other processes, and
        UnlayerError where it cannot be written.
        """
        if "memory" in _protocols(self.files) or re.search(r"(^|::)memory:", self.url):
            raise UsageError(
                f"--store {self.url}: is this process's memory, which keeps nothing; "
                "give a storage as s3://bucket/layers"
            )
        name = f"{self.root}/.unlayer-{secrets.token_hex(8)}"
        data = name.encode()
        try:
            with self._one_line_errors("written"):
                self.files.makedirs(self.root, exist_ok=True)
                self._refuse_links(name)
                self.files.pipe_file(name + PART, data)
                self.files.mv(name + PART, name)
                is_same = self.files.cat_file(name) == data
                self.files.rm_file(name)
        except UnlayerError as error:
            if _is_read_only(error.__cause__):
                raise UsageError(
                    f"--store {self.url}: this kind of storage cannot be written; "
                    "give one as s3://bucket/layers"
                ) from error
            raise
        if not is_same:
            raise UsageError(
                f"--store {self.url}: does not return what is written to it; "
                "give a storage as s3://bucket/layers"
            )

    def _names(self) -> list[str]:
        """Return the names of the run's files, relative to its folder.

        Links, pipes and names that lead out of the folder are left out.
        """
        if not self.files.exists(self.root):
            return []
        entries = self.files.find(self.root, detail=True)
        names = [
            path[len(self.root) + 1 :]
            for path, facts in entries.items()
            if facts.get("type") == "file" and not facts.get("islink")
        ]
        return [name for name in names if _is_inside(name)]

    def _refuse_links(self, target: str) -> None:
        """Raise OSError where a part of a local path, below the store's own folder, is a link."""
        for path in (Path(target), *Path(target).parents) if self.local else ():
            if path == Path(self.root):
                return
            if path.is_symlink():
                raise OSError(f"{path.name} there is a link, remove it")

    def send_kept(self, folder: Path) -> None:
        """Send the checkpoints of the run in ``folder`` that the store does not have yet.

        Checkpoint files go last, as they say that the files they name are whole. Layers are not
        sent.
        """
        if not safe_files.is_folder(folder / WORK):
            return
        checkpoints = folder / CHECKPOINTS
        # Whole layers are not sent: they are large, and quickly written again.
        paths = [
            path
            for path in safe_files.files_in(checkpoints)
            if not path.name.endswith(PART) and checkpoints / WRITTEN not in path.parents
        ]
        paths.sort(key=lambda path: (path.suffix == ".safetensors", path.stat().st_mtime_ns))
        record = folder / WORK / RECORD
        for path in ([record] if safe_files.is_file(record) else []) + paths:
            name = path.relative_to(folder).as_posix()
            if (state := _state(path)) != self._known.get(name):
                self.send(path, name)
                self._known[name] = state

    def publish(self, folder: Path) -> None:
        """Send a finished run's files, the manifest last, and remove its checkpoints."""
        paths = [
            path
            for path in safe_files.files_in(folder)
            if not path.relative_to(folder).parts[0].startswith(".")
        ]
        self._remove_replaced_run({path.relative_to(folder).as_posix() for path in paths})
        for path in sorted(paths, key=lambda path: path == folder / MANIFEST):
            self.send(path, path.relative_to(folder).as_posix())
        self.forget_kept()

    def forget_kept(self) -> None:
        """Remove the run's checkpoints."""
        self._known.clear()
        with self._one_line_errors("written"):
            self._refuse_links(f"{self.root}/{WORK}")
            if self.files.exists(f"{self.root}/{WORK}"):
                self.files.rm(f"{self.root}/{WORK}", recursive=True)

    def finished(self) -> bool:
        """Return whether a finished run is there."""
        with self._one_line_errors("read"):
            return bool(self.files.exists(f"{self.root}/{MANIFEST}"))

    def _remove_replaced_run(self, names: set[str]) -> None:
        """Remove the run that is replaced: its manifest first, then its other files.

        names: the new run's files, which are kept because they will be overwritten.
        """
        with self._one_line_errors("written"):
            if not self.files.exists(f"{self.root}/{MANIFEST}"):
                return
            try:
                before = json.loads(self.files.cat_file(f"{self.root}/{MANIFEST}"))
            except ValueError:
                before = {}
            self.files.rm_file(f"{self.root}/{MANIFEST}")
            for name in files_of(before if isinstance(before, dict) else {}):
                if name not in names and self.files.exists(f"{self.root}/{name}"):
                    self._refuse_links(str(PurePosixPath(self.root, name).parent))
                    # A layer may be a folder of pictures.
                    self.files.rm(f"{self.root}/{name}", recursive=True)

    def send(self, path: Path, name: str) -> None:
        """Send one file. It has the name ``name`` there only when it is whole."""
        target = f"{self.root}/{name}"
        with self._one_line_errors("written"):
            self._refuse_links(target + PART)
            self._refuse_links(target)
            self.files.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            self.files.put_file(str(path), target + PART)
            self.files.mv(target + PART, target)

    @contextmanager
    def _one_line_errors(self, what: str) -> Iterator[None]:
        """Turn whatever goes wrong with the storage into an UnlayerError of one line.

        Each kind of storage has its own errors. what: ``read`` or ``written``.
        """
        try:
            yield
        except Exception as error:
            raise UnlayerError(
                f"{self.url}: cannot be {what} ({_first_line(error)}); "
                "check the address and your access to it"
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_read_only(cause: BaseException | None) -> bool:
    """Return whether an error means that this kind of storage can never be written."""
    if isinstance(cause, NotImplementedError | AttributeError | TypeError):
        return True
    return re.search("read.?only", str(cause), re.IGNORECASE) is not None


def _protocols(files: Any) -> tuple[str, ...]:
    """Return the names of a kind of storage."""
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _is_inside(name: str) -> bool:
    """Return whether a name leads to a place inside the folder."""
    try:
        safe_files.inside(Path("."), name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=MAX_STORES)
def store_at(url: str) -> Store:
    """Return the store at ``url``.

    It is the same object for as long as this process lives, so that nothing is sent twice.
    """
    return Store(url)


def _state(path: Path) -> tuple[int, int]:
    """Return a file's size in bytes and the time of its last change in ns."""
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
