"""Deinterlace decoded frames, one for one, with libavfilter's bwdif.

A frame's result depends only on itself and its two neighbours, so decoding from the middle of a
clip gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
from av.video.frame import VideoFrame

from stages.media.clip import ScanType
from stages.media.convert import converted
from stages.media.fields import Luma, ScanEvidence, classify_frame, collect_evidence
from stages.media.filter_graph import TICK, filter_graph
from stages.media.orientation import Orientation
from stages.media.planes import plane_codes
from stages.media.stored_frame import StoredFrame

_FLAGGED = {2: "tff", 3: "bff", 4: "tff", 5: "bff"}
"""The field that is shown first, by FFmpeg's number of a stream's field order."""
_LUMA_MAX = 255  # the brightest value of :func:`_luma`
_PROGRESSIVE = 1  # FFmpeg's number of that field order


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


def deinterlaced(frames: Iterator[StoredFrame], scan: ScanType) -> Generator[StoredFrame]:
    """Yield the frames made progressive, each with its index and time.

    In film with pulldown, only the combed frames are changed. The first frame has no neighbour
    before it. Where the clip begins earlier, pass one frame more and drop its result.
    """
    run: _Deinterlacer | None = None
    for stored in frames:
        if run is not None and not run.fits(stored.frame):
            yield from run.finish()
            run = None
        if not can_deinterlace(stored.frame):
            yield stored
            continue
        if run is None:
            run = _Deinterlacer(stored.frame, scan)
        yield from run.push(stored)
    if run is not None:
        yield from run.finish()


class _Deinterlacer:
    """Make consecutive frames of one size and format progressive.

    frame: the first of them. scan: how the clip was scanned.
    """

    def __init__(self, frame: VideoFrame, scan: ScanType) -> None:
        self._format = _format_of(frame)
        options = f"mode=send_frame:parity={scan.parity}:deint=all"
        self._graph = filter_graph(frame, ("bwdif", options))
        self._is_film = scan.kind == "telecined"
        self._count = 0
        # Frames whose results are not known yet.
        self._waiting: list[StoredFrame] = []
        # Of film, the luma of each waiting frame, and before them that of the last finished one.
        self._lumas: list[Luma] = []

    def fits(self, frame: VideoFrame) -> bool:
        """Return whether a frame has the size and format of the others."""
        return self._format == _format_of(frame)

    def push(self, stored: StoredFrame) -> Iterator[StoredFrame]:
        """Take the next frame, and yield the results that are known now."""
        frame = stored.frame
        self._waiting.append(stored)
        if self._is_film:
            self._lumas.append(_luma(frame))
        time, unit = frame.pts, frame.time_base
        # The filter needs rising timestamps, and not every file has them.
        frame.pts, frame.time_base = self._count, TICK
        self._count += 1
        self._graph.push(frame)
        frame.pts = time
        if unit is not None:
            frame.time_base = unit
        yield from self._results()

    def finish(self) -> Iterator[StoredFrame]:
        """Yield the results for all waiting frames, as no frame follows them."""
        self._graph.push(None)
        yield from self._results()
        # The filter returns nothing for a single frame.
        yield from self._waiting

    def _results(self) -> Iterator[StoredFrame]:
        """Yield the results that the filter has, each for the frame that has waited longest."""
        while True:
            try:
                filtered = self._graph.pull()
            except (BlockingIOError, EOFError):
                return
            assert isinstance(filtered, VideoFrame)
            yield self._result_for_oldest(filtered)

    def _result_for_oldest(self, filtered: VideoFrame) -> StoredFrame:
        """Return the result for the oldest waiting frame, which waits no longer.

        That is the filtered frame, but in film, frames that are not combed stay as they are.
        """
        oldest = self._waiting.pop(0)
        if self._is_film and not self._is_oldest_combed():
            return oldest
        frame = oldest.frame
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(filtered, name, getattr(frame, name))
        # Each frame needs its own object: the library drops a shared one with the first frame.
        orientation = frame.opaque
        filtered.opaque = replace(orientation) if isinstance(orientation, Orientation) else None
        filtered.pts, filtered.time_base = frame.pts, frame.time_base
        return replace(oldest, frame=filtered)

    def _is_oldest_combed(self) -> bool:
        """Return whether the frame that has just stopped waiting is combed, by its neighbours."""
        lumas = self._lumas
        place = len(lumas) - 1 - len(self._waiting)
        before, after = lumas[max(0, place - 1)], lumas[min(len(lumas) - 1, place + 1)]
        parity = classify_frame(before, lumas[place], after, _LUMA_MAX)
        # This frame's luma stays: the next frame is compared with it.
        del lumas[: max(0, place)]
        return parity in ("tff", "bff")


def _format_of(frame: VideoFrame) -> tuple[int, int, str]:
    """Return a frame's width, height and pixel format."""
    return frame.width, frame.height, frame.format.name
