"""Run folders for tests: two runs, and how a run finishes."""

from __future__ import annotations

from pathlib import Path

from pipeline.runtime.folder_decision import Request
from pipeline.runtime.run_folder import RunFolder
from pipeline.runtime.run_record import HINT

ROLES = ("scene", "matte")
ONE: dict[str, object] = {"task": "transition", "input": ["aa"], "settings": {"seed": 0}}
OTHER: dict[str, object] = {**ONE, "settings": {"seed": 1}}


def manifest(identity: dict[str, object]) -> dict[str, object]:
    inputs = identity["input"]
    assert isinstance(inputs, list)
    return {
        "schema": 1,
        "task": identity["task"],
        "input": [{"sha256": item} for item in inputs],
        "settings": identity["settings"],
        **({HINT: identity[HINT]} if HINT in identity else {}),
        "layers": [{"path": "scene-001.mp4"}],
        "sheets": ["sheet.png"],
    }


def finish(folder: RunFolder, identity: dict[str, object] = ONE) -> None:
    """Do what a run does, with two files."""
    assert folder.prepare(identity, Request.BEGIN, roles=ROLES)
    files = [folder.work / "scene-001.mp4", folder.work / "sheet.png"]
    for file in files:
        file.write_text("ours")
    folder.publish(files, manifest(identity), identity)


def listing(path: Path) -> list[str]:
    """Return the names of the entries of a folder, sorted."""
    return sorted(entry.name for entry in path.iterdir())
