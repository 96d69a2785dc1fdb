"""ProRes 422 HQ in MOV: 10 bits at half the chroma, read by editors."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MOV


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings: a quantizer of 2, near the best quality that the encoder has.

    An odd width falls back to full chroma (ProRes 4444): FFmpeg's encoder leaves the last columns
    of half-size chroma empty.
    """
    if info.width % 2:
        return CodecSettings("yuv444p10le", {"profile": "4444", "qscale": "2"})
    return CodecSettings("yuv422p10le", {"profile": "hq", "qscale": "2"})


CONTAINER = LayerContainer(
    "prores422",
    "ProRes 422 HQ in MOV",
    MOV,
    "prores_ks",
    _settings,
    depths=(10,),
    for_alpha="prores4444",
    for_data="png-mov",
    least_psnr=40.0,
)
