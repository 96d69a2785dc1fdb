"""Write OpenTimelineIO files: JSON that DaVinci Resolve, Avid, Nuke Studio and others read.

The schemas are those that every version of the library reads. ``metadata["unlayer"]`` has
what OpenTimelineIO has no field for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pipeline.timeline.model import (
    EditTimeline,
    TimelineClip,
    TimelineFormat,
    TimelineMarker,
    TimelineMedia,
    TimelineTransition,
)
from stages.plain_colors import rgb_of

_DISSOLVES = ("dissolve", "fade")
"""Kinds that OpenTimelineIO's only standard transition stands for."""


def render(timeline: EditTimeline) -> str:
    """Return the text of an ``.otio`` file: a video track, and an audio track if there is audio."""
    rate = timeline.rate
    tracks = [_track("V1", "Video", _video_items(timeline))]
    if any(clip.media is not None and clip.media.has_audio for clip in timeline.clips):
        # Both scenes have the same audio under a transition, so it needs no transition of its own.
        tracks.append(_track("A1", "Audio", [_clip(clip, rate) for clip in timeline.clips]))
    stack = _schema(
        "Stack.1",
        name="tracks",
        source_range=None,
        effects=[],
        markers=[_marker(marker, timeline) for marker in timeline.markers],
        enabled=True,
        children=tracks,
    )
    size = {"width": timeline.width, "height": timeline.height}
    aspect = {"pixel_aspect": f"{timeline.pixel_aspect}"}
    document = _schema(
        "Timeline.1",
        name=timeline.name,
        global_start_time=_time(timeline.start + timeline.first, rate),
        tracks=stack,
        metadata={"unlayer": {**size, **aspect, "drop_frame": timeline.drops_frames}},
    )
    return json.dumps(document, indent=2) + "\n"


FORMAT = TimelineFormat("otio", "timeline.otio", render)


def _schema(
    schema: str, *, metadata: Mapping[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """Return an object of a schema, such as ``Clip.1``."""
    return {"OTIO_SCHEMA": schema, "metadata": metadata or {}, **more}


def _time(frame: int, rate: Fraction) -> dict[str, Any]:
    return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(rate), "value": float(frame)}


def _range(first: int, count: int, rate: Fraction) -> dict[str, Any]:
    return {
        "OTIO_SCHEMA": "TimeRange.1",
        "start_time": _time(first, rate),
        "duration": _time(count, rate),
    }


def _track(name: str, kind: str, children: list[dict[str, Any]]) -> dict[str, Any]:
    return _schema(
        "Track.1",
        name=name,
        kind=kind,
        source_range=None,
        effects=[],
        markers=[],
        enabled=True,
        children=children,
    )


def _video_items(timeline: EditTimeline) -> list[dict[str, Any]]:
    """Return the clips, with the transitions between them."""
    items = []
    for index, clip in enumerate(timeline.clips):
        items.append(_clip(clip, timeline.rate))
        transition = timeline.transitions[index] if index < len(timeline.transitions) else None
        if transition is not None:
            items.append(_transition(transition, timeline.rate))
    return items


def _clip(clip: TimelineClip, rate: Fraction) -> dict[str, Any]:
    """Return a clip. Black is a gap, another plain colour a generator."""
    common = {
        "name": clip.name,
        "source_range": _range(clip.source(clip.first) if clip.media else 0, len(clip), rate),
        "effects": [],
        "markers": [],
        "enabled": True,
    }
    frames = {"first_frame": clip.first, "last_frame": clip.last}
    if clip.media is not None:
        reference = _reference(clip.media, rate)
        return _schema("Clip.1", metadata={"unlayer": frames}, media_reference=reference, **common)
    about = {"unlayer": {**frames, "color": clip.color}}
    if clip.is_black:
        return _schema("Gap.1", metadata=about, **common)
    levels = [level / 255 for level in rgb_of(clip.color)]
    generator = _schema(
        "GeneratorReference.1",
        name=clip.color,
        available_range=None,
        available_image_bounds=None,
        generator_kind="SolidColor",
        parameters={"color": [*levels, 1.0]},
    )
    return _schema("Clip.1", metadata=about, media_reference=generator, **common)


def _reference(media: TimelineMedia, rate: Fraction) -> dict[str, Any]:
    """Return the reference to a media file: all of its frames, the handles among them."""
    return _schema(
        "ExternalReference.1",
        metadata={"unlayer": {"first_frame": media.first, "last_frame": media.last}},
        name=media.name,
        target_url=media.url,
        available_range=_range(media.start, media.last - media.first + 1, rate),
        available_image_bounds=None,
    )


def _transition(transition: TimelineTransition, rate: Fraction) -> dict[str, Any]:
    kind = transition.entry.kind
    return _schema(
        "Transition.1",
        metadata={"unlayer": dict(transition.entry.listed)},
        name=transition.name,
        transition_type="SMPTE_Dissolve" if kind in _DISSOLVES else "Custom_Transition",
        in_offset=_time(transition.before, rate),
        out_offset=_time(transition.after, rate),
    )


def _marker(marker: TimelineMarker, timeline: EditTimeline) -> dict[str, Any]:
    """Return a marker; its range counts from the timeline's first frame."""
    first = marker.first - timeline.first
    return _schema(
        "Marker.2",
        name=marker.text,
        comment=marker.text,
        color="RED" if marker.is_warning else "GREEN",
        marked_range=_range(first, marker.last - marker.first + 1, timeline.rate),
    )
