"""PNG in MOV: lossless video of 8 or 16 bits that many editors read."""

from __future__ import annotations

from stages.media.containers.base import LayerContainer
from stages.media.containers.file_types import MOV
from stages.media.containers.png import png_settings

CONTAINER = LayerContainer(
    "png-mov", "PNG in MOV", MOV, "png", png_settings, depths=(8, 16), alpha=True
)
