"""The published losses on fixed inputs, against formulas that are written out here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from stages.optim.losses import exclusion, steady_matte
from stages.published.losses import blur_loss, gray_loss, hinted_error


def pictures(seed: int = 0, size: tuple[int, int] = (16, 24)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.rand(1, 3, *size, generator=generator) for _ in range(2))  # type: ignore[return-value]


def test_the_blur_loss_is_the_mean_square_of_what_a_box_takes_off() -> None:
    picture = pictures()[0]
    gray = picture[0].mean(0)
    total, count = 0.0, 0
    for row in range(2, gray.shape[0] - 2):
        for column in range(2, gray.shape[1] - 2):
            box = gray[row - 2 : row + 3, column - 2 : column + 3]
            total += float(gray[row, column] - box.sum() / 25) ** 2
            count += 1
    assert float(blur_loss(picture)) == pytest.approx(total / count, rel=1e-5)


def test_the_blur_loss_of_a_ramp_is_zero() -> None:
    ramp = torch.linspace(0, 1, 30).expand(1, 1, 20, 30)
    assert float(blur_loss(ramp)) < 1e-12
    assert float(blur_loss(torch.rand(1, 1, 1, 1))) == 0


def test_the_exclusion_loss_is_the_published_one_to_1e_8() -> None:
    one, other = (each.double() for each in pictures(3, (32, 48)))
    found = exclusion(one, other)
    values = []
    for _ in range(3):
        for axis in (-1, -2):
            first = torch.sigmoid(one.diff(dim=axis)) * 2 - 1
            second = torch.sigmoid(other.diff(dim=axis)) * 2 - 1
            for a in range(3):
                for b in range(3):
                    shared = (first[:, a] ** 2 * second[:, b] ** 2).mean()
                    values.append(float(shared) ** 0.25)
        one, other = (
            torch.stack([each[..., row::2, column::2] for row in (0, 1) for column in (0, 1)]).mean(
                0
            )
            for each in (one, other)
        )
    assert float(found) == pytest.approx(math.fsum(values) / len(values), abs=1e-8)


def test_a_hint_weighs_the_error_by_its_area() -> None:
    layer, target = pictures()
    hint = torch.zeros(1, 1, 16, 24)
    hint[..., 2:6, 3:9] = 1
    inside = (layer - target).abs()[..., 2:6, 3:9]
    assert float(hinted_error(layer, target, hint)) == pytest.approx(float(inside.mean()), rel=1e-5)
    assert float(hinted_error(layer, target, torch.zeros_like(hint))) == 0


def test_the_gray_loss_is_one_over_the_distance_from_one_half() -> None:
    assert float(gray_loss(torch.tensor([0.0, 1.0, 1.0]).view(1, 1, 1, 3))) == pytest.approx(2)
    matte = torch.tensor([0.4, 0.75, 0.5, 1.0]).view(1, 1, 2, 2)
    assert float(gray_loss(matte)) == pytest.approx(1 / ((0.1 + 0.25 + 0 + 0.5) / 4))
    assert math.isfinite(float(gray_loss(torch.full((1, 1, 2, 2), 0.5))))


def test_a_steady_matte_changes_little_from_frame_to_frame() -> None:
    matte = torch.tensor([0.1, 0.4, 0.9]).view(3, 1, 1, 1)
    assert float(steady_matte(matte, torch.tensor([4, 5, 6]))) == pytest.approx((0.3 + 0.5) / 2)
    assert float(steady_matte(matte, torch.tensor([4, 6, 7]))) == pytest.approx(0.5)
    assert float(steady_matte(matte, torch.tensor([1, 3, 5]))) == 0
