"""OpenEXR: pictures of linear light as 32-bit floating-point numbers, with or without alpha."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, FileType, LayerContainer


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings: packed without loss, 16 lines at a time."""
    pixel_format = "gbrapf32le" if alpha else "gbrpf32le"
    return CodecSettings(pixel_format, {"compression": "zip16", "format": "float"})


CONTAINER = LayerContainer(
    "exr",
    "OpenEXR",
    FileType(".exr", photo_labels=False),
    "exr",
    _settings,
    depths=(32,),
    alpha=True,
    # Readers take the numbers of an EXR for linear light.
    linear=True,
)
