"""Tests that tell sums of two moving layers from clips in which one thing covers another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from clips import drifting
from numpy.typing import NDArray
from torch import Tensor

from stages.context import FitSettings, SeparationContext
from stages.transparency.filters import gaussian_blur
from stages.transparency.layer_order import ordered_by_focus
from stages.transparency.layers import separate, survey
from stages.transparency.mosaic import Mosaic
from stages.transparency.mosaic_search import fit_best_mosaic
from stages.transparency.plans import PLANS
from stages.transparency.sum_evidence import sum_evidence

T = TypeVar("T")

SIZE = (90, 160)
STEPS = (2.0, 0.5), (-1.5, 1.0)


def pans(count: int) -> tuple[Tensor, Tensor]:
    """Make two textures ``(T, 3, H, W)`` that pan in different directions."""
    one, other = (
        drifting(seed, count, step, SIZE) for seed, step in zip((3, 4), STEPS, strict=True)
    )
    return one, other


def covered(count: int) -> Tensor:
    """Make one texture with a window in it, 80 pixels wide, that shows the other one."""
    one, other = pans(count)
    frames = one.clone()
    for t in range(count):
        left = round(40 + STEPS[1][0] * t)
        frames[t, :, 20:70, left : left + 80] = other[t, :, 20:70, left : left + 80]
    return frames


def rounded(frames: Tensor) -> Tensor:
    return (frames * 255).round() / 255


def placed(count: int, sign: float) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
    """Return the homographies of the two pans."""
    layers = []
    for right, down in STEPS:
        layers.append(
            [
                np.array([[1.0, 0.0, sign * right * t], [0.0, 1.0, sign * down * t], [0, 0, 1.0]])
                for t in range(count)
            ]
        )
    return layers[0], layers[1]


def once(work: Callable[..., T]) -> Callable[..., T]:
    """Return a function that does the work when it is first called, and then gives that result."""
    made: list[T] = []

    def call(*given: object, **named: object) -> T:
        if not made:
            made.append(work(*given, **named))
        return made[0]

    return call


def best(frames: Tensor) -> float:
    """Return the evidence with the pans' own motions; their sign is that of ``drifting``."""
    return max(sum_evidence(frames, placed(len(frames), sign)) for sign in (-1.0, 1.0))


@pytest.mark.parametrize("count", [5, 9])
def test_a_sum_predicts_frames_left_out_and_a_covered_layer_does_not(count: int) -> None:
    one, other = pans(count)
    assert best(rounded(0.6 * one + 0.4 * other)) > 0.3
    assert best(rounded(covered(count))) < 0
    assert best(rounded(one)) <= 0


def test_three_frames_tell_nothing() -> None:
    one, other = pans(3)
    assert best(0.5 * one + 0.5 * other) == -1.0


@pytest.fixture
def short_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take few steps in fits of which only the decision and the warning matter."""
    monkeypatch.setitem(
        PLANS,
        "fast",
        replace(PLANS["fast"], pixels=90 * 160, mosaic_pixels=45 * 80, mosaic_steps=10),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("short_fit")
def test_a_clip_without_glass_passes_through_unless_the_user_insists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    frames = rounded(covered(9))
    facts = survey(frames, SeparationContext(FitSettings(preset="fast")))
    # The strength decides only what becomes of the mosaics, so one fit is enough for both.
    monkeypatch.setattr("stages.transparency.by_motion.fit_best_mosaic", once(fit_best_mosaic))
    found = {}
    for strength in (1.0, 2.0):
        told = SeparationContext(FitSettings(preset="fast"), strength=strength)
        found[strength] = separate(frames, facts, told)
    assert torch.equal(rounded(found[1.0].layers["transmission"]), frames)
    assert found[1.0].report["untouched"] == 1.0
    (note,) = found[1.0].notes
    assert note.text.startswith("no reflection was found") and len(note.places) == 9
    assert float(found[2.0].layers["reflection"].mean()) > 0.1


@pytest.mark.slow
@pytest.mark.usefixtures("short_fit")
@pytest.mark.parametrize(("registered", "unregistered"), [(0.2, -1.0), (-1.0, 0.2)])
def test_either_evidence_is_enough_and_only_the_first_one_registers(
    monkeypatch: pytest.MonkeyPatch, registered: float, unregistered: float
) -> None:
    frames = rounded(covered(9))
    told = SeparationContext(FitSettings(preset="fast"))
    facts = survey(frames, told)
    used: list[bool] = []

    def fitted(*given: Any, register: bool) -> Mosaic:
        used.append(register)
        return fit_best_mosaic(*given, register=register)

    home = "stages.transparency.by_motion."
    monkeypatch.setattr(home + "registered_gain", lambda window: registered)
    monkeypatch.setattr(home + "sum_evidence", lambda seen, motions: unregistered)
    monkeypatch.setattr(home + "fit_best_mosaic", fitted)
    found = separate(frames, facts, told)
    assert found.report["untouched"] == 0.0
    assert not any("no reflection was found" in note.text for note in found.notes)
    assert used == [registered > 0]


@pytest.mark.slow
@pytest.mark.usefixtures("short_fit")
def test_few_frames_are_separated_with_a_warning() -> None:
    frames = rounded(covered(6))
    told = SeparationContext(FitSettings(preset="fast"))
    found = separate(frames, survey(frames, told), told)
    assert found.report["untouched"] == 0.0
    assert any("too few to show" in note.text for note in found.notes)
    again = found.layers["transmission"] ** 2.2 + found.layers["reflection"] ** 2.2
    if found.report["space"]:
        assert float((again.clamp(0, 1) ** (1 / 2.2) - frames).abs().mean()) < 0.01


def test_the_layer_in_focus_is_the_transmission() -> None:
    one, other = pans(3)
    blurred = gaussian_blur(other, 4.0)
    for layers in ((one, blurred), (blurred, one)):
        named, difference = ordered_by_focus(layers)
        assert named[0] is one and difference > 0.8
    # Two layers alike in focus keep their names.
    named, difference = ordered_by_focus((one, other))
    assert named[0] is one and abs(difference) < 0.8
