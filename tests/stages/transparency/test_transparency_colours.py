"""The colours of which one picture is a sum: found from edges that layers do not share, and given to the layer a rough guess points at."""

from __future__ import annotations

import pytest
import torch
from clips import psnr_of_all as psnr
from torch import Tensor
from torch.nn import functional as F

from stages.transparency import single
from stages.transparency.colours import STRONG, common_colours, share_of_colours, through
from stages.transparency.single import apart, held_back, laid_over, possible, separate_picture

BEHIND, BEFORE, SUN = (
    torch.tensor(c) for c in ((0.3, 0.45, 0.8), (0.9, 0.6, 0.2), (0.5, 0.5, 0.5))
)


def sheets(seed: int, size: tuple[int, int] = (90, 120), count: int = 60) -> Tensor:
    """Amounts ``(H, W)`` in [0, 1]: pieces of paper thrown on each other."""
    draw = torch.Generator().manual_seed(seed)
    picture = torch.zeros(size)
    for number in range(count):
        top, left, high, wide, bright = torch.rand(5, generator=draw).tolist()
        reach = max(0.08, 0.6 / (1 + number / 8))
        rows = slice(int(top * size[0]), int((top + reach * (0.3 + high)) * size[0]) + 1)
        picture[rows, int(left * size[1]) : int((left + reach * (0.3 + wide)) * size[1]) + 1] = (
            bright
        )
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
    matrix, nothing = share_of_colours(seen, [rough, torch.zeros_like(seen)], common_colours(seen))
    found = through(matrix, seen)
    together = torch.corrcoef(torch.stack([found.flatten(), before.flatten(), rough.flatten()]))
    assert together[0, 1] > 0.97 > 0.8 > together[1, 2]
    assert abs(float(torch.corrcoef(torch.stack([found.flatten(), behind.flatten()]))[0, 1])) < 0.3
    assert nothing.abs().max() == 0


def test_what_all_colours_have_in_common_points_at_none() -> None:
    behind, before = layers()
    seen = behind + before
    assert share_of_colours(seen, [0.3 * seen], common_colours(seen))[0].abs().max() < 0.02


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


def test_where_light_runs_out_no_channel_is_taken_whole() -> None:
    draw = torch.Generator().manual_seed(7)
    left, found = torch.rand(2, 1, 3, 30, 40, generator=draw).unbind(0)
    held = held_back(found, left)
    assert (held <= 0.91 * left).all() and (held <= found).all()
    torch.testing.assert_close(
        held / held.sum(1, keepdim=True), found / found.sum(1, keepdim=True)
    )  # its colour
    assert torch.equal(held_back(0.1 * left, left), 0.1 * left)
    less = torch.tensor([-0.1, 0.1, 0.2]).view(1, 3, 1, 1)  # a colour may take away from a channel
    torch.testing.assert_close(held_back(less, torch.full_like(less, 0.1)), 0.45 * less)


def lamplit() -> tuple[Tensor, Tensor]:
    """Textured ground behind a window that shows a lamp-lit room, brighter in places, which washes the ground's texture out."""
    draw = torch.Generator().manual_seed(4)
    stones = F.avg_pool2d(torch.rand(1, 1, 122, 162, generator=draw), 3, 1)
    stones = ((stones - 0.3) / 0.4).clamp(0, 1) ** 2
    return 0.5 * stones * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1), coloured(
        sheets(5, (120, 160), 30), 0.25 * BEFORE
    )


@pytest.mark.parametrize("gate", ["apart", "possible"])
def test_gates_hold_for_all_that_goes_by_colour(gate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = sum(lamplit())
    assert isinstance(seen, Tensor)
    veil, matrix = laid_over(seen)
    monkeypatch.setattr(single, gate, lambda found, left: 0.0)
    shut_veil, shut = laid_over(seen)
    assert matrix.abs().max() > 0.1 and shut.abs().max() == 0
    if gate == "apart":  # what texture says is not believed either, but for a little
        assert shut_veil.mean() < veil.mean()


def test_both_colours_are_gated_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = sum(lamplit())
    assert isinstance(seen, Tensor)
    one, other = torch.eye(3), 2 * torch.eye(3)
    monkeypatch.setattr(single, "share_of_colours", lambda *given: [one, other])
    monkeypatch.setattr(single, "possible", lambda found, left: 1.0)
    for shut, expected in ((1.0, other), (2.0, single.COLOURED * one)):
        scale = shut
        monkeypatch.setattr(
            single,
            "apart",
            lambda found, light, scale=scale: float(not torch.allclose(found, scale * light)),
        )
        torch.testing.assert_close(laid_over(seen)[1], expected)


def test_a_still_clip_does_not_flicker() -> None:
    noise = 0.01 * torch.randn(5, 3, 120, 160, generator=torch.Generator().manual_seed(8))
    clip = (sum(lamplit()) + noise).clamp(0, 1)
    found = separate_picture(clip)[0]
    assert (
        float((found - clip).mean((1, 2, 3)).std()) < 2e-4
    )  # what is taken is the same in all frames
    by_itself = torch.cat([separate_picture(frame)[0] for frame in clip.split(1)])
    assert float((by_itself - clip).mean((1, 2, 3)).std()) > 2 * float(
        (found - clip).mean((1, 2, 3)).std()
    )


def test_a_reflection_of_another_colour_is_taken_out_with_its_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ground, room = lamplit()
    seen = ground + room

    def gain(light: Tensor) -> float:
        found = separate_picture(light)[0]
        return psnr(found ** (1 / 2.2), ground ** (1 / 2.2)) - psnr(
            light ** (1 / 2.2), ground ** (1 / 2.2)
        )

    with_colours = gain(seen)
    monkeypatch.setattr(single, "share_of_colours", lambda *given: [torch.zeros(3, 3)] * 2)
    assert with_colours > gain(seen) + 2


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_picture_of_one_value_has_no_colours(value: float) -> None:
    plain = torch.full((1, 3, 8, 9), value)
    assert common_colours(plain) == []
    assert share_of_colours(plain, [plain], [])[0].abs().max() == 0
    assert torch.equal(
        separate_picture(plain)[0], plain
    )  # nothing is seen through it, so nothing says that there is a pane


def test_a_grey_picture_has_an_answer_too() -> None:
    grey = coloured(sheets(6), SUN)
    found = common_colours(grey)
    assert len(found) == 2 * len(STRONG)
    assert all(torch.isfinite(torch.cat(each)).all() for each in found)
    transmission, reflection = separate_picture(grey)
    assert torch.allclose(transmission + reflection, grey, atol=1e-6)
    assert float((transmission[:, :1] - transmission).abs().max()) < 1e-3  # grey stays grey
