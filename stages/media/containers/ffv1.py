"""FFV1 in Matroska: lossless full-range RGB of 8 to 16 bits, with or without alpha."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MATROSKA

_MIN_SLICED = 64  # pixels; smaller pictures are not worth slices


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings; a picture of one column falls back to FFV1's version 1."""
    if bits == 8:
        pixel_format = "bgra" if alpha else "bgr0"
    else:
        pixel_format = f"gbrap{bits}le" if alpha else f"gbrp{bits}le"
    options = {"level": "3", "slicecrc": "1"}
    # Slices let the encoder use several threads, and do not depend on how many there are.
    if info.width >= _MIN_SLICED and info.height >= _MIN_SLICED:
        options["slices"] = "4"
    # A slice has at least two columns. Version 1 has no slices.
    if info.width == 1:
        options = {"level": "1"}
    return CodecSettings(pixel_format, options)


CONTAINER = LayerContainer(
    "ffv1", "FFV1 in Matroska", MATROSKA, "ffv1", _settings, depths=(8, 10, 12, 14, 16), alpha=True
)
