"""PSNR by hand: a tenth is 20 dB."""

from __future__ import annotations

import pytest
import torch

from stages.mixing.psnr import mean_psnr, psnr, psnr_of


def test_an_error_in_decibels() -> None:
    assert psnr_of(0.01) == pytest.approx(20)
    assert psnr_of(0.0) == 99 and psnr_of(0.0, 60.0) == 60 and psnr_of(1e-6, 60.0) == 60


def test_all_values_together_and_the_mean_over_frames() -> None:
    truth = torch.zeros(2, 3, 4, 5)
    estimate = truth.clone()
    estimate[0] += 0.1
    assert psnr(estimate, truth) == pytest.approx(23.0103, abs=1e-3)
    assert mean_psnr(estimate, truth, 60.0) == pytest.approx((20 + 60) / 2, abs=1e-4)
