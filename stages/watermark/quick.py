"""Look quickly, in small pictures, for a mark that several of them share.

Pictures ``(K, 3, H, W)`` in [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor

from stages.watermark.find import Mark
from stages.watermark.pictures import inner_part, resized_map, shrunk_to
from stages.watermark.search import is_clear, refined_mark, screened_mark

QUICK_PIXELS, QUICK_TURNS, QUICK_GAIN = 20_000, 50, 6.0
"""Most pixels of a picture, iterations of a cut, and least gain, of the quick search."""
SCREEN_PICTURES, SCREEN_TURNS = 3, 30
"""Most pictures, and iterations of a cut, of a quick look before that."""


def quick_search(pictures: Tensor, weight: Tensor) -> tuple[Mark | None, Tensor]:
    """Return the mark that small pictures share, if any, and these pictures.

    A quick look at a few of the pictures proposes it, and all of them decide.

    pictures: ``(K, 3, H, W)``. weight: how much each pixel counts, of any size.
    """
    small = shrunk_to(pictures, QUICK_PIXELS)
    place = everywhere(small, weight)
    mark = screened_mark(small, *place, few=SCREEN_PICTURES, turns=SCREEN_TURNS)
    if mark.gain <= 0:
        return None, small
    mark = refined_mark(small, *place, mark, turns=2 * QUICK_TURNS)
    return (mark if is_clear(mark, QUICK_GAIN) else None), small


def everywhere(pictures: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return where a mark may be, and how much each pixel counts, ``(h, w)`` each.

    A mark may be anywhere but at the rim. pictures: ``(K, 3, h, w)``. weight: of any size.
    """
    size = pictures.shape[-2:]
    return inner_part(torch.ones(size, dtype=torch.bool)), resized_map(weight, size)
