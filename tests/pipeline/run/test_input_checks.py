"""Inputs and options that do not fit each other: what is refused, and what is warned of."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import media
import pytest
import torch
from clips import moving

from pipeline.batch import batch as batching
from pipeline.cli.main import main
from pipeline.cli.parser import settings_from
from pipeline.run.inputs import check_inputs, device_warning, overrun_warning
from pipeline.run.opening import open_checked
from pipeline.settings import Settings
from pipeline.tasks import built_in, find_task
from stages.errors import UsageError
from stages.setting_values import PRESETS

pytestmark = pytest.mark.usefixtures("inputs_of_every_form")


def test_a_gpu_that_a_task_leaves_unused_is_warned_of() -> None:
    gpu = torch.device("cuda")
    for name, preset in product(sorted(built_in()), PRESETS):
        task, asked = find_task(name), Settings(task=name, preset=preset, device="cuda:0")
        text = device_warning(asked, task, gpu)
        alone = preset in ("paper", "coupled")
        assert (text is not None) is (name in ("dehaze", "transparency") and not alone)
        assert text is None or (
            "--device cuda:0 has no effect" in text and preset in text and name in text
        )
        assert device_warning(replace(asked, device="auto"), task, gpu) is None
        assert device_warning(replace(asked, device="cpu"), task, torch.device("cpu")) is None


def test_a_budget_that_was_overrun_is_warned_of() -> None:
    assert (
        overrun_warning(Settings(), 1e6) is None
        and overrun_warning(Settings(max_seconds=10.0), 42.5) is None
    )
    assert "--max-seconds allows 10" in str(overrun_warning(Settings(max_seconds=10.0), 43.0))


def test_an_input_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    Path("link.png").symlink_to("1.png")
    check_inputs([Path("0.png"), Path("1.png"), Path("nowhere"), Path("nowhere")])
    for twice in (
        ["0.png", "0.png"],
        ["0.png", "1.png", str(tmp_path / "0.png")],
        ["1.png", "link.png"],
    ):
        with pytest.raises(UsageError, match="is given twice"):
            check_inputs([Path(one) for one in twice])
    with pytest.raises(
        UsageError,
        match=r"link\.png: is given twice \(1\.png is the same file\); give each input once",
    ):
        open_checked(settings_from("run", ["1.png", "link.png"]))


def test_several_videos_and_folders_among_files_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    media.save(Path("other.mkv"), moving(2, 4, (24, 32)))
    told = {
        ("clip.mkv", "other.mkv"): "give one video",
        ("0.png", "clip.mkv"): "give one video",
        ("0.png", "folder"): "is a folder",
    }
    for words, says in told.items():
        assert main(["run", *words, "--task", "segment", "--no-progress"]) != 0
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert says in line


def test_a_batch_says_what_it_leaves_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (
        "clips/a.mp4",
        "clips/notes.txt",
        "clips/.b.mp4",
        "clips/.DS_Store",
        "clips/in/c.mkv",
        "clips/in/0001.png",
    ):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")
    Path("clips/loop").symlink_to(".")
    monkeypatch.setattr(batching.Batch, "run", lambda self: None)
    assert main(["batch", "clips", "--task", "segment", "--out", "out", "--json"]) == 0
    first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "event": "warning",
        "text": "clips: 2 files without a video's name (0001.png, ...) and 1 hidden file (.b.mp4) "
        "and 1 linked folder (loop) are left out; "
        "--pattern '*.png' takes pictures one by one, and run takes a folder of numbered ones as "
        "one clip",
    }
    whole: dict[str, Any] = json.loads(Path("out/batch.json").read_text())
    assert (
        whole["skipped"] == {"files": 2, "hidden": 1, "folders": 0, "links": 1}
        and whole["with_warnings"] == 0
    )
    assert main(["batch", "clips", "--task", "segment", "--out", "out", "--flat"]) == 0
    assert "1 folder (in)" in capsys.readouterr().err
    # Files that the pattern leaves out were left out on purpose.
    assert main(["batch", "clips", "--task", "segment", "--out", "out", "--pattern", "c*"]) == 0
    assert "without a video's name" not in capsys.readouterr().err
    assert main(["batch", "folder", "--task", "segment", "--out", "out"]) == 2
    assert (
        "has no clip; 4 files without a video's name (0000.png, ...) are left out"
        in capsys.readouterr().err
    )
