"""TIFF: lossless pictures of 16 bits, with or without alpha."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, FileType, LayerContainer


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings: packed without loss, as every reader of TIFF knows it."""
    return CodecSettings("rgba64le" if alpha else "rgb48le", {"compression_algo": "lzw"})


CONTAINER = LayerContainer(
    "tiff", "TIFF", FileType(".tif", colors=False), "tiff", _settings, depths=(16,), alpha=True
)
