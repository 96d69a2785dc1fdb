"""The folders of a chain's steps, inside its own: what is missing, and what is replaced."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.report.index import remove_index
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import (
    MANIFEST,
    Identity,
    files_of,
    flat_name,
    identity_of,
    read_json,
)
from pipeline.settings import Settings
from stages import safe_files
from stages.errors import UnlayerError


def missing_layers(chain: Path) -> list[str]:
    """Return the layers that a finished chain's manifest names and that are gone.

    Raises UnlayerError where the manifest is damaged.
    """
    layers: Any = (read_json(chain / MANIFEST) or {}).get("layers")
    if not isinstance(layers, list) or not all(
        isinstance(layer, dict) and isinstance(layer.get("path"), str) for layer in layers
    ):
        raise UnlayerError(f"{chain}: its {MANIFEST} is damaged; do it again with --overwrite")
    return [layer["path"] for layer in layers if not (chain / layer["path"]).exists()]


def clear_replaced(folder: RunFolder, settings: Settings, identity: Identity) -> None:
    """Remove the chain that is about to be replaced: its steps' files, its page, its manifest.

    Only files go that the manifest of a step names. A chain of the same input and options stays,
    unless ``--overwrite`` is given: its steps go on.

    folder: of the chain, ready for the new run. identity: of the new run.
    """
    old = read_json(folder.path / MANIFEST) or {}
    same = identity_of(old) == identity and not settings.overwrite
    steps: Any = old.get("steps")
    if same or not isinstance(steps, list):
        return
    for step in steps:
        name = step.get("path") if isinstance(step, dict) else None
        if isinstance(name, str) and flat_name(name) and safe_files.is_folder(folder.path / name):
            _remove_run(folder.path / name)
    remove_index(folder.path)
    folder.remove([MANIFEST])


def _remove_run(place: Path) -> None:
    """Remove a finished run of this program, and its folder if nothing else is in it."""
    record = read_json(place / MANIFEST) or {}
    if identity_of(record) is None:
        return
    with claim(place) as run:
        run.remove([*files_of(record), MANIFEST])
        run.drop_work()
    with suppress(OSError):
        place.rmdir()
