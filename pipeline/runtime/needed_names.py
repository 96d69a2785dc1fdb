"""Find what lies in a folder under the names that the files of a run may need."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.runtime.run_record import WORK
from pipeline.runtime.sequences import foreign_entry, sequences_of
from stages.storage import safe_files

REPORT_SUFFIXES = (".mp4", ".jpg", ".json")
"""The suffixes of the files in the report's folder."""


def files_with_names(folder: Path, roles: tuple[str, ...], extra: Collection[str]) -> list[Path]:
    """Return what lies in the folder of a run under the name of a layer, a sheet or the report.

    roles: of the layers. extra: further names that the run needs.
    """
    own_name = re.compile(rf"(?:{'|'.join(roles)}|sheet)(?:-\d+)*\.\w+|report\.html|losses\.json")
    return [
        entry
        for entry in sorted(folder.iterdir())
        if entry.name != WORK and (own_name.fullmatch(entry.name) or entry.name in extra)
    ]


def files_of_report(folder: Path) -> list[Path]:
    """Return the files in the report's folder, or what lies in its place."""
    if safe_files.is_folder(folder):
        return sorted(entry for entry in folder.iterdir() if entry.suffix in REPORT_SUFFIXES)
    return [folder] if os.path.lexists(folder) else []


def picture_folders(
    folder: Path, roles: tuple[str, ...], manifest: Mapping[str, object]
) -> list[Path]:
    """Return what lies in the places of layers that are folders of pictures.

    Foreign files in such a folder are returned, too. manifest: of the run that is there.
    """
    layer_name = re.compile(rf"(?:{'|'.join(roles)})(?:-\d+)*")
    layers = [entry for entry in sorted(folder.iterdir()) if layer_name.fullmatch(entry.name)]
    sequences = sequences_of(manifest)
    foreign = [
        foreign_entry(layer, sequences.get(layer.name))
        for layer in filter(safe_files.is_folder, layers)
    ]
    return [*layers, *filter(None, foreign)]
