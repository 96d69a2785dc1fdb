"""The frames that are looked at, and what `probe` prints and keeps of the diagnoses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import media
import pytest
import torch
from clips import moving

from pipeline.cli.main import main
from pipeline.diagnosis import diagnose as diagnosing
from pipeline.diagnosis import sample as sampling
from pipeline.diagnosis.sample import read_sample, sample_size
from pipeline.tasks import find_task
from stages.diagnosis import PERHAPS, ClipSample, Diagnosis
from stages.media.read import open_clip


def search(*shots: tuple[int, int]) -> dict[str, Any]:
    spans = [{"first_frame": first, "last_frame": last} for first, last in shots]
    return {"shots": spans, "transitions": [], "colors": [], "frames": shots[-1][1] + 1}


def quiet(fraction: float, note: str = "") -> None:
    """Take the progress."""


@pytest.mark.parametrize("one_pass", [768, 1])
def test_the_sample_is_spread_and_its_runs_lie_in_the_longest_shots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_pass: int
) -> None:
    monkeypatch.setattr(sampling, "ONE_PASS_FRAMES", one_pass)
    path = media.save(tmp_path / "a.mkv", moving(1, 100, (24, 32)))
    clip = open_clip([path])
    everything = torch.cat([block.pixels for block in clip.blocks()])
    made = read_sample(clip, search((0, 29), (30, 39), (40, 99)), quiet, seek=True)
    assert len(made.numbers) == 24 and (made.numbers[0], made.numbers[-1]) == (0, 99)
    assert made.run_starts == (3, 58) and [len(run) for run in made.runs] == [24, 24]
    assert made.size == (24, 32) and not made.unordered
    assert torch.equal(made.frames, everything[list(made.numbers)])
    assert torch.equal(made.runs[1], everything[58:82])


def test_one_long_shot_is_looked_at_in_two_places(tmp_path: Path) -> None:
    clip = open_clip([media.save(tmp_path / "a.mkv", moving(1, 60, (24, 32)))])
    assert read_sample(clip, search((0, 59)), quiet, seek=True).run_starts == (3, 33)
    assert read_sample(clip, search((0, 9)), quiet, seek=True).run_starts == (0,)


def test_without_a_seek_only_the_beginning_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "ONE_PASS_FRAMES", 30)
    clip = open_clip([media.save(tmp_path / "a.mkv", moving(1, 60, (24, 32)))])
    made = read_sample(clip, search((0, 59)), quiet, seek=False)
    assert max(made.numbers) == 29 and all(start + 23 < 30 for start in made.run_starts)


def test_separate_pictures_have_no_runs(tmp_path: Path) -> None:
    paths = []
    for number, picture in enumerate(moving(1, 3, (24, 32))):
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), picture)
    made = read_sample(open_clip(paths), search((0, 2)), quiet, seek=True)
    assert made.unordered and made.numbers == (0, 1, 2) and not made.runs


def test_large_frames_are_looked_at_at_a_small_size() -> None:
    assert sample_size(240, 424) == (240, 424)
    height, width = sample_size(2160, 3840)
    assert height * width <= 1.01 * sampling.PIXELS and width / height == pytest.approx(
        16 / 9, 0.01
    )
    assert sample_size(1, 1) == (1, 1)


@pytest.mark.usefixtures("diagnosing")
def test_probe_prints_the_diagnoses_and_keeps_them(
    mixed_clip: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("UNLAYER_CACHE", str(tmp_path / "cache"))
    looked = []

    def told(sample: ClipSample) -> Diagnosis:
        looked.append(sample)
        return Diagnosis("haze", PERHAPS, "as told", {"believed": 0.25, "box": [1, 2, 3, 4]})

    task = find_task("dehaze")
    monkeypatch.setattr(diagnosing, "diagnosing_tasks", lambda: [replace(task, diagnose=told)])
    clip = str(mixed_clip())
    assert main(["probe", clip, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["diagnoses"]
    assert [entry["name"] for entry in first] == ["haze", "borders", "interlacing", "stills"]
    assert first[0] == {
        "name": "haze",
        "task": "dehaze",
        "verdict": "perhaps",
        "account": "as told",
        "evidence": {"believed": 0.25, "box": [1, 2, 3, 4]},
    }
    assert main(["probe", clip, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["diagnoses"] == first and len(looked) == 1
    assert main(["probe", clip]) == 0
    table = capsys.readouterr().out
    assert "verdict" in table and "perhaps" in table and "as told" in table
    # A task of another version is asked again.
    monkeypatch.setattr(diagnosing, "_makers", lambda: ("another",))
    assert main(["probe", clip, "--json"]) == 0
    assert len(looked) == 2


def test_tasks_diagnose_in_the_order_in_which_a_run_does_them() -> None:
    names = [task.name for task in diagnosing.diagnosing_tasks()]
    assert names == ["watermark", "dehaze", "transparency", "transition", "segment"]


@pytest.mark.usefixtures("diagnosing")
def test_a_shot_list_alone_diagnoses_nothing(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosing, "read_sample", lambda *words, **more: 1 / 0)
    assert main(["probe", str(mixed_clip()), "--csv", "-"]) == 0


@pytest.mark.usefixtures("diagnosing")
def test_probe_looks_for_what_is_asked_for(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = str(mixed_clip())
    assert main(["probe", clip, "--json", "--task", "transition,dehaze"]) == 0
    found = json.loads(capsys.readouterr().out)["diagnoses"]
    tasks = [entry["task"] for entry in found]
    assert sorted(filter(None, tasks)) == ["dehaze", "transition"] and None in tasks
    assert main(["probe", clip, "--task", "transition,nothing"]) == 2
    assert "'nothing' is not known" in capsys.readouterr().err
