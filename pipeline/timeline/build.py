"""Describe a clip's cut: its shots, its transitions and its media, whatever the file format.

The timeline of a run plays the separated scenes. Where two scenes mix, the cut lies in the middle
of the mixed frames, and both scenes go on beyond it: these frames are their handles. The timeline
of ``probe`` plays the source itself, so its mixed frames are clips of their own and nothing is
mixed twice.

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

_NAMED_FRAMES = re.compile(r"\bframes? (\d+)(?: to (\d+))?")
"""How a warning names the frames that it is about."""


def timeline_of_run(manifest: Mapping[str, Any], info: ClipInfo) -> EditTimeline:
    """Return the timeline of a run's scenes, whose files lie beside it.

    manifest: the run's. info: the input. Raises KeyError, TypeError or ValueError where the
    manifest is damaged.
    """
    start, separator = time_code_of(info)
    scenes: dict[str, TimelineMedia] = {}
    for layer in manifest["layers"]:
        if layer["role"] != "scene":
            continue
        first, last = int(layer["first_frame"]), int(layer["last_frame"])
        path = str(layer["path"])
        # A layer's file carries the time code of its first frame, if the input has time code.
        media_start = start + first if info.timecode else 0
        sound = info.audio_streams > 0 and not info.is_picture
        scenes[layer["name"]] = TimelineMedia(path, quote(path), first, last, media_start, sound)
    moves = sorted(manifest["transitions"], key=lambda move: int(move["first_frame"]))
    colors = manifest.get("colors", [])
    clips, transitions = _mixed_clips(scenes, moves, colors)
    rows = [
        TimelineRow(
            "shot",
            name,
            *_alone(media, name, moves),
            file=media.name,
            file_first=media.first,
            file_last=media.last,
        )
        for name, media in scenes.items()
    ]
    return EditTimeline(
        Path(str(manifest["input"][0]["path"])).name,
        info.rate,
        start,
        separator,
        info.width,
        info.height,
        info.pixel_aspect,
        clips,
        transitions,
        _markers(manifest["warnings"], clips[0].first, clips[-1].last),
        _rows(rows, moves, colors),
    )


def timeline_of_source(facts: Mapping[str, Any], info: ClipInfo, url: str) -> EditTimeline:
    """Return the timeline of the source, cut at what ``probe`` found.

    facts: as ``probe --json`` prints them. info: the clip. url: its address, relative to the
    timeline's file.
    """
    start, separator = time_code_of(info)
    moves, colors = facts["transitions"], facts["colors"]
    shots = [
        TimelineRow("shot", f"scene-{number:03d}", shot["first_frame"], shot["last_frame"])
        for number, shot in enumerate(facts["shots"], 1)
    ]
    rows = _rows(shots, moves, colors)
    spans = [row for row in rows if row.last >= row.first]
    media_start = start if info.timecode else 0
    last = max(spans[-1].last, (info.frames or 0) - 1)
    source = TimelineMedia(info.path.name, url, 0, last, media_start, info.audio_streams > 0)
    clips = tuple(TimelineClip(row.name, row.first, row.last, source) for row in spans)
    found = [
        TimelineMarker(move["first_frame"], move["last_frame"], _mixed_remark(move))
        for move in moves
        if move["kind"] != "other" and move["last_frame"] >= move["first_frame"]
    ]
    doubts = _markers(facts["warnings"], clips[0].first, clips[-1].last)
    return EditTimeline(
        info.path.name,
        info.rate,
        start,
        separator,
        info.width,
        info.height,
        info.pixel_aspect,
        clips,
        (None,) * (len(clips) - 1),
        tuple(sorted([*found, *doubts], key=lambda marker: (marker.first, marker.last))),
        rows,
    )


def _mixed_clips(
    scenes: Mapping[str, TimelineMedia],
    moves: Sequence[Mapping[str, Any]],
    colors: Iterable[Mapping[str, Any]],
) -> tuple[tuple[TimelineClip, ...], tuple[TimelineTransition | None, ...]]:
    """Return the clips from cut to cut, and the transition at each cut."""
    spans = [(media.first, media.last) for media in scenes.values()]
    spans += [(int(gap["first_frame"]), int(gap["last_frame"])) for gap in colors]
    begin, end = min(first for first, _ in spans), max(last for _, last in spans)
    sides = [_side(move, "from") for move in moves] + [_side(move, "to") for move in moves[-1:]]
    if not moves:
        sides = [next(iter(scenes))]
    clips: list[TimelineClip] = []
    transitions: list[TimelineTransition | None] = []
    first = begin
    for place, side in enumerate(sides):
        transition, cut = None, end + 1
        if place < len(moves):
            transition, cut = _placed(moves[place], begin)
        if cut > first:
            media = scenes.get(side)
            clips.append(TimelineClip(side, first, cut - 1, media, "" if media else side))
            first = cut
            transitions.append(transition)
        elif transitions:
            transitions[-1] = transition
    return tuple(clips), tuple(transitions[:-1])


def _side(move: Mapping[str, Any], end: str) -> str:
    """Return the scene or the colour at one end (``from`` or ``to``) of a transition."""
    return str(move[end] or move["color"])


def _placed(move: Mapping[str, Any], begin: int) -> tuple[TimelineTransition | None, int]:
    """Return the transition of an entry, if the timeline makes one, and the first frame after it.

    begin: the clip's first frame, before which there can be no cut.
    """
    first, last = int(move["first_frame"]), int(move["last_frame"])
    if last < first:
        return None, first
    kind = TRANSITION_KINDS.get(str(move["kind"]))
    if kind is None or not kind.separable:
        return None, _turn(move)
    cut = first + (last - first + 1) // 2
    if cut == begin:
        cut += 1
    return TimelineTransition(first, last, cut - first, last + 1 - cut, move), cut


def _turn(move: Mapping[str, Any]) -> int:
    """Return the first frame of the incoming side where a change is not taken apart."""
    first, last = int(move["first_frame"]), int(move["last_frame"])
    if move["from"] is None:
        return first
    if move["to"] is None:
        return last + 1
    return first + sum(float(weight) < 0.5 for weight in move["mix"])


def _alone(media: TimelineMedia, name: str, moves: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the frames that a scene has for itself."""
    first, last = media.first, media.last
    for move in moves:
        if move["last_frame"] < move["first_frame"]:
            continue
        if move["to"] == name:
            first = int(move["last_frame"]) + 1
        if move["from"] == name:
            last = int(move["first_frame"]) - 1
    return first, last


def _rows(
    shots: Iterable[TimelineRow],
    moves: Iterable[Mapping[str, Any]],
    colors: Iterable[Mapping[str, Any]],
) -> tuple[TimelineRow, ...]:
    """Return the lines of the shot list in order of time; a cut stands before its new shot."""
    rows = list(shots)
    for gap in colors:
        rows.append(
            TimelineRow(
                "color", gap["color"], gap["first_frame"], gap["last_frame"], color=gap["color"]
            )
        )
    for move in moves:
        sides = f"{_side(move, 'from')} to {_side(move, 'to')}"
        span = int(move["first_frame"]), int(move["last_frame"])
        effect, color = str(move.get("effect") or ""), str(move.get("color") or "")
        rows.append(TimelineRow(str(move["kind"]), sides, *span, effect=effect, color=color))
    return tuple(sorted(rows, key=lambda row: (row.first, row.last)))


def _mixed_remark(move: Mapping[str, Any]) -> str:
    """Return what a marker says about a transition in the source."""
    return f"{move['kind']} from {_side(move, 'from')} to {_side(move, 'to')}"


def _markers(warnings: Iterable[str], begin: int, end: int) -> tuple[TimelineMarker, ...]:
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
        found.append(TimelineMarker(first, last, " ".join(text.split()), doubt=True))
    return tuple(sorted(found, key=lambda marker: (marker.first, marker.last)))
