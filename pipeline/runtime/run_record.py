"""Read and write what a run's folder says about its run: ``manifest.json`` and ``run.json``.

Both files may come from anywhere, so nothing in them is trusted: names that lead out of the folder
are left out, and a file that is not JSON counts as absent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stages.storage import safe_files

SCHEMA = 1
"""The version of the manifest's schema."""
MANIFEST = "manifest.json"
"""The manifest's name in the run's folder."""
WORK = ".work"
"""The hidden folder inside the run's folder in which a run works."""
RECORD = "run.json"
"""The file in the work folder that says which run works in it."""
KEPT = "keep"
"""The folder of the checkpoints, inside the work folder."""
WRITTEN = "written"
"""The folder among the checkpoints for whole layers of an unfinished run."""
HINT = "hint_sha256"
"""The key of the hint's checksum in the manifest and in ``run.json``."""
REFINED = "refined_sha256"
"""The key of the checksum of the earlier matte that a run corrects, in the same places."""
REPORT = "report"
"""The folder inside the run's folder that holds the report's pictures and previews."""

Identity = Mapping[str, object]
"""What makes two runs the same: the task, the checksums of the inputs and of the hint, and the
settings that can change the layers; all as JSON values."""


def identity_of(manifest: Mapping[str, object]) -> Identity | None:
    """Return the identity of the run that wrote ``manifest``.

    Returns ``None`` where it is not a manifest of this program.
    """
    inputs = manifest.get("input")
    if manifest.get("schema") != SCHEMA or not isinstance(inputs, list):
        return None
    if not all(isinstance(item, dict) for item in inputs):
        return None
    return identity_in_record({**manifest, "input": [item.get("sha256") for item in inputs]})


def identity_in_record(record: Mapping[str, object]) -> Identity:
    """Return the part of a ``run.json``'s contents that makes up the run's identity.

    A run that refines another is known by the checksum of that run's matte. The path to it
    (``--refine``) is left out, because the same folder may have moved.
    """
    checksums = {name: record[name] for name in (HINT, REFINED) if name in record}
    settings = record.get("settings")
    if REFINED in checksums and isinstance(settings, dict):
        settings = {name: value for name, value in settings.items() if name != "refine"}
    own = {"task": record.get("task"), "input": record.get("input"), "settings": settings}
    return own | checksums


def is_same_run(recorded: Identity, identity: Identity) -> bool:
    """Return whether a run that a folder has on record is the run ``identity``.

    Earlier versions did not record the hint's checksum. Without one the hint is not compared.
    """
    if HINT in recorded:
        return recorded == identity
    return recorded == {name: value for name, value in identity.items() if name != HINT}


def names_of(folder: Path) -> list[str]:
    """Return the names of the input files of the run in ``folder``, finished or not.

    The list is empty where there is no run of this program.
    """
    manifest = read_json(folder / MANIFEST)
    if manifest is not None and identity_of(manifest) is not None:
        paths = [item.get("path") for item in entries_of(manifest, "input")]
    else:
        paths = list_of(read_json(folder / WORK / RECORD) or {}, "names")
    return [Path(path).name for path in paths if isinstance(path, str)]


def files_of(record: Mapping[str, object]) -> list[str]:
    """Return the names of the run's files, according to its manifest or ``run.json``.

    Names that lead out of the folder are left out.
    """
    layers = entries_of(record, "layers")
    names = [
        *(name for key in ("files", "sheets", "timelines") for name in texts_of(record, key)),
        *(path for layer in layers if isinstance(path := layer.get("path"), str)),
        *(name for layer in layers for name in texts_of(layer, "sounds")),
    ]
    report_files = [name for name in texts_of(record, "report_files") if report_name(name)]
    return [name for name in names if flat_name(name)] + report_files


def steps_of(manifest: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the entries of a chain's steps whose folders lie inside its own.

    The list is empty for the manifest of a run of one task.
    """
    return [
        step
        for step in entries_of(manifest, "steps")
        if isinstance(step.get("path"), str) and flat_name(step["path"])
    ]


def flat_name(name: str) -> bool:
    """Return whether ``name`` is the name of a file directly in the folder."""
    return name not in ("", ".", "..") and Path(name).name == name and "\0" not in name


def report_name(name: str) -> bool:
    """Return whether a report may own a file of this name: in the folder or in :data:`REPORT`."""
    folder, slash, file = name.rpartition("/")
    return flat_name(file) and (not slash or folder == REPORT)


def read_json(path: Path) -> dict[str, object] | None:
    """Return the JSON object in a regular file, or ``None`` where there is none.

    Links are not followed, and pipes are not waited for.
    """
    try:
        with safe_files.open_regular(path) as file:
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write ``value`` so that ``path`` always holds a whole file, old or new. Raises OSError."""
    safe_files.write_whole(path, (json.dumps(value, indent=2) + "\n").encode("utf-8"))


def list_of(record: Mapping[str, object], key: str) -> list[Any]:
    """Return the list under ``key``; an empty one where there is none."""
    value = record.get(key)
    return value if isinstance(value, list) else []


def texts_of(record: Mapping[str, object], key: str) -> list[str]:
    """Return the texts in the list under ``key``."""
    return [item for item in list_of(record, key) if isinstance(item, str)]


def entries_of(record: Mapping[str, object], key: str) -> list[dict[str, Any]]:
    """Return the JSON objects in the list under ``key``."""
    return [item for item in list_of(record, key) if isinstance(item, dict)]
