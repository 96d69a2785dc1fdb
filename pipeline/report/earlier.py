"""Find the input's track that an earlier report left in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.report.facts import RunFacts
from pipeline.report.media import input_picture
from pipeline.report.tracks import Span, Track, link
from pipeline.runtime.run_record import REPORT, read_json
from stages.storage import safe_files

DATA = "data.json"
"""File of the report that lists its tracks."""


def earlier_input(folder: Path, facts: RunFacts) -> Track | None:
    """Return the input's track of an earlier report, if its files are still there.

    folder: the run's folder. What lies in it is checked: anybody may have changed it.
    """
    data = read_json(folder / REPORT / DATA) or {}
    try:
        tracks: Any = data["tracks"]
        entry: Mapping[str, Any] = next(item for item in tracks if item["role"] == "input")
        track, files = _read_track(entry, facts)
    except (StopIteration, KeyError, TypeError, ValueError, AttributeError):
        return None
    if not safe_files.is_folder(folder / REPORT):
        return None
    is_complete = all(
        safe_files.is_file(folder / REPORT / name) and f"{REPORT}/{name}" in facts.files
        for name in files
    )
    return track if is_complete else None


def _read_track(entry: Mapping[str, Any], facts: RunFacts) -> tuple[Track, list[str]]:
    """Return the track of an entry in ``data.json``, and its files' names.

    Raises ValueError, KeyError, TypeError or AttributeError where the entry is damaged.
    """
    spans = [(int(first), int(last)) for first, last in entry["spans"]]
    if not spans or not all(facts.first <= first <= last <= facts.last for first, last in spans):
        raise ValueError("its frames are not in the clip")
    height, width = (int(side) for side in entry["size"])
    track = Track(str(entry["name"]), "input", "input", spans, (height, width), preview=True)
    step, times = entry["step"], [float(time) for time in entry["times"]]
    if step is not None:
        times = [float(step) * place for place in range(track.frames)]
    if entry["video"]:
        if len(times) != track.frames:
            raise ValueError("it has not a time for each frame")
        track.times = times
        track.video = link(f"{REPORT}/preview-input.mp4")
        track.sound = entry.get("sound") is True
        return track, ["preview-input.mp4"]
    files = [input_picture(number) for number in _numbers(spans)]
    track.pictures = [
        ((number, number), link(f"{REPORT}/{name}"))
        for number, name in zip(_numbers(spans), files, strict=True)
    ]
    return track, files


def _numbers(spans: Sequence[Span]) -> list[int]:
    """Return the number of every frame of some spans."""
    return [number for first, last in spans for number in range(first, last + 1)]
