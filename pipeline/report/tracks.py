"""Describe what a player of the report shows: which frames, in which file, at which times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypedDict
from urllib.parse import quote

from pipeline.report.facts import RunFacts
from stages.context import confidence_name

LONGEST_PREVIEW = 3000
"""Frames of a preview, at most: two minutes at 25 frames a second.

A longer clip is shown around its transitions, or from its beginning if it has none.
"""

AROUND = 50
"""Frames at each side of a transition that are shown of a long clip."""

LEAST_SIDE = 16
"""Pixels of a preview's shorter side, at least: encoders refuse smaller pictures."""

EVEN_SECONDS = 2e-5
"""Seconds by which the steps of evenly spaced times may differ: rounding to 10 microseconds."""

SINGLE_FRAME_SECONDS = 0.04
"""Seconds that the only frame of a file is shown."""

Span = tuple[int, int]
"""First and last frame, as the input counts them, both inclusive."""


class TrackData(TypedDict):
    """A :class:`Track` for the page and for ``data.json``.

    step: seconds between its frames; ``None`` where they are not even, and ``times`` says when each
    is shown. ``times`` is empty where they are even.
    """

    name: str
    role: str
    slug: str
    spans: list[Span]
    size: tuple[int, int]
    video: str | None
    pictures: list[tuple[Span, str]]
    step: float | None
    times: list[float]
    preview: bool
    transparent: bool
    still: str | None
    sound: bool


class FrameTimes(TypedDict):
    """When each frame of a run is shown, in seconds from the first one.

    first: the first frame. count: how many there are. step: seconds between them; ``None`` where
    they are not even, and ``times`` says when each is shown.
    """

    first: int
    count: int
    step: float | None
    times: list[float]


class CutoutData(TypedDict):
    """A foreground that the page can lay on a colour.

    foreground, matte: places among the tracks. The matte is ``None`` where the foreground's
    pictures have alpha themselves. board: whether its player shows it on a checkerboard.
    """

    foreground: int
    matte: int | None
    board: bool


class CertaintyData(TypedDict):
    """A layer, and the grey layer that says how sure each of its pixels is: places of tracks."""

    layer: int
    certainty: int


@dataclass
class Track:
    """What one player shows: the input or a layer.

    slug: a name that is safe in file names and pages.
    spans: the frames that its file holds.
    size: height and width of its pictures.
    video: the file's address relative to the page; its frames lie at ``times`` (seconds).
    pictures: addresses of pictures with the frames that each stands for, where there is no video.
    preview: whether the file was made for the report.
    still: address of a picture to print, and to show until the video is loaded.
    sound: whether its file has an audio track.
    """

    name: str
    role: str
    slug: str
    spans: list[Span]
    size: tuple[int, int]
    video: str | None = None
    pictures: list[tuple[Span, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    preview: bool = False
    transparent: bool = False
    still: str | None = None
    sound: bool = False

    def place_of(self, frame: int) -> int | None:
        """Return the place in the file of the input's frame; ``None`` where it is not in it."""
        before = 0
        for first, last in self.spans:
            if first <= frame <= last:
                return before + frame - first
            before += last - first + 1
        return None

    @property
    def frames(self) -> int:
        """How many frames it has."""
        return sum(last - first + 1 for first, last in self.spans)

    def as_json(self) -> TrackData:
        """Return the track for ``data.json`` and the page; even times become one ``step``."""
        steps = {
            round(later - earlier, 5)
            for earlier, later in zip(self.times, self.times[1:], strict=False)
        }
        is_even = len(self.times) < 2 or (max(steps) - min(steps) < EVEN_SECONDS)
        step = SINGLE_FRAME_SECONDS
        if len(self.times) > 1:
            step = (self.times[-1] - self.times[0]) / (len(self.times) - 1)
        return {
            "name": self.name,
            "role": self.role,
            "slug": self.slug,
            "spans": self.spans,
            "size": self.size,
            "video": self.video,
            "pictures": self.pictures,
            "step": round(step, 7) if is_even else None,
            "times": [] if is_even else [round(time, 5) for time in self.times],
            "preview": self.preview,
            "transparent": self.transparent,
            "still": self.still,
            "sound": self.sound,
        }


def cutouts(tracks: Sequence[Track]) -> list[CutoutData]:
    """Return the foregrounds that the page can lay on a colour."""
    data: list[CutoutData] = []
    for place, track in enumerate(tracks):
        if track.role != "foreground":
            continue
        wanted = track.name.replace("foreground", "matte")
        mattes = [
            number
            for number, other in enumerate(tracks)
            if other.role == "matte" and other.name == wanted
        ]
        if track.video and not mattes:
            continue
        matte = mattes[0] if track.video else None
        on_board = track.video is not None and track.transparent
        data.append({"foreground": place, "matte": matte, "board": on_board})
    return data


def link(name: str) -> str:
    """Return the address of a file, given its name relative to the page.

    A name that no file can have gives an address that leads nowhere.
    """
    try:
        return quote(name.encode("utf-8", "surrogateescape"), safe="/")
    except UnicodeEncodeError:
        return quote(name.encode("utf-8", "replace"), safe="/")


def fitting(
    height: int, width: int, longer_side: int, pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int]:
    """Return an even ``(H, W)`` with square pixels for a preview, not larger than the original.

    height, width: of the original, in pixels. pixel_aspect: the width of its pixels over their
    height.
    longer_side: pixels of the longer side, at most.
    """
    square_width = width * float(pixel_aspect)
    scale = min(1.0, longer_side / max(height, square_width))
    height, width = (
        max(LEAST_SIDE, 2 * round(scale * side / 2)) for side in (height, square_width)
    )
    return min(height, longer_side), min(width, longer_side)


def shown_spans(facts: RunFacts) -> list[Span]:
    """Return the frames of which previews are made, at most :data:`LONGEST_PREVIEW`."""
    first, last = facts.first, facts.last
    if last - first < LONGEST_PREVIEW:
        return [(first, last)]
    spans: list[Span] = []
    frames_left = LONGEST_PREVIEW
    for transition in facts.transitions:
        begin, end = max(first, transition.first - AROUND), min(last, transition.last + AROUND)
        # Frames that the span before has already are not shown, or counted, twice.
        touches = bool(spans) and begin <= spans[-1][1] + 1
        if touches:
            begin = spans[-1][1] + 1
        end = min(end, begin + frames_left - 1)
        if end < begin:
            continue
        if touches:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((begin, end))
        frames_left -= end - begin + 1
    return spans or [(first, first + LONGEST_PREVIEW - 1)]


def spans_within(spans: Sequence[Span], first: int, last: int) -> list[Span]:
    """Return the parts of ``spans`` that lie in ``first`` to ``last``, inclusive."""
    return [
        (max(first, begin), min(last, end))
        for begin, end in spans
        if begin <= last and end >= first
    ]


def certainties(tracks: Sequence[Track]) -> list[CertaintyData]:
    """Return the layers of which another layer says how sure their pixels are."""
    places = {track.name: place for place, track in enumerate(tracks)}
    return [
        {"layer": place, "certainty": places[confidence_name(name)]}
        for name, place in places.items()
        if confidence_name(name) in places
    ]
