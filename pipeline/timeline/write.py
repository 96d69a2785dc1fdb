"""Write timelines into the folder of a run, new or finished, or where ``probe`` runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.run.folder_names import short_name
from pipeline.runtime.run_folder import RunFolder
from pipeline.runtime.run_record import MANIFEST, read_json, texts_of, write_json
from pipeline.timeline.build import timeline_of_run, timeline_of_source
from pipeline.timeline.formats import find_format
from pipeline.timeline.model import EditTimeline
from stages.errors import UnlayerError, UsageError
from stages.media.clip import ClipInfo
from stages.media.sniff import printable
from stages.storage import safe_files

LISTED = "timelines"
"""The manifest's key for the names of these files."""


def file_names(formats: Sequence[str]) -> list[str]:
    """Return the names that files of these formats have in a run's folder."""
    return [find_format(name).file_name for name in formats]


def check_rate(formats: Sequence[str], info: ClipInfo) -> None:
    """Raise UsageError where a format cannot hold a clip at this rate."""
    if formats and round(info.rate) < 1:
        raise UsageError(
            f"--timeline has no meaning for {printable(info.path)}, which has less than one frame "
            "in two seconds; leave it out"
        )
    for name in formats:
        reason = find_format(name).fits(info.rate)
        if reason is not None:
            raise UsageError(f"--timeline {name}: {reason}; leave it out")


def variable_rate_warning(info: ClipInfo) -> str:
    """Return the warning about a timeline of a clip whose frames are not evenly spaced."""
    return (
        f"{printable(Path(info.path.name))}: its frames are not evenly spaced in time; the "
        f"timeline counts them at {float(info.rate):g} a second, so its time codes are those of "
        "frame numbers, not of the clock"
    )


def write_timelines(
    folder: Path, formats: Sequence[str], manifest: Mapping[str, Any], info: ClipInfo
) -> list[Path]:
    """Write the timelines of a run into ``folder`` and return their paths.

    manifest: the run's, whose layers are or will be in the same folder. info: the input.
    """
    timeline = timeline_of_run(manifest, info)
    return [
        _write(folder / find_format(name).file_name, timeline, name)
        for name in dict.fromkeys(formats)
    ]


def add_timelines(folder: RunFolder, formats: Sequence[str], info: ClipInfo) -> list[str]:
    """Write the timelines that a finished run does not have yet, and return their names.

    info: the run's input. Raises UsageError where another file has such a name, and UnlayerError
    where the manifest is damaged.
    """
    manifest = dict(read_json(folder.path / MANIFEST) or {})
    listed = texts_of(manifest, LISTED)
    missing = []
    for name in dict.fromkeys(formats):
        path = folder.path / find_format(name).file_name
        if path.name in listed and safe_files.is_file(path):
            continue
        if os.path.lexists(path) and path.name not in listed:
            raise UsageError(
                f"{printable(path)}: is in the way and not from a run of ours; move it"
            )
        missing.append(name)
    if not missing:
        return []
    try:
        timeline = timeline_of_run(manifest, info)
    except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise UnlayerError(
            f"{printable(folder.path)}: its {MANIFEST} is damaged; do the run again with "
            "--overwrite"
        ) from error
    names = [find_format(name).file_name for name in missing]
    # At every moment the manifest lists all of our files that are there.
    write_json(folder.path / MANIFEST, {**manifest, LISTED: list(dict.fromkeys(listed + names))})
    for name in missing:
        _write(folder.path / find_format(name).file_name, timeline, name)
    return names


def write_source_timelines(
    formats: Sequence[str], facts: Mapping[str, Any], info: ClipInfo
) -> list[Path]:
    """Write timelines of the source into the current folder and return their paths.

    facts: as ``probe --json`` prints them. info: the clip. A file that has the same content stays.
    Raises UsageError where another file has such a name.
    """
    folder = Path()
    timeline = timeline_of_source(facts, info, relative_url(info.path, folder))
    stem = short_name(info.path.stem) or "clip"
    written = []
    for name in dict.fromkeys(formats):
        path = folder / f"{stem}-{find_format(name).file_name}"
        write_new(path, find_format(name).render(timeline))
        written.append(path)
    return written


def source_shot_list(facts: Mapping[str, Any], info: ClipInfo) -> str:
    """Return the shot list of the source as CSV. facts: as ``probe --json`` prints them."""
    return find_format("csv").render(timeline_of_source(facts, info, ""))


def write_new(path: Path, text: str) -> None:
    """Write a file; one that has the same content stays.

    Raises UsageError where another file has its name, or where it cannot be written.
    """
    data = text.encode("utf-8", "backslashreplace")
    if os.path.lexists(path) and not _holds(path, data):
        raise UsageError(f"{printable(path)}: is there already; move it and try again")
    try:
        safe_files.write_whole(path, data)
    except OSError as error:
        raise UsageError(f"{printable(path)}: cannot be written ({error.strerror})") from error


def relative_url(path: Path, folder: Path) -> str:
    """Return the address of a file relative to a folder; absolute where they share no root."""
    try:
        return quote(Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix())
    except ValueError:  # on another drive
        return path.resolve().as_uri()


def _holds(path: Path, data: bytes) -> bool:
    try:
        with safe_files.open_regular(path) as file:
            return file.read(len(data) + 1) == data
    except OSError:
        return False


def _write(path: Path, timeline: EditTimeline, name: str) -> Path:
    text = find_format(name).render(timeline)
    safe_files.write_whole(path, text.encode("utf-8", "backslashreplace"))
    return path
