"""PNG: lossless pictures of 8 or 16 bits, with or without alpha."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, FileType, LayerContainer


def png_settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the pixel format for 8 or 16 ``bits``, with or without ``alpha``; no options."""
    if bits == 8:
        return CodecSettings("rgba" if alpha else "rgb24")
    return CodecSettings("rgba64be" if alpha else "rgb48be")


CONTAINER = LayerContainer(
    "png", "PNG", FileType(".png"), "png", png_settings, depths=(8, 16), alpha=True
)
