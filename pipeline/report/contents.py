"""Assemble everything that a report shows: players, pictures, self-checks, curves."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.report.earlier import DATA
from pipeline.report.facts import ReportedRun, RunFacts
from pipeline.report.media import (
    input_track,
    layer_track,
    mean_curve,
    picture_tracks,
    track_or_note,
)
from pipeline.report.pictures import SeamFact, make_pictures
from pipeline.report.previews import MadePreview
from pipeline.report.tracks import LONGEST_PREVIEW, FrameTimes, Track, shown_spans
from pipeline.report.watch import INPUT, SeenFrames
from pipeline.runtime.progress import Step
from pipeline.runtime.run_record import REPORT, write_json
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable

PREVIEW_SECONDS = 60.0
"""Seconds that making previews may take where a run has no budget."""

LEAST_PREVIEW_SECONDS = 0.5
"""Seconds that each preview may take, at least."""

EVEN_PART = 2e-3
"""Part of a frame's interval by which intervals may differ and still count as even."""

NAMED_INPUTS, NAMED_SPANS = 3, 6
"""Inputs that are named, and spans that a note lists, at most."""

LAYERS_BEGIN, LAYERS_PART, PICTURES_BEGIN = 0.1, 0.7, 0.8
"""The part of the progress at which layers begin, that they take, and at which pictures begin."""


@dataclass
class ReportContents:
    """The contents of the report's page.

    tracks: what the players show, the input first.
    strip, thumbnail: addresses of the strip of the whole clip and of a picture of the run.
    shots: address of a picture of each scene, by its slug.
    timeline: when each frame is shown, see :func:`frame_times`.
    seams: the seam checks.
    curves: mean levels over time by layer.
    notes: sentences on what was left out, and why.
    files: the files that were made, relative to the run's folder.
    """

    tracks: list[Track]
    strip: str | None = None
    timeline: FrameTimes | None = None
    seams: list[SeamFact] = field(default_factory=list)
    curves: dict[str, list[float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    thumbnail: str | None = None
    shots: dict[str, str] = field(default_factory=dict)


def assemble(
    run: ReportedRun,
    clip: Clip | None,
    *,
    seconds: float = PREVIEW_SECONDS,
    step: Step = lambda fraction, note: None,
    earlier: Track | None = None,
    seen: SeenFrames | None = None,
) -> ReportContents:
    """Make the report's files and return what the page shows.

    clip: the input, if it is there.
    seconds: what all previews together may take.
    earlier: the input's track from an earlier report, which is used again.
    seen: what was kept of the frames while the layers were written.
    """
    seen = seen or SeenFrames()
    run.report.mkdir(parents=True, exist_ok=True)
    step(0.0, "previews")
    players = _Players(run, seen.previews, time.monotonic() + seconds)
    if earlier is not None:
        players.tracks.append(earlier)
    elif clip is not None:
        players.add_input(clip)
    players.add_layers(step)
    contents = players.contents()
    step(PICTURES_BEGIN, "pictures")
    pictures = make_pictures(contents.tracks, run, seen.pictures)
    contents.strip = pictures.strip
    contents.thumbnail = pictures.thumbnail
    contents.shots = pictures.shots
    contents.seams = pictures.seams
    contents.notes += pictures.notes
    tracks = [track.as_json() for track in contents.tracks]
    write_json(run.report / DATA, {"schema": 1, "tracks": tracks})
    made = [path.name for path in run.report.iterdir() if path.is_file()]
    contents.files = sorted(f"{REPORT}/{name}" for name in made)
    return contents


class _Players:
    """The players of a report while their previews are made.

    previews: those that are there already, by the slug of their track. deadline: when all previews
    should be done, by ``time.monotonic``. tracks: what the players show. notes: sentences on what
    they leave out.
    """

    def __init__(
        self, run: ReportedRun, previews: Mapping[str, MadePreview], deadline: float
    ) -> None:
        self.run = run
        self.previews = previews
        self.deadline = deadline
        self.tracks: list[Track] = []
        self.notes: list[str] = []
        self._spans = shown_spans(run.facts)
        self._videos = [layer for layer in run.facts.layers if not layer.is_picture]

    def add_input(self, clip: Clip) -> None:
        """Make the player of the input."""
        make = partial(
            input_track,
            clip,
            self.run,
            self._spans,
            deadline=self._deadline_of_next(len(self._videos) + 1),
            name=_input_name(self.run.facts),
            made=self.previews.get(INPUT),
        )
        self.tracks += track_or_note(make, self.notes, "the input")

    def add_layers(self, step: Step) -> None:
        """Make the players of all layers."""
        for number, layer in enumerate(self._videos):
            step(LAYERS_BEGIN + LAYERS_PART * number / len(self._videos), layer.name)
            make = partial(
                layer_track,
                layer,
                self.run,
                self._spans,
                deadline=self._deadline_of_next(len(self._videos) - number),
                made=self.previews.get(layer.slug),
            )
            self.tracks += track_or_note(make, self.notes, layer.name)
        self.tracks += picture_tracks(self.run.facts)

    def contents(self) -> ReportContents:
        """Return the players in their order, with the curves beside them."""
        facts = self.run.facts
        tracks = sorted((track for track in self.tracks if track.frames), key=_order(facts))
        return ReportContents(
            tracks,
            timeline=frame_times(facts, tracks),
            curves={} if facts.transitions else self._curves(),
            notes=self.notes + _omissions(tracks, facts),
        )

    def _curves(self) -> dict[str, list[float]]:
        """Return the mean levels of mattes and transmissions over time, by layer."""
        curves = {}
        for layer in self._videos:
            if layer.role in ("matte", "transmission"):
                path = self.run.layers / layer.path
                with contextlib.suppress(UnlayerError):
                    curves[layer.name] = mean_curve(
                        path, LONGEST_PREVIEW, self._deadline_of_next(1)
                    )
        return curves

    def _deadline_of_next(self, previews_left: int) -> float:
        """Return when the next preview ends: a slow one leaves time for the others."""
        now = time.monotonic()
        return now + max(LEAST_PREVIEW_SECONDS, (self.deadline - now) / max(1, previews_left))


def _input_name(facts: RunFacts) -> str:
    """Return what the page calls the input: its files' names."""
    name = ", ".join(printable(Path(path.name)) for path in facts.input_paths[:NAMED_INPUTS])
    more = len(facts.inputs) - NAMED_INPUTS
    return f"{name} and {more} more" if more > 0 else name


def _order(facts: RunFacts) -> Callable[[Track], tuple[int, int]]:
    """Return a sorting key: the input, then the layers as the task lists their roles.

    The layer that people want most comes first. Scenes are sorted by time.
    """
    roles = facts.installed_task.roles if facts.installed_task else ()

    def place(track: Track) -> tuple[int, int]:
        if track.role == "input":
            return -1, 0
        by_role = track.role in roles and not facts.transitions
        return roles.index(track.role) if by_role else len(roles), track.spans[0][0]

    return place


def _omissions(tracks: Sequence[Track], facts: RunFacts) -> list[str]:
    """Return a note for each preview that does not show all frames."""
    lengths = {layer.slug: len(layer) for layer in facts.layers}
    notes = []
    for track in tracks:
        total = facts.count if track.role == "input" else lengths.get(track.slug, facts.count)
        if not track.preview or not track.video or track.frames >= total:
            continue
        spans = ", ".join(f"{first} to {last}" for first, last in track.spans[:NAMED_SPANS])
        if len(track.spans) > NAMED_SPANS:
            spans += " and so on"
        notes.append(
            f"The player of {track.name} shows {track.frames} of {total} frames ({spans}), to keep "
            "the run short and its folder small."
        )
    return notes


def frame_times(facts: RunFacts, tracks: Sequence[Track]) -> FrameTimes:
    """Return when each frame is shown."""
    if not any(track.video for track in tracks):
        return FrameTimes(first=facts.first, count=facts.count, step=1.0, times=[])
    interval = 1 / facts.rate
    intervals = np.full(facts.count, interval)
    for track in reversed(tracks):
        at = 0
        for first, last in track.spans if track.times else ():
            times = track.times[at : at + last - first + 1]
            begin = first - facts.first
            intervals[begin : begin + max(0, len(times) - 1)] = np.diff(times)
            at += last - first + 1
    if float(intervals.max() - intervals.min()) < EVEN_PART * interval:
        step = round(float(intervals.mean()), 7)
        return FrameTimes(first=facts.first, count=facts.count, step=step, times=[])
    starts = np.concatenate([[0.0], np.cumsum(intervals)[:-1]])
    times = [round(float(time), 5) for time in starts]
    return FrameTimes(first=facts.first, count=facts.count, step=None, times=times)
