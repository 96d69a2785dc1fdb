"""Take pictures of Pillow as arrays, without needing Pillow.

A picture is known by its methods. Its transparency is left out unless it is asked for: colours are
taken as they are stored, as from a file. It is turned as its EXIF data say, as a file is.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from stages.errors import UsageError

ORIENTATION = 0x0112
"""The EXIF tag with a picture's orientation, 1 to 8."""
COLORS = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK"})
COLORS |= {"YCbCr", "LAB", "HSV"}
"""Pillow's modes of 8 bits a value or less, which it converts to RGB itself."""
GRAY_16 = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
"""Its modes of one value of 16 bits."""


class PillowPicture(Protocol):
    """What is needed of a ``PIL.Image.Image``."""

    @property
    def mode(self) -> str:
        """How its pixels are kept, as ``RGB``."""

    def convert(self, mode: str) -> Any:
        """Return the picture in another mode."""

    def getexif(self) -> Any:
        """Return its EXIF data by tag."""


def is_pillow(thing: object) -> TypeGuard[PillowPicture]:
    """Return whether something is a picture of Pillow."""
    needed = ("mode", "convert", "getexif", "__array_interface__")
    return all(hasattr(thing, name) for name in needed)


def pillow_pixels(picture: PillowPicture, what: str, *, alpha: bool = False) -> NDArray[Any]:
    """Return a picture as an array ``(H, W, 3)`` of uint8, or of uint16 for 16 bits of grey.

    what: its name in messages. alpha: whether to add its alpha as a fourth channel (not for 16 bits
    of grey). Raises UsageError for modes whose values have no fixed range.
    """
    if picture.mode in GRAY_16:
        gray = np.asarray(picture).astype(np.uint16)
        pixels = np.repeat(gray[..., None], 3, -1)
    elif picture.mode in COLORS:
        pixels = np.asarray(picture.convert("RGBA" if alpha else "RGB"))
    else:
        raise UsageError(
            f"separate(): {what} is a Pillow picture of mode {picture.mode}; convert it to RGB"
        )
    return np.ascontiguousarray(turned(pixels, int(picture.getexif().get(ORIENTATION, 1))))


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return pixels ``(H, W, C)`` as EXIF's ``orientation`` says they are to be shown.

    1 is upright; a number that EXIF does not know counts as 1.
    """
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
