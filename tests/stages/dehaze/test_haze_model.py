"""Tests of the haze model and of small helpers by numbers computed by hand."""

from __future__ import annotations

import pytest
import torch
from clips import drifting

from stages.dehaze.airlight import highest_values
from stages.dehaze.field_by_sky import evenness, reached
from stages.dehaze.floors import quantile_or_zero
from stages.dehaze.layers import power
from stages.dehaze.model import least_transmission, local_mean
from stages.mixing.haze import Haze
from stages.motion.flow import box_max

SIZE = (72, 96)


def test_the_haze_model_by_hand() -> None:
    clear, light = torch.full((1, 3, 1, 1), 0.2), torch.full((1, 3, 1, 1), 0.8)
    model = Haze(torch.full((1, 1, 1, 1), 0.25))
    hazy = model.mix(light, clear)
    assert float(hazy[0, 0, 0, 0]) == pytest.approx(0.25 * 0.2 + 0.75 * 0.8)
    assert torch.allclose(model.reconcile(hazy, light, hazy)[1], clear)


def test_the_least_transmission_keeps_the_clear_picture_in_range() -> None:
    frames, light = (
        torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0)),
        torch.tensor([0.6, 0.7, 0.8]).view(1, 3, 1, 1),
    )
    clear = light + (frames - light) / least_transmission(frames, light)
    assert float(clear.min()) > -1e-5 and float(clear.max()) < 1 + 1e-5


@pytest.mark.parametrize("seed", range(6))
def test_local_means_and_maxima_are_those_of_squares(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    height, width, radius = (int(torch.randint(1, most, (), generator=draw)) for most in (9, 9, 5))
    picture = torch.rand(2, 3, height, width, generator=draw)
    means, maxima = local_mean(picture, radius), box_max(picture, radius)
    for row in range(height):
        for column in range(width):
            rows = slice(max(0, row - radius), row + radius + 1)
            square = picture[..., rows, max(0, column - radius) : column + radius + 1]
            torch.testing.assert_close(means[..., row, column], square.mean((2, 3)))
            assert torch.equal(maxima[..., row, column], square.amax((2, 3)))


@pytest.mark.parametrize(
    ("sure", "strength", "expected"),
    [(1, 1, 1), (0.6, 1, 0.6), (0.6, 0.5, 0.3), (0, 1, 0), (0, 2, 1), (1, 2, 2)],
)
def test_the_power_of_the_transmission_by_hand(
    sure: float, strength: float, expected: float
) -> None:
    assert power(sure, strength) == pytest.approx(expected)


@pytest.mark.parametrize(("part", "expected"), [(0.1, 1.0), (0.5, 2.0), (0.9, 4.0)])
def test_weighted_quantiles_by_hand(part: float, expected: float) -> None:
    values, weights = torch.tensor([4.0, 1.0, 2.0, 3.0]), torch.tensor([2.0, 1.0, 4.0, 0.0])
    assert quantile_or_zero(values, weights, part) == expected
    assert quantile_or_zero(values, torch.zeros(4), part) == 0


def test_even_places_have_no_texture_and_are_reached_from_seeds() -> None:
    picture = ((drifting(3, 1, (0.0, 0.0), SIZE) - 0.5) * 2 + 0.4).clamp(0, 1)
    picture[..., :30, :] = 0.9 - 0.135 * torch.linspace(0, 1, SIZE[1])
    even = evenness(picture)
    assert float(even[..., 4:24, 4:-4].min()) > 0.6 and float(even[..., 40:, :].mean()) < 0.2
    open_ = torch.zeros(1, 1, 12, 12, dtype=torch.bool)
    open_[..., 2:5, :5] = open_[..., 8:, 8:] = True
    seeds = torch.zeros_like(open_)
    seeds[..., 3, 0] = seeds[..., 0, 0] = True
    assert torch.equal(reached(open_, seeds).nonzero(), (open_ & (torch.arange(12) < 6)).nonzero())


@pytest.mark.parametrize("seed", range(6))
def test_the_highest_values_are_the_first_of_all_in_order(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    count = int(torch.randint(1, 3000, (), generator=draw))
    values = torch.rand(count, generator=draw)
    # The highest values may weigh little.
    weights = (1 - values) ** 3 + 1e-6
    part = 0.003
    highest, places = highest_values(values, weights, part)
    ordered, order = values.sort(descending=True)
    assert torch.equal(highest, ordered[: len(highest)])
    assert torch.equal(places, order[: len(places)])
    is_all = len(highest) == count
    assert is_all or float(weights[places].sum()) > part * float(weights.sum())
