"""Handle layers that are folders of numbered picture files, in a run's folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

from stages import safe_files

_NUMBERED = re.compile(r"\d{6,}\.(?:png|tif|exr)")
"""Names of the files in a sequence."""


def foreign_entry(folder: Path) -> Path | None:
    """Return an entry of a folder that is no file of a sequence, or ``None``."""
    for entry in sorted(folder.iterdir()):
        if not (_NUMBERED.fullmatch(entry.name) and safe_files.is_file(entry)):
            return entry
    return None


def remove_sequence(folder: Path) -> None:
    """Remove the numbered pictures of a folder, and the folder if nothing else is in it."""
    for entry in sorted(folder.iterdir()):
        if _NUMBERED.fullmatch(entry.name) and safe_files.is_file(entry):
            entry.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()


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
