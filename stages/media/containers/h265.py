"""H.265 in MP4: 8 to 12 bits at half the size of H.264, HDR included."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MP4_HDR


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return settings of high quality. An odd size falls back to chroma at full size."""
    pixel_format = "yuv444p" if info.width % 2 or info.height % 2 else "yuv420p"
    if bits > 8:
        pixel_format = f"{pixel_format}{bits}le"
    # Without B frames, decoding and display order are the same. One frame at a time gives the same
    # bytes whatever the number of cores.
    params = "bframes=0:frame-threads=1:info=0:log-level=none"
    return CodecSettings(pixel_format, {"crf": "14", "preset": "medium", "x265-params": params})


CONTAINER = LayerContainer(
    "h265",
    "H.265 in MP4",
    MP4_HDR,
    "libx265",
    _settings,
    depths=(8, 10, 12),
    for_alpha="prores4444",
    for_data="png-mov",
    # Apple's players ask for this one.
    fourcc="hvc1",
    least_size=(16, 16),
    least_psnr=38.0,
)
