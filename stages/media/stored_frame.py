"""A frame as a clip stores it. It is converted to RGB only where somebody asks for that."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from av.video.frame import VideoFrame

from stages.media import frame_pixels
from stages.media.orientation import UPRIGHT, Crop, Picture, orientation_of, upright_size


@dataclass
class StoredFrame:
    """One decoded frame of a clip.

    index: counted from 0, as decoded. time: in seconds, exact.
    frame: as the decoder returned it. crop: what to cut off it.
    """

    index: int
    time: Fraction
    frame: VideoFrame
    crop: Crop | None = None

    @cached_property
    def picture(self) -> Picture:
        """The upright picture ``(H, W, 3)``: uint8, or float32 in [0, 1] above 8 bits."""
        return self.scaled_picture(None)

    @property
    def pixels(self) -> torch.Tensor:
        """The upright picture ``(1, 3, H, W)``, float32 in [0, 1]."""
        return frame_pixels.stack([self.picture])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the upright picture."""
        return upright_size(self.frame, self.crop)

    @property
    def is_upright(self) -> bool:
        """Whether the stored picture is the upright one, without cropping or turning."""
        return self.crop is None and orientation_of(self.frame) == UPRIGHT

    def scaled_picture(self, size: tuple[int, int] | None) -> Picture:
        """Return the upright picture scaled to ``size`` ``(H, W)``, as :attr:`picture` is."""
        return frame_pixels.rgb_picture(self.frame, size, self.crop)
