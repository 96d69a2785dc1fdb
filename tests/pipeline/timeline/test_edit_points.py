"""Test where a run's timeline is cut."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.timeline.edit_points import edited_clips
from pipeline.timeline.entries import read_transitions
from pipeline.timeline.model import TimelineMedia


def media(name: str, first: int, last: int) -> dict[str, TimelineMedia]:
    """Return the media of one layer by its name."""
    return {name: TimelineMedia(f"{name}.mp4", f"{name}.mp4", first, last, 0, has_audio=True)}


@pytest.mark.parametrize(
    ("sides", "spans"),
    [
        (("scene-001", "scene-002"), [(0, 39), (40, 49), (50, 79)]),
        ((None, "scene-002"), [(40, 49), (50, 79)]),
        (("scene-001", None), [(0, 39), (40, 49)]),
    ],
)
def test_frames_that_are_not_taken_apart_are_a_clip_of_their_own(
    sides: tuple[str | None, str | None], spans: list[tuple[int, int]]
) -> None:
    """The scenes beside them are only held there, so the edit does not show them."""
    entry: dict[str, Any] = {
        "from": sides[0],
        "to": sides[1],
        "color": "#000000",
        "first_frame": 40,
        "last_frame": 49,
        "kind": "other",
        "mixed": "mixed",
    }
    layers = media("mixed", 40, 49)
    if sides[0]:
        layers |= media("scene-001", 0, 49)
    if sides[1]:
        layers |= media("scene-002", 40, 79)
    clips, joins = edited_clips(layers, read_transitions([entry]), [])
    assert [(clip.first, clip.last) for clip in clips] == spans
    assert all(clip.name == clip.media.name.removesuffix(".mp4") for clip in clips if clip.media)
    assert joins == (None,) * (len(spans) - 1)
    shown = next(clip for clip in clips if clip.first == 40)
    assert shown.media is not None and shown.media.name == "mixed.mp4"
