"""Handle layers that are folders of numbered picture files, in a run's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.runtime.run_record import entries_of
from stages.storage import safe_files

_NUMBERED = re.compile(r"\d{6,}\.(?:png|tif|exr|jpg)")
"""Names of the files in a sequence."""

_PATTERN = re.compile(r"%06d(\.(?:png|tif|exr|jpg))")
"""The pattern of a sequence's files, as manifests have it."""


@dataclass(frozen=True)
class SequenceFiles:
    """The files of a sequence. first, last: their numbers, inclusive. suffix: with its dot."""

    first: int
    last: int
    suffix: str

    def has(self, name: str) -> bool:
        """Return whether a file of this name belongs to the sequence."""
        number, suffix = os.path.splitext(name)
        return (
            _NUMBERED.fullmatch(name) is not None
            and suffix == self.suffix
            and f"{int(number):06d}" == number
            and self.first <= int(number) <= self.last
        )


def sequences_of(manifest: Mapping[str, object]) -> dict[str, SequenceFiles]:
    """Return the sequences that a manifest names, by the names of their folders."""
    sequences = {}
    for layer in entries_of(manifest, "layers"):
        pattern = layer.get("pattern")
        match = _PATTERN.fullmatch(pattern) if isinstance(pattern, str) else None
        if match is None:
            continue
        name, first, last = (layer.get(key) for key in ("path", "first_frame", "last_frame"))
        if isinstance(name, str) and isinstance(first, int) and isinstance(last, int):
            sequences[name] = SequenceFiles(first, last, match[1])
    return sequences


def foreign_entry(folder: Path, files: SequenceFiles | None = None) -> Path | None:
    """Return an entry of a folder that is no file of its sequence, or ``None``.

    files: those of the sequence; any numbered pictures unless given.
    """
    for entry in sorted(folder.iterdir()):
        if not _belongs(entry, files):
            return entry
    return None


def remove_sequence(folder: Path, files: SequenceFiles | None = None) -> None:
    """Remove a sequence's files from its folder, and the folder if nothing else is in it.

    files: those of the sequence; any numbered pictures unless given.
    """
    for entry in sorted(folder.iterdir()):
        if _belongs(entry, files):
            entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


def _belongs(entry: Path, files: SequenceFiles | None) -> bool:
    ours = _NUMBERED.fullmatch(entry.name) is not None if files is None else files.has(entry.name)
    return ours and safe_files.is_file(entry)


def link_layer(complete: Path, path: Path) -> None:
    """Give a complete layer, a file or a sequence, a second name; move it where links fail.

    Hard links let layers survive a stop during the report. Raises OSError.
    """
    try:
        if not safe_files.is_folder(complete):
            os.link(complete, path)
            return
        path.mkdir()
        for file in sorted(complete.iterdir()):
            os.link(file, path / file.name)
    except OSError:  # not every file system has links
        safe_files.remove(path)
        complete.replace(path)
