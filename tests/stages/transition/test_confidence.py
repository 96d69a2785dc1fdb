"""The expected quality of scenes, against the true one of made dissolves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from clips import drifting
from clips import psnr as psnr_of_two

from stages.context import FitSettings
from stages.mixing.mixture import Mixture, mix
from stages.transition.alternate import Reporting, alternate
from stages.transition.confidence import HIDDEN, expected_psnr, expected_psnr_of_hidden
from stages.transition.plan import PLANS

CLEAN, MIXED = 6, 10


def dissolve_of(seed: int) -> tuple[Mixture, tuple[torch.Tensor, torch.Tensor]]:
    """Return a dissolve of two textures whose motion turns within it, and its true layers."""
    count = 2 * CLEAN + MIXED
    one, other = (
        torch.cat([drifting(seed + part, count // 2, (1.5, 0.5)), other_way])
        for part, other_way in (
            (0, drifting(seed, count // 2, (-1.0, 1.0))),
            (1, drifting(seed + 1, count // 2, (0.5, -1.5))),
        )
    )
    weight = torch.zeros(count, 1, 1, 1)
    weight[CLEAN : CLEAN + MIXED] = torch.linspace(0, 1, MIXED + 2)[1:-1].view(-1, 1, 1, 1)
    weight[CLEAN + MIXED :] = 1
    mixture = Mixture(mix(one, other, weight, "gamma"), weight, CLEAN, CLEAN + MIXED - 1)
    return mixture, (one[mixture.mixed], other[mixture.mixed])


@pytest.mark.usually(1)
@pytest.mark.parametrize("seed", [3, 8])
def test_what_is_expected_follows_what_is_true(seed: int) -> None:
    mixture, true = dissolve_of(seed)
    done = alternate(
        mixture, "dissolve", PLANS["fast"], FitSettings(), Reporting(lambda done, note: None, {})
    )
    expected = expected_psnr(done.mixture, done.carried.layers, done.layers)
    assert [len(side) for side in expected] == [MIXED, MIXED]
    found = [
        [psnr_of_two(one, other) for one, other in zip(layer, truth, strict=True)]
        for layer, truth in zip(done.layers, true, strict=True)
    ]
    together = np.corrcoef(np.ravel(expected), np.ravel(found))[0, 1]
    assert together > 0.8


def test_a_fainter_scene_is_expected_to_be_worse() -> None:
    mixture, true = dissolve_of(5)
    outgoing, incoming = expected_psnr(mixture, true, true)
    assert list(outgoing) == sorted(outgoing, reverse=True) and list(incoming) == sorted(incoming)
    assert outgoing[0] - outgoing[-1] > 6


def test_what_motion_leaves_open_lowers_what_is_expected() -> None:
    mixture, true = dissolve_of(5)
    shifted = true[0].roll(3, -1), true[1]
    for better, worse in zip(
        expected_psnr(mixture, true, true), expected_psnr(mixture, shifted, true), strict=True
    ):
        assert all(a > b for a, b in zip(better, worse, strict=True))


def test_a_wipe_is_expected_to_be_as_good_as_what_it_hides_is_known() -> None:
    matte = torch.zeros(3, 1, 4, 8)
    matte[1, ..., :2] = 1
    wiped = Mixture(torch.zeros(3, 3, 4, 8), matte, 1, 1)
    variance = torch.full((1, 1, 4, 8), 0.01), torch.full((1, 1, 4, 8), 0.04)
    (outgoing,), (incoming,) = expected_psnr_of_hidden(wiped, variance)
    # The wipe hides a quarter of one scene and three quarters of the other one.
    for found, error in ((outgoing, 0.25 * 0.01), (incoming, 0.75 * 0.04)):
        assert found == pytest.approx(HIDDEN[0] - HIDDEN[1] * 10 * np.log10(error), abs=1e-3)
