"""Deinterlace decoded frames, one for one, with libavfilter's bwdif.

A frame's result depends only on itself and its two neighbours, so decoding from the middle of a
clip gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction

import av
import av.filter
import numpy as np
from av.video.frame import VideoFrame

from stages.media.clip import ScanType
from stages.media.convert import converted
from stages.media.fields import Luma, ScanEvidence, classify_frame, collect_evidence
from stages.media.frame_pixels import Orientation
from stages.media.planes import plane_codes
from stages.media.stored_frame import NumberedFrame

_FLAGGED = {2: "tff", 3: "bff", 4: "tff", 5: "bff"}
"""The field that is shown first, by FFmpeg's number of a stream's field order."""
_LUMA_MAX = 255  # the brightest value of :func:`_luma`
_PROGRESSIVE = 1  # FFmpeg's number of that field order
_TICK = Fraction(1, 1000)  # seconds; any unit will do, the filter only compares timestamps


def can_deinterlace(frame: VideoFrame) -> bool:
    """Return whether a frame is large enough for bwdif: each plane needs 3 columns and 4 lines."""
    return all(plane.width >= 3 and plane.height >= 4 for plane in frame.format.components)


def scan_type(field_order: int, flags: list[bool], evidence: ScanEvidence, wanted: str) -> ScanType:
    """Decide how a clip was scanned and whether to deinterlace it.

    field_order: FFmpeg's number for the stream. flags: whether each examined frame is flagged as
    interlaced. evidence: what the pictures of these frames show; it outweighs the flags.
    wanted: ``auto``, ``keep`` or ``deinterlace``.
    """
    parity = _FLAGGED.get(field_order, "")
    flagged = "progressive" if field_order == _PROGRESSIVE else ""
    if parity or sum(flags) * 2 > len(flags):
        flagged = "interlaced"
    kind = evidence.scan or (flagged or "progressive")
    if kind == "progressive" and wanted != "deinterlace":
        return ScanType(kind, parity, flagged)
    # The field order that the picture shows outweighs the one that the file claims.
    seen = evidence.parity if evidence.scan in ("interlaced", "telecined") else ""
    parity = seen or parity or "auto"
    return ScanType(kind, parity, flagged, wanted != "keep")


def examine(frames: Iterator[VideoFrame]) -> tuple[list[bool], ScanEvidence]:
    """Return whether each frame is flagged as interlaced, and what the pictures show."""
    flags: list[bool] = []

    def lumas() -> Iterator[Luma]:
        for frame in frames:
            flags.append(bool(frame.interlaced_frame))
            yield _luma(frame)

    return flags, collect_evidence(lumas(), _LUMA_MAX)


def _luma(frame: VideoFrame) -> Luma:
    """Return a frame's luma as ``(H, W)`` int16 codes from 0 to 255."""
    bits = max(component.bits for component in frame.format.components)
    if frame.format.is_planar and not frame.format.is_rgb and bits <= 16:
        codes = plane_codes(frame.planes[0], np.uint8 if bits == 8 else "<u2")
        luma: Luma = (codes if bits == 8 else codes >> (bits - 8)).astype(np.int16)
        return luma
    return converted(frame, "gray").to_ndarray().astype(np.int16)


def deinterlaced(frames: Iterator[NumberedFrame], scan: ScanType) -> Generator[NumberedFrame]:
    """Yield the frames made progressive, each with its index and time.

    In film with pulldown, only the combed frames are changed. The first frame has no neighbour
    before it. Where the clip begins earlier, pass one frame more and drop its result.
    """
    graph: _Bwdif | None = None
    waiting: list[NumberedFrame] = []
    lumas: list[Luma] = []
    for item in frames:
        if graph is not None and not graph.fits(item[2]):
            yield from _finished(graph, waiting, lumas, scan)
            graph = None
        if not can_deinterlace(item[2]):
            yield item
            continue
        if graph is None:
            graph = _Bwdif(item[2], scan)
            waiting, lumas = [], []
        waiting.append(item)
        if scan.kind == "telecined":
            lumas.append(_luma(item[2]))
        for progressive in graph.push(item[2]):
            yield _result_for_oldest(progressive, waiting, lumas, scan)
    if graph is not None:
        yield from _finished(graph, waiting, lumas, scan)


def _finished(
    graph: _Bwdif, waiting: list[NumberedFrame], lumas: list[Luma], scan: ScanType
) -> Generator[NumberedFrame]:
    """Yield the results for all waiting frames, as no frame follows them."""
    for progressive in graph.push(None):
        yield _result_for_oldest(progressive, waiting, lumas, scan)
    # The filter returns nothing for a single frame.
    yield from waiting


def _result_for_oldest(
    made: VideoFrame, waiting: list[NumberedFrame], lumas: list[Luma], scan: ScanType
) -> NumberedFrame:
    """Return the result for the oldest waiting frame, and take that frame off ``waiting``.

    The result is the filtered frame ``made``. In film with pulldown, frames that are not combed
    stay as they are.

    lumas: of film with pulldown, the luma of each waiting frame, and before them that of the frame
    that was taken off last.
    """
    index, time, frame = waiting.pop(0)
    if scan.kind == "telecined":
        place = len(lumas) - 1 - len(waiting)
        before, after = lumas[max(0, place - 1)], lumas[min(len(lumas) - 1, place + 1)]
        combed = classify_frame(before, lumas[place], after, _LUMA_MAX) in ("tff", "bff")
        # This frame's luma stays: the next frame is compared with it.
        del lumas[: max(0, place)]
        if not combed:
            return index, time, frame
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(made, name, getattr(frame, name))
    # Each frame needs its own object: the library drops a shared one with the first frame.
    made.opaque = replace(frame.opaque) if isinstance(frame.opaque, Orientation) else None
    made.pts, made.time_base = frame.pts, frame.time_base
    return index, time, made


class _Bwdif:
    """The filter, for frames of one size and format."""

    def __init__(self, frame: VideoFrame, scan: ScanType) -> None:
        self._shape = frame.width, frame.height, frame.format.name
        self._graph = av.filter.Graph()
        self._count = 0
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=_TICK
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
        """Feed a frame to the filter (``None`` at the end) and yield the frames that it returns."""
        if frame is not None:
            pts = frame.pts
            unit = frame.time_base
            # The filter needs rising timestamps, and not every file has them.
            frame.pts = self._count
            frame.time_base = _TICK
            self._graph.push(frame)
            frame.pts = pts
            if unit is not None:
                frame.time_base = unit
            self._count += 1
        else:
            self._graph.push(None)
        while True:
            try:
                filtered = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(filtered, VideoFrame)
            yield filtered
