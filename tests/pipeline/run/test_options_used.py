"""No option is silently unused: a table of every option of every verb in every situation, held by running what can be held.

``Used`` says how the option changes what is done, or which promise it holds, in that situation; ``Refused`` with which words the user
learns that it would not. What is warned of instead is tested below the table. A new option or verb without an entry fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
import torch
from clips import moving

from pipeline.batch import batch as batching
from pipeline.cli.main import main, parse
from pipeline.cli.parser import VERBS
from pipeline.run import execute as running
from pipeline.run.inputs import check_inputs, device_warning, overrun_warning
from pipeline.settings import PRESETS, Settings, flag, options
from pipeline.tasks import Job, Layer, Result, Task, built_in, find_task
from stages.errors import UsageError

INPUTS = ("video", "folder", "picture", "pictures")
"""A clip, a folder of numbered pictures (a clip too), one picture, several pictures."""


@dataclass(frozen=True)
class Used:
    """The option does something; how."""

    how: str


@dataclass(frozen=True)
class Refused:
    """The run ends with exit status 2 and a line that holds these words."""

    says: str


Verdict = Used | Refused
Rule = Callable[[str, str], Verdict]
"""From a task and a kind of input to what becomes of the option."""


def always(how: str) -> Rule:
    return lambda task, given: Used(how)


def only(uses: str, rule: Rule) -> Rule:
    """The rule for the tasks that have a use for the option, which all others refuse."""

    def judged(task: str, given: str) -> Verdict:
        return (
            rule(task, given)
            if uses in find_task(task).uses
            else Refused("has no meaning for --task")
        )

    return judged


def for_clips(how: str, *refused: str) -> Rule:
    return lambda task, given: Refused("has no meaning for") if given in refused else Used(how)


RUN: Mapping[str, tuple[str, Rule]] = {
    "task": ("", always("chooses what is done; given in every run here")),
    "out": ("out", always("the folder of the layers")),
    "config": (
        "my.toml",
        always("settings, each of which is checked as if it were given on the command line"),
    ),
    "dry_run": ("", always("nothing is written")),
    "preset": (
        "fast",
        always("how much is done where something is fitted; a closed form is as good as can be"),
    ),
    "max_seconds": ("900", always("a bound on the run; one that was overrun is warned of")),
    "device": (
        "cpu",
        always("where networks are fitted; a GPU that a task leaves unused is warned of"),
    ),
    "max_memory": ("3G", always("how many frames, or how large ones, are worked on at once")),
    "seed": (
        "3",
        always("same seed, same layers: where nothing is drawn at random that holds for all seeds"),
    ),
    "stream": ("0", for_clips("which stream is read", "folder", "picture", "pictures")),
    "interlaced": (
        "keep",
        for_clips("whether fields are made into frames", "folder", "picture", "pictures"),
    ),
    "salvage": ("", always("damage is no error; a sound file has none")),
    "max_pixels": ("4000000", always("larger frames are refused")),
    "start": ("0", for_clips("frames before it are not read", "picture", "pictures")),
    "end": ("9", for_clips("frames after it are not read", "picture", "pictures")),
    "transition": ("1:2", only("transition", for_clips("not searched for", "picture"))),
    "hint": (
        "mark.png",
        only(
            "hint", always("where the mark or the foreground is; nothing found there is warned of")
        ),
    ),
    "space": ("linear", only("space", always("the light in which layers add up"))),
    "strength": ("0.5", only("strength", always("how much of the haze is taken off"))),
    "lossless": (
        "",
        always("no loss in video layers; pictures never have one, and keep their 16 bits"),
    ),
    "alpha": (
        "vp9",
        only("alpha", for_clips("the container of the foreground", "picture", "pictures")),
    ),
    "resume": (
        "",
        always("goes on with what is there, and begins where nothing is, as its help says"),
    ),
    "anew": (
        "",
        always("begins again what --resume cannot go on with; refused without --resume, see below"),
    ),
    "overwrite": ("", always("replaces what is there; where nothing is it has nothing to replace")),
    "no_progress": ("", always("no progress bar; with --json there is none anyway")),
    "json": ("", always("machine-readable lines")),
    "debug": ("", always("shows where an error came from, where there is one")),
}
"""A value and the rule for each option of ``run``."""

PROBE = {
    "stream": "which stream is read; refused for pictures, as by run",
    "salvage": "damage is no error",
    "interlaced": "whether fields are made into frames before anything is found; refused for pictures, as by run",
    "max_pixels": "larger frames are refused",
    "start": "frames before it are not read; refused for pictures, as by run",
    "end": "frames after it are not read; refused for pictures, as by run",
    "transition": "not searched for; its kind and curve are measured",
    "json": "one JSON object",
    "debug": "shows where an error came from",
}
BATCH = {
    "pattern": "which files are clips",
    "flat": "subfolders are left out, which is said",
    "jobs": "clips at once; refused with --ray",
    "watch": "goes on; refused with --ray and with --dry-run",
    "store": "where runs are kept as well",
    "ray": "the cluster",
    "ray_cpus": "refused without --ray",
    "ray_gpus": "refused without --ray",
}
"""Options that ``batch`` has beyond those of ``run``, which it hands on to each clip's run, where they are judged."""
BENCH = {
    "task": "which clips are made and taken apart",
    "preset": "of the runs",
    "max_seconds": "for all rows",
    "device": "of the runs",
    "seed": "of the runs",
    "sizes": "of the clips",
    "frames": "of the clips, which are clips for every task",
    "rows": "where rows are kept",
    "table": "where the table goes",
    "json": "one JSON object a row",
    "debug": "shows where an error came from",
}
OTHERS = {
    "doctor": {"json": "one JSON object", "debug": "shows where an error came from"},
    "report": {"no_progress": "no progress bar", "debug": "shows where an error came from"},
}


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    frames = moving(1, 4, (24, 32))
    media.save(Path("clip.mkv"), frames)
    Path("folder").mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(f"folder/{number:04d}.png", frame[..., ::-1])
        cv2.imwrite(f"{number}.png", frame[..., ::-1])
    cv2.imwrite("mark.png", np.full((24, 32, 3), 255, np.uint8))
    Path("my.toml").write_text("seed = 4\n")


PATHS = {
    "video": ["clip.mkv"],
    "folder": ["folder"],
    "picture": ["0.png"],
    "pictures": ["0.png", "1.png"],
}


def stand_in(job: Job) -> Result:
    """A task's work that is done at once: what is tested here comes before it."""
    path = job.work / "layer.png"
    cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))
    return Result((Layer("layer", "layer", path, 0, 0),))


def perform(monkeypatch: pytest.MonkeyPatch, task: str, words: list[str]) -> int:
    quick: Task = replace(find_task(task), run=stand_in, roles=("layer",))
    monkeypatch.setattr(running, "find_task", lambda name: quick)
    monkeypatch.setattr(
        "pipeline.estimate.dry_run.estimate_run",
        lambda settings, stages: running.open_checked(settings) and {},
    )
    monkeypatch.setattr("pipeline.estimate.dry_run.print_estimate", lambda facts: None)
    monkeypatch.setattr(running, "with_report", lambda described, *more: (described(), []))
    return main(["run", *words, "--task", task])


def test_every_option_of_every_verb_has_an_entry() -> None:
    tables = {
        "run": set(RUN),
        "probe": set(PROBE),
        "batch": set(BATCH) | set(RUN) - {"transition", "anew"},
        "bench": set(BENCH),
    }
    tables |= {verb: set(table) for verb, table in OTHERS.items()}
    assert set(tables) == set(VERBS)
    for verb, table in tables.items():
        assert {item.name for item in options(verb)} == table, (
            f"every option of {verb} needs an entry that says where it is used"
        )


@pytest.mark.parametrize(("task", "given"), [*product(sorted(built_in()), INPUTS)])
def test_each_option_is_used_or_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], task: str, given: str
) -> None:
    for number, item in enumerate(options("run")):
        value, rule = RUN[item.name]
        verdict = rule(task, given)
        words = [
            *PATHS[given],
            *([] if item.name == "task" else [flag(item), *([value] if value else [])]),
        ]
        words += [] if item.name == "out" else ["--out", f"out-{number}"]
        words += ["--resume"] if item.name == "anew" else []
        status = perform(monkeypatch, task, words)
        shown = capsys.readouterr()
        if isinstance(verdict, Refused):
            assert status == 2, f"{flag(item)} for {task} of a {given} must be refused"
            (line,) = shown.err.strip().splitlines()
            assert flag(item) in line and verdict.says in line and line.endswith("leave it out")
            assert not Path(f"out-{number}").exists()
        else:
            assert status == 0, (
                f"{flag(item)} for {task} of a {given}: {verdict.how}; but {shown.err}"
            )
            assert "has no" not in shown.err


def test_an_option_from_a_file_is_judged_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("my.toml").write_text('alpha = "png"\n')
    assert perform(monkeypatch, "dehaze", ["clip.mkv", "--config", "my.toml"]) == 2
    assert "--alpha has no meaning for --task dehaze" in capsys.readouterr().err
    Path("m.json").write_text(
        '{"schema": 1, "task": "segment", "settings": {"seed": 1, "seed": 2}}'
    )
    assert perform(monkeypatch, "segment", ["clip.mkv", "--config", "m.json"]) == 2
    assert "the key 'seed' stands there twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "clip.mkv", "--task", "segment", "--anew"], "--anew says what --resume does"),
        (["probe", "0.png", "--stream", "0"], "--stream has no meaning for pictures"),
        (["probe", "0.png", "--end", "3"], "--end has no meaning for pictures"),
        (["probe", "0.png", "--transition", "0:0"], "--transition has no meaning for one picture"),
        (
            ["batch", "folder", "--task", "segment", "--ray-cpus", "2"],
            "--ray-cpus has no meaning without --ray",
        ),
        (
            ["batch", "folder", "--task", "segment", "--ray-gpus", "0.5"],
            "--ray-gpus has no meaning without --ray",
        ),
        (
            ["batch", "folder", "--task", "segment", "--ray", "auto", "--jobs", "2"],
            "--jobs has no meaning with --ray",
        ),
        (
            ["batch", "folder", "--task", "segment", "--ray", "auto", "--watch"],
            "leave out --overwrite and --watch",
        ),
        (
            ["batch", "folder", "--task", "segment", "--dry-run", "--watch"],
            "--dry-run ends and --watch does not",
        ),
        (
            ["batch", "folder", "--task", "dehaze", "--hint", "mark.png"],
            "--hint has no meaning for --task dehaze",
        ),
    ],
)
def test_options_that_have_no_meaning_beside_others(
    capsys: pytest.CaptureFixture[str], words: list[str], says: str
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert says in line


def test_a_gpu_that_a_task_leaves_unused_is_warned_of() -> None:
    gpu = torch.device("cuda")
    for name, preset in product(sorted(built_in()), PRESETS):
        task, asked = find_task(name), Settings(task=name, preset=preset, device="cuda:0")
        text = device_warning(asked, task, gpu)
        assert (text is not None) is (name in ("dehaze", "transparency") and preset != "paper")
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
        ["0.png", "1.png", tmp_path / "0.png"],
        ["1.png", "link.png"],
    ):
        with pytest.raises(UsageError, match="is given twice"):
            check_inputs([Path(one) for one in twice])
    with pytest.raises(
        UsageError,
        match=r"link\.png: is given twice \(1\.png is the same file\); give each input once",
    ):
        running.open_checked(parse("run", ["1.png", "link.png"]))


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
        "text": "clips: 2 files without a video's name (0001.png, ...) and 1 hidden file (.b.mp4) and 1 linked folder (loop) are left out; "
        "--pattern '*.png' takes pictures one by one, and run takes a folder of numbered ones as one clip",
    }
    whole: dict[str, Any] = json.loads(Path("out/batch.json").read_text())
    assert (
        whole["skipped"] == {"files": 2, "hidden": 1, "folders": 0, "links": 1}
        and whole["with_warnings"] == 0
    )
    assert main(["batch", "clips", "--task", "segment", "--out", "out", "--flat"]) == 0
    assert "1 folder (in)" in capsys.readouterr().err
    # What a pattern leaves out was asked for.
    assert main(["batch", "clips", "--task", "segment", "--out", "out", "--pattern", "c*"]) == 0
    assert "without a video's name" not in capsys.readouterr().err
    assert main(["batch", "folder", "--task", "segment", "--out", "out"]) == 2
    assert (
        "has no clip; 4 files without a video's name (0000.png, ...) are left out"
        in capsys.readouterr().err
    )
