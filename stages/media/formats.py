"""Choose how layers are encoded: which container, and which colour tags."""

from __future__ import annotations

from dataclasses import dataclass

from stages.media.clip import ClipInfo
from stages.media.color_tags import BT601, BT709, BT2020, RGB_MATRIX, UNSPECIFIED, ColorTags
from stages.media.containers import LAYER_CONTAINERS
from stages.media.containers.base import Encoding, LayerContainer

_BY_ALPHA_NAME = {"prores": "prores4444", "vp9": "vp9", "ffv1": "ffv1", "png": "png-mov"}
"""Containers for layers with an alpha channel, by the names that ``--alpha`` has for them."""
ALPHA_CONTAINERS = tuple(_BY_ALPHA_NAME)
"""Names of the containers for layers with an alpha channel."""


@dataclass(frozen=True)
class LayerFormat:
    """What a layer is and how the user wants it written.

    lossless: whether to write FFV1 in Matroska (full-range RGB) instead of H.264 in MP4.
    alpha: for a layer with an alpha channel one of :data:`ALPHA_CONTAINERS`, or empty for the one
        that fits ``codec`` and ``lossless``; otherwise ``None``.
    codec: the name of a container in :data:`stages.media.containers.LAYER_CONTAINERS` instead of
        the two above. A layer that it cannot hold goes into the one that its entry names.
    bit_depth: of lossless layers, and of those with a ``codec``, 8 to 16.
    pictures: whether the layer is a single picture, written as PNG unless ``codec`` is of pictures.
    data: whether its values are not colours, as in a matte. They are written as they are.
    gray: whether it holds one number a pixel, in three equal channels. Only then a container of
        one channel may take it.
    premultiplied: whether colours are multiplied by alpha. Otherwise alpha is straight.
    """

    lossless: bool = False
    alpha: str | None = None
    codec: str | None = None
    bit_depth: int = 8
    pictures: bool = False
    data: bool = False
    gray: bool = False
    premultiplied: bool = False


PREVIEW = Encoding(
    LAYER_CONTAINERS["h264"],
    "yuv420p",
    8,
    # A key frame about every half second, because people scrub through previews.
    {"crf": "24", "preset": "veryfast", "bf": "0", "g": "12", "mbtree": "0"},
)
"""The encoding of the report's own videos: fast, and playable in every browser."""


def encoding_for(info: ClipInfo, wanted: LayerFormat) -> Encoding:
    """Return the encoding of a layer of the clip ``info``.

    Raises :class:`ValueError` for an unknown ``alpha``.
    """
    container = container_for(wanted)
    return container.encoding(
        info,
        wanted.bit_depth,
        wanted.alpha is not None,
        sequence=container.is_pictures and not wanted.pictures,
    )


def container_for(wanted: LayerFormat) -> LayerContainer:
    """Return the container of a layer.

    Raises :class:`ValueError` for an unknown ``alpha`` or ``codec``.
    """
    if wanted.alpha not in (None, "", *ALPHA_CONTAINERS):
        raise ValueError(
            f"alpha must be one of {', '.join(ALPHA_CONTAINERS)} or None, got {wanted.alpha!r}"
        )
    name = wanted.codec or ("ffv1" if wanted.lossless else "h264")
    if name not in LAYER_CONTAINERS:
        raise ValueError(f"codec must be one of {', '.join(LAYER_CONTAINERS)}, got {name!r}")
    container = LAYER_CONTAINERS[name]
    if wanted.pictures and not container.is_pictures:
        return LAYER_CONTAINERS["png"]
    if wanted.alpha and not wanted.pictures:
        return LAYER_CONTAINERS[_BY_ALPHA_NAME[wanted.alpha]]
    if wanted.alpha is not None and not container.alpha:
        return LAYER_CONTAINERS[container.for_alpha]
    if wanted.data and container.for_data:
        for_data = LAYER_CONTAINERS[container.for_data]
        return container if for_data.gray and not wanted.gray else for_data
    return container


LEFT_CHROMA = frozenset({"h264", "hevc", "mpeg2video", "mpeg4"})
"""Codecs whose chroma lies where the encoders here expect it: on the even columns."""

_BT601_MATRICES = (UNSPECIFIED, 5, BT601)
"""H.273's numbers of the matrix BT.601. Untagged frames count as BT.601 when they are decoded,
whatever their size. A layer of an untagged clip has no tag either: players that take large frames
for BT.709 then do so with both."""

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


def can_take_codes(encoding: Encoding, info: ClipInfo) -> bool:
    """Return whether a layer can hold the codes of a clip's frames, if it has their matrix."""
    return (
        encoding.yuv
        and info.pixel_format == encoding.pixel_format
        and info.codec in LEFT_CHROMA
        and not info.full_range
        and not info.rotation
        and not info.scan.deinterlaced
        and info.crop is None
    )


def output_colors(
    encoding: Encoding, color: ColorTags, data: bool, *, takes_codes: bool = False
) -> OutputColors:
    """Return how a layer's colours are written and tagged.

    A container that must play everywhere is converted to BT.709 where the input is HDR or has a
    wide gamut. All others keep the input's values and tag them; untagged input has the primaries
    and the transfer of BT.709.
    data: whether the layer's values are not colours. takes_codes: whether the layer can hold the
    input's codes (:func:`can_take_codes`). Then it keeps the matrix BT.601, so that clean frames
    need not be converted.
    """
    if data:
        is_rgb = not encoding.yuv and not encoding.container.gray
        return OutputColors((BT709, BT709, RGB_MATRIX if is_rgb else BT709))
    container = encoding.container
    primaries = BT709 if color.primaries == UNSPECIFIED else color.primaries
    transfer = BT709 if color.transfer == UNSPECIFIED else color.transfer
    if container.converts_colors:
        if color.needs_conversion:
            return OutputColors((BT709, BT709, BT709), converted=True)
        if primaries in _SDR_PRIMARIES and transfer in _SDR_TRANSFERS:
            is_kept = takes_codes and color.matrix in _BT601_MATRICES
            matrix = color.matrix if is_kept else BT709
            return OutputColors((primaries, transfer, matrix))
        return OutputColors((BT709, BT709, BT709))
    if not encoding.yuv:
        return OutputColors((primaries, transfer, RGB_MATRIX))
    matrix = BT2020 if primaries == BT2020 else BT709
    if container.fixed_matrix is not None:
        matrix = container.fixed_matrix
    return OutputColors((primaries, transfer, matrix))
