"""Code for a GPU, on a machine without one: no mixed devices, few waits, the CPU's results."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from clips import drifting
from drifting_scenes import PRE, STEPS, mixed, scenes
from numpy.typing import NDArray
from pretended import PRETENDED, PretendedGpu
from torch import Tensor
from torch.nn import functional

from models.generator import NARROW_WIDTHS
from stages.context import FitSettings
from stages.kinds import TRANSITION_KINDS
from stages.mixing.mixture import Mixture, mix
from stages.motion.carry import NODES_AT_ONCE, carry
from stages.optim.descent import WAIT_STEPS, Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.fit import FitPlan
from stages.optim.losses import constant
from stages.shots import Space
from stages.transition.alternate import Reporting, alternate
from stages.transition.fitted_transition import FittedTransition
from stages.transition.networks import NetworkOptions, fit_layers
from stages.transition.plan import PLANS

CPU = torch.device("cpu")
PLAN = replace(
    PLANS["balanced"], levels=((4, 6), (2, 4), (1, 3)), ties=((2, 3), (1, 2)), turns=1, fit_steps=0
)


@pytest.fixture(autouse=True)
def same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sums run over the same parts on both devices, so that their last bits are the same.

    Otherwise rounding decides which of two equally good offers of motion a pixel takes.
    """
    monkeypatch.setattr("stages.motion.carry.NODES_AT_ONCE_ON_GPU", NODES_AT_ONCE)
    monkeypatch.setattr("stages.motion.carry.LEAST_PARTS", 1)
    monkeypatch.setattr("cv2.blur", mean_as_on_a_gpu)


def mean_as_on_a_gpu(plane: NDArray[np.float32], sides: tuple[int, int], **_: int) -> Any:
    """Return the mean over squares as :func:`stages.motion.flow.box` takes it on a GPU."""
    padded = functional.pad(torch.from_numpy(plane)[None, None], (sides[0] // 2,) * 4, "replicate")
    return functional.avg_pool2d(padded, sides[0], 1)[0, 0].numpy()


def separated(mixture: Mixture, kind: str, device: torch.device) -> FittedTransition:
    reporting = Reporting(lambda done, note: None, {})
    return alternate(mixture, kind, PLAN, FitSettings(device=device), reporting)


def test_two_devices_are_told_apart() -> None:
    here = torch.ones(3)
    with PretendedGpu() as gpu:
        there = here.to(PRETENDED)
        assert there.device == PRETENDED and (there + 1).device == PRETENDED and gpu.waits == 0
        with pytest.raises(AssertionError, match="mixes devices"):
            there + here
        assert float((there + 1).sum()) == 6 and gpu.waits == 1
        back = there.cpu()
    assert gpu.waits == 2 and torch.equal(back, here)
    with pytest.raises(AssertionError, match="outside of it"):
        there + 1


@pytest.mark.slow
@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_a_dissolve_comes_apart_there_as_on_the_cpu(space: Space) -> None:
    mixture = replace(mixed(*scenes()), space=space)
    expected = separated(mixture, "dissolve", CPU)
    with PretendedGpu() as gpu:
        found = separated(mixture, "dissolve", PRETENDED)
    assert gpu.calls["grid_sampler_2d"] > 100
    for one, other in zip(found.layers, expected.layers, strict=True):
        assert torch.equal(one, other)
    assert found.trust == expected.trust


@pytest.mark.slow
def test_a_matte_comes_apart_there_as_on_the_cpu() -> None:
    """All kinds with a matte go the same way; the first stands for them."""
    kind = next(name for name, kind in TRANSITION_KINDS.items() if kind.undo == "matte")
    one, other = scenes()
    count, _, height, width = one.shape
    weight = torch.zeros(count, 1, height, width)
    edge = torch.linspace(0, 1, STEPS + 2)[1:-1] * width
    weight[PRE : PRE + STEPS] = (torch.arange(width) < edge.view(-1, 1, 1, 1)).float()
    weight[PRE + STEPS :] = 1
    mixture = Mixture(mix(one, other, weight, "gamma"), weight, PRE, PRE + STEPS - 1)
    expected = separated(mixture, kind, CPU)
    with PretendedGpu():
        found = separated(mixture, kind, PRETENDED)
    for layer, wanted in zip(found.layers, expected.layers, strict=True):
        assert torch.equal(layer, wanted)


def test_the_motion_fit_waits_for_it_now_and_then() -> None:
    """Adding steps adds a wait for every tenth of them, and none for each."""
    mixture = mixed(*scenes())

    def waits(steps: int) -> int:
        with PretendedGpu() as gpu:
            carry(mixture.to(PRETENDED), [(1, steps)])
        return gpu.waits

    waits(5)  # the first fit also copies constants, which later ones find there
    assert waits(45) - waits(5) == 40 // WAIT_STEPS


def test_the_fit_of_networks_runs_there() -> None:
    mixture = mixed(*scenes())
    options = NetworkOptions(dtype=torch.float32, widths=NARROW_WIDTHS)
    expected = fit_layers(mixture, plan=FitPlan(3), options=options)
    with PretendedGpu() as gpu:
        found = fit_layers(mixture, plan=FitPlan(3), device=PRETENDED, options=options)
    assert gpu.calls["convolution"] > 20
    torch.testing.assert_close(found.outgoing, expected.outgoing, atol=1e-3, rtol=0)


def test_a_fit_that_diverges_there_between_two_looks_goes_back() -> None:
    heard: list[float] = []

    def evaluate(step: int, weights: Weights) -> Losses:
        broken = math.nan if step == 2 * WAIT_STEPS + 3 else 1.0
        return weighted({"near": (value - 1).abs().mean() * broken}, weights)

    with PretendedGpu():
        value: Tensor = torch.zeros(3).to(PRETENDED).requires_grad_()
        fit = Descent([ParameterGroup([value], constant(0.05))], name="the fit of a test")
        fit.run(evaluate, {"near": constant(1)}, 200, lambda progress, _: heard.append(progress))
        found = value.detach().cpu()
    torch.testing.assert_close(found, torch.ones(3), atol=0.06, rtol=0)
    # One look found the loss broken and reported nothing; the last step is always looked at.
    assert len(heard) == 200 // WAIT_STEPS - 1 + 1 and heard[-1] == 1


def test_motion_is_the_same_there() -> None:
    """The same but for rounding."""
    a, b = drifting(3, 12, (1.0, 0.0)), drifting(4, 12, (0.0, -1.0))
    weight = torch.zeros(12, 1, 1, 1)
    weight[4:8, 0, 0, 0] = torch.tensor([0.2, 0.4, 0.6, 0.8])
    weight[8:] = 1
    mixture = Mixture(mix(a, b, weight, "gamma"), weight, 4, 7)
    expected = carry(mixture, ((2, 5), (1, 3)))
    with PretendedGpu():
        found = carry(mixture.to(PRETENDED), ((2, 5), (1, 3)))
        flow = found.flows[0].cpu()
    assert float((flow - expected.flows[0]).abs().max()) < 0.01  # pixels
