"""Everything that a report shows, from a run's folder: players, stills, the strip of the clip, self-checks, losses."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.report.facts import Facts, LayerFact, Move
from pipeline.report.media import (
    LONGEST,
    STILL_SIDE,
    Track,
    fitting,
    guarded,
    input_track,
    layer_track,
    link,
    mean_curve,
    picture_tracks,
    shown_spans,
    write_picture,
)
from pipeline.runtime.progress import Step
from pipeline.runtime.run_record import REPORT, read_json, write_json
from pipeline.tasks import find_task, names
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.media.thumbnails import Picture, Wanted, sample
from stages.transition.seams import CLEAN, Seam, seam

CELLS, CELL_HEIGHT = 12, 72
"""Pictures in the strip of the whole clip, and their height in pixels."""
SEAMS = 24
"""Transitions whose seams are checked, at most."""
SECONDS = 60.0
"""What making previews may take, unless a run has a budget."""
DATA = "data.json"


@dataclass
class SeamFact:
    """What became of one scene's seam at one end of a transition. seam: ``None`` where it has too few clean frames."""

    layer: str
    frame: int
    side: str
    seam: Seam | None


@dataclass
class Assembled:
    """What the page is made of. files: what was made, relative to where it was made. notes: what was left out, and why."""

    tracks: list[Track]
    strip: str | None = None
    strip_frames: list[int] = field(default_factory=list)
    timeline: dict[str, Any] = field(default_factory=dict)
    seams: list[SeamFact] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    thumbnail: str | None = None


def assemble(
    facts: Facts,
    folder: Path,
    into: Path,
    clip: Clip | None,
    *,
    seconds: float = SECONDS,
    step: Step = lambda fraction, note: None,
    known: Track | None = None,
) -> Assembled:
    """Makes the report's files in ``into`` and says what the page shows of them.

    folder: where the layers lie. clip: the input, where it is there. seconds: what previews may take together. known: the input's track
    from an earlier report, with its file.
    """
    into.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    made = Assembled([])
    spans = shown_spans(facts)
    # Each gets what is left, so that a slow one does not leave the others without.
    videos = [layer for layer in facts.layers if not layer.is_picture]
    step(0.0, "previews")
    name = ", ".join(
        printable(Path(Path(str(item.get("path", ""))).name)) for item in facts.inputs[:3]
    )
    name += f" and {len(facts.inputs) - 3} more" if len(facts.inputs) > 3 else ""

    def until(left: int) -> float:
        now = time.monotonic()
        return now + max(0.5, (began + seconds - now) / max(1, left))

    if known is not None:
        made.tracks.append(known)
    elif clip is not None:
        made_of = lambda: input_track(
            clip, facts, into, spans, until=until(len(videos) + 1), name=name
        )
        made.tracks += [track for track in [guarded(made_of, made.notes, "the input")] if track]
    for number, layer in enumerate(videos):
        step(0.1 + 0.7 * number / len(videos), layer.name)
        track = guarded(
            _later(layer, facts, folder, into, spans, until(len(videos) - number)),
            made.notes,
            layer.name,
        )
        made.tracks += [track] if track else []
    made.tracks += picture_tracks(facts)
    made.tracks = sorted((track for track in made.tracks if track.frames), key=_order(facts))
    _say_what_is_left_out(made, facts)
    made.timeline = timeline(facts, made.tracks)
    for layer in videos if not facts.moves else ():
        if layer.role in ("matte", "transmission"):
            with contextlib.suppress(UnlayerError):
                made.curves[layer.name] = mean_curve(folder / layer.path, LONGEST, until(1))
    step(0.8, "pictures")
    _pictures(made, facts, folder, into)
    write_json(into / DATA, {"schema": 1, "tracks": [track.told() for track in made.tracks]})
    made.files = sorted(f"{REPORT}/{path.name}" for path in into.iterdir() if path.is_file())
    return made


def _order(facts: Facts) -> Callable[[Track], tuple[int, int]]:
    """The input, then the layers as the task lists their roles: the one that people want is the first."""
    # A task that somebody added may be gone by the time that its run's report is written again.
    roles = find_task(facts.task).roles if facts.task in names() else ()

    def place(track: Track) -> tuple[int, int]:
        if track.role == "input":
            return -1, 0
        return (
            roles.index(track.role) if track.role in roles and not facts.moves else len(roles)
        ), track.spans[0][0]

    return place


def _later(
    layer: LayerFact, facts: Facts, folder: Path, into: Path, spans: Any, until: float
) -> Callable[[], Track]:
    return lambda: layer_track(layer, facts, folder, into, spans, until=until)


def _say_what_is_left_out(made: Assembled, facts: Facts) -> None:
    whole = facts.frames - facts.first
    for track in made.tracks:
        own = (
            next((len(layer) for layer in facts.layers if layer.slug == track.slug), whole)
            if track.role != "input"
            else whole
        )
        if track.preview and track.video and track.frames < own:
            parts = ", ".join(f"{first} to {last}" for first, last in track.spans[:6]) + (
                " and so on" if len(track.spans) > 6 else ""
            )
            made.notes.append(
                f"The player of {track.name} shows {track.frames} of {own} frames ({parts}), to keep the run short and its folder small."
            )


def timeline(facts: Facts, tracks: Sequence[Track]) -> dict[str, Any]:
    """When each frame is shown, in seconds from the first: a ``step`` where they are evenly spaced, else ``times``."""
    count, even = facts.frames - facts.first, 1 / facts.rate
    if not any(track.video for track in tracks):
        return {"first": facts.first, "count": count, "step": 1.0, "times": []}
    gaps = np.full(count, even)
    for track in reversed(tracks):
        at = 0
        for first, last in track.spans if track.times else ():
            own = track.times[at : at + last - first + 1]
            gaps[first - facts.first : first - facts.first + max(0, len(own) - 1)] = np.diff(own)
            at += last - first + 1
    if float(gaps.max() - gaps.min()) < 2e-3 * even:
        return {
            "first": facts.first,
            "count": count,
            "step": round(float(gaps.mean()), 7),
            "times": [],
        }
    times = np.concatenate([[0.0], np.cumsum(gaps)[:-1]])
    return {
        "first": facts.first,
        "count": count,
        "step": None,
        "times": [round(float(each), 5) for each in times],
    }


@dataclass
class _Order:
    """Frames that are wanted of one file, by the input's numbers, and what is done with them."""

    track: Track
    path: Path
    frames: list[int]
    size: tuple[int, int]
    use: Callable[[dict[int, Picture]], None]


def _pictures(made: Assembled, facts: Facts, folder: Path, into: Path) -> None:
    """Stills, strip and seams: all the single pictures, taken in one go."""
    orders = [
        *(_still_order(track, facts, folder, into) for track in made.tracks if track.video),
        *_strip_orders(made, facts, folder, into),
        *_seam_orders(made, facts, folder),
    ]
    wanted, sized = [], set()
    for order in orders:
        height, width = order.track.size
        # A file is counted once, however often something is wanted of it.
        about = 0 if order.path in sized else order.track.frames * height * width
        sized.add(order.path)
        places = tuple(
            place for frame in order.frames if (place := order.track.at(frame)) is not None
        )
        wanted.append(Wanted(order.path, places, order.size, about))
    for order, found in zip(orders, sample(wanted) if wanted else (), strict=True):
        order.use(
            {
                frame: found[place]
                for frame in order.frames
                if (place := order.track.at(frame)) in found and place is not None
            }
        )
    _finish_strip(made, into)
    shown = next(
        (track for track in made.tracks if track.role == "input"),
        made.tracks[0] if made.tracks else None,
    )
    if shown is not None:
        made.thumbnail = shown.still or (shown.pictures[0][1] if shown.pictures else None)


def _file_of(track: Track, folder: Path, into: Path, facts: Facts) -> Path:
    if track.role == "input" or track.preview:
        own = into / f"preview-{track.slug}.mp4"
        return own if own.exists() else folder / REPORT / own.name
    return folder / next(layer.path for layer in facts.layers if layer.slug == track.slug)


def _still_order(track: Track, facts: Facts, folder: Path, into: Path) -> _Order:
    """One picture a player, of a mixed frame where it has one: what is printed, and shown until the video is there."""
    middles = [(move.first + move.last) // 2 for move in facts.moves if move.is_mixed]
    frame = next((middle for middle in middles if track.at(middle) is not None), None)
    if frame is None:
        first, last = track.spans[len(track.spans) // 2]
        frame = (first + last) // 2

    def use(found: dict[int, Picture]) -> None:
        for picture in found.values():
            write_picture(into / f"still-{track.slug}.jpg", picture)
            track.still = link(f"{REPORT}/still-{track.slug}.jpg")

    return _Order(
        track, _file_of(track, folder, into, facts), [frame], fitting(*track.size, STILL_SIDE), use
    )


def _strip_orders(made: Assembled, facts: Facts, folder: Path, into: Path) -> list[_Order]:
    """Evenly spread frames of the clip, each from the input's preview or the scene that covers it."""
    count = facts.frames - facts.first
    sources = [
        track for track in made.tracks if track.video and track.role in ("input", "scene")
    ] or [t for t in made.tracks if t.video]
    if count < 2 or not sources:
        return []
    cells = min(CELLS, count)
    made.strip_frames = [
        facts.first + math.floor((cell + 0.5) * count / cells) for cell in range(cells)
    ]
    height, width = facts.size
    size = CELL_HEIGHT, max(8, min(160, round(CELL_HEIGHT * width / height)))
    made.timeline["cells"] = {"size": size, "pictures": {}}
    orders: dict[str, _Order] = {}
    for frame in made.strip_frames:
        track = next((each for each in sources if each.at(frame) is not None), None)
        if track is None:
            continue
        use = made.timeline["cells"]["pictures"].update
        order = orders.setdefault(
            track.slug, _Order(track, _file_of(track, folder, into, facts), [], size, use)
        )
        order.frames.append(frame)
    return list(orders.values())


def _finish_strip(made: Assembled, into: Path) -> None:
    cells = made.timeline.pop("cells", None)
    if not cells or not cells["pictures"]:
        made.strip_frames = []
        return
    blank = np.full((*cells["size"], 3), 128, np.uint8)
    strip = np.concatenate(
        [cells["pictures"].get(frame, blank) for frame in made.strip_frames], axis=1
    )
    write_picture(into / "strip.jpg", strip)
    made.strip = link(f"{REPORT}/strip.jpg")


def _seam_orders(made: Assembled, facts: Facts, folder: Path) -> list[_Order]:
    """For both scenes of each transition the frames at its end, clean ones first."""
    apart = [move for move in facts.moves if move.is_taken_apart]
    if len(apart) > SEAMS:
        made.notes.append(
            f"The seams of the first {SEAMS} of {len(apart)} transitions were checked."
        )
    orders = []
    for move in apart[:SEAMS]:
        for side, name in zip(("outgoing", "incoming"), move.sides, strict=True):
            layer = next(
                (each for each in facts.layers if each.name == name and not each.is_picture), None
            )
            if layer is not None:
                orders.append(_seam_order(made, facts, folder, move, side, layer))
    return orders


def _seam_order(
    made: Assembled, facts: Facts, folder: Path, move: Move, side: str, layer: LayerFact
) -> _Order:
    taken = {
        frame
        for other in facts.moves
        if other.is_mixed
        for frame in range(other.first, other.last + 1)
    }
    edge, back = (move.first, -1) if side == "outgoing" else (move.last, 1)
    clean: list[int] = []
    while len(clean) < CLEAN:
        frame = edge + back * (len(clean) + 1)
        if not layer.first <= frame <= layer.last or frame in taken:
            break
        clean.append(frame)
    fact = SeamFact(layer.name, edge, side, None)
    made.seams.append(fact)

    def use(found: dict[int, Picture]) -> None:
        if len(clean) >= 2 and all(frame in found for frame in (edge, *clean)):
            fact.seam = seam([found[frame] for frame in reversed(clean)], found[edge])

    # The layer itself, not its preview: what a preview loses would count.
    track = Track(layer.name, layer.role, layer.slug, [(layer.first, layer.last)], facts.size)
    frames = [edge, *clean] if len(clean) >= 2 else []
    return _Order(track, folder / layer.path, frames, fitting(*facts.size, STILL_SIDE), use)


def known_input(folder: Path, facts: Facts) -> Track | None:
    """The input's track that an earlier report left in the folder, with its file."""
    data = read_json(folder / REPORT / DATA) or {}
    try:
        told: Mapping[str, Any] = next(item for item in data["tracks"] if item["role"] == "input")  # type: ignore[attr-defined]
        spans = [(int(first), int(last)) for first, last in told["spans"]]
        count = sum(last - first + 1 for first, last in spans)
        if (
            any(not facts.first <= first <= last < facts.frames for first, last in spans)
            or not spans
        ):
            return None
        step, times = told["step"], [float(each) for each in told["times"]]
        even = [] if step is None else [float(step) * place for place in range(count)]
        height, width = (int(side) for side in told["size"])
        track = Track(str(told["name"]), "input", "input", spans, (height, width), preview=True)
        track.times = even or times
        if told["video"]:
            track.video = link(f"{REPORT}/preview-input.mp4")
            names = ["preview-input.mp4"]
            if len(track.times) != count:
                return None
        else:
            names = [
                f"input-{first + 1:03d}.jpg"
                for first, last in spans
                for first in range(first, last + 1)
            ]
            numbers = [number for first, last in spans for number in range(first, last + 1)]
            track.pictures = [
                ((number, number), link(f"{REPORT}/{name}"))
                for number, name in zip(numbers, names, strict=True)
            ]
            track.times = []
        ours = safe_files.is_folder(folder / REPORT)
        inside = ours and all(
            safe_files.is_file(folder / REPORT / name) and f"{REPORT}/{name}" in facts.files
            for name in names
        )
        return track if inside else None
    except (StopIteration, KeyError, TypeError, ValueError, AttributeError):
        return None
