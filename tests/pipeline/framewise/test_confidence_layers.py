"""`--confidence`: grey layers that say how sure each pixel is."""

from __future__ import annotations

import json
from pathlib import Path

import media
import numpy as np
import pytest
import torch
from clips import read_clip

from pipeline.cli.main import main
from pipeline.framewise.statistics import ExpectedQualities
from pipeline.settings import Settings
from pipeline.task import WrittenLayer
from stages.context import ExpectedQuality, FitSettings, Separation, SeparationContext
from stages.errors import UsageError
from stages.segment.confidence import SEEN_ELSEWHERE, confidence_layers, expected_overlap
from stages.segment.motion import WindowMotion
from stages.watermark.effort import EFFORTS
from stages.watermark.layers import separate
from stages.watermark.survey import WatermarkSurvey

SIZE = (32, 48)


def test_a_clean_picture_is_as_sure_as_the_light_that_passes_the_mark() -> None:
    matte, lost = torch.zeros(1, *SIZE), torch.zeros(SIZE, dtype=torch.bool)
    matte[:, 8:16, 8:16] = 0.6
    matte[:, 8:16, 20:28] = 0.8
    lost[8:16, 20:28] = True
    survey = WatermarkSurvey(
        matte, torch.ones(3, *SIZE), lost, 0.8, EFFORTS["fast"], torch.ones(SIZE, dtype=torch.bool)
    )
    frames = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    context = SeparationContext(FitSettings("fast", max_seconds=0.1), confidence=True)
    sure = separate(frames, survey, context).layers["clean-confidence"][0, 0]
    assert float(sure[20, 20]) == 1
    assert float(sure[10, 10]) == pytest.approx(0.4)
    assert float(sure[10, 22]) == 0


def test_what_no_frame_shows_is_invented() -> None:
    matte = torch.zeros(1, 1, *SIZE)
    matte[..., :16] = 1
    missing = torch.zeros(1, 1, *SIZE, dtype=torch.bool)
    missing[..., :8] = True
    odds = torch.zeros(1, *SIZE)
    odds[..., :16], odds[..., 40:] = 3.0, -3.0
    sure = confidence_layers(odds, matte, missing, {})
    background = sure["background-confidence"][0, 0, 0]
    assert [float(background[x]) for x in (0, 12, 30)] == [0, SEEN_ELSEWHERE, 1]
    assert torch.equal(sure["foreground-confidence"], matte)
    of_matte = sure["matte-confidence"][0, 0, 0]
    assert float(of_matte[30]) == 0 and float(of_matte[[0, 47]].min()) > 0.9


def test_a_run_writes_them_beside_its_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    media.save(Path("in.mkv"), media.moving(4))
    words = ["--task", "watermark", "--preset", "fast", "--no-progress", "--lossless"]
    box = ["--hint", "box:4,4,20,12"]
    assert main(["run", "in.mkv", *words, *box, "--confidence", "--out", "out"]) == 0
    whole = json.loads(Path("out/manifest.json").read_text())
    assert whole["settings"]["confidence"] is True
    (layer,) = (each for each in whole["layers"] if each["name"] == "clean-confidence")
    assert layer["role"] == "clean-confidence" and layer["data"] is True
    sure = read_clip(Path("out", layer["path"]))
    assert len(sure) == 4 and np.array_equal(sure[..., 0], sure[..., 2])
    assert (sure[:, -4:] == 255).all()


@pytest.mark.parametrize("preset", ["paper", "coupled"])
def test_networks_alone_do_not_say_how_sure_they_are(preset: str) -> None:
    with pytest.raises(UsageError, match=f"--confidence and --preset {preset} contradict"):
        Settings(inputs=(Path("in.mkv"),), task="segment", preset=preset, confidence=True)


def known(quality: ExpectedQuality) -> list[float]:
    """Return the values of the frames of which something is expected."""
    return [value for value in quality.values if value is not None]


def test_windows_that_share_frames_expect_their_mean() -> None:
    expected = ExpectedQualities()
    for first, values in ((4, (0.2, None, 0.6)), (6, (0.8, 1.0))):
        quality = {"matte": ExpectedQuality("iou", values)}
        expected.add(first, Separation({}, expected=quality))
    layer = WrittenLayer("matte", "matte", Path("matte.mkv"), 4, 7)
    found = expected.added_to(layer).expected
    assert found == ExpectedQuality("iou", (0.2, None, 0.7, 1.0))
    other = WrittenLayer("clean", "clean", Path("clean.mkv"), 4, 7)
    assert expected.added_to(other).expected is None
    with pytest.raises(ValueError, match="one of psnr, iou"):
        ExpectedQuality("ssim", ())


def test_a_matte_along_a_jump_of_the_motion_is_expected_to_overlap_more() -> None:
    flow = torch.zeros(2, 2, *SIZE)
    flow[:, 0, 8:24, 12:30] = 3.0
    rest, sure = torch.zeros_like(flow), torch.ones(2, 1, *SIZE)
    motion = WindowMotion(flow, -flow, rest, rest, sure, sure, torch.cat([flow, flow[:1]]))
    matte = torch.zeros(3, 1, *SIZE)
    matte[..., 8:24, 12:30] = 1
    whole, shifted = (known(expected_overlap(motion, each)) for each in (matte, matte.roll(12, -1)))
    assert len(whole) == len(shifted) == 3 and min(whole) > max(shifted) >= 0
    assert expected_overlap(motion, torch.zeros_like(matte)).values == (None, None, None)
