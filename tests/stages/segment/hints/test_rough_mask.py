"""Test what is cut out of an area that is drawn by hand: the thing itself, or a part of it."""

from __future__ import annotations

import pytest
import torch
from clips import drifting
from drawn_things import SIZE, disc, overlap
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.hint_regions import HintRegion
from stages.segment.hints.cut_out import cut_out
from stages.segment.hints.evidence import evidence
from stages.segment.hints.marked_frames import marked_frames
from stages.segment.hints.rough_mask import cut_area, is_area


def two_alike(seed: int) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """Return a picture ``(3, H, W)`` of a thing that touches another of its colours.

    Also return the mask of the thing, and its centre.
    """
    generator = torch.Generator().manual_seed(seed)
    row, column = (
        int(torch.randint(low, high, (), generator=generator)) for low, high in ((30, 42), (26, 36))
    )
    color = 0.2 + 0.6 * torch.rand(3, 1, 1, generator=generator)
    mask, other = disc(column, row, 15), disc(column + 33, row, 19)
    thing = 0.8 * color + 0.2 * drifting(seed + 50, 1, (0, 0), SIZE)[0]
    ground = 0.6 * (1 - color) + 0.4 * drifting(seed, 1, (0, 0), SIZE)[0]
    return torch.where(mask | other, thing, ground), mask, (row, column)


def test_a_rough_mask_does_not_take_what_looks_alike_beside_it() -> None:
    as_area, free = [], []
    for seed in range(2):
        picture, mask, (row, column) = two_alike(seed)
        known = evidence([HintRegion(disc(column - 1, row + 1, 15.5))], SIZE)
        as_area.append(overlap(cut_area(picture, known) > 0, mask))
        free.append(overlap(cut_out(picture, known) > 0, mask))
    assert min(as_area) > 0.9
    assert min(free) < 0.5, "nothing stops a free cut"


@pytest.mark.parametrize(("seed", "radius"), [(0, 8), (1, 12), (2, 12), (3, 8)])
def test_a_blob_inside_a_thing_finds_the_whole_thing(seed: int, radius: float) -> None:
    picture, mask, (row, column) = two_alike(seed)
    around = disc(column + 33, row, 19)
    blob = HintRegion(disc(column + 33, row, radius))
    context = SeparationContext(FitSettings(), hint_regions=(blob,))
    found = marked_frames(picture[None], context, moving=False)[0].odds > 0
    assert float((found & around).sum()) > 0.9 * float(around.sum())
    # The cut may go on into the other, which is alike and touches it.
    assert float((found & (around | mask)).sum()) > 0.9 * float(found.sum())


def test_only_areas_alone_may_be_the_whole_thing() -> None:
    blob, stroke, box = (
        HintRegion(disc(40, 36, 12)),
        HintRegion(disc(10, 60, 1)),
        HintRegion(disc(40, 36, 12), boxed=True),
    )
    water = HintRegion(disc(80, 10, 8), foreground=False)
    for regions in ([blob], [blob, water]):
        assert is_area(regions, SIZE)
    for regions in ([stroke], [blob, stroke], [blob, box], [water]):
        assert not is_area(regions, SIZE)
