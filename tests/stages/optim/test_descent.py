"""The loop of descent: weights, rates, the guard, and fits that are evaluated in parts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
import torch
from torch import Tensor

from stages.errors import FitError
from stages.optim.descent import (
    MOST_FAILURES,
    Descent,
    Losses,
    ParameterGroup,
    Weights,
    weighted,
)
from stages.optim.losses import constant, decay_from_half, ramp
from stages.optim.parts import Part, evaluate_in_parts
from stages.optim.threads import one_thread_an_operation


def descent(*values: Tensor, rate: float = 0.1) -> Descent:
    return Descent([ParameterGroup(values, constant(rate))], name="the fit of a test")


def test_it_finds_a_minimum_and_reports_each_loss() -> None:
    value = torch.zeros(3, requires_grad=True)
    heard: list[tuple[float, Mapping[str, float]]] = []

    def evaluate(step: int, weights: Weights) -> Losses:
        losses = {"near": (value - 1).abs().mean(), "small": value.square().mean()}
        return weighted(losses, weights)

    descent(value, rate=0.05).run(
        evaluate,
        {"near": constant(1.0), "small": constant(0.0)},
        200,
        lambda progress, losses: heard.append((progress, losses)),
    )
    torch.testing.assert_close(value.detach(), torch.ones(3), atol=0.06, rtol=0)
    assert heard[0] == (1 / 200, {"near": 1.0, "small": 0.0, "total": 1.0})
    assert heard[-1][0] == 1 and set(heard[-1][1]) == {"near", "small", "total"}


def test_weights_follow_the_progress_and_a_missing_one_is_an_error() -> None:
    value = torch.zeros(1, requires_grad=True)
    totals: list[float] = []

    def evaluate(step: int, weights: Weights) -> Losses:
        return weighted({"one": value.sum() * 0 + 1}, weights)

    fit = descent(value)
    fit.run(evaluate, {"one": ramp(0, 4)}, 4, lambda _, losses: totals.append(losses["total"]))
    assert totals == [0, 1, 2, 3]
    with pytest.raises(KeyError):
        fit.run(evaluate, {"other": constant(1)}, 1)


def test_each_group_has_a_rate_of_its_own() -> None:
    """Adam's first step is as long as the learning rate."""
    one, other = (torch.zeros(1, requires_grad=True) for _ in range(2))
    groups = [ParameterGroup([one], constant(0.5)), ParameterGroup([other], decay_from_half(0.2))]
    Descent(groups).run(
        lambda step, weights: weighted({"sum": (one + other).sum()}, weights),
        {"sum": constant(1)},
        1,
    )
    assert one.item() == pytest.approx(-0.5) and other.item() == pytest.approx(-0.2)


def test_the_rate_falls_in_the_second_half() -> None:
    rate = decay_from_half(0.4)
    assert [rate(progress) for progress in (0, 0.5, 0.75, 1)] == pytest.approx([0.4, 0.4, 0.2, 0])


def test_a_fit_that_diverges_goes_back_and_goes_on() -> None:
    value = torch.zeros(3, requires_grad=True)
    running = torch.zeros(1)
    rates: list[float] = []
    fit = Descent(
        [ParameterGroup([value], constant(0.05))], buffers=[running], name="the fit of a test"
    )

    def evaluate(step: int, weights: Weights) -> Losses:
        running.add_(1)
        broken = math.nan if step in (30, 45) else 1.0
        return weighted({"near": (value - 1).abs().mean() * broken}, weights)

    def note(progress: float, losses: Mapping[str, float]) -> None:
        rates.append(fit.optimizer.param_groups[0]["lr"])

    fit.run(evaluate, {"near": constant(1)}, 300, note)
    torch.testing.assert_close(value.detach(), torch.ones(3), atol=0.02, rtol=0)
    assert rates[0] == 0.05 and rates[-1] == pytest.approx(0.05 / 9) and len(rates) == 298
    # The buffer went back with the values, twice.
    assert float(running) < 300 - 10


def test_a_fit_that_stays_broken_is_one_clear_error() -> None:
    value = torch.zeros(1, requires_grad=True)
    with pytest.raises(FitError, match=f"the fit of a test diverged {MOST_FAILURES} times"):
        descent(value).run(
            lambda step, weights: weighted({"no": value.sum() / 0 * 0}, weights),
            {"no": constant(1)},
            9,
        )


def test_a_last_step_that_diverges_is_taken_back() -> None:
    value = torch.zeros(1, requires_grad=True)
    descent(value, rate=math.inf).run(
        lambda step, weights: weighted({"sum": value.sum()}, weights), {"sum": constant(1)}, 1
    )
    assert value.item() == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_parts_give_the_gradient_of_the_whole(threads: int) -> None:
    """Frames of unequal parts: the mean over all frames, and its gradient."""
    field = torch.rand(5, 2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    parts = [Part((slice(0, 2),), slice(0, 2), 2 / 5), Part((slice(2, 5),), slice(2, 5), 3 / 5)]

    def losses_of(part: Part, pieces: Sequence[Tensor]) -> dict[str, Tensor]:
        return {"square": pieces[0].square().mean(), "sum": pieces[0].mean()}

    with one_thread_an_operation(lambda: threads):
        found = evaluate_in_parts(
            [field], parts, losses_of, {"square": 2.0, "sum": 0.5}, parallel=True
        )
    whole = 2.0 * field.square().mean() + 0.5 * field.mean()
    torch.testing.assert_close(found.total, whole)
    torch.testing.assert_close(found.named["square"], field.detach().square().mean())
    (expected,) = torch.autograd.grad(whole, field)
    (gradient,) = torch.autograd.grad(3 * found.total, field)
    torch.testing.assert_close(gradient, 3 * expected)


@pytest.mark.parametrize("threads", [1, 2])
def test_own_losses_are_added_to_those_of_the_parts(threads: int) -> None:
    """Both tensors have losses of their own; the gradient is that of the weighted sum of all."""
    generator = torch.Generator().manual_seed(1)
    fields = [torch.rand(3, 2, generator=generator).requires_grad_() for _ in range(2)]
    weights = {"product": 2.0, "square": 0.3, "sum": -0.5}
    parts = [
        Part((slice(number, number + 1),) * 2, slice(number, number + 1), 1 / 3)
        for number in range(3)
    ]
    with one_thread_an_operation(lambda: threads):
        found = evaluate_in_parts(
            fields,
            parts,
            lambda part, pieces: {"product": (pieces[0] * pieces[1]).mean()},
            weights,
            own_losses=[
                lambda field: {"square": field.square().sum(), "sum": field.sum()},
                lambda field: {"square": 3 * field.square().sum()},
            ],
            parallel=True,
        )
    one, other = fields
    named = {
        "product": (one * other).mean(),
        "square": one.square().sum() + 3 * other.square().sum(),
        "sum": one.sum(),
    }
    for name, loss in named.items():
        torch.testing.assert_close(found.named[name], loss.detach())
    whole = torch.stack([weights[name] * loss for name, loss in named.items()]).sum()
    torch.testing.assert_close(found.total, whole)
    expected = torch.autograd.grad(whole, fields)
    gradients = torch.autograd.grad(2 * found.total, fields)
    for gradient, slope in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, 2 * slope)


def test_a_part_may_leave_a_tensor_out() -> None:
    one, other = (torch.ones(2, requires_grad=True) for _ in range(2))
    part = Part((slice(0, 2), slice(0, 2)), slice(0, 2), 1.0)
    found = evaluate_in_parts(
        [one, other],
        [part],
        lambda part, pieces: {"first": pieces[0].sum()},
        {"first": 1.0},
        parallel=False,
    )
    gradients = torch.autograd.grad(found.total, [one, other])
    assert torch.equal(gradients[0], torch.ones(2)) and torch.equal(gradients[1], torch.zeros(2))
