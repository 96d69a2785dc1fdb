"""Build the timeline of a clip: its shots, its transitions and its media, for every file format.

The timeline of a run plays the separated scenes. Where two scenes mix, the edit point lies in the
middle of the mixed frames, and both scenes go on beyond it: these frames are their handles. The
timeline of ``probe`` plays the source itself, so its mixed frames are clips of their own and
nothing is mixed twice.

Frames are counted from 0 in the input as decoded; first and last frames are inclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.timeline.clock import time_code_of
from pipeline.timeline.edit_points import Join, edited_clips
from pipeline.timeline.entries import (
    ColorEntry,
    TransitionEntry,
    frames_of_entry,
    read_colors,
    read_transitions,
)
from pipeline.timeline.markers import (
    in_order,
    poor_quality_markers,
    transition_markers,
    warning_markers,
)
from pipeline.timeline.model import (
    EditTimeline,
    TimelineClip,
    TimelineMarker,
    TimelineMedia,
    TimelineRow,
)
from stages.media.clip import ClipInfo


def timeline_of_run(manifest: Mapping[str, Any], info: ClipInfo) -> EditTimeline:
    """Return the timeline of a run's scenes, whose files are in the same folder.

    manifest: the run's. info: the input. Raises KeyError, TypeError or ValueError where the
    manifest is damaged.
    """
    colors = read_colors(manifest.get("colors", []))
    transitions = sorted(read_transitions(manifest["transitions"]), key=lambda entry: entry.first)
    scenes = _media(manifest["layers"], "scene", info)
    mixed = _media(manifest["layers"], "mixed", info)
    clips, joins = edited_clips({**scenes, **mixed}, transitions, colors)
    shots = [_shot_row(name, media, transitions) for name, media in scenes.items()]
    markers = [
        *poor_quality_markers(transitions),
        *warning_markers(manifest["warnings"], clips[0].first, clips[-1].last),
    ]
    return _edit(
        info,
        name=Path(str(manifest["input"][0]["path"])).name,
        clips=clips,
        transitions=joins,
        markers=markers,
        rows=_rows(shots, transitions, colors),
    )


def timeline_of_source(facts: Mapping[str, Any], info: ClipInfo, url: str) -> EditTimeline:
    """Return the timeline of the source, with an edit point at each boundary that ``probe`` found.

    facts: as ``probe --json`` prints them. info: the clip. url: its address, relative to the
    timeline's file.
    """
    transitions = read_transitions(facts["transitions"])
    shots = [
        TimelineRow("shot", f"scene-{number:03d}", shot["first_frame"], shot["last_frame"])
        for number, shot in enumerate(facts["shots"], 1)
    ]
    rows = _rows(shots, transitions, read_colors(facts["colors"]))
    # A cut, and a scene that is never seen alone, have no frame.
    shown = [row for row in rows if row.last >= row.first]
    source = _source_media(info, url, shown[-1].last)
    clips = tuple(TimelineClip(row.name, row.first, row.last, source) for row in shown)
    markers = [
        *transition_markers(transitions),
        *warning_markers(facts["warnings"], clips[0].first, clips[-1].last),
    ]
    return _edit(
        info,
        name=info.path.name,
        clips=clips,
        transitions=(None,) * (len(clips) - 1),
        markers=markers,
        rows=rows,
    )


def _media(
    layers: Iterable[Mapping[str, Any]], role: str, info: ClipInfo
) -> dict[str, TimelineMedia]:
    """Return the media of layers with a role, by name; layers: as the manifest lists them."""
    spans = [(layer, *frames_of_entry(layer)) for layer in layers]
    return {
        layer["name"]: _layer_media(str(layer["path"]), first, last, info)
        for layer, first, last in spans
        if layer["role"] == role
    }


def _layer_media(path: str, first: int, last: int, info: ClipInfo) -> TimelineMedia:
    """Return the media of a layer; path: its file's name. first, last: the frames it holds."""
    start, _ = time_code_of(info)
    return TimelineMedia(
        name=path,
        url=quote(path),
        first=first,
        last=last,
        # A layer's file carries the time code of its first frame, if the input has time code.
        start=start + first if info.timecode else 0,
        has_audio=info.audio_streams > 0 and not info.is_picture,
    )


def _source_media(info: ClipInfo, url: str, last_shown: int) -> TimelineMedia:
    """Return the input as media; last_shown: the last frame that the timeline shows."""
    start, _ = time_code_of(info)
    return TimelineMedia(
        name=info.path.name,
        url=url,
        first=0,
        last=max(last_shown, (info.frames or 0) - 1),
        start=start if info.timecode else 0,
        has_audio=info.audio_streams > 0,
    )


def _edit(
    info: ClipInfo,
    name: str,
    clips: tuple[TimelineClip, ...],
    transitions: tuple[Join, ...],
    markers: Iterable[TimelineMarker],
    rows: tuple[TimelineRow, ...],
) -> EditTimeline:
    """Return a timeline in the format and with the time code of a clip."""
    start, separator = time_code_of(info)
    return EditTimeline(
        rate=info.rate,
        start=start,
        separator=separator,
        width=info.width,
        height=info.height,
        pixel_aspect=info.pixel_aspect,
        name=name,
        clips=clips,
        transitions=transitions,
        markers=in_order(markers),
        rows=rows,
    )


def _shot_row(
    name: str, media: TimelineMedia, transitions: Iterable[TransitionEntry]
) -> TimelineRow:
    """Return the row of a scene: the frames in which it is unmixed, and its file."""
    first, last = media.first, media.last
    for entry in transitions:
        if entry.is_cut:
            continue
        if entry.incoming == name:
            first = entry.last + 1
        if entry.outgoing == name:
            last = entry.first - 1
    return TimelineRow(
        "shot",
        name,
        first,
        last,
        file=media.name,
        file_first=media.first,
        file_last=media.last,
    )


def _rows(
    shots: Iterable[TimelineRow],
    transitions: Iterable[TransitionEntry],
    colors: Iterable[ColorEntry],
) -> tuple[TimelineRow, ...]:
    """Return the rows of the shot list in order of time; a cut comes before its new shot."""
    rows = list(shots)
    rows += [
        TimelineRow("color", gap.color, gap.first, gap.last, color=gap.color) for gap in colors
    ]
    rows += [
        TimelineRow(
            entry.kind,
            f"{entry.before} to {entry.after}",
            entry.first,
            entry.last,
            effect=entry.effect,
            color=entry.color,
        )
        for entry in transitions
    ]
    return tuple(sorted(rows, key=lambda row: (row.first, row.last)))
