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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("make", "clips", "--height", "0"), "--height 0"),
        (("make", "clips", "--frames", "1"), "--frames 1"),
        (("make", "clips", "--frames", "-1", "--tasks", "dehaze"), "at least 1 frame"),
        (("make", "a-file", "--tasks", "dehaze", *SMALL), "cannot be made"),
        (("score", "made", "nowhere"), "holds none of the layers"),
        (("score", "damaged", "yours"), "is damaged"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    words: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    assert main(["make", "made", "--tasks", "dehaze", *SMALL]) == 0
    Path("damaged/dehaze").mkdir(parents=True)
    Path("damaged/dehaze/about.json").write_text('{"task": "dehaze"')
    assert main(words) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_only_a_layer_of_the_same_name_is_judged(tmp_path: Path) -> None:
    clips, yours = tmp_path / "clips", tmp_path / "yours/dehaze"
    assert main(["make", str(clips), "--tasks", "dehaze", *SMALL]) == 0
    yours.mkdir(parents=True)
    (yours / "clear-notes.txt").write_text("what was tried")
    shutil.copy(clips / "dehaze/truth/clear.mkv", yours)
    assert [row[3] for row in score(clips, yours.parent)] == [60.0]
