"""The manifest: what a run took, what it made, and how. Its schema is the project's promise to other programs; see the README."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch

from pipeline import __version__
from pipeline.run.input_notes import properties_of
from pipeline.runtime.memory import peak_memory
from pipeline.runtime.run_record import HINT
from pipeline.settings import Settings
from pipeline.task import FitRecord, Result
from stages.media.clip import ClipInfo
from stages.media.read import Clip, open_clip, sha256
from stages.optim.threads import workers

SCHEMA = 1
SPACES = {"gamma": "encoded values", "linear": "linear light"}
"""What a transition's ``space`` means, in words."""


def checksums(inputs: Sequence[Path], clip: Clip) -> list[str]:
    """One SHA-256 for each input: of the file's bytes; of a folder, over its pictures' checksums in order."""
    if len(inputs) == 1 and inputs[0].is_dir():
        return [hashlib.sha256("\n".join(sha256(path) for path in clip.paths).encode()).hexdigest()]
    return [sha256(path) for path in inputs]


def describe_input(
    path: str, checksum: str, info: ClipInfo, frames: int | None
) -> dict[str, object]:
    """An input as the manifest has it. ``frames``: as decoded, where all were; what the header says otherwise."""
    return {
        "path": path,
        "sha256": checksum,
        "width": info.width,
        "height": info.height,
        "frames": info.frames if frames is None else frames,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        **{
            name: value
            for name, value in properties_of(info).items()
            if (name, value) != ("scan", "progressive")
        },
    }


def identity(settings: Settings, sums: Sequence[str]) -> dict[str, object]:
    """What makes two runs the same; :func:`pipeline.runtime.run_folder.identity_of` reads it back from a manifest.
    Raises UnlayerError where the hint cannot be read."""
    found: dict[str, object] = {
        "task": settings.task,
        "input": list(sums),
        "settings": settings.kept(),
    }
    if settings.hint is not None:
        # A hint that was drawn anew under the same name makes another run.
        (found[HINT],) = checksums(
            [settings.hint],
            open_clip([settings.hint], max_pixels=settings.max_pixels, interlaced="keep"),
        )
    return found


def build(
    settings: Settings,
    sums: Sequence[str],
    info: ClipInfo,
    result: Result,
    *,
    device: torch.device,
    seconds: float,
    stages: Mapping[str, float],
    warnings: Sequence[str],
    report_files: Sequence[str] = (),
    thumbnail: str | None = None,
    hint_sha256: object = None,
) -> dict[str, object]:
    """The whole manifest of a finished run, as JSON values. ``stages``: seconds by stage; ``seconds``: of the whole run.

    report_files: the report's page and all that belongs to it. thumbnail: the one of them that stands for the run. hint_sha256: as
    :func:`identity` has it.
    """
    one = len(settings.inputs) == 1
    frames = result.frames if one else 1
    inputs = zip(map(settings.known_as, settings.inputs), sums, strict=True)
    return {
        "schema": SCHEMA,
        "task": settings.task,
        "input": [describe_input(path, checksum, info, frames) for path, checksum in inputs],
        "settings": settings.kept(),
        **({} if hint_sha256 is None else {HINT: hint_sha256}),
        "layers": [
            {
                "name": layer.name,
                "role": layer.role,
                "path": layer.path.name,
                "first_frame": layer.first_frame,
                "last_frame": layer.last_frame,
            }
            for layer in sorted(result.layers, key=lambda layer: (layer.first_frame, layer.name))
        ],
        "transitions": [dict(entry) for entry in result.transitions],
        **({"colors": [dict(entry) for entry in result.colors]} if result.colors else {}),
        "sheets": [sheet.name for sheet in result.sheets],
        "warnings": list(warnings),
        "report_files": list(report_files),
        "thumbnail": thumbnail,
        "report": {
            **result.report,
            "seconds": round(seconds, 3),
            "stages": {name: round(spent, 3) for name, spent in stages.items()},
            "device": str(device),
            "peak_memory": peak_memory(),
            "threads": workers(),
            "versions": versions(),
        },
    }


def describe_fits(fits: Sequence[FitRecord]) -> dict[str, object]:
    """``losses.json``: the losses by stage and name, as points ``[progress, value]``, of everything that was fitted."""
    return {
        "schema": SCHEMA,
        "fits": [
            {
                "name": fit.name,
                "first_frame": fit.first_frame,
                "last_frame": fit.last_frame,
                "curves": fit.curves,
            }
            for fit in fits
        ],
    }


def versions() -> dict[str, str]:
    """The versions that can change a result."""
    return {
        "unlayer": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "av": version("av"),
        "opencv": cv2.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
