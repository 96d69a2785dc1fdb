"""H.264 in MP4: plays everywhere, so colours that not every player shows become BT.709."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MP4


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return settings of high quality. An odd size falls back to chroma at full size."""
    # Half-size chroma needs an even size, and cropping in the stream does not help.
    pixel_format = "yuv444p" if info.width % 2 or info.height % 2 else "yuv420p"
    # Without B frames, decoding and display order are the same, and durations of variable length
    # stay exact. x264's macroblock tree reads memory that was never set: with it, equal frames give
    # different files from run to run.
    options = {"crf": "15", "preset": "medium", "bf": "0", "mbtree": "0"}
    return CodecSettings(pixel_format, options)


CONTAINER = LayerContainer(
    "h264",
    "H.264 in MP4",
    MP4,
    "libx264",
    _settings,
    for_alpha="prores4444",
    for_data="h264-gray",
    converts_colors=True,
    least_psnr=40.0,
)
