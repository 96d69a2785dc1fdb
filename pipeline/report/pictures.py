"""Make the single pictures of a report: stills, the strip of the clip, and the seam checks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.report.facts import LayerFact, ReportedRun, TransitionFact
from pipeline.report.media import STILL_SIDE, write_picture
from pipeline.report.shots import MAX_SHOTS, shots_of
from pipeline.report.tracks import Track, fitting, link
from pipeline.runtime.run_record import REPORT
from stages.media.thumbnails import (
    Picture,
    ThumbnailRequest,
    read_thumbnails,
    scaled_picture,
)
from stages.transition.seams import MOST_CLEAN_FRAMES, Seam, measure_seam

CELLS = 12
"""Pictures in the strip of the whole clip, at most."""

CELL_HEIGHT = 72
"""Height of a picture in the strip, in pixels."""

CELL_WIDTHS = (8, 160)
"""Least and largest width of a picture in the strip, in pixels."""

BLANK_LEVEL = 128
"""Grey of a picture that could not be decoded, 0 to 255."""

THUMBNAIL_SIDE = 240
"""Pixels of the longer side of a scene's picture in the table of shots, at most."""

MAX_SEAMS = 24
"""Transitions whose seams are checked, at most."""

LEAST_CLEAN = 2
"""Clean frames beside a seam that its check needs."""


@dataclass
class SeamFact:
    """The seam of one scene at one end of a transition.

    layer: name of the scene.
    frame: the mixed frame at the seam.
    side: ``outgoing`` or ``incoming``.
    seam: how steady it is; ``None`` where there are too few clean frames to tell.
    """

    layer: str
    frame: int
    side: str
    seam: Seam | None


@dataclass
class Pictures:
    """The pictures that were made.

    strip: address of the strip.
    thumbnail: address of a picture that stands for the run.
    seams: the seam checks.
    notes: sentences on what was left out.
    shots: address of a picture of each scene, by its slug.
    """

    strip: str | None = None
    thumbnail: str | None = None
    seams: list[SeamFact] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shots: dict[str, str] = field(default_factory=dict)


@dataclass
class _Request:
    """Frames of one file that are needed.

    frames: as the input counts them.
    size: height and width of the pictures.
    use: gets the pictures by frame; those that could not be decoded are missing.
    """

    track: Track
    path: Path
    frames: list[int]
    size: tuple[int, int]
    use: Callable[[dict[int, Picture]], None]


KnownPictures = Mapping[str, Mapping[int, Picture]]
"""Pictures of frames, as the input counts them, by the slug of the track that they are of."""


def make_pictures(
    tracks: list[Track], run: ReportedRun, known: KnownPictures | None = None
) -> Pictures:
    """Make all single pictures, each file being decoded only once.

    tracks: what the players show; gets the stills. known: pictures that need not be decoded.
    """
    pictures = Pictures()
    strip = _Strip(tracks, run)
    _take_pictures(_requests(pictures, strip, tracks, run), known or {})
    pictures.strip = strip.write()
    inputs = [track for track in tracks if track.role == "input"]
    for track in (inputs or tracks)[:1]:
        pictures.thumbnail = track.still or (track.pictures[0][1] if track.pictures else None)
    return pictures


@dataclass
class WantedPictures:
    """The pictures that a report needs of one track: of which frames, and their largest size."""

    frames: set[int] = field(default_factory=set)
    size: tuple[int, int] = (0, 0)


def wanted_pictures(tracks: list[Track], run: ReportedRun) -> dict[str, WantedPictures]:
    """Return the pictures that :func:`make_pictures` needs of each track, by its slug."""
    wanted: dict[str, WantedPictures] = {}
    for request in _requests(Pictures(), _Strip(tracks, run), tracks, run):
        of_track = wanted.setdefault(request.track.slug, WantedPictures())
        of_track.frames.update(request.frames)
        of_track.size = max(of_track.size, request.size, key=math.prod)
    return wanted


def _requests(
    made: Pictures, strip: _Strip, tracks: list[Track], run: ReportedRun
) -> list[_Request]:
    """Return all requests for single pictures."""
    return [
        *(_still_request(track, run) for track in tracks if track.video),
        *strip.requests(),
        *_shot_requests(made, tracks, run),
        *_seam_requests(made, run),
    ]


def _take_pictures(requests: list[_Request], known: KnownPictures) -> None:
    """Hand out the pictures of all requests, and decode those that are not known."""
    to_decode: list[_Request] = []
    for request in requests:
        pictures = known.get(request.track.slug, {})
        if all(frame in pictures for frame in request.frames):
            request.use(
                {frame: scaled_picture(pictures[frame], request.size) for frame in request.frames}
            )
        else:
            to_decode.append(request)
    if to_decode:
        _decode_pictures(to_decode)


def _decode_pictures(requests: list[_Request]) -> None:
    """Decode the frames of requests and hand them out."""
    wanted: list[ThumbnailRequest] = []
    counted: set[Path] = set()
    for request in requests:
        height, width = request.track.size
        # A file's size counts once, however often something of it is needed.
        pixels = 0 if request.path in counted else request.track.frames * height * width
        counted.add(request.path)
        places = tuple(
            place
            for frame in request.frames
            if (place := request.track.place_of(frame)) is not None
        )
        wanted.append(ThumbnailRequest(request.path, places, request.size, pixels))
    for request, pictures in zip(requests, read_thumbnails(wanted), strict=True):
        request.use(
            {
                frame: pictures[place]
                for frame in request.frames
                if (place := request.track.place_of(frame)) in pictures and place is not None
            }
        )


def _file_of(track: Track, run: ReportedRun) -> Path:
    """Return the file that a player plays."""
    if track.role == "input" or track.preview:
        own = run.report / f"preview-{track.slug}.mp4"
        return own if own.exists() else run.layers / REPORT / own.name
    return run.layers / next(layer.path for layer in run.facts.layers if layer.slug == track.slug)


def _still_request(track: Track, run: ReportedRun) -> _Request:
    """Return the request for a player's still: of a mixed frame, where it has one."""
    middles = [(item.first + item.last) // 2 for item in run.facts.transitions if item.is_mixed]
    frame = next((middle for middle in middles if track.place_of(middle) is not None), None)
    if frame is None:
        first, last = track.spans[len(track.spans) // 2]
        frame = (first + last) // 2

    def use(pictures: Mapping[int, Picture]) -> None:
        for picture in pictures.values():
            write_picture(run.report / f"still-{track.slug}.jpg", picture)
            track.still = link(f"{REPORT}/still-{track.slug}.jpg")

    return _Request(track, _file_of(track, run), [frame], fitting(*track.size, STILL_SIDE), use)


class _Strip:
    """The strip: evenly spaced frames of the clip, side by side.

    Each comes from the input's preview, or from the scene that covers it.
    """

    def __init__(self, tracks: list[Track], run: ReportedRun) -> None:
        self.run = run
        facts = run.facts
        videos = [track for track in tracks if track.video]
        self.sources = [track for track in videos if track.role in ("input", "scene")] or videos
        self.frames: list[int] = []
        if facts.count >= 2 and self.sources:
            cells = min(CELLS, facts.count)
            self.frames = [
                facts.first + math.floor((cell + 0.5) * facts.count / cells)
                for cell in range(cells)
            ]
        height, width = facts.size
        narrowest, widest = CELL_WIDTHS
        cell_width = max(narrowest, min(widest, round(CELL_HEIGHT * width / height)))
        self.cell_size = CELL_HEIGHT, cell_width
        self.pictures: dict[int, Picture] = {}

    def requests(self) -> list[_Request]:
        """Return the requests for the strip's pictures, one for each file."""
        requests: dict[str, _Request] = {}
        for frame in self.frames:
            sources = (track for track in self.sources if track.place_of(frame) is not None)
            if (track := next(sources, None)) is None:
                continue
            if track.slug not in requests:
                path = _file_of(track, self.run)
                requests[track.slug] = _Request(
                    track, path, [], self.cell_size, self.pictures.update
                )
            requests[track.slug].frames.append(frame)
        return list(requests.values())

    def write(self) -> str | None:
        """Write the strip and return its address; ``None`` where there is no picture."""
        if not self.pictures:
            return None
        blank = np.full((*self.cell_size, 3), BLANK_LEVEL, np.uint8)
        cells = [self.pictures.get(frame, blank) for frame in self.frames]
        write_picture(self.run.report / "strip.jpg", np.concatenate(cells, axis=1))
        return link(f"{REPORT}/strip.jpg")


def _shot_requests(made: Pictures, tracks: list[Track], run: ReportedRun) -> Iterator[_Request]:
    """Yield the requests for a picture of each scene, from its middle where it is alone."""
    for shot in shots_of(run.facts)[:MAX_SHOTS]:
        slug = shot.layer.slug
        track = next((track for track in tracks if track.slug == slug and track.video), None)
        if track is None:
            continue
        middle = (shot.first + shot.last) // 2
        if track.place_of(middle) is None:
            # Of a long scene the player shows only the frames around its transitions.
            middle = track.spans[0][0]

        def use(pictures: Mapping[int, Picture], slug: str = slug) -> None:
            for picture in pictures.values():
                write_picture(run.report / f"shot-{slug}.jpg", picture)
                made.shots[slug] = link(f"{REPORT}/shot-{slug}.jpg")

        size = fitting(*track.size, THUMBNAIL_SIDE)
        yield _Request(track, _file_of(track, run), [middle], size, use)


def _seam_requests(made: Pictures, run: ReportedRun) -> Iterator[_Request]:
    """Yield the requests for the seams of both scenes of each transition."""
    facts = run.facts
    separated = [item for item in facts.transitions if item.is_separated]
    if len(separated) > MAX_SEAMS:
        made.notes.append(
            f"The seams of the first {MAX_SEAMS} of {len(separated)} transitions were checked."
        )
    scenes = {layer.name: layer for layer in facts.layers if not layer.is_picture}
    for transition in separated[:MAX_SEAMS]:
        for side, name in zip(("outgoing", "incoming"), transition.sides, strict=True):
            if name in scenes:
                yield _seam_request(made, run, transition, side, scenes[name])


def _seam_request(
    made: Pictures, run: ReportedRun, transition: TransitionFact, side: str, layer: LayerFact
) -> _Request:
    """Return the request for one seam: its mixed frame and the clean frames beside it."""
    facts = run.facts
    mixed = {
        frame
        for other in facts.transitions
        if other.is_mixed
        for frame in range(other.first, other.last + 1)
    }
    edge, direction = transition.last, 1
    if side == "outgoing":
        edge, direction = transition.first, -1
    clean: list[int] = []
    while len(clean) < MOST_CLEAN_FRAMES:
        frame = edge + direction * (len(clean) + 1)
        if not layer.first <= frame <= layer.last or frame in mixed:
            break
        clean.append(frame)
    fact = SeamFact(layer.name, edge, side, None)
    made.seams.append(fact)

    def use(pictures: Mapping[int, Picture]) -> None:
        is_complete = all(frame in pictures for frame in (edge, *clean))
        if len(clean) >= LEAST_CLEAN and is_complete:
            fact.seam = measure_seam([pictures[frame] for frame in reversed(clean)], pictures[edge])

    # The layer itself, not its preview: the loss of a preview would count.
    track = Track(layer.name, layer.role, layer.slug, [(layer.first, layer.last)], facts.size)
    frames = [edge, *clean] if len(clean) >= LEAST_CLEAN else []
    return _Request(track, run.layers / layer.path, frames, fitting(*facts.size, STILL_SIDE), use)
