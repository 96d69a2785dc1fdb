"""Tell whether a decoded frame's chroma lies where the encoders here expect it.

That is at the even columns, and between two rows (MPEG-2 and its followers, ITU-T H.273: type 0).
PyAV does not show the tag, but the conversion to RGB follows it. So the conversion of two known
edges shows where chroma lies.
"""

from __future__ import annotations

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stages.media import frame_pixels
from stages.media.filter_graph import filtered
from stages.media.planes import fill_plane

Codes = NDArray[np.uint8]

LUMA, LOW, HIGH = 126, 96, 160  # codes of the pattern, far from both ends of the range
LEAST_SIDE = 16  # pixels of a side in which an edge can be measured
NEAR = 0.2  # pixels from the expected place of an edge that count as there


def is_chroma_left(frame: VideoFrame) -> bool:
    """Return whether the chroma of an 8-bit 4:2:0 frame lies at the even columns, between rows.

    A frame of another format, or one that is too small to tell, counts as one whose chroma lies
    elsewhere.
    """
    if frame.format.name != "yuv420p" or min(frame.width, frame.height) < LEAST_SIDE:
        return False
    middle = frame.planes[1].height // 2, frame.planes[1].width // 2
    # A copy keeps the tags. The frame itself is still needed, by other threads and the decoder.
    drawn = filtered(frame, ("copy", ""))
    _draw_edges(drawn, middle)
    stored = np.asarray(frame_pixels.rgb_picture(drawn), np.float64)
    across, down = _edge(stored[:, :, 2].mean(0)), _edge(stored[:, :, 0].mean(1))
    # An edge lies midway between two samples; a column of chroma lies on the even one of two.
    is_left = abs(across - (2 * middle[1] - 0.5)) < NEAR
    return bool(is_left and abs(down - 2 * middle[0]) < NEAR)


def _draw_edges(frame: VideoFrame, middle: tuple[int, int]) -> None:
    """Draw even luma, blue chroma that rises at a column, and red chroma that rises at a row.

    middle: the first row and column of chroma behind the edges.
    """
    for number, plane in enumerate(frame.planes):
        codes: Codes = np.full((plane.height, plane.width), LUMA if number == 0 else LOW, np.uint8)
        if number == 1:
            codes[:, middle[1] :] = HIGH
        if number == 2:
            codes[middle[0] :] = HIGH
        fill_plane(plane, codes)


def _edge(levels: NDArray[np.float64]) -> float:
    """Return where levels ``(N,)`` rise from their first to their last one, in pixels from 0."""
    risen = (levels - levels[0]) / (levels[-1] - levels[0])
    return float(len(levels) - risen.sum())
