"""Deinterlacing: decoded frames of two fields to progressive ones, by libavfilter's bwdif, one for one.

A frame's result depends on it and its two neighbours alone, so that decoding from the middle gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame

from stages.media.clip import Scan
from stages.media.colour import Turn
from stages.media.fields import Luma, Verdict, judge, judge_frame

_FLAGGED = {2: "tff", 3: "bff", 4: "tff", 5: "bff"}
"""Which field is shown first, by FFmpeg's numbers of a stream's field order."""
_TOP = 255  # the brightest value of :func:`_luma`
Item = tuple[int, Fraction, VideoFrame]


def can_deinterlace(frame: VideoFrame) -> bool:
    """Return whether a frame is large enough for bwdif: each plane needs 3 columns and 4 lines."""
    return all(plane.width >= 3 and plane.height >= 4 for plane in frame.format.components)


def scan_of(field_order: int, flags: list[bool], verdict: Verdict, wanted: str) -> Scan:
    """Return how a clip was scanned, from its flags and its picture, and what is to be done.

    field_order: the stream's, in FFmpeg's numbers. flags: of the frames that were looked at. verdict: on their
    pictures. wanted: ``auto``, ``keep`` or ``deinterlace``. The picture is believed where it tells anything.
    """
    parity = _FLAGGED.get(field_order, "")
    flagged = (
        "interlaced"
        if parity or sum(flags) * 2 > len(flags)
        else "progressive"
        if field_order == 1
        else ""
    )
    kind = verdict.scan or (flagged or "progressive")
    if kind == "progressive" and wanted != "deinterlace":
        return Scan(kind, parity, flagged)
    # An order that the picture shows beats one that a file claims.
    seen = verdict.parity if verdict.scan in ("interlaced", "telecined") else ""
    parity = seen or parity or "auto"
    return Scan(kind, parity, flagged, wanted != "keep")


def look(frames: Iterator[VideoFrame]) -> tuple[list[bool], Verdict]:
    """Return the flags of these frames, and what their pictures say."""
    flags: list[bool] = []

    def lumas() -> Iterator[Luma]:
        for frame in frames:
            flags.append(bool(frame.interlaced_frame))
            yield _luma(frame)

    return flags, judge(lumas(), _TOP)


def _luma(frame: VideoFrame) -> Luma:
    """Return a frame's brightness as ``(H, W)`` of 8 bits."""
    bits = max(component.bits for component in frame.format.components)
    if frame.format.is_planar and not frame.format.is_rgb and bits <= 16:
        plane = frame.planes[0]
        kind: Any = np.uint8 if bits == 8 else "<u2"
        lines: Any = np.frombuffer(memoryview(plane), kind).reshape(plane.height, -1)[
            :, : plane.width
        ]
        luma: Luma = (lines if bits == 8 else lines >> (bits - 8)).astype(np.int16)
        return luma
    return frame.reformat(format="gray").to_ndarray().astype(np.int16)


def deinterlaced(frames: Iterator[Item], scan: Scan) -> Generator[Item]:
    """Yield the frames made progressive, each with its index and time; of film with pulldown only those that are combed.

    The first frame has no neighbour before it: where the clip begins earlier, begin one frame earlier and leave it out.
    """
    graph: _Bwdif | None = None
    waiting: list[Item] = []
    lumas: list[Luma] = []
    for item in frames:
        if graph is not None and not graph.fits(item[2]):
            yield from _finished(graph, waiting, lumas, scan)
            graph = None
        if not can_deinterlace(item[2]):
            yield item
            continue
        if graph is None:
            graph, waiting, lumas = _Bwdif(item[2], scan), [], []
        waiting.append(item)
        if scan.kind == "telecined":
            lumas.append(_luma(item[2]))
        for made in graph.push(item[2]):
            yield _chosen(made, waiting, lumas, scan)
    if graph is not None:
        yield from _finished(graph, waiting, lumas, scan)


def _finished(graph: _Bwdif, waiting: list[Item], lumas: list[Luma], scan: Scan) -> Generator[Item]:
    for made in graph.push(None):
        yield _chosen(made, waiting, lumas, scan)
    # A frame alone comes out of no filter.
    yield from waiting


def _chosen(made: VideoFrame, waiting: list[Item], lumas: list[Luma], scan: Scan) -> Item:
    """Take the oldest waiting frame, as it was made or, of film with pulldown, as it was where it is not combed."""
    index, time, frame = waiting.pop(0)
    if scan.kind == "telecined":
        # The frame before it is still there: it stays until the one after has been judged.
        place = len(lumas) - 1 - len(waiting)
        before, after = lumas[max(0, place - 1)], lumas[min(len(lumas) - 1, place + 1)]
        combed = judge_frame(before, lumas[place], after, _TOP) in ("tff", "bff")
        del lumas[: max(0, place)]
        if not combed:
            return index, time, frame
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(made, name, getattr(frame, name))
    # Each frame needs an object of its own: the library forgets a shared one with the first frame.
    made.opaque = replace(frame.opaque) if isinstance(frame.opaque, Turn) else None
    made.pts, made.time_base = frame.pts, frame.time_base
    return index, time, made


class _Bwdif:
    """The filter, for frames of one size and format."""

    def __init__(self, frame: VideoFrame, scan: Scan) -> None:
        self._shape = frame.width, frame.height, frame.format.name
        self._graph = av.filter.Graph()
        self._count = 0
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000)
        )
        filters = [
            source,
            self._graph.add("bwdif", f"mode=send_frame:parity={scan.parity}:deint=all"),
            self._graph.add("buffersink"),
        ]
        for one, next_one in zip(filters, filters[1:], strict=False):
            one.link_to(next_one)
        self._graph.configure()

    def fits(self, frame: VideoFrame) -> bool:
        """Return whether a frame has the filter's size and format."""
        return self._shape == (frame.width, frame.height, frame.format.name)

    def push(self, frame: VideoFrame | None) -> Iterator[VideoFrame]:
        """Put in a frame, or ``None`` at the end; yield what comes out."""
        if frame is not None:
            pts, unit = frame.pts, frame.time_base
            # The filter wants rising stamps, which not every file has.
            frame.pts, frame.time_base = self._count, Fraction(1, 1000)
            self._graph.push(frame)
            frame.pts = pts
            if unit is not None:
                frame.time_base = unit
            self._count += 1
        else:
            self._graph.push(None)
        while True:
            try:
                made = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(made, VideoFrame)
            yield made
