"""ProRes 4444 in MOV: 10 bits at full chroma and 16 bits of alpha, read by editors."""

from __future__ import annotations

from stages.media.clip import ClipInfo
from stages.media.containers.base import CodecSettings, LayerContainer
from stages.media.containers.file_types import MOV


def _settings(info: ClipInfo, bits: int, alpha: bool) -> CodecSettings:
    """Return the settings: a quantizer of 2, near the best quality that the encoder has."""
    options = {"profile": "4444", "qscale": "2"}
    if not alpha:
        return CodecSettings("yuv444p10le", options)
    return CodecSettings("yuva444p10le", {**options, "alpha_bits": "16"})


CONTAINER = LayerContainer(
    "prores4444",
    "ProRes 4444 in MOV",
    MOV,
    "prores_ks",
    _settings,
    depths=(10,),
    alpha=True,
    for_data="png-mov",
    least_psnr=50.0,
)
