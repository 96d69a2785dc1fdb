"""Lossless H.264 in MP4 for one number a pixel: mattes beside layers in H.264.

A file of H.264's "High 4:4:4 Predictive" profile at full range. FFmpeg and what is built on it play
it (VLC, mpv, Blender, Kdenlive); most browsers and hardware decoders do not.
"""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MP4


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return settings without loss; the other options are as in :mod:`.h264`."""
    options = {"qp": "0", "preset": "medium", "bf": "0", "mbtree": "0"}
    return CodecSettings("gray", options)


CONTAINER = LayerContainer(
    "h264-gray",
    "lossless grey H.264 in MP4",
    MP4,
    "libx264",
    _settings,
    gray=True,
    for_alpha="prores4444",
    converts_colors=True,
)
