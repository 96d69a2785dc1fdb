"""What the user drew in one frame: certain pixels, a box around a thing, or a rough mask."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

BOX_FILLED = 0.98
"""Least part of its bounding box that a box fills; hand-drawn edges miss some pixels."""
WIDE_BOX = 0.1
"""Width from which a filled rectangle is a box, as a part of the picture's shorter side."""
SMALL_BOX = 0.03
"""Width from which a compact rectangle is a box, as a part of the picture's shorter side."""
LONGEST_SMALL_BOX = 3.0
"""Most length of a small box, in its widths. A longer rectangle is a straight brush stroke."""


@dataclass(frozen=True)
class HintRegion:
    """One region that the user drew in one frame.

    pixels: ``(H, W)`` of bool, true where it is drawn; never empty.
    foreground: whether it shows the foreground; otherwise it shows the background.
    window_index: its frame's index in the window, from 0; ``None`` for every frame.
    boxed: whether the user said that it is a box.
    earlier: whether an earlier run had this hint, so that the matte to correct follows it already.
    """

    pixels: Tensor
    foreground: bool = True
    window_index: int | None = None
    boxed: bool = False
    earlier: bool = False

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """Return the region's top, bottom, left and right; bottom and right are exclusive."""
        rows, columns = self.pixels.any(1).nonzero()[:, 0], self.pixels.any(0).nonzero()[:, 0]
        return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1

    @property
    def is_box(self) -> bool:
        """Return whether the region is a filled upright rectangle, which goes around a thing."""
        if self.boxed:
            return True
        top, bottom, left, right = self.bounds
        narrow, long = sorted((bottom - top, right - left))
        shorter = min(self.pixels.shape)
        is_compact = long <= LONGEST_SMALL_BOX * narrow
        is_small_box = narrow > max(1.0, SMALL_BOX * shorter) and is_compact
        filled = float(self.pixels.sum()) / (narrow * long)
        return filled >= BOX_FILLED and (narrow > WIDE_BOX * shorter or is_small_box)
