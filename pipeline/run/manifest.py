"""Build the manifest: what a run read, what it made, and how.

Other programs rely on its schema; docs/run-folder.md describes it.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from pipeline import __version__
from pipeline.run.input_notes import properties_of
from pipeline.runtime.earlier_run import EarlierRun
from pipeline.runtime.memory import peak_memory
from pipeline.runtime.run_record import HINT, REFINED, SCHEMA, Identity, identity_in_record
from pipeline.settings import Settings
from pipeline.task import FitRecord, Result, WrittenLayer
from stages.media.clip import ClipInfo
from stages.media.read import Clip, open_clip
from stages.media.sniff import sha256
from stages.optim.threads import workers

SPACE_NAMES = {"gamma": "encoded values", "linear": "linear light"}
"""What a transition's ``space`` means, in words."""

_RECORDING_TAGS = {
    "title": "title",
    "date": "date",
    "creation_time": "date",
    "location": "location",
}
"""What ``input[].not_kept`` calls the tags that it may list."""


@dataclass(frozen=True)
class RunOutcome:
    """What the manifest says about how a run went.

    device: where it computed.
    seconds: of the whole run. stages: seconds by stage.
    warnings: in the order in which they were given.
    report_files: names of the report's page and of its other files.
    thumbnail: name of the picture that stands for the run, where there is one.
    hint_sha256: the hints' checksum or checksums, as :func:`identity` has them.
    refined_sha256: the checksum of the matte of the run that is refined.
    timelines: names of the timelines' files.
    """

    device: torch.device
    seconds: float
    stages: Mapping[str, float]
    warnings: Sequence[str]
    report_files: Sequence[str] = ()
    thumbnail: str | None = None
    hint_sha256: object = None
    refined_sha256: object = None
    timelines: Sequence[str] = ()


def checksums(inputs: Sequence[Path], clip: Clip) -> list[str]:
    """Return a SHA-256 for each input.

    It is that of a file's bytes; for a folder, that of its pictures' checksums in order.
    """
    if len(inputs) == 1 and inputs[0].is_dir():
        listed = "\n".join(sha256(path) for path in clip.paths)
        return [hashlib.sha256(listed.encode()).hexdigest()]
    return [sha256(path) for path in inputs]


def describe_input(
    path: str, checksum: str, info: ClipInfo, frames: int | None
) -> dict[str, object]:
    """Return the manifest's entry of an input.

    path: what the manifest calls it. checksum: its SHA-256. info: the facts of the clip.
    frames: the number of decoded frames, or ``None`` where not all were decoded; then the header's
    number is used.
    """
    properties = properties_of(info)
    if properties.get("scan") == "progressive":
        del properties["scan"]
    return {
        "path": path,
        "sha256": checksum,
        "width": info.width,
        "height": info.height,
        "frames": info.frames if frames is None else frames,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        **properties,
    }


def identity(settings: Settings, sums: Sequence[str]) -> Identity:
    """Return what makes two runs the same.

    sums: the inputs' checksums. :func:`pipeline.runtime.run_record.identity_of` reads the identity
    back from a manifest. Raises UnlayerError where the hint cannot be read, and UsageError where
    the run that is refined does not fit.
    """
    facts: dict[str, object] = {
        "task": settings.task,
        "input": list(sums),
        "settings": settings.kept(),
    }
    # A hint that was redrawn under the same name makes another run.
    sums_of_hints = []
    for path in settings.hint_files:
        hint = open_clip([path], max_pixels=settings.max_pixels, interlaced="keep")
        sums_of_hints += checksums([path], hint)
    if sums_of_hints:
        facts[HINT] = sums_of_hints if len(sums_of_hints) > 1 else sums_of_hints[0]
    if settings.refine is not None:
        earlier = EarlierRun.open(settings.refine, settings.task)
        earlier.check_input(sums)
        facts[REFINED] = earlier.checksum()
    return identity_in_record(facts)


def build(
    settings: Settings, sums: Sequence[str], info: ClipInfo, result: Result, outcome: RunOutcome
) -> dict[str, Any]:
    """Return the manifest of a finished run, as JSON values.

    sums: the inputs' checksums. info: the clip. result: what the task made. outcome: how the run
    went.
    """
    return {
        "schema": SCHEMA,
        "task": settings.task,
        "input": _inputs(settings, sums, info, result),
        "settings": settings.kept(),
        **_without_empty({HINT: outcome.hint_sha256, REFINED: outcome.refined_sha256}),
        "layers": _layers(result),
        "transitions": [dict(entry) for entry in result.transitions],
        **_without_empty({"colors": [dict(entry) for entry in result.colors]}),
        "sheets": [sheet.name for sheet in result.sheets],
        **_without_empty({"timelines": list(outcome.timelines)}),
        "warnings": list(outcome.warnings),
        "report_files": list(outcome.report_files),
        "thumbnail": outcome.thumbnail,
        "report": _report(result, outcome),
    }


def _inputs(
    settings: Settings, sums: Sequence[str], info: ClipInfo, result: Result
) -> list[dict[str, object]]:
    """Return the entries of the inputs, in the order in which they were given."""
    frames = result.frames if len(settings.inputs) == 1 else 1
    of_all: dict[str, object] = {"variable_rate": True} if result.variable_rate else {}
    of_all |= _without_empty({"not_kept": _tags_without_layer(info, result)})
    return [
        {**describe_input(settings.known_as(path), checksum, info, frames), **of_all}
        for path, checksum in zip(settings.inputs, sums, strict=True)
    ]


def _report(result: Result, outcome: RunOutcome) -> dict[str, object]:
    """Return the figures of the run: the task's own, then times, device, memory and versions."""
    return {
        **result.report,
        "seconds": round(outcome.seconds, 3),
        "stages": {name: round(spent, 3) for name, spent in outcome.stages.items()},
        "device": str(outcome.device),
        "peak_memory": peak_memory(),
        "threads": workers(),
        "versions": versions(),
    }


def _without_empty(entries: Mapping[str, object]) -> dict[str, object]:
    """Return the entries that hold something. The manifest leaves the others out."""
    return {name: value for name, value in entries.items() if value}


def _tags_without_layer(info: ClipInfo, result: Result) -> list[str]:
    """Return which of title, date and location the input has, if no layer's file holds tags.

    Files of pictures hold none.
    """
    if not info.is_picture and any(not layer.pattern for layer in result.layers):
        return []
    return sorted({_RECORDING_TAGS[tag] for tag in info.tags if tag in _RECORDING_TAGS})


def _layers(result: Result) -> list[dict[str, object]]:
    """Return the entries of the layers, in the order of their first frames."""
    ordered = sorted(result.layers, key=lambda layer: (layer.first_frame, layer.name))
    return [_layer(layer) for layer in ordered]


def _layer(layer: WrittenLayer) -> dict[str, object]:
    """Return the entry of a layer; that of a sequence also has its files' names and its audio."""
    entry: dict[str, object] = {
        "name": layer.name,
        "role": layer.role,
        "path": layer.path.name,
        "first_frame": layer.first_frame,
        "last_frame": layer.last_frame,
    }
    if layer.pattern:
        entry["pattern"] = layer.pattern
    if layer.data:
        entry["data"] = True
    if layer.sounds:
        entry["sounds"] = [sound.name for sound in layer.sounds]
    if layer.expected is not None:
        entry["confidence"] = {
            "measure": layer.expected.measure,
            "frames": list(layer.expected.values),
        }
    return entry


def describe_fits(fits: Sequence[FitRecord]) -> dict[str, object]:
    """Return the contents of ``losses.json``.

    For each fit it holds the losses by stage and name, as points ``[progress, value]``.
    """
    entries = [
        {
            "name": fit.name,
            "first_frame": fit.first_frame,
            "last_frame": fit.last_frame,
            "curves": fit.curves,
        }
        for fit in fits
    ]
    return {"schema": SCHEMA, "fits": entries}


def versions() -> dict[str, str]:
    """Return the versions that can change a result."""
    return {
        "unlayer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "av": version("av"),
        "opencv": cv2.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
