"""Whether the inputs are still the files that they were when the run began: layers must not be made of two files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.errors import UnlayerError
from stages.media.read import sha256
from stages.media.sniff import printable

State = tuple[int, int, int, int] | None
"""Device, number, size in bytes and time of the last change, in ns, of a file; ``None`` where it is not there."""


class InputChangedError(UnlayerError):
    """An input was changed, replaced or removed while the run read it. mixed: another file may have been read in its place."""

    mixed = False


class Unchanged:
    """The files that a run reads, as they were at first."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.states = {path: state_of(path) for path in paths}
        self.sums: dict[Path, str] = {}

    def known_as(self, sums: Sequence[str]) -> None:
        """Take the SHA-256 of the first files, in order. A file with these bytes is the same, even if it was touched or copied again."""
        self.sums = dict(zip(self.states, sums, strict=False))

    def check(self) -> None:
        """Raise InputChangedError where a file is another one by now."""
        for path, before in self.states.items():
            now = state_of(path)
            if now == before:
                continue
            if now is None:
                what = "was removed"
            elif path in self.sums and sha256(path) == self.sums[path] and state_of(path) == now:
                self.states[path] = now
                continue
            else:
                what = "was changed or replaced"
            error = InputChangedError(
                f"{printable(path)}: {what} while the run was reading it; run it again when the file is at rest"
            )
            error.mixed = now is not None
            raise error


STATES = "input_states"
"""What ``run.json`` calls the inputs' sizes and times of change: another machine looks there whether it sees the same files."""


def states_of(paths: Sequence[Path]) -> list[list[int]]:
    """Return sizes and times of change as ``run.json`` has them. They hold for files alone: a folder's pictures change without it."""
    return [list(state[2:]) for path in paths if (state := state_of(path)) is not None]


def state_of(path: Path) -> State:
    """Return what changes where a file is written or replaced."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
