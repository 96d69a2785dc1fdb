"""JPEG: small pictures of 8 bits that everything opens. Mattes and alpha are written as PNG."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, FileType, LayerContainer


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the pixel format that the encoder is given; its quality stands in the writer."""
    return CodecSettings("rgb24")


CONTAINER = LayerContainer(
    "jpeg",
    "JPEG",
    FileType(".jpg", colors=False),
    "mjpeg",
    _settings,
    for_alpha="png",
    for_data="png",
    least_psnr=40.0,
)
