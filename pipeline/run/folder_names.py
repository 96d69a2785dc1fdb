"""Name the folder of a run, and refuse one that is an input."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.settings import Settings
from stages.errors import UsageError

MAX_STEM = 200
"""Bytes of the input's name in a folder's name, which file systems limit to 255 bytes."""


def default_folder(settings: Settings) -> Path:
    """Return the run's folder where none is given: ``<stem>-<task>`` in the current folder.

    A run that refines another one gets that one's name with the next number: ``dog-segment-2``.
    """
    if settings.refine is not None:
        return Path(f"./{_next_name(settings.refine.resolve().name)}")
    first = settings.inputs[0]
    stem = first.resolve().name if first.is_dir() else first.stem
    return Path(f"./{short_name(stem) or 'clip'}-{folder_word(settings.task)}")


def _next_name(name: str) -> str:
    """Return the name with the next number at its end; a name without one counts as the first."""
    stem, _, number = name.rpartition("-")
    # A long number is a date or another name, not a count of rounds.
    if stem and re.fullmatch(r"[1-9]\d{0,2}", number, re.ASCII):
        return f"{stem}-{int(number) + 1}"
    return f"{short_name(name) or 'run'}-2"


def folder_word(task: str) -> str:
    """Return a value of ``--task`` as a part of a folder's name: ``watermark+transition``."""
    return task.replace(" ", "").replace(",", "+")


def refuse_input_as_folder(settings: Settings, out: Path) -> None:
    """Raise UsageError where the run's folder is one of its inputs, or the run that it refines."""
    if settings.refine is not None and out.resolve() == settings.refine.resolve():
        raise UsageError(f"{out}: is the run to refine, which stays as it is; choose another --out")
    if any(out.resolve() == path.resolve() for path in settings.inputs):
        raise UsageError(f"{out}: is the input itself; choose another --out")


def short_name(name: str) -> str:
    """Return the beginning of a name, at most :data:`MAX_STEM` bytes."""
    return name.encode(errors="surrogateescape")[:MAX_STEM].decode(errors="ignore")
