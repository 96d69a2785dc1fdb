"""Losses against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from stages.optim import losses


def test_reconstruction_is_the_mean_difference() -> None:
    x, y = torch.tensor([[[[0.1, 0.5]]]]), torch.tensor([[[[0.2, 0.2]]]])
    assert float(losses.reconstruction(x, y)) == pytest.approx(0.2)
    assert float(losses.reconstruction(x, y, torch.tensor([[[[1.0, 0.0]]]]))) == pytest.approx(0.05)
    assert float(losses.squared_reconstruction(x, y)) == pytest.approx((0.01 + 0.09) / 2)
    assert float(losses.agreement(x, y, torch.tensor([[[[0.0, 1.0]]]]))) == pytest.approx(0.15)


def test_exclusion_sees_shared_edges_only() -> None:
    edge = torch.zeros(1, 3, 16, 16)
    edge[..., 8:] = 1
    across = edge.transpose(2, 3)
    assert float(losses.exclusion(edge, torch.full_like(edge, 0.5))) < 2e-3
    assert float(losses.exclusion(edge, across)) < float(losses.exclusion(edge, edge)) / 2
    # One scale: the edge is one of 15 columns of differences, none of the rows.
    only = losses.exclusion(edge, edge, scales=1)
    assert float(only) == pytest.approx((((math.tanh(0.5) ** 4) / 15) ** 0.25 + 1e-3) / 2, rel=1e-3)
    assert math.isfinite(float(losses.exclusion(edge[..., :2, :1], edge[..., :2, :1])))
    assert float(losses.exclusion(edge[..., :1, :1], edge[..., :1, :1])) == 0


def test_exclusion_is_symmetric_and_has_a_gradient_where_nothing_is_shared() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.rand(2, 3, 9, 12, generator=generator) for _ in range(2))
    torch.testing.assert_close(losses.exclusion(x, y), losses.exclusion(y, x))
    flat = torch.full_like(x, 0.5).requires_grad_()
    torch.autograd.backward(losses.exclusion(flat, y))
    assert flat.grad is not None and bool(torch.isfinite(flat.grad).all())


def test_an_opening_wipe_costs_nothing() -> None:
    matte = torch.linspace(0, 1, 5).view(5, 1, 1, 1).expand(5, 1, 2, 2)
    assert float(losses.mask_consistency(matte)) == 0
    assert float(losses.mask_consistency(matte.flip(0))) == pytest.approx(0.25)
    assert float(losses.mask_consistency(matte[:1])) == 0
    assert float(
        losses.carried_consistency(matte[1:], matte[:-1], torch.ones(4, 1, 2, 2))
    ) == pytest.approx(0.25)


def test_binary_push_is_highest_at_one_half() -> None:
    assert float(losses.binary_push(torch.tensor([0.0, 1.0]))) == 0
    assert float(losses.binary_push(torch.tensor([0.5]))) == 1


def test_smoothness_lets_a_picture_jump_with_its_guide() -> None:
    step = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    assert float(losses.smoothness(step)) == pytest.approx(0.5)
    assert float(losses.smoothness(step, step)) < 1e-6


def test_steadiness_holds_the_form_more_than_the_place() -> None:
    given = torch.linspace(0, 1, 5)
    assert float(losses.curve_steadiness(given, given)) == 0
    bent = given.clone()
    bent[2] += 0.1
    assert float(losses.curve_steadiness(given + 0.1, given)) == pytest.approx(0.001, rel=1e-3)
    assert float(losses.curve_steadiness(bent, given)) == pytest.approx(
        (0.01 + 0.04 + 0.01) / 3 + 0.1 * 0.002, rel=1e-3
    )


def test_schedules_depend_on_progress_alone() -> None:
    assert losses.constant(2.0)(0.3) == 2.0
    rise = losses.ramp(0.0, 1.0, until=0.5)
    assert [rise(p) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 0.5, 1.0, 1.0]
    rate = losses.warm_and_decay(0.2)
    assert rate(0.1) == pytest.approx(0.5)
    assert rate(0.2) == pytest.approx(1.0)
    assert rate(0.6) == pytest.approx(0.5)
    assert 0 < rate(1.0) < 0.01
