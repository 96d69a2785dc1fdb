"""The fits of networks: their layers are judged, not the reconstruction; same seed, same bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from clips import moving
from clips import psnr_of_all as psnr
from torch import Tensor, nn

from stages.errors import UnlayerError
from stages.mixing.mixture import Mixture, Side
from stages.optim.fit import FitPlan, FitState, fit, shuffled
from stages.optim.losses import constant
from stages.published.transition import PeriodicCheck, fit_transition
from stages.transition.networks import (
    KnownLayers,
    NetworkOptions,
    TwoScenes,
    clean_and_mixed,
    fill,
    fit_layers,
)

NARROW = NetworkOptions(dtype=torch.float32, widths=(16, 16, 16, 16))


class Value(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(3))


def mixture(matte: bool = False, locked: bool = False) -> tuple[Mixture, Tensor, Tensor]:
    """Return a small dissolve with its true layers: 4 clean, 4 mixed and 4 clean frames."""
    one, other = (
        torch.from_numpy(moving(seed, 12, (24, 32))).permute(0, 3, 1, 2).float() / 255
        for seed in (1, 2)
    )
    if locked:
        other = torch.zeros_like(other)
    weight = ((torch.arange(12) - 3) / 5).clamp(0, 1).view(-1, 1, 1, 1)
    if matte:
        place = torch.linspace(0, 1, 32).view(1, 1, 1, 32).expand(12, 1, 24, 32)
        weight = ((weight - place) * 4 + weight).clamp(0, 1)
    frames = (1 - weight) * one + weight * other
    side: Side | None = "incoming" if locked else None
    color = torch.zeros(3) if locked else None
    return Mixture(frames, weight, 4, 7, "gamma", side, color), one, other


def test_a_fit_finds_a_minimum_and_reports_each_loss() -> None:
    module, heard = Value(), []
    fit(
        module,
        lambda index, progress: {
            "near": (module.value - 1).abs().mean(),
            "small": module.value.square().mean(),
        },
        {"near": constant(1.0), "small": constant(0.0)},
        FitPlan(200, rate=0.05),
        frames=3,
        on_step=lambda progress, losses: heard.append((progress, losses)),
    )
    torch.testing.assert_close(module.value.detach(), torch.ones(3), atol=0.02, rtol=0)
    assert heard[-1][0] == 1 and set(heard[-1][1]) == {"near", "small", "total"}
    assert heard[0][1]["total"] == heard[0][1]["near"] == 1


def test_a_fit_that_diverges_goes_back_and_goes_on() -> None:
    module, calls = Value(), [0]

    def terms(index: Tensor, progress: float) -> dict[str, Tensor]:
        calls[0] += 1
        broken = float("nan") if calls[0] in (50, 60) else 1.0
        return {"near": (module.value - 1).abs().mean() * broken}

    fit(module, terms, {"near": constant(1.0)}, FitPlan(300, rate=0.05), frames=3)
    torch.testing.assert_close(module.value.detach(), torch.ones(3), atol=0.02, rtol=0)


def test_a_fit_that_stays_broken_says_so() -> None:
    module = Value()
    with pytest.raises(UnlayerError, match="3 times"):
        fit(
            module,
            lambda index, progress: {"no": module.value.sum() / 0 * 0},
            {"no": constant(1.0)},
            FitPlan(9),
            frames=3,
        )


def test_every_frame_is_drawn_before_any_is_repeated() -> None:
    draw, generator = shuffled(10, 5), torch.Generator().manual_seed(0)
    assert sorted(torch.cat([draw(generator), draw(generator)]).tolist()) == list(range(10))
    assert shuffled(3, 8)(generator).tolist() == [0, 1, 2]


def test_a_step_sees_mixed_and_clean_frames_in_order() -> None:
    given, _, _ = mixture()
    for seed in range(5):
        drawn = clean_and_mixed(given, 8)(torch.Generator().manual_seed(seed)).tolist()
        assert drawn == sorted(set(drawn)) and {4, 5, 6, 7} <= set(drawn) and len(drawn) >= 7


def test_the_layers_are_found_and_not_only_the_mixture() -> None:
    given, one, other = mixture()
    result = fit_layers(given, plan=FitPlan(120), seed=0, options=NARROW)
    assert torch.equal(result.outgoing[:4], given.frames[:4]) and torch.equal(
        result.incoming[8:], given.frames[8:]
    )
    mixed = given.mixed
    better = psnr(result.outgoing[mixed], one[mixed]) + psnr(result.incoming[mixed], other[mixed])
    nothing = psnr(given.frames[mixed], one[mixed]) + psnr(given.frames[mixed], other[mixed])
    assert better > nothing + 8
    assert float((result.weight - given.weight).abs().max()) < 0.1


def test_known_layers_are_kept_where_they_are_trusted() -> None:
    given, _, _ = mixture()
    trust = torch.zeros(12, 1, 24, 32)
    trust[..., :16] = 1
    # The mixture itself as both layers explains the input as well as the truth does.
    result = fit_layers(
        given,
        KnownLayers((given.frames, given.frames), trust),
        plan=FitPlan(80),
        options=NARROW,
    )
    for layer in (result.outgoing, result.incoming):
        believed, free = (
            psnr(layer[5:7][..., part], given.frames[5:7][..., part])
            for part in (slice(0, 12), slice(20, 32))
        )
        assert believed > free + 3


def test_networks_fill_in_only_what_is_not_trusted() -> None:
    given, one, other = mixture()
    trust = torch.ones(12, 1, 24, 32)
    trust[:, :, :, 16:] = 0
    gray = torch.full_like(one, 0.5), torch.full_like(other, 0.5)
    filled = fill(given, KnownLayers(gray, trust), plan=FitPlan(60), scale=2)
    assert torch.equal(filled[0][..., :16], gray[0][..., :16]) and torch.equal(
        filled[1][:4], gray[1][:4]
    )
    mixed = given.mixed
    for layer, before, truth in zip(filled, gray, (one, other), strict=True):
        assert (
            psnr(layer[mixed][..., 16:], truth[mixed][..., 16:])
            > psnr(before[mixed][..., 16:], truth[mixed][..., 16:]) + 1
        )


def test_the_same_seed_gives_the_same_bytes_and_more_steps_go_on() -> None:
    given, _, _ = mixture()
    runs = [fit_layers(given, plan=FitPlan(4), seed=seed, options=NARROW) for seed in (1, 1, 2)]
    assert torch.equal(runs[0].outgoing, runs[1].outgoing) and torch.equal(
        runs[0].weight, runs[1].weight
    )
    assert not torch.equal(runs[0].outgoing, runs[2].outgoing)
    more = [
        fit_layers(given, plan=FitPlan(3, start=run.state), seed=1, options=NARROW)
        for run in runs[:2]
    ]
    assert torch.equal(more[0].incoming, more[1].incoming)
    assert more[0].state.steps == 7 and isinstance(more[0].state, FitState)
    assert not torch.equal(more[0].incoming, runs[0].incoming)


def test_a_matte_is_fitted_around_the_given_one() -> None:
    given, _, _ = mixture(matte=True)
    still = TwoScenes(given, seed=0, dtype=torch.float32, options=NARROW)
    torch.testing.assert_close(
        still.weight(torch.arange(4)), given.weight[given.mixed].clamp(0.02, 0.98)
    )
    result = fit_layers(given, plan=FitPlan(10), options=NARROW)
    assert result.weight.shape == given.weight.shape
    assert float((result.weight - given.weight).abs().mean()) < 0.1
    fixed = fit_layers(given, plan=FitPlan(2), options=replace(NARROW, learn_weight=False))
    assert torch.equal(fixed.weight, given.weight)


def test_a_locked_side_keeps_its_color() -> None:
    given, _, _ = mixture(locked=True)
    result = fit_layers(given, plan=FitPlan(5), options=NARROW)
    assert float(result.incoming[given.mixed].abs().max()) == 0
    assert float(result.outgoing[given.mixed].mean()) > 0.01


def test_the_published_fit_runs_and_can_be_stopped() -> None:
    given, _, _ = mixture()
    seen: list[int] = []

    def check(done: int, result: object) -> bool:
        seen.append(done)
        return done >= 4

    result = fit_transition(given, steps=10, check=PeriodicCheck(2, check))
    assert seen == [2, 4] and result.state.steps == 4
    assert result.outgoing.shape == given.frames.shape
    assert torch.equal(result.outgoing[:4], given.frames[:4])
    again = fit_transition(given, steps=4, check=PeriodicCheck(2))
    assert torch.equal(again.outgoing, result.outgoing)


@pytest.mark.gpu
def test_the_fit_runs_on_a_gpu() -> None:
    given, one, _ = mixture()
    result = fit_layers(given, plan=FitPlan(60), device=torch.device("cuda"), options=NARROW)
    assert result.outgoing.device == given.frames.device
    assert psnr(result.outgoing[given.mixed], one[given.mixed]) > psnr(
        given.frames[given.mixed], one[given.mixed]
    )
