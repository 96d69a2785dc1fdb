"""The formats of timelines, one file each: every module of this folder has a ``FORMAT``."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from pipeline.timeline.model import TimelineFormat


def format_names() -> tuple[str, ...]:
    """Return the names of all formats, sorted, without importing them."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find_format(name: str) -> TimelineFormat:
    """Return the format of this name, which is the name of its module."""
    timeline_format = import_module(f"{__name__}.{name}").FORMAT
    assert isinstance(timeline_format, TimelineFormat)
    return timeline_format
