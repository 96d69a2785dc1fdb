"""How a stored picture becomes upright: what is cut off, and which way is up.

The reader notes a frame's orientation on the frame itself, as its ``opaque``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from stages.media.filter_graph import filtered
from stages.media.library_errors import READ_ERRORS

Picture = NDArray[np.generic]
"""``(H, W, C)``: uint8, or float32 in [0, 1]."""

_DISPLAY_MATRIX = 6  # FFmpeg's AV_FRAME_DATA_DISPLAYMATRIX
_SIDE_DATA_KINDS = 64  # FFmpeg 8.1 knows 33 kinds of side data (AV_FRAME_DATA_*)


class Crop(NamedTuple):
    """How many columns and rows are cut off a stored picture, before it is made upright."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def apply(self, picture: Picture) -> Picture:
        """Return a stored picture ``(H, W, C)`` without these columns and rows."""
        height, width = picture.shape[:2]
        return picture[self.top : height - self.bottom, self.left : width - self.right]


@dataclass(frozen=True)
class Orientation:
    """How to make a stored picture upright: swap its axes, mirror left-right, mirror top-bottom.

    The steps are done in this order.
    """

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def degrees(self) -> int:
        """The clockwise rotation in degrees; 0 for a pure mirroring."""
        if self.swap:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_x and self.mirror_y else 0

    def apply(self, picture: Picture) -> Picture:
        """Return the upright picture: ``(H, W, C)``, or ``(W, H, C)`` if the axes are swapped."""
        return self._mirrored(picture.swapaxes(0, 1) if self.swap else picture)

    def undo(self, picture: Picture) -> Picture:
        """Return the stored picture of an upright one."""
        mirrored = self._mirrored(picture)
        return mirrored.swapaxes(0, 1) if self.swap else mirrored

    def _mirrored(self, picture: Picture) -> Picture:
        down = -1 if self.mirror_y else 1
        right = -1 if self.mirror_x else 1
        return picture[::down, ::right]


UPRIGHT = Orientation()
"""The orientation of a picture that is stored as it is shown."""
# By quarter turns counter-clockwise, as FFmpeg counts.
_ROTATIONS = (
    UPRIGHT,
    Orientation(True, False, True),
    Orientation(False, True, True),
    Orientation(True, True, False),
)


def orientation_of(frame: VideoFrame) -> Orientation:
    """Return the orientation that the reader has noted on a decoded frame."""
    return frame.opaque if isinstance(frame.opaque, Orientation) else UPRIGHT


def upright_size(frame: VideoFrame, crop: Crop | None = None) -> tuple[int, int]:
    """Return ``(H, W)`` of a decoded frame after cropping and orientation."""
    cut = crop or Crop()
    height, width = frame.height - cut.top - cut.bottom, frame.width - cut.left - cut.right
    return (width, height) if orientation_of(frame).swap else (height, width)


def read_orientation(frame: VideoFrame) -> Orientation:
    """Return the orientation that a frame's display matrix gives.

    The matrix comes from a container, a codec or a picture's EXIF data. Reading ``frame.side_data``
    directly is not safe. PyAV frees the metadata of side data twice, which kills the process for an
    ICC profile; it fails on kinds that are newer than it is; and it keeps the frame alive until the
    garbage collector runs. So filters remove all other side data and shrink the picture first.
    """
    others = [kind for kind in range(_SIDE_DATA_KINDS) if kind != _DISPLAY_MATRIX]
    try:
        small = filtered(
            frame,
            *(("sidedata", f"mode=delete:type={kind}") for kind in others),
            ("crop", "min(iw\\,16):min(ih\\,16):0:0"),
            ("scale", "2:2"),
        )
        matrix = small.side_data.get("DISPLAYMATRIX")
        return _from_matrix(bytes(matrix)) if isinstance(matrix, SideData) else UPRIGHT
    except READ_ERRORS:
        # No filter accepts such frames. The angle is known without them, a mirroring is not.
        return _ROTATIONS[round(frame.rotation / 90) % 4]


def _from_matrix(side_data: bytes) -> Orientation:
    """Return the orientation that a display matrix describes.

    side_data: nine native 32-bit integers a, b, u, c, d, v, ... with x' = a x + c y and
        y' = b x + d y, y pointing down.
    """
    a, b, _, c, d = struct.unpack_from("=5i", side_data)
    if abs(a) >= abs(b):
        return Orientation(False, a < 0, d < 0)
    return Orientation(True, c < 0, b < 0)
