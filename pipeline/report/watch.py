"""See the frames of a run while its layers are written, so that the report decodes none again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.report.facts import ReportedRun, RunFacts, read_facts
from pipeline.report.media import SIDE, input_size, is_playable, shown_size
from pipeline.report.pictures import WantedPictures, wanted_pictures
from pipeline.report.previews import MadePreview, PreviewFile, preview_name, sound_of_span
from pipeline.report.tracks import Span, Track, shown_spans, spans_within
from pipeline.runtime.run_record import REPORT
from pipeline.task import Result
from stages.media.clip import Frames
from stages.media.read import Clip
from stages.media.stored_frame import StoredFrame
from stages.media.thumbnails import Picture, levels
from stages.motion.flow import resize

INPUT = "input"
"""The slug of the input's track."""


@dataclass
class SeenFrames:
    """What was kept of the frames of a run, by the slug of their track.

    previews: those that are complete. pictures: of single frames, as the input counts them.
    """

    previews: dict[str, MadePreview] = field(default_factory=dict)
    pictures: dict[str, dict[int, Picture]] = field(default_factory=lambda: defaultdict(dict))


class RunWatch:
    """What sees the frames while the layers are written; see :class:`pipeline.task.FrameWatch`.

    clip: the input. work: the folder of the layers. describe: returns the manifest of a result.
    seen: what was kept. It is empty where colours are converted, as the report shows them then
    only in the layers' files.

    A fault leaves out what it concerns. The report then makes it as for a run that was not seen.
    """

    def __init__(
        self, clip: Clip, work: Path, describe: Callable[[Result], Mapping[str, Any]]
    ) -> None:
        self.seen = SeenFrames()
        self._clip = clip
        self._work = work
        self._describe = describe
        self._slugs: dict[str, str] = {}
        self._wanted: Mapping[str, WantedPictures] = {}
        self._spans: dict[str, list[Span]] = {}
        self._previews: dict[str, PreviewFile] = {}

    def begin(self, planned: Result, time_of: Callable[[int], Fraction]) -> None:
        """Begin the previews, and note of which frames pictures are needed."""
        self.close()
        self.seen = SeenFrames()
        if self._clip.info.is_picture or self._clip.info.color.needs_conversion:
            return
        with suppress(Exception):
            run = ReportedRun(read_facts(self._describe(planned)), self._work, self._work / REPORT)
            tracks = _planned_tracks(self._clip, run.facts)
            self._slugs = {layer.name: layer.slug for layer in run.facts.layers}
            self._wanted = wanted_pictures(tracks, run)
            self._spans = {track.slug: track.spans for track in tracks if track.preview}
            run.report.mkdir(parents=True, exist_ok=True)
            silent = {layer.slug for layer in run.facts.layers if layer.data}
            for track in tracks:
                if track.preview:
                    begin = time_of(track.spans[0][0])
                    sound = sound_of_span(self._clip, track.spans, begin)
                    self._previews[track.slug] = PreviewFile(
                        self._clip,
                        run.report / preview_name(track.slug),
                        track.size,
                        None if track.slug in silent else sound,
                    ).__enter__()

    def add_input(self, frame: StoredFrame) -> None:
        """Take the next frame of the input."""
        self._add(INPUT, frame, None)

    def add_layer(self, name: str, frame: StoredFrame, pixels: Tensor | None) -> None:
        """Take a layer's frame."""
        self._add(self._slugs.get(name, ""), frame, pixels)

    def end(self) -> None:
        """Complete the previews."""
        for slug, preview in list(self._previews.items()):
            with self._giving_up(slug):
                preview.__exit__(None, None, None)
                if preview.spans == self._spans[slug]:
                    self.seen.previews[slug] = preview.made()
        self._previews.clear()

    def close(self) -> None:
        """Drop the previews that are not complete."""
        for preview in self._previews.values():
            preview.abort()
        self._previews.clear()

    def _add(self, slug: str, frame: StoredFrame, pixels: Tensor | None) -> None:
        """Add a frame to the preview of a track, and keep a picture of it if one is needed."""
        wanted = self._wanted.get(slug)
        if wanted is not None and frame.index in wanted.frames:
            with suppress(Exception):
                self.seen.pictures[slug][frame.index] = _picture(frame, pixels, wanted.size)
        spans = self._spans.get(slug, ())
        preview = self._previews.get(slug)
        if preview is None or not any(first <= frame.index <= last for first, last in spans):
            return
        with self._giving_up(slug):
            if pixels is None:
                preview.add(frame.index, frame)
            else:
                small = resize(pixels, preview.size)
                preview.add(frame.index, Frames(small, (frame.time,), frame.index))

    @contextmanager
    def _giving_up(self, slug: str) -> Iterator[None]:
        """Let a fault end a preview, but not the run."""
        try:
            yield
        except Exception:
            self._previews.pop(slug).abort()


def _planned_tracks(clip: Clip, facts: RunFacts) -> list[Track]:
    """Return the tracks of the input and of all layers, as far as they are known beforehand."""
    spans = shown_spans(facts)
    preview_size = shown_size(clip, SIDE)
    size = input_size(clip, facts)
    tracks = [Track(INPUT, INPUT, INPUT, spans, size, video=INPUT, preview=True)]
    for layer in facts.layers:
        plays = is_playable(layer, facts)
        own = [(layer.first, layer.last)]
        tracks.append(
            Track(
                layer.name,
                layer.role,
                layer.slug,
                own if plays else spans_within(spans, layer.first, layer.last),
                facts.size if plays else preview_size,
                video=layer.path,
                preview=not plays,
            )
        )
    return [track for track in tracks if track.frames]


def _picture(frame: StoredFrame, pixels: Tensor | None, size: tuple[int, int]) -> Picture:
    """Return a frame, or the pixels in its place, as a small picture, ``size`` ``(H, W)``."""
    if pixels is not None:
        return levels(resize(pixels, size)[0])
    picture = frame.scaled_picture(size)
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture, np.uint8)
    return levels(torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1))
