"""Build the timeline of a clip: its shots, its transitions and its media, for every file format.

The timeline of a run plays the separated scenes. Where two scenes mix, the edit point lies in the
middle of the mixed frames, and both scenes go on beyond it: these frames are their handles. The
timeline of ``probe`` plays the source itself, so its mixed frames are clips of their own and
nothing is mixed twice.

Frames are counted from 0 in the input as decoded; first and last frames are inclusive.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.timeline.clock import time_code_of
from pipeline.timeline.model import (
    EditTimeline,
    TimelineClip,
    TimelineMarker,
    TimelineMedia,
    TimelineRow,
    TimelineTransition,
)
from stages.kinds import TRANSITION_KINDS
from stages.media.clip import ClipInfo
from stages.transition.confidence import USABLE

MAX_FRAME = 10**9
"""The largest frame number that a manifest is believed: a year at 30 frames a second."""

_NAMED_FRAMES = re.compile(r"\bframes? (\d+)(?: to (\d+))?")
"""How a warning names the frames that it is about."""


def timeline_of_run(manifest: Mapping[str, Any], info: ClipInfo) -> EditTimeline:
    """Return the timeline of a run's scenes, whose files are in the same folder.

    manifest: the run's. info: the input. Raises KeyError, TypeError or ValueError where the
    manifest is damaged.
    """
    colors = manifest.get("colors", [])
    _check_frames([*manifest["layers"], *manifest["transitions"], *colors])
    start, _ = time_code_of(info)
    scenes = {
        layer["name"]: _scene_media(layer, info, start)
        for layer in manifest["layers"]
        if layer["role"] == "scene"
    }
    transitions = sorted(manifest["transitions"], key=lambda entry: int(entry["first_frame"]))
    clips, joins = _edited_clips(scenes, transitions, colors)
    rows = [
        TimelineRow(
            "shot",
            name,
            *_unmixed_range(media, name, transitions),
            file=media.name,
            file_first=media.first,
            file_last=media.last,
        )
        for name, media in scenes.items()
    ]
    markers = [
        *_poor_quality_markers(transitions),
        *_warning_markers(manifest["warnings"], clips[0].first, clips[-1].last),
    ]
    return _edit(
        info,
        name=Path(str(manifest["input"][0]["path"])).name,
        clips=clips,
        transitions=joins,
        markers=markers,
        rows=_rows(rows, transitions, colors),
    )


def _scene_media(layer: Mapping[str, Any], info: ClipInfo, start: int) -> TimelineMedia:
    """Return the media of a scene.

    layer: its entry in the manifest. start: the time code of the input's first frame, in frames.
    """
    first, last = int(layer["first_frame"]), int(layer["last_frame"])
    path = str(layer["path"])
    # A layer's file carries the time code of its first frame, if the input has time code.
    media_start = start + first if info.timecode else 0
    has_audio = info.audio_streams > 0 and not info.is_picture
    return TimelineMedia(
        name=path, url=quote(path), first=first, last=last, start=media_start, has_audio=has_audio
    )


def timeline_of_source(facts: Mapping[str, Any], info: ClipInfo, url: str) -> EditTimeline:
    """Return the timeline of the source, with an edit point at each boundary that ``probe`` found.

    facts: as ``probe --json`` prints them. info: the clip. url: its address, relative to the
    timeline's file.
    """
    start, _ = time_code_of(info)
    transitions, colors = facts["transitions"], facts["colors"]
    shots = [
        TimelineRow("shot", f"scene-{number:03d}", shot["first_frame"], shot["last_frame"])
        for number, shot in enumerate(facts["shots"], 1)
    ]
    rows = _rows(shots, transitions, colors)
    spans = [row for row in rows if row.last >= row.first]
    media_start = start if info.timecode else 0
    last = max(spans[-1].last, (info.frames or 0) - 1)
    source = TimelineMedia(
        name=info.path.name,
        url=url,
        first=0,
        last=last,
        start=media_start,
        has_audio=info.audio_streams > 0,
    )
    clips = tuple(TimelineClip(row.name, row.first, row.last, source) for row in spans)
    found = [
        TimelineMarker(entry["first_frame"], entry["last_frame"], _transition_remark(entry))
        for entry in transitions
        if entry["kind"] != "other" and entry["last_frame"] >= entry["first_frame"]
    ]
    warnings = _warning_markers(facts["warnings"], clips[0].first, clips[-1].last)
    return _edit(
        info,
        name=info.path.name,
        clips=clips,
        transitions=(None,) * (len(clips) - 1),
        markers=[*found, *warnings],
        rows=rows,
    )


def _edit(
    info: ClipInfo,
    name: str,
    clips: tuple[TimelineClip, ...],
    transitions: tuple[TimelineTransition | None, ...],
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
        markers=_sorted(markers),
        rows=rows,
    )


def _check_frames(entries: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError for an entry of the manifest whose frames no clip can have."""
    for entry in entries:
        first, last = int(entry["first_frame"]), int(entry["last_frame"])
        # A cut mixes no frame: its last frame is its first one minus 1.
        if not 0 <= first <= last + 1 <= MAX_FRAME:
            raise ValueError(f"frames {first} to {last} are those of no clip")


def _sorted(markers: Iterable[TimelineMarker]) -> tuple[TimelineMarker, ...]:
    return tuple(sorted(markers, key=lambda marker: (marker.first, marker.last)))


def _poor_quality_markers(transitions: Iterable[Mapping[str, Any]]) -> list[TimelineMarker]:
    """Return a marker on the mixed frames in which a scene is expected to be too poor to use."""
    markers = []
    for entry in transitions:
        usable = entry.get("usable")
        if usable is None:
            continue
        first, last = int(entry["first_frame"]), int(entry["last_frame"])
        good_until = first - 1 if usable["from"] is None else int(usable["from"])
        good_from = last + 1 if usable["to"] is None else int(usable["to"])
        if not (first - 1 <= good_until <= last and first <= good_from <= last + 1):
            raise ValueError(f"the transition at frame {first} is usable outside its frames")
        spans = ((entry["from"], good_until + 1, last), (entry["to"], first, good_from - 1))
        markers += [
            TimelineMarker(begin, end, f"{name}: less than {USABLE:.0f} dB expected")
            for name, begin, end in spans
            if begin <= end
        ]
    return markers


def _edited_clips(
    scenes: Mapping[str, TimelineMedia],
    transitions: Sequence[Mapping[str, Any]],
    colors: Iterable[Mapping[str, Any]],
) -> tuple[tuple[TimelineClip, ...], tuple[TimelineTransition | None, ...]]:
    """Return the clips from edit point to edit point, and what joins each to the next.

    Two clips are joined by a transition, or by ``None``: a cut.
    """
    spans = [(media.first, media.last) for media in scenes.values()]
    spans += [(int(gap["first_frame"]), int(gap["last_frame"])) for gap in colors]
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    # What is shown before each transition, and after the last one.
    names = [_neighbor_name(entry, "from") for entry in transitions]
    names += [_neighbor_name(entry, "to") for entry in transitions[-1:]]
    if not transitions:
        names = [next(iter(scenes))]
    clips: list[TimelineClip] = []
    joins: list[TimelineTransition | None] = []
    first = begin
    for number, name in enumerate(names):
        join = None
        edit_point = end + 1
        if number < len(transitions):
            join, edit_point = _transition_and_edit_point(transitions[number], begin)
        if edit_point > first:
            media = scenes.get(name)
            clips.append(TimelineClip(name, first, edit_point - 1, media, "" if media else name))
            first = edit_point
            joins.append(join)
        elif joins:
            # Nothing is shown between two edit points at the same frame: the later transition
            # joins the clips.
            joins[-1] = join
    return tuple(clips), tuple(joins[:-1])


def _neighbor_name(entry: Mapping[str, Any], end: str) -> str:
    """Return the scene or the colour at one end (``from`` or ``to``) of a transition."""
    return str(entry[end] or entry["color"])


def _transition_and_edit_point(
    entry: Mapping[str, Any], begin: int
) -> tuple[TimelineTransition | None, int]:
    """Return the timeline's transition and the first frame of the next clip.

    The transition is ``None`` where its kind is not separable, and for a cut.

    entry: a transition as the manifest has it. begin: the input's first frame, before which there
    is no edit point.
    """
    first, last = int(entry["first_frame"]), int(entry["last_frame"])
    if last < first:
        return None, first
    kind = TRANSITION_KINDS.get(str(entry["kind"]))
    if kind is None or not kind.separable:
        return None, _switch_frame(entry)
    edit_point = first + (last - first + 1) // 2
    if edit_point == begin:
        edit_point += 1
    before = edit_point - first
    after = last + 1 - edit_point
    return TimelineTransition(first, last, before, after, entry), edit_point


def _switch_frame(entry: Mapping[str, Any]) -> int:
    """Return the first frame of the incoming scene in a transition that is not taken apart."""
    first, last = int(entry["first_frame"]), int(entry["last_frame"])
    if entry["from"] is None:
        return first
    if entry["to"] is None:
        return last + 1
    return first + sum(float(weight) < 0.5 for weight in entry["mix"])


def _unmixed_range(
    media: TimelineMedia, name: str, transitions: Iterable[Mapping[str, Any]]
) -> tuple[int, int]:
    """Return the first and the last of the frames in which a scene is unmixed."""
    first, last = media.first, media.last
    for entry in transitions:
        # A cut mixes no frame: its last frame is its first one minus 1.
        if entry["last_frame"] < entry["first_frame"]:
            continue
        if entry["to"] == name:
            first = int(entry["last_frame"]) + 1
        if entry["from"] == name:
            last = int(entry["first_frame"]) - 1
    return first, last


def _rows(
    shots: Iterable[TimelineRow],
    transitions: Iterable[Mapping[str, Any]],
    colors: Iterable[Mapping[str, Any]],
) -> tuple[TimelineRow, ...]:
    """Return the rows of the shot list in order of time; a cut comes before its new shot."""
    rows = list(shots)
    for gap in colors:
        rows.append(
            TimelineRow(
                "color", gap["color"], gap["first_frame"], gap["last_frame"], color=gap["color"]
            )
        )
    for entry in transitions:
        name = f"{_neighbor_name(entry, 'from')} to {_neighbor_name(entry, 'to')}"
        span = int(entry["first_frame"]), int(entry["last_frame"])
        effect = str(entry.get("effect") or "")
        color = str(entry.get("color") or "")
        rows.append(TimelineRow(str(entry["kind"]), name, *span, effect=effect, color=color))
    return tuple(sorted(rows, key=lambda row: (row.first, row.last)))


def _transition_remark(entry: Mapping[str, Any]) -> str:
    """Return what a marker says about a transition in the source."""
    outgoing, incoming = _neighbor_name(entry, "from"), _neighbor_name(entry, "to")
    return f"{entry['kind']} from {outgoing} to {incoming}"


def _warning_markers(warnings: Iterable[str], begin: int, end: int) -> tuple[TimelineMarker, ...]:
    """Return a marker for each warning, at the frames that it names.

    Warnings that name no frames stand at the first frame.
    """
    found = []
    for text in warnings:
        match = _NAMED_FRAMES.search(text)
        first = int(match[1]) if match else begin
        last = int(match[2] or match[1]) if match else begin
        if not begin <= first <= last <= end:
            first = last = begin
        found.append(TimelineMarker(first, last, " ".join(text.split()), is_warning=True))
    return _sorted(found)
