"""Test the benchmark's script: the truth wins, the input as it is gets the plain method's dB."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from samples.benchmark import main, score

SMALL = ("--height", "36", "--frames", "8")


def test_layers_are_judged_by_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, yours = tmp_path / "clips", tmp_path / "yours"
    assert main(["make", str(clips), "--tasks", "transition", "dehaze", *SMALL]) == 0
    about = json.loads((clips / "transition/about.json").read_text())
    assert about["layers"] == ["scene-001", "scene-002"] and about["first_judged"] == 2
    shutil.copytree(clips / "transition/truth", yours / "transition")
    (yours / "dehaze").mkdir()
    # The hazy clip itself, with all its frames.
    shutil.copy(clips / "dehaze/input.mkv", yours / "dehaze/clear.mkv")
    capsys.readouterr()
    assert main(["score", str(clips), str(yours)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and all(line.endswith("| 60.0 |") for line in lines[3:])
    ((task, layer, plain, own), *scenes) = score(clips, yours)
    assert (task, layer) == ("dehaze", "clear") and own == pytest.approx(plain, abs=0.1)
    assert all(plain < 45 for _, _, plain, _ in scenes)


def test_a_folder_without_layers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(tmp_path / "clips"), str(tmp_path / "yours")]) == 1
    assert "holds none of the layers" in capsys.readouterr().err


def test_layers_of_another_length_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = tmp_path / "clips"
    assert main(["make", str(clips), "--tasks", "transition", *SMALL]) == 0
    yours = tmp_path / "yours/transition"
    yours.mkdir(parents=True)
    assert main(["make", str(tmp_path / "other"), "--tasks", "dehaze", *SMALL[:3], "5"]) == 0
    shutil.copy(tmp_path / "other/dehaze/input.mkv", yours / "scene-001.mkv")
    assert main(["score", str(clips), str(tmp_path / "yours")]) == 1
    assert "has 5 frames" in capsys.readouterr().err
