"""The example task does what it says, and the documents show the code that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import media
import numpy as np
import pytest
from clips import moving, read_clip

from pipeline.cli.main import main
from pipeline.tasks import names
from stages.mixing.psnr import psnr_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point of a package with the example in it."""
    about = tmp_path / "site" / "rainy-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rainy\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[unlayer.tasks]\nrain = samples.rain:TASK\n")
    monkeypatch.syspath_prepend(about.parent)
    monkeypatch.chdir(tmp_path)


def rained_on(clear: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same clip with bright streaks, others in every frame."""
    rng, out = np.random.default_rng(seed), clear.copy()
    for frame in out:
        for x, y in rng.integers(0, frame.shape[1::-1], (frame.shape[1] // 8, 2)):
            cv2.line(frame, (int(x), int(y)), (int(x) + 1, int(y) + 8), (250, 250, 250), 1)
    return out


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return psnr_of(float(((one.astype(float) - other) ** 2).mean()) / 255**2)


def test_streaks_are_taken_out_and_the_layers_mix_back(installed: None) -> None:
    assert "rain" in names()
    clear = moving(3, 12, (72, 96))
    wet = rained_on(clear)
    media.save(Path("wet.mkv"), wet)
    assert main(["run", "wet.mkv", "--task", "rain", "--lossless", "--no-progress"]) == 0
    whole = json.loads(Path("wet-rain/manifest.json").read_text())
    assert [layer["role"] for layer in whole["layers"]] == ["clean", "streaks"]
    clean, streaks = (read_clip(Path("wet-rain", f"{name}.mkv")) for name in ("clean", "streaks"))
    assert np.abs(clean.astype(int) + streaks - wet).max() <= 1
    before, after = psnr(wet, clear), psnr(clean, clear)
    print(f"{before:.1f} dB before, {after:.1f} dB after")
    assert after > before + 8, f"{before:.1f} dB before, {after:.1f} dB after"


def test_a_dry_clip_stays_as_it_is(installed: None) -> None:
    dry = moving(1, 6, (48, 64))
    media.save(Path("dry.mkv"), dry)
    assert main(["run", "dry.mkv", "--task", "rain", "--lossless", "--no-progress"]) == 0
    assert psnr(read_clip(Path("dry-rain/clean.mkv")), dry) > 35


@pytest.mark.parametrize("name", ["README.md", "docs/adding-a-task.md"])
def test_the_documents_show_the_code_that_runs(name: str) -> None:
    text = (ROOT / name).read_text()
    (code,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
        if "def survey" in block
    ]
    assert code == (ROOT / "samples" / "rain.py").read_text()
