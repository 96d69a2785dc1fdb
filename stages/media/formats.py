"""Choose how layers are encoded: container, codec, pixel format and colour tags."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stages.media.clip import ClipInfo
from stages.media.color_tags import BT709, BT2020, RGB_MATRIX, UNSPECIFIED, ColorTags

ALPHA_CONTAINERS = ("prores", "vp9", "ffv1", "png")
"""Names of the containers for layers with an alpha channel."""
_NO_CHECKSUMS = {"write_crc32": "0"}
"""For Matroska: its header is corrected after writing, which checksums would not survive."""
_LOSSLESS_DEPTHS = (8, 10, 12, 14, 16)
"""Bit depths of the lossless formats. An input of another depth gets the next larger one."""
_MIN_SLICED = 64  # pixels; smaller pictures are not worth slices


@dataclass(frozen=True)
class LayerFormat:
    """What a layer is and how the user wants it written.

    lossless: whether to write FFV1 in Matroska (full-range RGB) instead of H.264 in MP4.
    alpha: one of :data:`ALPHA_CONTAINERS` for a layer with an alpha channel, otherwise ``None``.
    bit_depth: of lossless layers, 8 to 16.
    pictures: whether the layer is a single picture, written as PNG.
    data: whether the values are not colours, as in a matte. They are written as they are.
    """

    lossless: bool = False
    alpha: str | None = None
    bit_depth: int = 8
    pictures: bool = False
    data: bool = False


@dataclass(frozen=True)
class Encoding:
    """How a layer is encoded.

    suffix: of the file. muxer: FFmpeg's name of the container; empty for a single picture.
    codec, pixels: FFmpeg's names of the encoder and its pixel format.
    bits: the depth of the values that are given to the encoder.
    options, muxer_options: FFmpeg's options.
    """

    suffix: str
    muxer: str
    codec: str
    pixels: str
    bits: int = 8
    options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def yuv(self) -> bool:
        """Whether the pixels are limited-range luma and chroma rather than full-range RGB."""
        return self.pixels.startswith("yuv")


PREVIEW = Encoding(
    ".mp4",
    "mp4",
    "libx264",
    "yuv420p",
    8,
    # A key frame about every half second, because people scrub through previews.
    {"crf": "24", "preset": "veryfast", "bf": "0", "g": "12", "mbtree": "0"},
    {"movflags": "+faststart"},
)
"""The encoding of the report's own videos: fast, and playable in every browser."""


def encoding_for(info: ClipInfo, wanted: LayerFormat) -> Encoding:
    """Return the encoding of a layer of the clip ``info``.

    Raises :class:`ValueError` for an unknown ``alpha``.
    """
    alpha = wanted.alpha
    bits = next((depth for depth in _LOSSLESS_DEPTHS if depth >= wanted.bit_depth), 16)
    if alpha not in (None, *ALPHA_CONTAINERS):
        raise ValueError(
            f"alpha must be one of {', '.join(ALPHA_CONTAINERS)} or None, got {alpha!r}"
        )
    if wanted.pictures or alpha == "png":
        return _png(bits, alpha is not None, wanted.pictures)
    if alpha == "prores":
        options = {"profile": "4444", "alpha_bits": "16", "qscale": "2"}
        return Encoding(".mov", "mov", "prores_ks", "yuva444p10le", 10, options)
    if alpha == "vp9":
        # Alternate reference frames cannot be shared between the picture and its alpha.
        options = {"crf": "16", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
        return Encoding(".webm", "webm", "libvpx-vp9", "yuva420p", 8, options, _NO_CHECKSUMS)
    if wanted.lossless or alpha == "ffv1":
        return _ffv1(info, bits, alpha is not None)
    return _h264(info)


def _png(bits: int, alpha: bool, single: bool) -> Encoding:
    """Return the encoding of a single PNG, or of a MOV of PNGs."""
    if bits == 8:
        pixels = "rgba" if alpha else "rgb24"
    else:
        bits = 16
        pixels = "rgba64be" if alpha else "rgb48be"
    suffix, muxer = (".png", "") if single else (".mov", "mov")
    return Encoding(suffix, muxer, "png", pixels, bits)


def _ffv1(info: ClipInfo, bits: int, alpha: bool) -> Encoding:
    """Return the encoding as FFV1 in Matroska."""
    if bits == 8:
        pixels = "bgra" if alpha else "bgr0"
    else:
        pixels = f"gbrap{bits}le" if alpha else f"gbrp{bits}le"
    options = {"level": "3", "slicecrc": "1"}
    # Slices let the encoder use several threads, and do not depend on how many there are.
    if info.width >= _MIN_SLICED and info.height >= _MIN_SLICED:
        options["slices"] = "4"
    # A slice has at least two columns. Version 1 has no slices.
    if info.width == 1:
        options = {"level": "1"}
    return Encoding(".mkv", "matroska", "ffv1", pixels, bits, options, _NO_CHECKSUMS)


def _h264(info: ClipInfo) -> Encoding:
    """Return the encoding as H.264 in MP4."""
    # Half-size chroma needs an even size, and cropping in the stream does not help.
    pixels = "yuv444p" if info.width % 2 or info.height % 2 else "yuv420p"
    # Without B frames, decoding and display order are the same, and durations of variable length
    # stay exact. x264's macroblock tree reads memory that was never set: with it, equal frames give
    # different files from run to run.
    options = {"crf": "15", "preset": "medium", "bf": "0", "mbtree": "0"}
    return Encoding(".mp4", "mp4", "libx264", pixels, 8, options, {"movflags": "+faststart"})


_SDR_TRANSFERS = (1, 4, 5, 6, 7, 13)  # H.273: transfers that a BT.709 display shows well enough
_SDR_PRIMARIES = (1, 4, 5, 6, 7)  # H.273: primaries about as wide as BT.709


@dataclass(frozen=True)
class OutputColors:
    """The meaning of an output's values.

    tags: H.273's numbers of primaries, transfer and matrix.
    converted: whether the input's colours have to be converted to BT.709.
    """

    tags: tuple[int, int, int]
    converted: bool = False


def output_colors(encoding: Encoding, color: ColorTags, data: bool) -> OutputColors:
    """Return how a layer's colours are written and tagged.

    H.264 must play everywhere, so it is converted to BT.709 where the input is HDR or has a wide
    gamut. All other formats keep the input's values and tag them; untagged input counts as BT.709.
    data: whether the layer's values are not colours.
    """
    if data:
        return OutputColors((BT709, BT709, BT709 if encoding.yuv else RGB_MATRIX))
    primaries = BT709 if color.primaries == UNSPECIFIED else color.primaries
    transfer = BT709 if color.transfer == UNSPECIFIED else color.transfer
    if encoding.codec == "libx264":
        if color.needs_conversion:
            return OutputColors((BT709, BT709, BT709), converted=True)
        if primaries in _SDR_PRIMARIES and transfer in _SDR_TRANSFERS:
            return OutputColors((primaries, transfer, BT709))
        return OutputColors((BT709, BT709, BT709))
    if not encoding.yuv:
        return OutputColors((primaries, transfer, RGB_MATRIX))
    matrix = BT2020 if primaries == BT2020 else BT709
    return OutputColors((primaries, transfer, matrix))
