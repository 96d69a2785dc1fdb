"""VP9 in WebM: small files with alpha for the web."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import WEBM


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return settings of high quality."""
    # Alternate reference frames cannot be shared between the picture and its alpha.
    options = {"crf": "16", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
    return CodecSettings("yuva420p" if alpha else "yuv420p", options)


CONTAINER = LayerContainer(
    "vp9", "VP9 in WebM", WEBM, "libvpx-vp9", _settings, alpha=True, least_psnr=35.0
)
