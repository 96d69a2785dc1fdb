"""Steps that a GPU repeats, on a machine without one: the results of steps done one by one."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from drifting_scenes import mixed, scenes
from pretended_graphs import PretendedRecorder
from torch import Tensor

from models.generator import NARROW_WIDTHS
from stages.errors import FitError
from stages.motion.carry import carry
from stages.optim.descent import (
    LEAST_REPEATED,
    Descent,
    Losses,
    ParameterGroup,
    Weights,
    weighted,
)
from stages.optim.fit import FitPlan
from stages.optim.graphs import MOST_GRAPHS, WARM_UP, GraphCache
from stages.optim.losses import constant, decay_from_half, ramp
from stages.shots import Space
from stages.transition.networks import NetworkOptions, fit_layers

STEPS = 60
VARIANTS = 3


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> PretendedRecorder:
    """Let fits be repeated on the CPU."""
    made = PretendedRecorder()
    monkeypatch.setattr("stages.optim.descent.cuda_recorder", lambda device: made)
    return made


@contextmanager
def one_by_one() -> Iterator[None]:
    """Do the steps of the same fits one by one: nothing is ever recorded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.optim.graphs.WARM_UP", 10**9)
        yield


class Followed:
    """A fit of two values to targets that change from step to step, with a broken step or more."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        self.values = [torch.zeros(5).requires_grad_(), torch.zeros(2, 3).requires_grad_()]
        self.running = torch.zeros(1)
        self.target = torch.zeros(())
        self.broken = broken
        self.heard: list[float] = []

    def prepare(self, step: int) -> int:
        self.target.fill_(math.nan if step in self.broken else 1 + math.sin(step))
        return step % VARIANTS

    def evaluate(self, step: int, weights: Weights) -> Losses:
        self.running.add_(1)
        part = slice(step % VARIANTS, None)
        one, other = self.values
        losses = {"near": (one[part] - self.target).square().mean(), "small": other.square().sum()}
        losses["far"] = (other - self.target).abs().mean()
        return weighted(losses, weights)

    def fit(self) -> Followed:
        one, other = self.values
        groups = [
            ParameterGroup([one], decay_from_half(0.1)),
            ParameterGroup([other], constant(0.02)),
        ]
        fit = Descent(groups, fused=True, buffers=[self.running], name="the fit of a test")
        weights = {"near": constant(1.0), "small": ramp(0.0, 0.3), "far": constant(0.5)}
        fit.run(self.evaluate, weights, STEPS, self.note, self.prepare)
        return self

    def note(self, progress: float, losses: Mapping[str, float]) -> None:
        self.heard.append(losses["total"])


def test_work_is_done_as_usual_then_recorded_then_repeated() -> None:
    recorder = PretendedRecorder()
    cache, given = GraphCache(recorder), torch.zeros(2)
    calls = []

    def work() -> Tensor:
        calls.append(1)
        return given * 2 + 1

    for number in range(WARM_UP + 3):
        given.fill_(number)
        assert cache.run("name", work).tolist() == [2 * number + 1] * 2
    assert len(calls) == WARM_UP + 1 and recorder.graphs == 1 and recorder.repeated == 3
    for _ in range(WARM_UP + 3):
        cache.run(None, work)
    assert recorder.graphs == 1


def test_there_are_not_more_graphs_than_allowed() -> None:
    recorder = PretendedRecorder()
    cache, value = GraphCache(recorder), torch.ones(1)
    for _ in range(WARM_UP + 2):
        for key in range(MOST_GRAPHS + 3):
            assert cache.run(key, lambda: value + 1).item() == 2
    assert recorder.graphs == MOST_GRAPHS


@pytest.mark.parametrize("broken", [(), (31,), (5, 40)])
def test_a_fit_is_the_same_repeated(recorder: PretendedRecorder, broken: tuple[int, ...]) -> None:
    """Variants, rates and weights that change, buffers, and steps that diverge and are left out."""
    found = Followed(broken).fit()
    assert recorder.graphs == 2 * VARIANTS and recorder.repeated > 2 * (STEPS - 5 * VARIANTS)
    with one_by_one():
        same = Followed(broken).fit()
    assert found.heard == same.heard
    for value, wanted in zip(found.values, same.values, strict=True):
        assert torch.equal(value, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.optim.descent.cuda_recorder", lambda device: None)
        expected = Followed(broken).fit()
    assert found.heard == pytest.approx(expected.heard, abs=1e-5)
    for value, wanted in zip(found.values, expected.values, strict=True):
        torch.testing.assert_close(value, wanted, atol=1e-5, rtol=0)
    assert torch.equal(found.running, expected.running)


def test_a_repeated_fit_that_stays_broken_is_one_clear_error(recorder: PretendedRecorder) -> None:
    with pytest.raises(FitError, match="the fit of a test diverged 3 times"):
        Followed(tuple(range(40, STEPS))).fit()
    assert recorder.graphs == 2 * VARIANTS


def test_a_fit_that_cannot_be_recorded_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(work: Callable[[], Any]) -> Any:
        raise RuntimeError("operation not permitted\nand more lines")

    monkeypatch.setattr("stages.optim.descent.cuda_recorder", lambda device: refuse)
    with caplog.at_level(logging.WARNING):
        found = Followed().fit()
    assert len(caplog.records) == 1 and "operation not permitted" in caplog.text
    assert "more lines" not in caplog.text
    monkeypatch.setattr("stages.optim.descent.cuda_recorder", lambda device: None)
    torch.testing.assert_close(found.values, Followed().fit().values, atol=1e-5, rtol=0)


def test_a_number_that_is_asked_for_cannot_be_recorded() -> None:
    """What makes a pretended graph a test of what a real one would refuse."""
    value = torch.ones(1)
    for work in (value.item, lambda: torch.tensor(2.0) + value, lambda: value[value > 0]):
        with pytest.raises(RuntimeError, match="not permitted"):
            PretendedRecorder()(work)


@pytest.mark.parametrize("space", ["gamma", "linear"])
def test_the_motion_is_the_same_repeated(recorder: PretendedRecorder, space: Space) -> None:
    mixture = mixed(*scenes(), space)
    levels = ((2, LEAST_REPEATED), (1, LEAST_REPEATED))
    found = carry(mixture, levels)
    assert recorder.graphs >= 4
    with one_by_one():
        expected = carry(mixture, levels)
    for flow, wanted in zip(found.flows, expected.flows, strict=True):
        assert torch.equal(flow, wanted)


@pytest.mark.slow
def test_the_networks_are_the_same_repeated(
    recorder: PretendedRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps with different numbers of frames before and after the transition."""
    monkeypatch.setattr(
        "stages.optim.fit.Descent",
        lambda groups, **more: Descent(groups, **{**more, "fused": True}),
    )
    mixture = mixed(*scenes())
    options = NetworkOptions(dtype=torch.float32, widths=NARROW_WIDTHS)
    plan = FitPlan(LEAST_REPEATED)
    found = fit_layers(mixture, plan=plan, options=options)
    assert recorder.graphs >= 2 and recorder.repeated > recorder.graphs
    with one_by_one():
        expected = fit_layers(mixture, plan=plan, options=options)
    assert torch.equal(found.outgoing, expected.outgoing)
    assert torch.equal(found.weight, expected.weight)
