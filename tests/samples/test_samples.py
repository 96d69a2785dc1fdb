"""The sample clip and the README's two commands."""

from __future__ import annotations

import importlib.util
import re
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from stages.media.read import open_clip

ROOT = Path(__file__).parents[2]
FADE = ROOT / "samples" / "fade.mp4"

make = pytest.importorskip("samples.make", reason="needs scikit-image, from the dev extra")


def test_the_sample_is_small_and_has_sound() -> None:
    info = open_clip([FADE]).info
    assert FADE.stat().st_size < 1_000_000
    assert (info.width, info.height, info.frames, info.rate, info.audio_streams) == (
        384,
        216,
        75,
        Fraction(25),
        1,
    )
    assert info.color_space == "bt709" and not info.full_range


def test_the_sample_is_made_of_its_true_layers() -> None:
    a, b, weight = make.true_layers()
    assert a.shape == b.shape == (50, 216, 384, 3) and a.dtype == np.uint8
    assert weight.tolist() == pytest.approx([0] * 25 + [k / 25 for k in range(25)] + [1] * 25)
    clip = open_clip([FADE]).frames(0, 74).pixels.permute(0, 2, 3, 1).numpy()
    for index in range(75):
        w = weight[index]
        expected = (1 - w) * a[min(index, 49)] / 255 + w * b[max(0, index - 25)] / 255
        error = np.abs(clip[index] - expected).mean()
        # H.264 with halved chroma, nothing else, stands between them.
        assert error < 0.012, f"frame {index} is off by {error}"


def test_true_layers_are_the_same_every_time() -> None:
    assert all(
        np.array_equal(one, two)
        for one, two in zip(make.true_layers(), make.true_layers(), strict=True)
    )


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("imageio_ffmpeg") is None, reason="needs imageio-ffmpeg"
)
def test_the_sample_can_be_made_again(tmp_path: Path) -> None:
    make.write(tmp_path / "again.mp4")
    old, new = (open_clip([path]).frames(0, 74).pixels for path in (FADE, tmp_path / "again.mp4"))
    # Another build of the encoder may round differently.
    assert (old - new).abs().mean() < 0.01


def test_every_photograph_is_named_with_its_licence() -> None:
    used = set(re.findall(r"data\.(\w+)\(\)", (ROOT / "samples/make.py").read_text()))
    named = dict(
        re.findall(
            r"^\|.*\| `(\w+)\(\)` \|.*\| (.*) \|$",
            (ROOT / "samples/README.md").read_text(),
            re.MULTILINE,
        )
    )
    assert used == set(named)
    assert all("CC0" in licence or "public domain" in licence for licence in named.values())


def test_the_readmes_commands_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = re.findall(r"^    (bash \S+)$", readme, re.MULTILINE)
    assert commands == ["bash samples/run", "bash tests/run"]
    for command in commands:
        script = ROOT / command.split()[1]
        assert subprocess.run(["bash", "-n", script], capture_output=True).returncode == 0
    assert "bash tests/run" in (ROOT / ".ci/run").read_text()
    assert "pipeline run samples/fade.mp4 --task transition" in (ROOT / "samples/run").read_text()
