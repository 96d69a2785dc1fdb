"""The colours of which one picture is a sum: found from edges that layers do not share, and given to the layer a rough guess points at."""

from __future__ import annotations

import pytest
import torch
from clips import psnr_of_all as psnr
from torch import Tensor
from torch.nn import functional as F

from stages.transparency import single
from stages.transparency.colours import STRONG, common_colours, share_of_colours, through
from stages.transparency.single import apart, possible, separate_picture

BEHIND, BEFORE, SUN = (torch.tensor(c) for c in ((0.3, 0.45, 0.8), (0.9, 0.6, 0.2), (0.5, 0.5, 0.5)))


def sheets(seed: int, size: tuple[int, int] = (90, 120), count: int = 60) -> Tensor:
    """Amounts ``(H, W)`` in [0, 1]: pieces of paper thrown on each other."""
    draw = torch.Generator().manual_seed(seed)
    picture = torch.zeros(size)
    for number in range(count):
        top, left, high, wide, bright = torch.rand(5, generator=draw).tolist()
        reach = max(0.08, 0.6 / (1 + number / 8))
        rows = slice(int(top * size[0]), int((top + reach * (0.3 + high)) * size[0]) + 1)
        picture[rows, int(left * size[1]) : int((left + reach * (0.3 + wide)) * size[1]) + 1] = bright
    return picture


def coloured(amount: Tensor, colour: Tensor) -> Tensor:
    """``(1, 3, H, W)``."""
    return (amount * colour.view(3, 1, 1))[None]


def layers() -> tuple[Tensor, Tensor]:
    """Light of two layers, each of one colour, with a little light and shade of the sun's on the one behind."""
    behind = coloured(sheets(1), 0.6 * BEHIND) + coloured(sheets(3), 0.15 * SUN)
    return behind, coloured(sheets(2), 0.4 * BEFORE)


def test_colours_are_found_from_edges_that_are_not_shared() -> None:
    behind, before = layers()
    for colours, amounts in common_colours(behind + before):
        assert torch.allclose(colours @ amounts, torch.eye(3), atol=1e-4)
        alike = F.normalize(torch.stack([BEHIND, BEFORE, SUN]), dim=1) @ F.normalize(colours, dim=0)
        assert alike.amax(1).min() > 0.97  # each colour is one of those found
        assert len(set(alike.argmax(1).tolist())) == 3


def test_a_rough_guess_becomes_the_layer_it_points_at() -> None:
    behind, before = layers()
    seen = behind + before
    rough = F.interpolate(F.avg_pool2d(before, 15), seen.shape[-2:], mode="bilinear") * 0.5
    rough[..., :30] = 0  # wrong in places
    found = through(share_of_colours(seen, rough, common_colours(seen)), seen)
    together = torch.corrcoef(torch.stack([found.flatten(), before.flatten(), rough.flatten()]))
    assert together[0, 1] > 0.97 > 0.8 > together[1, 2]
    assert abs(float(torch.corrcoef(torch.stack([found.flatten(), behind.flatten()]))[0, 1])) < 0.3
    nothing = share_of_colours(seen, torch.zeros_like(seen), common_colours(seen))
    assert nothing.abs().max() == 0


def test_what_all_colours_have_in_common_points_at_none() -> None:
    behind, before = layers()
    seen = behind + before
    assert share_of_colours(seen, 0.3 * seen, common_colours(seen)).abs().max() < 0.02


def test_a_layer_that_goes_with_what_is_left_is_none() -> None:
    behind, before = layers()
    assert apart(before, behind + before) > 0.99
    assert apart(0.3 * behind, behind) < 0.01
    assert apart(torch.zeros_like(behind), behind) > 0.99  # of nothing nothing is said


def test_no_more_is_taken_than_there_is() -> None:
    left = torch.full((1, 3, 20, 20), 0.2)
    taken = possible(4 * left, left)
    assert 0.8 < 4 * taken < 0.95
    assert possible(0.5 * left, left) == 1
    few = torch.zeros(1, 3, 40, 40)
    few[0, 0, 0, 0] = 1  # one value in 4800 may be beyond
    assert possible(few, torch.full_like(few, 0.2)) == 1


def test_a_reflection_of_another_colour_is_taken_out_with_its_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a window: textured ground; the window shows a lamp-lit room, brighter where it is, that washes the ground's texture out."""
    draw = torch.Generator().manual_seed(4)
    stones = F.avg_pool2d(torch.rand(1, 1, 122, 162, generator=draw), 3, 1)
    stones = ((stones - 0.3) / 0.4).clamp(0, 1) ** 2
    ground = 0.5 * stones * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1)
    room = coloured(sheets(5, (120, 160), 30), 0.25 * BEFORE)
    seen = ground + room

    def gain(light: Tensor) -> float:
        found = separate_picture(light)[0]
        return psnr(found ** (1 / 2.2), ground ** (1 / 2.2)) - psnr(light ** (1 / 2.2), ground ** (1 / 2.2))

    with_colours = gain(seen)
    monkeypatch.setattr(single, "common_colours", lambda light: [])
    assert with_colours > gain(seen) + 2


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_picture_of_one_value_has_no_colours(value: float) -> None:
    plain = torch.full((1, 3, 8, 9), value)
    assert common_colours(plain) == []
    assert share_of_colours(plain, plain, []).abs().max() == 0


def test_a_grey_picture_has_an_answer_too() -> None:
    grey = coloured(sheets(6), SUN)
    found = common_colours(grey)
    assert len(found) == 2 * len(STRONG)
    assert all(torch.isfinite(torch.cat(each)).all() for each in found)
    transmission, reflection = separate_picture(grey)
    assert torch.allclose(transmission + reflection, grey, atol=1e-6)
    assert float((transmission[:, :1] - transmission).abs().max()) < 1e-3  # grey stays grey
