"""The types of the settings that Python callers give to :func:`pipeline.separate`.

Names and meanings stand in :class:`pipeline.settings.Settings`; ``tests/pipeline/
test_setting_types.py`` holds that both agree. A value may always be written as on the command line,
so every setting but the switches also takes a text.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import SupportsIndex, TypedDict

from pipeline.arrays import Pixels

File = str | os.PathLike[str]
Time = float | Fraction | str
"""Seconds, ``hh:mm:ss.mmm``, or a time code."""
Span = tuple[SupportsIndex, SupportsIndex] | str
"""First and last frame."""
OneHint = File | Pixels
"""A file, ``box:X,Y,W,H``, ``point:X,Y``, or a picture that is white on black."""
Hints = OneHint | Sequence[OneHint] | Mapping[int, OneHint]


class SeparateSettings(TypedDict, total=False):
    """The settings of a run by name, as ``separate`` takes them.

    ``None`` leaves a setting out. ``python -m pipeline run --help-all`` explains each.
    """

    preset: str | None
    max_seconds: float | str | None
    device: str | None
    max_memory: int | str | None
    threads: int | str | None
    seed: int | str | None
    stream: int | str | None
    salvage: bool | None
    interlaced: str | None
    max_pixels: int | str | None
    start: Time | None
    end: Time | None
    transition: Span | Sequence[Span] | None
    shots: File | None
    hint: Hints | None
    mark: OneHint | None
    hint_background: Hints | None
    refine: File | None
    space: str | None
    strength: float | str | None
    force: bool | None
    layers: int | str | None
    confidence: bool | None
    lossless: bool | None
    codec: str | None
    alpha: str | None
    timeline: str | Sequence[str] | None
    resume: bool | None
    anew: bool | None
    overwrite: bool | None
    no_cache: bool | None
