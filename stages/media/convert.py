"""Convert decoded frames to other pixel formats, with one converter for each thread.

A frame's own ``reformat`` makes a converter for every frame, and threads for every converter. That
takes 3 ms for a frame of 64x48 pixels, and the conversion itself takes 0.02 ms. Several threads of
swscale also give other values now and then where the result is in floats. So one thread converts
each frame.
"""

from __future__ import annotations

import threading

from av import VideoFrame
from av.video.reformatter import VideoReformatter

# Swscale's flags for bicubic or area scaling, accurate rounding and chroma at full size. With its
# defaults, chroma is up to three levels off, and scaled pictures are two levels too dark.
EXACT = 0x4 | 0x40000 | 0x2000
AREA = 0x20 | 0x40000 | 0x2000

_KEPT = threading.local()


def converted(
    frame: VideoFrame,
    pixel_format: str,
    size: tuple[int, int] | None = None,
    interpolation: int | None = None,
) -> VideoFrame:
    """Return a frame in another pixel format, as ``frame.reformat`` does.

    size: ``(H, W)`` of the result; the frame's own unless given. interpolation: flags of swscale.
    Raises what PyAV raises for frames that cannot be converted.
    """
    height, width = (frame.height, frame.width) if size is None else size
    if not hasattr(_KEPT, "converter"):
        _KEPT.converter = VideoReformatter()
    converter: VideoReformatter = _KEPT.converter
    return converter.reformat(
        frame, width, height, pixel_format, interpolation=interpolation, threads=1
    )
