"""What the user marked in one frame: certain pixels, a box around a thing, or a rough mask."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

BOX_FILLED = 0.98
"""Part of its bounding box that a mark fills if it is a box; hand-drawn edges miss some pixels."""
WIDE_BOX = 0.1
"""Part of the picture's shorter side; a rectangle that is nowhere narrower is a box."""
SMALL_BOX, LONG = 0.03, 3.0
"""A narrower one is a box if it has this part, and is no longer than this many widths: not a
straight stroke of a brush."""


@dataclass(frozen=True)
class HintMark:
    """One mark of the user, in one frame.

    pixels: ``(H, W)`` of bool, true where it is drawn; never empty.
    foreground: whether it marks the foreground; otherwise it marks the background.
    place: the frame's place in the window, from 0; ``None`` for every frame.
    boxed: whether the user said that it is a box.
    """

    pixels: Tensor
    foreground: bool = True
    place: int | None = None
    boxed: bool = False

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Return top, bottom, left and right of the mark; bottom and right are exclusive."""
        rows, columns = self.pixels.any(1).nonzero()[:, 0], self.pixels.any(0).nonzero()[:, 0]
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

    @property
    def is_box(self) -> bool:
        """Return whether the mark is a filled upright rectangle, and so goes around a thing."""
        if self.boxed:
            return True
        top, bottom, left, right = self.bounds
        narrow, long = sorted((bottom - top, right - left))
        shorter = min(self.pixels.shape)
        small = narrow > max(1.0, SMALL_BOX * shorter) and long <= LONG * narrow
        filled = float(self.pixels.sum()) / (narrow * long)
        return filled >= BOX_FILLED and (narrow > WIDE_BOX * shorter or small)
