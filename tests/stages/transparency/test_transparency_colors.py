"""Tests of the colours that one picture is a sum of, and of the layer they belong to."""

from __future__ import annotations

import pytest
import torch
from clips import psnr_of_all as psnr
from torch import Tensor
from torch.nn import functional as F

from stages.transparency import picture_guess
from stages.transparency.colors import (
    STRONGEST,
    apply_color_matrix,
    common_colors,
    layer_matrices,
)
from stages.transparency.picture_guess import (
    estimate_overlay,
    feasible_scale,
    guess_layers,
    independence,
    limited,
)

BEHIND, BEFORE, SUN = (
    torch.tensor(c) for c in ((0.3, 0.45, 0.8), (0.9, 0.6, 0.2), (0.5, 0.5, 0.5))
)


def sheets(seed: int, size: tuple[int, int] = (90, 120), count: int = 60) -> Tensor:
    """Make amounts ``(H, W)`` in [0, 1]: overlapping pieces of paper."""
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


def colored(amount: Tensor, color: Tensor) -> Tensor:
    """Return light of one colour, ``(1, 3, H, W)``."""
    return (amount * color.view(3, 1, 1))[None]


def layers() -> tuple[Tensor, Tensor]:
    """Make two layers, each of one colour; the one behind has some sunlight and shade."""
    behind = colored(sheets(1), 0.6 * BEHIND) + colored(sheets(3), 0.15 * SUN)
    return behind, colored(sheets(2), 0.4 * BEFORE)


def test_colors_are_found_from_unshared_edges() -> None:
    behind, before = layers()
    for colors, amounts in common_colors(behind + before):
        assert torch.allclose(colors @ amounts, torch.eye(3), atol=1e-4)
        alike = F.normalize(torch.stack([BEHIND, BEFORE, SUN]), dim=1) @ F.normalize(colors, dim=0)
        assert alike.amax(1).min() > 0.97  # each true colour is found
        assert len(set(alike.argmax(1).tolist())) == 3


def test_a_rough_guess_becomes_the_layer_it_points_at() -> None:
    behind, before = layers()
    seen = behind + before
    rough = F.interpolate(F.avg_pool2d(before, 15), seen.shape[-2:], mode="bilinear") * 0.5
    rough[..., :30] = 0  # wrong in places
    matrix, nothing = layer_matrices(seen, [rough, torch.zeros_like(seen)], common_colors(seen))
    found = apply_color_matrix(matrix, seen)
    together = torch.corrcoef(torch.stack([found.flatten(), before.flatten(), rough.flatten()]))
    assert together[0, 1] > 0.97 > 0.8 > together[1, 2]
    assert abs(float(torch.corrcoef(torch.stack([found.flatten(), behind.flatten()]))[0, 1])) < 0.3
    assert nothing.abs().max() == 0


def test_what_all_colors_share_belongs_to_none() -> None:
    behind, before = layers()
    seen = behind + before
    assert layer_matrices(seen, [0.3 * seen], common_colors(seen))[0].abs().max() < 0.02


def test_a_part_that_correlates_with_the_rest_is_not_a_layer() -> None:
    behind, before = layers()
    assert independence(before, behind + before) > 0.99
    assert independence(0.3 * behind, behind) < 0.01
    assert independence(torch.zeros_like(behind), behind) > 0.99  # an empty layer stays possible


def test_a_layer_takes_no_more_light_than_there_is() -> None:
    left = torch.full((1, 3, 20, 20), 0.2)
    taken = feasible_scale(4 * left, left)
    assert 0.8 < 4 * taken < 0.95
    assert feasible_scale(0.5 * left, left) == 1
    few = torch.zeros(1, 3, 40, 40)
    few[0, 0, 0, 0] = 1  # one value in 4800 may exceed the limit
    assert feasible_scale(few, torch.full_like(few, 0.2)) == 1


def test_all_channels_are_limited_alike() -> None:
    draw = torch.Generator().manual_seed(7)
    left, found = torch.rand(2, 1, 3, 30, 40, generator=draw).unbind(0)
    held = limited(found, left)
    assert (held <= 0.91 * left).all() and (held <= found).all()
    torch.testing.assert_close(
        held / held.sum(1, keepdim=True), found / found.sum(1, keepdim=True)
    )  # its colour
    assert torch.equal(limited(0.1 * left, left), 0.1 * left)
    less = torch.tensor([-0.1, 0.1, 0.2]).view(1, 3, 1, 1)  # a colour may be negative in a channel
    torch.testing.assert_close(limited(less, torch.full_like(less, 0.1)), 0.45 * less)


def lamplit() -> tuple[Tensor, Tensor]:
    """Make textured ground, and a lamp-lit room reflected over it in places."""
    draw = torch.Generator().manual_seed(4)
    stones = F.avg_pool2d(torch.rand(1, 1, 122, 162, generator=draw), 3, 1)
    stones = ((stones - 0.3) / 0.4).clamp(0, 1) ** 2
    return 0.5 * stones * torch.tensor([0.6, 0.8, 1.0]).view(1, 3, 1, 1), colored(
        sheets(5, (120, 160), 30), 0.25 * BEFORE
    )


@pytest.mark.slow
def test_gates_stop_what_is_found_by_color(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = sum(lamplit())
    assert isinstance(seen, Tensor)
    veil, matrix = estimate_overlay(seen)
    for gate in ("independence", "feasible_scale"):
        with monkeypatch.context() as patch:
            patch.setattr(picture_guess, gate, lambda found, left: 0.0)
            shut_veil, shut = estimate_overlay(seen)
        assert matrix.abs().max() > 0.1 and shut.abs().max() == 0
        if gate == "independence":  # texture is hardly believed then either
            assert shut_veil.mean() < veil.mean()


@pytest.mark.slow
def test_each_color_matrix_has_its_own_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = sum(lamplit())
    assert isinstance(seen, Tensor)
    one, other = torch.eye(3), 2 * torch.eye(3)
    monkeypatch.setattr(picture_guess, "layer_matrices", lambda *given: [one, other])
    monkeypatch.setattr(picture_guess, "feasible_scale", lambda found, left: 1.0)
    for shut, expected in ((1.0, other), (2.0, picture_guess.COLOR_PART * one)):
        scale = shut
        monkeypatch.setattr(
            picture_guess,
            "independence",
            lambda found, light, scale=scale: float(not torch.allclose(found, scale * light)),
        )
        torch.testing.assert_close(estimate_overlay(seen)[1], expected)


@pytest.mark.slow
def test_a_still_clip_does_not_flicker() -> None:
    noise = 0.01 * torch.randn(3, 3, 120, 160, generator=torch.Generator().manual_seed(8))
    clip = (sum(lamplit()) + noise).clamp(0, 1)
    found = guess_layers(clip)[0]
    assert float((found - clip).mean((1, 2, 3)).std()) < 2e-4  # all frames lose the same light
    by_itself = torch.cat([guess_layers(frame)[0] for frame in torch.split(clip, 1)])
    assert float((by_itself - clip).mean((1, 2, 3)).std()) > 2 * float(
        (found - clip).mean((1, 2, 3)).std()
    )


def test_a_reflection_of_another_color_is_removed_with_its_edges(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ground, room = lamplit()
    seen = ground + room

    def gain(light: Tensor) -> float:
        found = guess_layers(light)[0]
        return psnr(found ** (1 / 2.2), ground ** (1 / 2.2)) - psnr(
            light ** (1 / 2.2), ground ** (1 / 2.2)
        )

    with_colors = gain(seen)
    monkeypatch.setattr(picture_guess, "layer_matrices", lambda *given: [torch.zeros(3, 3)] * 2)
    assert with_colors > gain(seen) + 2


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_picture_of_one_value_has_no_colors(value: float) -> None:
    plain = torch.full((1, 3, 8, 9), value)
    assert common_colors(plain) == []
    assert layer_matrices(plain, [plain], [])[0].abs().max() == 0
    assert torch.equal(guess_layers(plain)[0], plain)  # it shows no sign of a pane


def test_a_gray_picture_stays_gray() -> None:
    gray = colored(sheets(6), SUN)
    found = common_colors(gray)
    assert len(found) == 2 * len(STRONGEST)
    assert all(torch.isfinite(torch.cat(each)).all() for each in found)
    transmission, reflection = guess_layers(gray)
    assert torch.allclose(transmission + reflection, gray, atol=1e-6)
    assert float((transmission[:, :1] - transmission).abs().max()) < 1e-3  # grey stays grey
