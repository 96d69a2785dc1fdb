"""The presets without motion, ``coupled`` and ``paper``: every task, on a tiny clip and picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import cv2
import media
import numpy as np
import pytest
import torch
from clips import dissolve, moving, read_clip
from numpy.typing import NDArray
from test_task_contract import MIXED, TASKS, check, layers_of, save

from pipeline.cli.main import main
from stages.published import haze, segmentation, transparency, watermark
from stages.transition import plan

FEW = 10
"""Steps of every fit here."""

MOTION = (
    "cv2.DISOpticalFlow_create",
    "stages.motion.carry.carry",
    "stages.transition.alternate.carry",
    "stages.transition.alternate.relink_and_sweep",
    "stages.transition.alternate.improve_by_ties",
    "stages.segment.layers.find_motion",
    "stages.transparency.layers.separate_clip",
    "stages.transparency.by_motion.separate_clip",
    "stages.dehaze.layers.find_ties",
)
"""Where motion is estimated."""


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (
        "stages.coupled.layers.STEPS",
        "stages.coupled.layers.MOST_STEPS",
        "stages.published.watermark.STEPS",
        "stages.dehaze.networks_alone.published.STEPS",
        "stages.transparency.by_networks.SUM_STEPS",
        "stages.transparency.by_networks.MIXTURE_STEPS",
    ):
        monkeypatch.setattr(name, FEW)
    monkeypatch.setattr(watermark, "STAGES", (FEW, FEW))
    monkeypatch.setattr("stages.segment.by_networks.STAGE_STEPS", (FEW, FEW))
    small: dict[str, Any] = {"paper": {"paper_steps": FEW}, "coupled": {"coupled_steps": FEW}}
    for preset, fewer in small.items():
        monkeypatch.setitem(plan.PLANS, preset, replace(plan.PLANS[preset], **fewer))


@pytest.fixture
def motionless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every estimate of motion fail."""
    for name in MOTION:
        monkeypatch.setattr(name, Mock(side_effect=AssertionError(f"{name} is motion")))


def run(task: str, preset: str, *words: object) -> dict[str, Any]:
    given = [str(word) for word in words]
    options = ["--task", task, "--out", "out", "--lossless", "--preset", preset, "--no-progress"]
    assert main(["run", *given, *options]) == 0
    whole: dict[str, Any] = json.loads(Path("out/manifest.json").read_text())
    assert whole["settings"]["preset"] == preset
    return whole


def hazy(count: int) -> NDArray[np.uint8]:
    """Return a scene behind haze, so that there is something to take off."""
    light = 0.35 * moving(3, count, (40, 56)).astype(np.float32) + 0.65 * 230
    return np.asarray(light.round(), np.uint8)


@pytest.mark.usually(4)
@pytest.mark.usefixtures("motionless")
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("task", TASKS)
def test_coupled_generators_alone_mix_back_without_motion(task: str, count: int) -> None:
    frames = hazy(count)
    whole = run(task, "coupled", save(frames))
    check(task, whole, frames)
    assert whole["report"]["fit_steps"] == FEW


@pytest.mark.usually(3)
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("task", TASKS)
def test_the_published_method_mixes_back(task: str, count: int) -> None:
    frames = hazy(count)
    whole = run(task, "paper", save(frames))
    check(task, whole, frames)
    assert whole["report"]["fit_steps"] == whole["report"]["whole_fit_steps"] > 0
    assert not [text for text in whole["warnings"] if "shortened" in text]


def dissolved() -> tuple[Path, NDArray[np.uint8]]:
    """Return a clip with a dissolve in the frames 4 to 7, and the file that holds it."""
    mixed, _ = dissolve(moving(1, 12, (40, 56)), moving(2, 12, (40, 56)), 4, 4)
    return media.save(Path("in.mkv"), mixed), mixed


@pytest.mark.usually(1)
@pytest.mark.usefixtures("motionless")
@pytest.mark.parametrize("preset", ["coupled", "paper"])
@pytest.mark.parametrize("kind", ["dissolve"])
def test_a_transition_mixes_back_without_motion(preset: str, kind: str) -> None:
    path, mixed = dissolved()
    whole = run("transition", preset, path, "--transition", "4:7")
    (move,) = whole["transitions"]
    assert move["kind"] == kind and move["first_frame"] == 4
    first, second = (read_clip(Path("out", layer["path"])) for layer in whole["layers"])
    for place, weight in enumerate(move["mix"]):
        again = (1 - weight) * first[4 + place] + weight * second[place].astype(np.float64)
        error = float(((again - mixed[4 + place]) ** 2).mean()) / 255**2
        assert error <= 1e-4, f"{preset}: frame {place}"
    (figures,) = whole["report"]["transitions"]
    assert figures["fit_steps"] == FEW and "networks" in figures["seconds"]


@pytest.mark.usually(2)
@pytest.mark.parametrize("task", TASKS)
def test_a_shortened_fit_is_told(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.published.fit.steps_within", lambda work, seconds, most: 3)
    whole = run(task, "paper", save(hazy(1)), "--max-seconds", "60")
    (text,) = [text for text in whole["warnings"] if "shortened" in text]
    assert "the published fit of the picture was shortened by --max-seconds" in text
    assert whole["report"]["fit_steps"] < whole["report"]["whole_fit_steps"]


def test_a_shortened_fit_of_a_transition_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "stages.transition.plan.Costs.measure_alone_step", lambda self, plan: 60 / (FEW / 2)
    )
    path, _ = dissolved()
    whole = run("transition", "paper", path, "--transition", "4:7", "--max-seconds", "60")
    (text,) = [text for text in whole["warnings"] if "shortened" in text]
    assert text.startswith("--max-seconds shortened the published fit to ")
    assert f"of {FEW} steps" in text
    assert whole["report"]["transitions"][0]["plan"]["paper_steps"] < FEW


@pytest.mark.usually(1)
@pytest.mark.parametrize("preset", ["coupled", "paper"])
def test_several_mixtures_of_two_layers(preset: str) -> None:
    one, other = (moving(seed, 1, (40, 56))[0].astype(np.float32) for seed in (1, 2))
    paths = []
    for number, weight in enumerate((0.7, 0.3)):
        mixed = (weight * one + (1 - weight) * other).round().astype(np.uint8)
        paths.append(f"{number}.png")
        cv2.imwrite(paths[-1], mixed[..., ::-1])
    whole = run("transparency", preset, *paths)
    assert whole["report"]["fit_steps"] == FEW
    weights = [whole["report"][f"weight_{number}"] for number in (1, 2)]
    assert all(0 < weight < 1 for weight in weights)
    assert {layer["path"] for layer in whole["layers"]} == {"transmission.png", "reflection.png"}


@pytest.mark.usually(1)
@pytest.mark.parametrize("preset", ["coupled", "paper"])
def test_several_marked_pictures(preset: str) -> None:
    paths = []
    for number in range(3):
        picture = moving(10 + number, 1, (40, 56))[0].astype(np.float32)
        picture[10:20, 15:40] = 0.5 * picture[10:20, 15:40] + 127
        paths.append(f"{number}.png")
        cv2.imwrite(paths[-1], picture.round().astype(np.uint8)[..., ::-1])
    whole = run("watermark", preset, *paths)
    assert len([layer for layer in whole["layers"] if layer["role"] == "clean"]) == 3
    assert whole["report"]["reconstruction_psnr"] > 40


def test_both_hints_reach_the_published_segmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    real = segmentation.fit_segmentation

    def spy(frames: Any, foreground: Any, background: Any, run: Any) -> Any:
        seen.append((foreground, background))
        return real(frames, foreground, background, run)

    monkeypatch.setattr("stages.segment.by_networks.fit_segmentation", spy)
    hint = np.zeros((40, 56, 3), np.uint8)
    hint[10:20, 10:25] = 255
    cv2.imwrite("hint.png", hint)
    run("segment", "paper", save(hazy(1)), "--hint", "hint.png")
    foreground, background = seen[-1]
    assert torch.equal(foreground[0, 0], torch.from_numpy(hint[..., 0] > 0).float())
    assert not bool((foreground * background).any())


def test_every_task_here_has_a_forward_model() -> None:
    assert set(TASKS) == set(MIXED) and layers_of({"layers": []}) == {}
    assert haze.STEPS == FEW and transparency.SUM_STEPS == 8000
