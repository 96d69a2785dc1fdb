"""CUDA graphs on a real GPU: fits that it repeats by itself end where plain fits end."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from clips import psnr
from drifting_scenes import INSIDE, mixed, scenes
from torch import Tensor

from models.generator import NARROW_WIDTHS
from stages.errors import FitError
from stages.motion.carry import carry
from stages.optim import graphs
from stages.optim.descent import Descent, Losses, ParameterGroup, Weights, weighted
from stages.optim.fit import FitPlan
from stages.optim.graphs import Recorder, cuda_recorder
from stages.optim.losses import constant, decay_from_half, ramp
from stages.transition.networks import NetworkOptions, fit_layers

pytestmark = pytest.mark.gpu

GPU = torch.device("cuda")
STEPS, VARIANTS = 60, 3


@contextmanager
def counted() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of each recording."""
    seconds: list[float] = []

    def counting(device: torch.device) -> Recorder | None:
        record = cuda_recorder(device)
        assert record is not None, "an earlier recording failed"

        def timed(work: Any) -> Any:
            began = time.monotonic()
            made = record(work)
            seconds.append(time.monotonic() - began)
            return made

        return timed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.optim.descent.cuda_recorder", counting)
        yield seconds
    assert not graphs._failed


@contextmanager
def plain() -> Iterator[None]:
    """Do all steps one by one inside the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.optim.descent.cuda_recorder", lambda device: None)
        yield


@contextmanager
def one_by_one() -> Iterator[None]:
    """Do the steps of the same fits one by one inside the block: nothing is ever recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graphs, "WARM_UP", 10**9)
        yield


def fitted(broken: tuple[int, ...] = ()) -> list[Tensor]:
    """Fit two values to targets that change from step to step; return the values."""
    one = torch.zeros(500, device=GPU, requires_grad=True)
    other = torch.zeros(2, 300, device=GPU, requires_grad=True)
    target = torch.zeros((), device=GPU)

    def prepare(step: int) -> int:
        target.fill_(math.nan if step in broken else 1 + math.sin(step))
        return step % VARIANTS

    def evaluate(step: int, weights: Weights) -> Losses:
        near = (one[step % VARIANTS :] - target).square().mean()
        far = (other - target).abs().mean()
        return weighted({"near": near, "far": far, "small": other.square().sum()}, weights)

    groups = [ParameterGroup([one], decay_from_half(0.1)), ParameterGroup([other], constant(0.02))]
    weights = {"near": constant(1.0), "far": constant(0.5), "small": ramp(0.0, 0.3)}
    Descent(groups, fused=True, name="the fit of a test").run(
        evaluate, weights, STEPS, prepare=prepare
    )
    return [one.detach().cpu(), other.detach().cpu()]


@pytest.mark.parametrize("broken", [(), (30,), (10, 40)])
def test_a_fit_ends_where_a_plain_one_ends(broken: tuple[int, ...]) -> None:
    """Steps 10, 30 and 40 are looked at, so that they are left out."""
    with counted() as seconds:
        found = fitted(broken)
    assert len(seconds) == 2 * VARIANTS
    with plain():
        expected = fitted(broken)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-5, rtol=0)


def test_a_fit_that_stays_broken_is_one_clear_error() -> None:
    with counted(), pytest.raises(FitError, match="diverged 3 times"):
        fitted(tuple(range(30, STEPS)))


def test_the_motion_is_that_of_a_plain_fit() -> None:
    """Sums of a GPU come in any order, so that two plain fits differ as well."""
    mixture = mixed(*scenes()).to(GPU)
    levels = ((2, 40), (1, 40))
    with counted() as seconds:
        found = carry(mixture, levels)
    assert seconds
    with one_by_one():
        expected = carry(mixture, levels)
        again = carry(mixture, levels)
    with plain():
        usual = carry(mixture, levels)
    print(f"{len(seconds)} graphs recorded in {sum(seconds):.3f} s")
    for number in range(2):
        flow = expected.flows[number]
        apart = float((found.flows[number] - flow).abs().mean())
        noise = float((again.flows[number] - flow).abs().mean())
        print(f"flows {apart:.2e} pixels apart in the mean, two plain fits {noise:.2e}")
        assert apart <= 1e-5 + 10 * noise
        for other in (expected, usual):
            assert psnr(found.layers[number].cpu(), other.layers[number].cpu()) > 40


def test_the_networks_are_those_of_a_plain_fit() -> None:
    true = scenes()
    mixture = mixed(*true)
    options = NetworkOptions(dtype=torch.float32, widths=NARROW_WIDTHS)

    def reached() -> list[float]:
        made = fit_layers(mixture, plan=FitPlan(100), device=GPU, options=options)
        both = made.outgoing, made.incoming
        return [
            psnr(layer[mixture.mixed], truth[INSIDE])
            for layer, truth in zip(both, true, strict=True)
        ]

    with counted() as seconds:
        found = reached()
    assert len(seconds) >= 2
    with plain():
        assert found == pytest.approx(reached(), abs=1.0)


def test_a_step_that_cannot_be_recorded_is_done_as_usual() -> None:
    """In a process of its own, because no more graphs are recorded after a failure."""
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "without graphs" in done.stderr


def fit_what_cannot_be_recorded() -> None:
    """Ask for a number while a graph is recorded: the GPU refuses, and the fit goes on."""
    value = torch.zeros(3, device=GPU, requires_grad=True)

    def evaluate(step: int, weights: Weights) -> Losses:
        assert math.isfinite(float(value.sum()))
        return weighted({"near": (value - 1).abs().mean()}, weights)

    fit = Descent([ParameterGroup([value], constant(0.05))], fused=True, name="the fit of a test")
    fit.run(evaluate, {"near": constant(1)}, 200, prepare=lambda step: 0)
    torch.testing.assert_close(value.detach().cpu(), torch.ones(3), atol=0.06, rtol=0)
    assert len(graphs._failed) == 1 and cuda_recorder(GPU) is None
    torch.cuda.empty_cache()
    carry(mixed(*scenes()).to(GPU), ((1, 30),))


if __name__ == "__main__":
    fit_what_cannot_be_recorded()
