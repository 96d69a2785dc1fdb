"""Read timelines with the software of others, in a process of its own.

OpenTimelineIO's library may end a process that has also loaded others with a fault, so the tests
never load it themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MODULES = {"otio": "opentimelineio", "edl": "otio_cmx3600_adapter"}
"""The package that reads each format."""


def read(kind: str, path: Path, rate: float = 25.0) -> dict[str, Any]:
    """Return what a package says about a timeline; skip the test where it is not installed.

    kind: ``otio`` or ``edl``. rate: frames per second, for time codes.
    """
    if find_spec(MODULES[kind]) is None:
        pytest.skip(f"needs {MODULES[kind]}")
    words = [sys.executable, __file__, kind, str(path), repr(rate)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _described(timeline: Any, otio: Any, rate: float, drops: bool) -> dict[str, Any]:
    def label(time: Any) -> str:
        return str(otio.opentime.to_timecode(time, rate, drops))

    def span(found: Any) -> list[float] | None:
        return None if found is None else [found.start_time.value, found.duration.value]

    def item(found: Any) -> dict[str, Any]:
        shown: dict[str, Any] = {"type": type(found).__name__, "name": found.name}
        if isinstance(found, otio.schema.Transition):
            shown["offsets"] = [found.in_offset.value, found.out_offset.value]
            shown["kind"] = found.transition_type
            shown["entry"] = json.loads(otio.core.serialize_json_to_string(found))["metadata"].get(
                "unlayer"
            )
            return shown
        shown["source"] = span(found.source_range)
        reference = getattr(found, "media_reference", None)
        if isinstance(reference, otio.schema.ExternalReference):
            shown["url"] = reference.target_url
            if reference.available_range is not None:
                shown["available"] = span(reference.available_range)
                shown["starts"] = label(reference.available_range.start_time)
        return shown

    start = timeline.global_start_time
    return {
        "starts": None if start is None else label(start),
        "duration": timeline.duration().value,
        "tracks": [
            {"kind": track.kind, "items": [item(found) for found in track]}
            for track in timeline.tracks
        ],
        "markers": {
            marker.name: marker.marked_range.start_time.value for marker in timeline.tracks.markers
        },
    }


def main(kind: str, path: str, rate: float) -> None:
    """Print what the package of a format reads in a file."""
    otio = import_module("opentimelineio")
    text = Path(path).read_text(encoding="utf-8")
    if kind == "otio":
        timeline = otio.adapters.read_from_string(text, "otio_json")
    else:
        timeline = import_module("otio_cmx3600_adapter.cmx_3600").read_from_string(text, rate=rate)
    print(json.dumps(_described(timeline, otio, rate, abs(rate % 1) > 0)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
    # Leave without the library's own end.
    os._exit(0)
