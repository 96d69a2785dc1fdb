"""Each task's published method: numbers, schedules, stages, restarts and hints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from models.skip import FIVE_LEVELS, FIVE_LEVELS_3X3, FOUR_LEVELS_3X3, SkipShape
from stages.mixing.mixture import Mixture
from stages.optim.fit import FitRun
from stages.published import fit as published_fit
from stages.published import haze, segmentation, transition, transparency, watermark
from stages.published.fit import BestSnapshot, DrawnStep, PublishedStage
from stages.published.networks import JITTER, InputJitter, PublishedNetworks

CPU = torch.device("cpu")
SIZE = (20, 28)


def picture(seed: int = 0, count: int = 1, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 5, 7, generator=generator)
    return nn.functional.interpolate(small, size=size, mode="bicubic").clamp(0, 1)


class Recorder:
    """Records the stages that a method runs, and the modules that it fits; does one step each."""

    def __init__(self) -> None:
        self.stages: list[PublishedStage] = []
        self.modules: list[PublishedNetworks] = []
        self.drawn: list[DrawnStep] = []

    def __call__(
        self,
        module: PublishedNetworks,
        stage: PublishedStage,
        run: FitRun,
        frames: int,
        best: BestSnapshot,
    ) -> int:
        self.stages.append(stage)
        self.modules.append(module)
        self.drawn.append(stage.draw(torch.zeros(1, dtype=torch.long), 0.0))
        best.offer(module, 0.1)
        return stage.steps

    @property
    def losses(self) -> list[set[str]]:
        """The names of the losses of each stage."""
        return [set(drawn.losses) for drawn in self.drawn]


def is_absolute(drawn: DrawnStep) -> bool:
    """Return whether the mixture's loss is L1, and not the squared error; it has to be either."""
    error = (drawn.mixture - drawn.target).detach()
    found = float(drawn.losses["reconstruction"].detach())
    norms = [float(error.abs().mean()), float(error.square().mean())]
    assert norms[0] > 1.01 * norms[1] and found in [pytest.approx(each) for each in norms]
    return found == pytest.approx(norms[0])


def weights(stage: PublishedStage, progress: float) -> dict[str, float]:
    return {name: weight(progress) for name, weight in stage.weights.items()}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    found = Recorder()
    monkeypatch.setattr("stages.published.fit.fit_stage", found)
    return found


def parameters(module: PublishedNetworks) -> list[int]:
    return [sum(p.numel() for p in each.parameters()) for each in module.networks]


def test_the_first_pass_on_haze_has_three_networks_and_ties_the_airlight(
    recorder: Recorder,
) -> None:
    found = haze.fit_haze(picture(), torch.full((1, 3, 1, 1), 0.9), FitRun(4000), fixed=False)
    (module,) = recorder.modules
    assert parameters(module) == [573_187, 573_169, 573_187]
    noise = module.noises[0]
    assert noise.shape == (1, 8, *SIZE)
    assert 0.049 < float(noise.abs().max()) <= 0.05 and float(noise.min()) < -0.049
    (stage,) = recorder.stages
    assert stage.rate == 1e-3 and stage.steps == haze.STEPS == 4000
    early = {"reconstruction": 1, "rough transmission": 0.005, "rough airlight": 0.1, "airlight": 1}
    assert weights(stage, 999 / 4000) == early
    assert weights(stage, 1000 / 4000) == {**early, "airlight": 0}
    assert recorder.losses == [set(early)] and found.airlight.shape == (1, 3, *SIZE)
    assert not is_absolute(recorder.drawn[0])


def test_the_second_pass_on_haze_takes_the_airlight_as_it_is(recorder: Recorder) -> None:
    airlight = picture(3)
    found = haze.fit_haze(picture(), airlight, FitRun(9), fixed=True)
    assert parameters(recorder.modules[0]) == [573_187, 573_169]
    assert recorder.losses == [{"reconstruction", "rough transmission"}]
    assert torch.equal(found.airlight, airlight)


def test_haze_is_jittered_by_a_thirtieth_but_not_its_transmission(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    seen: list[Sequence[Tensor | None]] = []
    forward = PublishedNetworks.forward

    def spy(self: Any, index: Tensor, jitters: Any = None, turned: int = 0) -> Any:
        if jitters is not None:
            seen.append(jitters)
        return forward(self, index, jitters, turned)

    monkeypatch.setattr(PublishedNetworks, "forward", spy)
    light = torch.full((1, 3, 1, 1), 0.9)
    haze.fit_haze(picture(), light, FitRun(1), fixed=False)
    clear, transmission, airlight = seen[0]
    assert transmission is None and clear is not None and airlight is not None
    assert float(torch.cat([clear, airlight]).std()) == pytest.approx(1 / 30, rel=0.05)
    assert (haze.RADIUS, haze.LEAST_TRANSMISSION) == (50, 0.1)


def test_the_airlight_is_estimated_where_the_dark_channel_is_highest() -> None:
    frame = torch.full((1, 3, 60, 80), 0.2)
    frame[..., :20, :20] = torch.tensor([0.8, 0.85, 0.9]).view(1, 3, 1, 1)
    frame[..., 40, 40] = 1.0
    found = haze.dark_channel_airlight(frame)
    torch.testing.assert_close(found, torch.tensor([0.8, 0.85, 0.9]).view(1, 3, 1, 1))


def test_segmentation_has_two_stages_of_small_networks(recorder: Recorder) -> None:
    hint = torch.zeros(1, 1, *SIZE)
    hint[..., 5:9, 5:9] = 1
    segmentation.fit_segmentation(picture(), hint, hint.flip(-1), FitRun(6000))
    first, second = recorder.stages
    assert (first.steps, second.steps) == segmentation.STAGE_STEPS
    assert recorder.modules[0] is recorder.modules[1]
    assert parameters(recorder.modules[0]) == [35_179, 35_179, 35_161]
    hints = {"foreground", "background", "matte", "mask_consistency"}
    assert recorder.losses == [hints, {*hints, "reconstruction", "binary_matte"}]
    assert second.ends_at == 30.0 and first.ends_at > 1000
    assert is_absolute(recorder.drawn[1])
    assert weights(first, 0.7) == dict.fromkeys(hints, 1.0)
    late = weights(second, 1250 / 4000)
    assert {name: late[name] for name in hints} == dict.fromkeys(hints, 1.0)
    assert late["reconstruction"] == 0.5 and late["binary_matte"] == pytest.approx(0.012)
    assert weights(second, 99 / 4000)["binary_matte"] == 0 and "exclusion" not in late


@pytest.mark.slow
def test_hints_hold_the_layers_and_the_matte() -> None:
    frames = picture(1)
    inside = torch.zeros(1, 1, *SIZE)
    inside[..., 4:16, 4:12] = 1
    outside = inside.flip(-1)
    found = segmentation.fit_segmentation(frames, inside, outside, FitRun(150))
    assert (
        float(found.matte[inside > 0].mean()) > 0.8 > 0.2 > float(found.matte[outside > 0].mean())
    )
    assert 0 < found.steps <= 150


def test_one_mixture_is_a_sum_with_little_exclusion(recorder: Recorder) -> None:
    transparency.fit_sum(picture(), FitRun(8000))
    (stage,) = recorder.stages
    assert (transparency.SUM_STEPS, stage.rate) == (8000, 5e-4)
    assert weights(stage, 0.5) == {"reconstruction": 1.0, "exclusion": 0.01}
    assert is_absolute(recorder.drawn[0])
    assert parameters(recorder.modules[0]) == [1_544_787] * 2
    assert float(recorder.modules[0].noises[0].abs().max()) <= 0.005


def test_one_mixture_is_turned_with_its_noise() -> None:
    frames = picture()
    steps: list[tuple[int, Any]] = []
    forward = PublishedNetworks.forward

    def spy(self: Any, index: Tensor, jitters: Any = None, turned: int = 0) -> Any:
        layers = forward(self, index, jitters, turned)
        steps.append((turned, tuple(layers[0].shape[-2:])))
        return layers

    with (
        mock.patch.object(PublishedNetworks, "forward", spy),
        mock.patch.object(transparency, "SUM_STEPS", 16),
    ):
        transparency.fit_sum(frames, FitRun(16))
    assert [turned for turned, _ in steps[:16]] == [0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7]
    assert all(size == (SIZE if turned % 2 == 0 else SIZE[::-1]) for turned, size in steps)


def test_several_mixtures_have_alpha_networks_that_are_tied_to_one_half(
    recorder: Recorder,
) -> None:
    found = transparency.fit_mixtures(picture(count=2), FitRun(7000))
    (stage,) = recorder.stages
    assert stage.steps == transparency.MIXTURE_STEPS == 7000
    tied = {"reconstruction": 1.0, "exclusion": 0.1, "half": 1.0}
    assert weights(stage, 999 / 7000) == tied and weights(stage, 1000 / 7000)["half"] == 0
    assert not is_absolute(recorder.drawn[0])
    assert len(recorder.modules[0].networks) == 4
    assert found.weights.shape == (2,) and found.first.shape == (1, 3, *SIZE)
    alphas = [torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2)]
    torch.testing.assert_close(transparency.mixing_weights(alphas), torch.tensor([0.05, 0.95]))


def test_the_inputs_of_several_mixtures_are_not_jittered(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder
) -> None:
    seen: list[Any] = []
    forward = PublishedNetworks.forward

    def spy(self: Any, index: Tensor, jitters: Any = None, turned: int = 0) -> Any:
        seen.append((jitters, turned))
        return forward(self, index, jitters, turned)

    monkeypatch.setattr(PublishedNetworks, "forward", spy)
    monkeypatch.setattr(InputJitter, "draw", mock.Mock(side_effect=AssertionError("jitter")))
    transparency.fit_mixtures(picture(count=2), FitRun(7000))
    assert len(recorder.stages) == 1 and seen and set(seen) == {(None, 0)}


def test_a_mark_on_one_picture_has_two_stages_and_three_restarts(recorder: Recorder) -> None:
    assert watermark.whole_fit(1) == 3 * (4000 + 7000)
    found = watermark.fit_watermark(
        picture(),
        torch.ones(1, 1, *SIZE),
        FitRun(33_000),
        separate=False,
    )
    assert [stage.steps for stage in recorder.stages] == [4000, 7000] * 3
    assert len(set(map(id, recorder.modules))) == 3 and found.steps == 33_000
    assert "reconstruction" not in recorder.losses[0] and "reconstruction" in recorder.losses[1]
    assert not any("exclusion" in losses for losses in recorder.losses)
    outside = {"outside": 1.0, "matte outside": 1.0}
    assert weights(recorder.stages[0], 0.5) == outside
    assert weights(recorder.stages[1], 0.5) == {**outside, "reconstruction": 1.0}
    assert all(is_absolute(drawn) for drawn in recorder.drawn[1::2])
    assert shapes(1, False) == [FIVE_LEVELS, FIVE_LEVELS, FOUR_LEVELS_3X3]


@pytest.mark.parametrize("count", [1, 2])
def test_a_mark_is_turned_on_one_picture_and_not_on_several(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    steps: list[tuple[int, float]] = []
    layers = watermark.MarkNetworks.layers

    def spy(self: Any, index: Tensor, jitters: Sequence[Tensor], turned: int = 0) -> Any:
        steps.append((turned, float(jitters[0].std())))
        return layers(self, index, jitters, turned)

    monkeypatch.setattr(watermark.MarkNetworks, "layers", spy)
    fitted = watermark._MarkFit(picture(count=count), torch.ones(1, 1, *SIZE), count > 1, 0, CPU)
    for step in range(16):
        index = torch.zeros(1, dtype=torch.long)
        fitted.draw(index, step / 1600, published_steps=1600, with_mixture=True)
    turns = [0, 0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7] if count == 1 else [0] * 16
    assert [turned for turned, _ in steps] == turns
    jitter = 0.0 if count == 1 else JITTER
    assert [spread for _, spread in steps] == pytest.approx([jitter] * 16, rel=0.1)


def shapes(count: int, separate: bool) -> list[SkipShape]:
    with mock.patch.object(watermark, "MarkNetworks") as made:
        watermark.networks_for(count, separate, SIZE, 0)
    found: list[SkipShape] = made.call_args.args[3]
    return found


def test_several_pictures_have_a_clean_network_each(recorder: Recorder) -> None:
    assert shapes(3, True) == [FIVE_LEVELS] * 3 + [FIVE_LEVELS_3X3] * 2
    assert shapes(3, False) == [FIVE_LEVELS, FIVE_LEVELS_3X3, FIVE_LEVELS_3X3]
    watermark.fit_watermark(
        picture(count=2),
        torch.ones(1, 1, *SIZE),
        FitRun(watermark.whole_fit(2)),
        separate=True,
    )
    assert [stage.steps for stage in recorder.stages] == [4000] * 3
    outside = {"outside": 1.0, "matte outside": 1.0}
    assert weights(recorder.stages[0], 0.0) == {**outside, "reconstruction": 1.0}
    assert all(is_absolute(drawn) for drawn in recorder.drawn)
    module = watermark.networks_for(3, True, SIZE, 1)
    silent = [torch.zeros(1)] * 5
    both = module.layers(torch.tensor([0, 2]), silent)[0]
    one = module.layers(torch.tensor([2]), silent)[0]
    torch.testing.assert_close(both[1:], one)


def test_only_what_is_surely_marked_is_replaced() -> None:
    frames = picture(2)
    mattes = iter([0.05, 0.2, 0.3])
    cleans = iter([0.2, 0.9, 0.4])

    def once(*_: Any) -> tuple[tuple[Tensor, Tensor, Tensor], int]:
        matte = torch.full((1, 1, *SIZE), next(mattes))
        matte[..., :10, :] = 0.09
        clean = torch.full_like(frames, next(cleans))
        return (clean, torch.ones_like(frames), matte), 5

    with mock.patch.object(watermark, "_fit_once", once):
        found = watermark.fit_watermark(frames, torch.ones(1, 1, *SIZE), FitRun(15), separate=False)
    assert torch.equal(found.clean[..., :10, :], frames[..., :10, :])
    assert float(found.clean[..., 10:, :].mean()) == pytest.approx(0.4), "the median of three fits"
    assert float(found.matte[..., :10, :].max()) == 0
    assert float(found.matte[..., 10:, :].mean()) == pytest.approx(0.2)
    assert found.steps == 15


def test_a_transition_has_the_published_weights_and_steps() -> None:
    values = {name: weight(0.3) for name, weight in transition.WEIGHTS.items()}
    assert values == {"reconstruction": 1.0, "exclusion": 0.1}
    assert (transition.STEPS, JITTER, published_fit.RATE) == (4000, 1e-3, 1e-3)


def test_a_transition_has_the_squared_error() -> None:
    frames = picture(count=3)
    mixture = Mixture(frames, torch.tensor([0.0, 0.6, 1.0]).view(3, 1, 1, 1), 1, 1)
    fitted = transition._TransitionFit(mixture, 0, CPU)
    with mock.patch.object(InputJitter, "draw", return_value=[None, None]):
        losses = fitted._losses(torch.tensor([1]), 0.0)
    outgoing, incoming = fitted.module(torch.tensor([1]))
    error = (0.4 * outgoing + 0.6 * incoming - frames[1]).detach()
    assert losses["reconstruction"].item() == pytest.approx(float(error.square().mean()), rel=1e-4)
