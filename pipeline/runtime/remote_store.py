"""Runs on shared storage that is no folder: ``--store`` takes any URL that fsspec knows (``s3://``, ``gs://``, ``sftp://``, ``file://``).

Work is done in a local folder. What a run keeps for ``--resume`` is sent as it is kept, and fetched by whoever goes on with it; the
layers are sent when the run is finished, the manifest last, so that a folder with one is a finished run there too.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.runtime.run_record import MANIFEST, WORK, files_of
from pipeline.values import did_you_mean
from stages import safe_files
from stages.errors import UnlayerError, UsageError

KEPT = f"{WORK}/keep"
WRITTEN = "written"
"""The folder in it for layers that are whole before the run is over: they are large, and soon written again."""
PART = ".part"
"""What a file is called at its end while it is on its way."""
_LIKE_A_KIND = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)(?<!^[A-Za-z]):(.*)"
    if os.name == "nt"
    else r"([A-Za-z][A-Za-z0-9+.-]*):(.*)",
    re.S,
)


class Store:
    """One run's folder on shared storage. ``url``: of that folder. Raises UsageError where nothing here knows such a URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            from fsspec.core import url_to_fs
            from fsspec.registry import available_protocols
        except ImportError as error:
            raise UsageError(
                "--store needs fsspec, which is not installed; pip install fsspec"
            ) from error
        # A kind that nobody knows would be taken for a folder of that name.
        if (kind := _LIKE_A_KIND.match(self.url)) and (
            kind[1].lower() not in available_protocols() or not kind[2].startswith("//")
        ):
            near = (
                ""
                if kind[1] in available_protocols()
                else did_you_mean(kind[1], [one for one in available_protocols() if one != "memory"])
            )
            raise UsageError(
                f"--store {url}: is not the address of a storage of a known kind; write it as s3://bucket/layers{near}"
            )
        try:
            found: tuple[Any, str] = url_to_fs(self.url)
        except Exception as error:
            raise UsageError(f"--store {url}: {_first_line(error)}") from error
        self.files, self.root = found[0], found[1].rstrip("/")
        # Here links are looked for, as in every folder of a run.
        self.local = "file" in _names_of(self.files)
        self._known: dict[str, tuple[int, int]] = {}

    def within(self, name: PurePosixPath) -> Store:
        """The folder ``name`` in this one."""
        return store_at(f"{self.url}/{name}")

    def fetch(
        self,
        folder: Path,
        wanted: Callable[[str], bool] = lambda name: True,
        *,
        layers: bool = False,
    ) -> None:
        """Brings the run's manifest and what it keeps into ``folder``; with ``layers`` all that it made as well.

        wanted: which of the kept files, by their names in the folder ``keep``.
        """
        with self._said("read"):
            names = self._names()
            done = MANIFEST in names
            # The manifest last: a folder with one is a finished run. What a finished run kept is of no use.
            for name in sorted(names, key=lambda name: name == MANIFEST):
                if done and name.startswith(f"{WORK}/"):
                    continue
                # Where the search is over, how far it once had come is of no use.
                if name == f"{KEPT}/search.safetensors" and f"{KEPT}/find.safetensors" in names:
                    continue
                ours = name in (MANIFEST, f"{WORK}/run.json") or (
                    name.startswith(KEPT + "/") and wanted(name[len(KEPT) + 1 :])
                )
                ours = ours or (layers and not name.startswith("."))
                if not ours or name.endswith(PART):
                    continue
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

        Raises UsageError where this kind of storage keeps nothing for other processes, UnlayerError where it cannot be written.
        """
        if "memory" in _names_of(self.files) or re.search(r"(^|::)memory:", self.url):
            raise UsageError(
                f"--store {self.url}: is this process's memory, which keeps nothing; give a storage as s3://bucket/layers"
            )
        name = f"{self.root}/.unlayer-{secrets.token_hex(8)}"
        data = name.encode()
        try:
            with self._said("written"):
                self.files.makedirs(self.root, exist_ok=True)
                self._refuse_links(name)
                self.files.pipe_file(name + PART, data)
                self.files.mv(name + PART, name)
                same = self.files.cat_file(name) == data
                self.files.rm_file(name)
        except UnlayerError as error:
            cause = error.__cause__
            if isinstance(cause, NotImplementedError | AttributeError | TypeError) or re.search(
                "read.?only", str(cause), re.IGNORECASE
            ):
                raise UsageError(
                    f"--store {self.url}: storage of this kind cannot be written; give one as s3://bucket/layers"
                ) from error
            raise
        if not same:
            raise UsageError(
                f"--store {self.url}: does not give back what is written to it; give a storage as s3://bucket/layers"
            )

    def _names(self) -> list[str]:
        """The names of the files there. Those that are no names in a folder, links and pipes are left out: they are not ours."""
        if not self.files.exists(self.root):
            return []
        found = self.files.find(self.root, detail=True)
        names = [
            path[len(self.root) + 1 :]
            for path, facts in found.items()
            if facts.get("type") == "file" and not facts.get("islink")
        ]
        return [name for name in names if _is_name(name)]

    def _refuse_links(self, target: str) -> None:
        """Raises OSError where a part of a path on this machine, below the store's own folder, is a link."""
        for path in (Path(target), *Path(target).parents) if self.local else ():
            if path == Path(self.root):
                return
            if path.is_symlink():
                raise OSError(f"{path.name} there is a link, remove it")

    def send_kept(self, folder: Path) -> None:
        """Sends what ``folder``'s run keeps and the store has not got yet, but no layers. Checkpoints go last: they say that the rest is
        whole."""
        if not safe_files.is_folder(folder / WORK):
            return
        paths = [
            path for path in safe_files.files_in(folder / KEPT) if not path.name.endswith(PART)
        ]
        paths = [path for path in paths if folder / KEPT / WRITTEN not in path.parents]
        record = folder / WORK / "run.json"
        paths.sort(key=lambda path: (path.suffix == ".safetensors", path.stat().st_mtime_ns))
        for path in ([record] if safe_files.is_file(record) else []) + paths:
            name = path.relative_to(folder).as_posix()
            if (state := _state(path)) != self._known.get(name):
                self._put(path, name)
                self._known[name] = state

    def publish(self, folder: Path) -> None:
        """Sends a finished run's files, the manifest last, and removes what it kept."""
        paths = [
            path
            for path in safe_files.files_in(folder)
            if not path.relative_to(folder).parts[0].startswith(".")
        ]
        self._retire({path.relative_to(folder).as_posix() for path in paths})
        for path in sorted(paths, key=lambda path: path == folder / MANIFEST):
            self._put(path, path.relative_to(folder).as_posix())
        self.forget_kept()

    def forget_kept(self) -> None:
        """Removes what the run kept for going on."""
        self._known.clear()
        with self._said("written"):
            self._refuse_links(f"{self.root}/{WORK}")
            if self.files.exists(f"{self.root}/{WORK}"):
                self.files.rm(f"{self.root}/{WORK}", recursive=True)

    def finished(self) -> bool:
        """Whether a finished run is there."""
        with self._said("read"):
            return bool(self.files.exists(f"{self.root}/{MANIFEST}"))

    def _retire(self, names: set[str]) -> None:
        """Takes away the run that is replaced: its manifest first, then those of its files that the new one, of ``names``, has not."""
        with self._said("written"):
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
                    self.files.rm_file(f"{self.root}/{name}")

    def send(self, path: Path, name: str) -> None:
        """Sends one file."""
        self._put(path, name)

    def _put(self, path: Path, name: str) -> None:
        target = f"{self.root}/{name}"
        with self._said("written"):
            self._refuse_links(target + PART)
            self._refuse_links(target)
            self.files.makedirs(str(PurePosixPath(target).parent), exist_ok=True)
            self.files.put_file(str(path), target + PART)
            self.files.mv(target + PART, target)

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Whatever goes wrong there, each kind of storage in its own way, becomes one line."""
        try:
            yield
        except Exception as error:
            line = _first_line(error)
            raise UnlayerError(
                f"{self.url}: cannot be {what} ({line}); check the address and your access to it"
            ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _names_of(files: Any) -> tuple[str, ...]:
    """The names of a kind of storage."""
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)


def _is_name(name: str) -> bool:
    try:
        safe_files.inside(Path("."), name)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=64)
def store_at(url: str) -> Store:
    """The store at ``url``; the same one for as long as this process lives, so that nothing is sent twice."""
    return Store(url)


def _state(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_size, facts.st_mtime_ns
