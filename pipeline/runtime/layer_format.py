"""Choose from the settings how a layer is written."""

from __future__ import annotations

from pipeline.codecs import PREMULTIPLIED
from pipeline.settings import Settings
from stages.media.clip import ClipInfo
from stages.media.formats import LayerFormat


def layer_format(
    settings: Settings,
    info: ClipInfo,
    *,
    picture: bool,
    data: bool = False,
    gray: bool = False,
    alpha: bool = False,
) -> LayerFormat:
    """Return how a layer of the clip ``info`` is written.

    picture: whether it is a single picture. data: whether its values are not colours, as in a
    matte. gray: whether its three channels are equal. alpha: whether it has an alpha channel.
    """
    premultiplied = settings.alpha == PREMULTIPLIED
    own = "" if premultiplied else settings.alpha or ""
    is_deep = settings.lossless or settings.codec is not None
    return LayerFormat(
        lossless=settings.lossless,
        alpha=own if alpha else None,
        codec=settings.codec,
        bit_depth=info.bit_depth if is_deep else 8,
        pictures=picture,
        data=data,
        gray=gray,
        premultiplied=premultiplied,
    )
