"""Write ``index.html``, the page of a batch: its runs and what became of them, failures first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from pipeline.report.facts import number_of, read_facts
from pipeline.report.page import page
from pipeline.report.tracks import link
from pipeline.report.wording import counted
from pipeline.runtime.run_record import (
    MANIFEST,
    REPORT,
    list_of,
    read_json,
    report_name,
    steps_of,
)
from stages.errors import UnlayerError
from stages.media.sniff import printable
from stages.storage import safe_files

INDEX = "index.html"

ORDER = {"failed": 0, "waiting": 1, "running": 1, "done": 2, "unchanged": 2}
"""Places of the statuses in the list of runs."""

WORDS = {
    "failed": "failed",
    "waiting": "not done",
    "running": "not done",
    "done": "done",
    "unchanged": "finished before",
}
"""What the page calls the statuses."""

MARK = '<meta name="generator" content="unlayer'
"""Text by which a page of ours is recognised."""

MAX_AFTER = 2
"""Layers that are shown beside the input of a run, at most: both sides of a transition."""

HEAD_BYTES = 4096
"""Bytes of a page in which :data:`MARK` is looked for."""


class PictureEntry(TypedDict):
    """A picture of a run. what: what it shows, in a word or two. src: its address."""

    what: str
    src: str


class RunEntry(TypedDict):
    """A run in the list.

    status: as ``batch.json`` has it. word: what the page calls it. summary: what the run made and
    how long it took. error: why it failed; empty without one. href: the address of its page, if it
    has one. pictures: before and after.
    """

    name: str
    status: str
    word: str
    summary: str
    error: str
    warnings: list[str]
    href: str | None
    pictures: list[PictureEntry]


def write_index(out: Path, record: Mapping[str, Any], noun: str = "clip") -> None:
    """Write the page of a batch into its folder.

    record: the content of ``batch.json``; its ``notes``, if any, stand above the entries. noun:
    what its entries are called.
    Raises UnlayerError where the folder has a page that is not ours.
    """
    place = out / INDEX
    if os.path.lexists(place) and not _is_ours(place):
        raise UnlayerError(f"{printable(place)} is not from a batch of ours; move it")
    source = Path(str(record.get("folder", "")))
    runs = [_run(out, source, dict(clip)) for clip in list_of(record, "clips")]
    runs.sort(key=lambda run: (ORDER.get(run["status"], 1), not run["warnings"], run["name"]))
    counts = Counter(run["word"] for run in runs)
    text = page(
        "index.html.j2",
        ("page.css", "index.css"),
        ("index.js",),
        title=printable(source),
        task=str(record.get("task", "")),
        runs=runs,
        noun=noun,
        notes=[str(text) for text in list_of(record, "notes")],
        counts=[(word, counts[word]) for word in dict.fromkeys(WORDS.values()) if counts[word]],
        with_warnings=sum(bool(run["warnings"]) for run in runs),
    )
    safe_files.write_whole(
        place,
        text.encode("utf-8", "backslashreplace"),
        place.with_name(f".{INDEX}{safe_files.PART}"),
    )


def write_chain_index(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write the page of a chain into its folder: its steps, and its warnings if it has none.

    manifest: the chain's. Raises UnlayerError where the folder has a page that is not ours.
    """
    steps = steps_of(manifest)
    record = {
        "folder": str(out),
        "task": manifest.get("task", ""),
        "notes": [] if steps else manifest.get("warnings"),
        "clips": [
            {
                "path": str(out / step["path"]),
                "out": str(out / step["path"]),
                "status": "done",
                "seconds": step.get("seconds"),
            }
            for step in steps
        ],
    }
    write_index(out, record, noun="step")


def remove_index(out: Path) -> None:
    """Remove the page of a batch or a chain from its folder, if there is one of ours."""
    if os.path.lexists(out / INDEX) and _is_ours(out / INDEX):
        (out / INDEX).unlink()


def _is_ours(place: Path) -> bool:
    try:
        with safe_files.open_regular(place) as file:
            return MARK in file.read(HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return False


def _run(out: Path, source: Path, clip: Mapping[str, Any]) -> RunEntry:
    """Return one run as the page shows it, as far as its manifest can be read.

    source: the folder of clips. clip: the run's entry in ``batch.json``.
    """
    folder, path = Path(str(clip.get("out", ""))), Path(str(clip.get("path", "")))
    manifest = read_json(folder / MANIFEST) or {}
    relative = link(Path(os.path.relpath(folder, out)).as_posix())
    # A chain has no page of its own but that of its steps.
    pages = [name for name in ("report.html", INDEX) if (folder / name).is_file()]
    status = str(clip.get("status", ""))
    word = WORDS.get(status, status)
    seconds = f"{float(clip.get('seconds') or 0.0):.0f} s"
    warnings = clip.get("warnings") or manifest.get("warnings") or []
    return {
        "name": printable(path.relative_to(source) if path.is_relative_to(source) else path),
        "status": status,
        "word": word,
        "summary": ", ".join(filter(None, [word, *_results(manifest), seconds])),
        "error": str(clip.get("error") or ""),
        "warnings": [str(text) for text in warnings] if isinstance(warnings, list) else [],
        "href": f"./{relative}/{pages[0]}" if pages else None,
        "pictures": [
            {"what": what, "src": f"./{relative}/{name}"}
            for what, name in _pictures(folder, manifest)
        ],
    }


def _pictures(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run's pictures show, before and after, and their addresses in its folder.

    folder: the run's. The pictures of a chain are what its first step got and its last step made.
    """
    by_step = []
    for step in steps_of(manifest):
        place = link(step["path"])
        made = _pictures_of_step(read_json(folder / step["path"] / MANIFEST) or {})
        by_step.append([(what, f"{place}/{name}") for what, name in made])
    shown = [pictures for pictures in by_step if pictures]
    if not shown:
        return _pictures_of_step(manifest)
    return [*shown[0][:1], *by_step[-1][1 : 1 + MAX_AFTER]]


def _pictures_of_step(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run's pictures show, the one before first, and their addresses."""
    pictures = []
    thumbnail = manifest.get("thumbnail")
    is_name = isinstance(thumbnail, str) and report_name(thumbnail)
    if is_name and str(thumbnail).startswith(f"{REPORT}/"):
        pictures.append(("before", str(thumbnail)))
    try:
        facts = read_facts(manifest)
    except UnlayerError:
        return pictures
    task = facts.installed_task
    main_role = task.roles[0] if task else facts.layers[0].role
    main = [layer for layer in facts.layers if layer.role == main_role]
    for layer in main[:MAX_AFTER]:
        still = f"{REPORT}/still-{layer.slug}.jpg"
        if still in facts.files:
            pictures.append((layer.name, link(still)))
        elif layer.is_picture:
            pictures.append((layer.name, link(layer.path)))
    return pictures


def _results(manifest: Mapping[str, Any]) -> list[str]:
    """Return what a run made, in phrases."""
    transitions, layers = manifest.get("transitions"), manifest.get("layers")
    report = manifest.get("report")
    psnr = number_of(report, "reconstruction_psnr") if isinstance(report, dict) else None
    phrases = []
    if isinstance(layers, list):
        phrases.append(counted(len(layers), "layer"))
    if isinstance(transitions, list) and transitions:
        phrases.append(counted(len(transitions), "transition"))
    if psnr is not None:
        phrases.append(f"{psnr:.1f} dB mixed back")
    return phrases
