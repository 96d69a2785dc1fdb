"""Read and write files in folders that a stranger may have filled.

Nothing here follows a link, waits for a pipe, or leaves a half-written file.

A run's folder may come by mail, from an archive or from shared storage. An entry in it that has one
of our names may be a link, a pipe, a socket or a folder. Such an entry is replaced, removed or
refused, and what a link points to is never touched. Only the folder that the user names may be a
link itself: that is the user's choice.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import IO

PART = ".part"
"""Added to the name of a file while it is being written."""
_BLOCK = 2**20  # bytes that are copied at a time
# Windows does not have these flags; links are found by name there.
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_BINARY = getattr(os, "O_BINARY", 0)


def is_file(path: Path) -> bool:
    """Return whether ``path`` is a regular file itself, not a link to one."""
    return _kind(path) == stat.S_IFREG


def is_folder(path: Path) -> bool:
    """Return whether ``path`` is a folder itself, not a link to one."""
    return _kind(path) == stat.S_IFDIR


def _kind(path: Path) -> int | None:
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return None


def inside(folder: Path, name: str) -> Path:
    """Return the path of ``name`` in ``folder``. ``name`` may have several parts, joined by ``/``.

    Raises ValueError where the name is absolute, has an empty part (``a//b``), ``.`` or ``..``, or
    is not a valid file name on this system.
    """
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part or Path(part).name != part for part in parts):
        raise ValueError(f"{name!r} is not the name of a file in a folder")
    return folder.joinpath(*parts)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises OSError, without waiting, where it is a link, a pipe, a device or a folder.
    """
    if not _NO_FOLLOW and path.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(path))
    descriptor = os.open(path, os.O_RDONLY | _NO_FOLLOW | _NO_WAIT | _BINARY)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def open_lock(path: Path) -> IO[bytes]:
    """Open the file ``path`` for locking, and create it if it is missing.

    Raises OSError where the name belongs to something that is not a regular file.
    """
    if os.path.lexists(path) and not is_file(path):
        raise OSError(
            errno.EEXIST, f"{path.name} in it is a link or not a file; remove it", str(path)
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _NO_FOLLOW | _NO_WAIT | _BINARY
    return os.fdopen(os.open(path, flags, 0o666), "ab")


def create(path: Path) -> IO[bytes]:
    """Create an empty file and open it for writing and reading.

    A file, link or pipe of that name is replaced. Raises OSError where a folder has that name.
    """
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _BINARY
    return os.fdopen(os.open(path, flags, 0o666), "w+b")


@contextmanager
def replacing(path: Path, part: Path | None = None, *, sync: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that replaces ``path`` at a clean exit, so ``path`` is always complete.

    part: the temporary file, in the same folder; by default the name of ``path`` plus
        :data:`PART`. It is removed after an error.
    sync: whether to write the data to the disk before the rename, so that a power cut cannot leave
        an empty file.

    Raises OSError.
    """
    part = part or path.with_name(path.name + PART)
    try:
        with create(part) as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise


def write_whole(path: Path, data: bytes, part: Path | None = None, *, sync: bool = True) -> None:
    """Write ``data`` to the file ``path``, completely or not at all.

    part, sync: as in :func:`replacing`. Raises OSError.
    """
    with replacing(path, part, sync=sync) as file:
        file.write(data)


def make_folder(folder: Path, base: Path) -> None:
    """Make ``folder`` and the folders between it and ``base``, which exists.

    Raises NotADirectoryError where one of them is a link or not a folder.
    """
    place = base
    for part in folder.relative_to(base).parts:
        place = place / part
        with suppress(FileExistsError):
            place.mkdir()
        if not is_folder(place):
            raise NotADirectoryError(errno.ENOTDIR, "it is a link or not a folder", str(place))


def remove(path: Path) -> None:
    """Remove whatever has this name: a folder with its content, a link without its target.

    Does nothing where nothing has that name.

    Raises OSError where the system refuses.
    """
    if is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> list[Path]:
    """Remove links, pipes and devices from a folder, at any depth, and return their paths."""
    removed = []
    for entry in sorted(folder.iterdir()):
        if is_folder(entry):
            removed += sweep(entry)
        elif not is_file(entry):
            entry.unlink(missing_ok=True)
            removed.append(entry)
    return removed


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the regular files in ``folder``, at any depth, sorted by name.

    Yields nothing where it is not a folder.
    """
    for entry in sorted(folder.iterdir()) if is_folder(folder) else ():
        if is_folder(entry):
            yield from files_in(entry)
        elif is_file(entry):
            yield entry


def copy(source: Path, target: Path) -> None:
    """Copy a regular file to ``target``, replacing what has that name. Raises OSError."""
    with open_regular(source) as file, create(target) as copied:
        shutil.copyfileobj(file, copied, _BLOCK)


def checksum(path: Path) -> str:
    """Return the SHA-256 of a regular file, as hexadecimal digits.

    That of a folder is made of the names and the checksums of its files. Raises OSError.
    """
    if is_folder(path):
        listed = [f"{file.relative_to(path)} {checksum(file)}" for file in files_in(path)]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
