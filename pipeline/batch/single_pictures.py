"""Recognise a folder of single pictures, which ``run`` takes one by one, as ``batch`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.batch.clips import SUFFIXES, have_one_size
from pipeline.option_fields import flag
from pipeline.settings import ONE_CLIP, Settings
from stages.errors import UsageError
from stages.media.picture_folders import SUFFIXES as PICTURE_SUFFIXES


def why_single(inputs: Sequence[Path]) -> str:
    """Return why the pictures of a folder cannot be one clip; empty for any other input.

    They have several sizes, or none has a number. A folder with a video in it is left alone.
    """
    if len(inputs) != 1 or not inputs[0].is_dir():
        return ""
    try:
        files = sorted(path for path in inputs[0].iterdir() if not path.name.startswith("."))
    except OSError:
        # The reader says why the folder cannot be read.
        return ""
    pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
    if not pictures or any(path.suffix.lower() in SUFFIXES for path in files):
        return ""
    if not any(any(map(str.isdigit, path.stem)) for path in pictures):
        return "its pictures have no numbers"
    return "" if have_one_size(pictures) else "its pictures have several sizes"


def as_batch(settings: Settings) -> Settings:
    """Return the settings with which ``batch`` takes the pictures of the folder one by one.

    Raises UsageError for an option that names frames of one clip.
    """
    for item in settings.given():
        if item.name in ONE_CLIP:
            raise UsageError(
                f"{flag(item)} is for one clip, but each picture of {settings.inputs[0]} is a run "
                "of its own; give the picture that it is for"
            )
    # A batch looks into subfolders, where a clip's frames never lie.
    return replace(settings, flat=True)
