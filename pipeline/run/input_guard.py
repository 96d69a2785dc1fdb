"""Notice when an input changes during a run: layers must not be made of two different files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.errors import UnlayerError
from stages.media.sniff import printable, sha256

FileState = tuple[int, int, int, int] | None
"""A file's device, inode, size in bytes and time of the last change in ns; ``None`` if gone."""

INPUT_STATES = "input_states"
"""The key in ``run.json`` of the inputs' sizes and times of change.

Another machine compares them to see whether it reads the same files.
"""


class InputChangedError(UnlayerError):
    """An input was changed, replaced or removed while the run read it.

    replaced: whether another file may have been read in its place.
    """

    def __init__(self, text: str, *, replaced: bool) -> None:
        super().__init__(text)
        self.replaced = replaced


class InputGuard:
    """The files that a run reads, which must stay as they were when it began."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.states = {path: state_of(path) for path in paths}
        self.sums: dict[Path, str] = {}

    def remember_checksums(self, sums: Sequence[str]) -> None:
        """Take the SHA-256 of the first files, in order.

        A file with the same bytes is the same, even if it was touched or copied again.
        """
        self.sums = dict(zip(self.states, sums, strict=False))

    def check(self) -> None:
        """Raise InputChangedError where a file is no longer the same."""
        for path, before in self.states.items():
            now = state_of(path)
            if now == before:
                continue
            if now is not None and self._same_bytes(path) and state_of(path) == now:
                self.states[path] = now
                continue
            what = "was removed" if now is None else "was changed or replaced"
            raise InputChangedError(
                f"{printable(path)}: {what} while the run was reading it; "
                "run it again when the file no longer changes",
                replaced=now is not None,
            )

    def _same_bytes(self, path: Path) -> bool:
        return path in self.sums and sha256(path) == self.sums[path]


def states_of(paths: Sequence[Path]) -> list[list[int]]:
    """Return the files' sizes and times of change, for ``run.json``.

    They say nothing about a folder, whose pictures may change without it.
    """
    return [list(state[2:]) for path in paths if (state := state_of(path)) is not None]


def state_of(path: Path) -> FileState:
    """Return what changes when a file is written or replaced."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
