"""`--confidence`: how sure the pixels of a scene are in the mixed frames of a transition."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from clips import plain_answer, read_clip

from pipeline.cli.main import main
from pipeline.tasks.transition.confidence import GUESS_ERROR, scene_confidence


def transition(matte: torch.Tensor | None = None, **entry: Any) -> Any:
    """Return a stand-in for a separated transition that begins at frame 10."""
    named = {"matte": None if matte is None else "matte-001", **entry}
    return SimpleNamespace(
        transition=SimpleNamespace(first_frame=10),
        entry=named,
        frames=lambda side, first, last: matte[first - 10 : last - 9] if matte is not None else 0,
    )


def test_a_dissolve_is_as_confident_as_its_expected_error_is_small() -> None:
    item = transition(mix=[0.3, 0.6], confidence={"from": [60.0, 20.0], "to": [5.0, 40.0]})
    before, after = (
        scene_confidence(item, 10, 11, outgoing=side).flatten() for side in (True, False)
    )
    assert before.tolist() == pytest.approx([1 - 0.001 / GUESS_ERROR, 1 - 0.1 / GUESS_ERROR])
    assert after.tolist() == pytest.approx([0, 1 - 0.01 / GUESS_ERROR])


def test_what_a_matte_hides_is_as_sure_as_its_expected_error_is_small() -> None:
    matte = torch.zeros(1, 1, 4, 8)
    matte[..., :2] = 1
    item = transition(matte, confidence={"from": [34.0], "to": [60.0]})
    sure = scene_confidence(item, 10, 10, outgoing=True)
    # A quarter of the picture is hidden and has all of the error.
    assert float(sure[0, 0, 0, 0]) == pytest.approx(
        1 - 2 * 10 ** (-34 / 20) / GUESS_ERROR, abs=1e-5
    )
    assert (sure[..., 2:] == 1).all()


def test_what_a_matte_hides_is_invented() -> None:
    matte = torch.zeros(3, 1, 4, 6)
    matte[1, :, :, :2] = 1
    item = transition(matte, mix=[0.0, 0.3, 0.0])
    assert torch.equal(scene_confidence(item, 11, 11, outgoing=False), matte[1:2])
    assert torch.equal(scene_confidence(item, 10, 12, outgoing=True), 1 - matte)


def test_scenes_that_are_only_held_are_invented() -> None:
    item = transition(mix=[0.25, 0.5], mixed="mixed")
    assert torch.equal(scene_confidence(item, 10, 11, outgoing=True), torch.zeros(2, 1, 1, 1))


def test_without_more_a_pixel_is_as_sure_as_its_weight() -> None:
    item = transition(mix=[0.25, 0.5])
    assert scene_confidence(item, 10, 11, outgoing=True).flatten().tolist() == [0.75, 0.5]
    assert scene_confidence(item, 11, 11, outgoing=False).flatten().tolist() == [0.5]


def test_a_run_says_how_sure_each_scene_is(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    words = ["--task", "transition", "--transition", "8:15", "--lossless", "--no-progress"]
    assert main(["run", str(mixed_clip()), *words, "--confidence", "--out", "out"]) == 0
    whole = json.loads(Path("out/manifest.json").read_text())
    layers = {each["name"]: each for each in whole["layers"]}
    for scene, clean in (("scene-001", slice(0, 8)), ("scene-002", slice(-8, None))):
        layer = layers[f"{scene}-confidence"]
        assert layer["role"] == "scene-confidence" and layer["data"] is True
        frames = ("first_frame", "last_frame")
        assert [layer[name] for name in frames] == [layers[scene][name] for name in frames]
        sure = read_clip(Path("out", layer["path"]))
        assert (sure[clean] == 255).all() and np.ptp(sure) > 100
