"""The table of what each part gains: cases with known layers, rows that leave out what they say."""

from __future__ import annotations

import pytest
import torch

from models.generator import GeneratedLayer
from stages.mixing.mixture import mix

ablation = pytest.importorskip("samples.ablation", reason="needs scikit-image, from the dev extra")


@pytest.mark.parametrize("stride", [1, 3])
def test_a_case_is_a_mixture_of_its_true_layers(stride: int) -> None:
    given = ablation.case("", stride, (36, 64))
    mixture = given.mixture
    again = mix(given.truth[0], given.truth[1], mixture.weight[mixture.mixed], "gamma")
    assert (again - mixture.frames[mixture.mixed]).abs().max() <= 0.5 / 255 + 1e-6
    assert len(given.truth[0]) == ablation.MIXED and mixture.frames.shape == (
        2 * ablation.CLEAN + ablation.MIXED,
        3,
        36,
        64,
    )


@pytest.mark.slow
def test_motion_gains_something_and_the_truth_scores_best() -> None:
    given = ablation.case("", 1, (36, 64))
    held, moved = (
        ablation.take_apart(given, name)[0]
        for name in ("nothing: the last clean frames, held", "without sweeps and ties")
    )
    assert ablation.score(moved, given.truth) > ablation.score(held, given.truth) + 3
    assert ablation.score(given.truth, given.truth) == 99.0


def test_codes_are_coupled_unless_that_is_left_out() -> None:
    def likeness() -> float:
        codes = GeneratedLayer(6, 3, (32, 32), seed=1).noise.codes.detach().flatten(1)
        return float(torch.cosine_similarity(codes[:-1], codes[1:]).mean())

    coupled = likeness()
    with ablation.uncoupled():
        alone = likeness()
    assert coupled > 0.6 and abs(alone) < 0.4
