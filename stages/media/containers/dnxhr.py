"""DNxHR HQX in MOV: 10 bits at half the chroma, read by editors."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.color_tags import BT709
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MOV


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings: the profile fixes the quality."""
    return CodecSettings("yuv422p10le", {"profile": "dnxhr_hqx"})


CONTAINER = LayerContainer(
    "dnxhr",
    "DNxHR HQX in MOV",
    MOV,
    "dnxhd",
    _settings,
    depths=(10,),
    for_alpha="prores4444",
    for_data="png-mov",
    # The smallest size that FFmpeg's encoder takes (avcodec/dnxhddata.c).
    least_size=(120, 256),
    # FFmpeg's encoder writes no other matrix into the frames' headers.
    fixed_matrix=BT709,
    least_psnr=38.0,
)
