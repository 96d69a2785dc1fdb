"""``index.html``: the page of a batch, its runs with what came of them, failures first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report.media import link
from pipeline.report.page import page
from pipeline.report.words import counted
from pipeline.runtime.run_record import MANIFEST, REPORT, read_json, report_name
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.sniff import printable

INDEX = "index.html"
ORDER = {"failed": 0, "waiting": 1, "running": 1, "done": 2, "unchanged": 2}
WORDS = {
    "failed": "failed",
    "waiting": "not done",
    "running": "not done",
    "done": "done",
    "unchanged": "finished before",
}
MARK = '<meta name="generator" content="unlayer'


def write_index(out: Path, record: Mapping[str, Any]) -> None:
    """Writes the page of the batch whose ``batch.json`` is ``record`` into its folder. Raises UnlayerError where another page is there."""
    place = out / INDEX
    if os.path.lexists(place) and not _is_ours(place):
        raise UnlayerError(f"{printable(place)} is not from a batch of ours; move it")
    clips = record.get("clips")
    source = Path(str(record.get("folder", "")))
    runs = [_run(out, source, dict(clip)) for clip in (clips if isinstance(clips, list) else [])]
    runs.sort(key=lambda run: (ORDER.get(run["status"], 1), not run["warnings"], run["name"]))
    counts = Counter(run["word"] for run in runs)
    text = page(
        "index.html.j2",
        "index.js",
        title=printable(source),
        task=str(record.get("task", "")),
        runs=runs,
        counts=[(word, counts[word]) for word in dict.fromkeys(WORDS.values()) if counts[word]],
        warned=sum(bool(run["warnings"]) for run in runs),
    )
    safe_files.write_whole(
        place,
        text.encode("utf-8", "backslashreplace"),
        place.with_name(f".{INDEX}{safe_files.PART}"),
    )


def _is_ours(place: Path) -> bool:
    try:
        with safe_files.open_regular(place) as file:
            return MARK in file.read(4096).decode("utf-8", "replace")
    except OSError:
        return False


def _run(out: Path, source: Path, clip: Mapping[str, Any]) -> dict[str, Any]:
    """One run as the page shows it; what its manifest does not tell is left out."""
    folder, path = Path(str(clip.get("out", ""))), Path(str(clip.get("path", "")))
    manifest = read_json(folder / MANIFEST) or {}
    beside = Path(os.path.relpath(folder, out)).as_posix()
    report = manifest.get("report")
    report = report if isinstance(report, dict) else {}
    thumbnail = manifest.get("thumbnail")
    shown = isinstance(thumbnail, str) and report_name(thumbnail) and thumbnail.startswith(f"{REPORT}/")
    moves, layers = manifest.get("transitions"), manifest.get("layers")
    psnr, status = report.get("reconstruction_psnr"), str(clip.get("status", ""))
    told = [
        WORDS.get(status, status),
        counted(len(layers), "layer") if isinstance(layers, list) else "",
        counted(len(moves), "transition") if isinstance(moves, list) and moves else "",
        f"{psnr:.1f} dB mixed again" if isinstance(psnr, int | float) else "",
        f"{float(clip.get('seconds') or 0.0):.0f} s",
    ]
    warnings = clip.get("warnings") or manifest.get("warnings") or []
    return {
        "name": printable(path.relative_to(source) if path.is_relative_to(source) else path),
        "status": status,
        "word": WORDS.get(status, status),
        "told": ", ".join(word for word in told if word),
        "error": str(clip.get("error") or ""),
        "warnings": [str(text) for text in warnings] if isinstance(warnings, list) else [],
        "href": f"./{link(beside)}/report.html" if (folder / "report.html").is_file() else None,
        "thumbnail": f"./{link(beside)}/{thumbnail}" if shown else None,
    }
