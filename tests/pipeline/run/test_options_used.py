"""No option is silently unused.

A table holds every option of every command in every situation; what can be run is run. ``Used``
says how the option changes the result, or which promise it keeps; ``Refused`` says with which words
the user learns that it would change nothing. Warnings are tested below the table. A new option or
command without an entry fails.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.cli.verbs import VERBS
from pipeline.option_fields import flag
from pipeline.run import execute as running
from pipeline.run.opening import open_checked
from pipeline.settings import options
from pipeline.task import Job, Result, Task, WrittenLayer
from pipeline.tasks import built_in, find_task

pytestmark = pytest.mark.usefixtures("inputs_of_every_form")


INPUTS = ("video", "folder", "picture", "pictures")
"""A clip, a folder of numbered pictures (a clip too), one picture, several pictures."""


@dataclass(frozen=True)
class Used:
    """The option does something; how."""

    how: str


@dataclass(frozen=True)
class Refused:
    """The run ends with exit status 2 and a line that contains these words."""

    says: str


Verdict = Used | Refused
Rule = Callable[[str, str], Verdict]
"""What becomes of the option, for a task and a kind of input."""


def always(how: str) -> Rule:
    return lambda task, given: Used(how)


def only(uses: str, rule: Rule) -> Rule:
    """Return the rule for an option that these tasks use and all others refuse."""

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
    "shots": ("list.csv", only("shots", for_clips("not searched for", "picture"))),
    "hint": (
        "mark.png",
        only(
            "hint", always("where the mark or the foreground is; nothing found there is warned of")
        ),
    ),
    "mark": (
        "mark.png",
        only("mark", always("what the mark looks like; a mark that is not found is warned of")),
    ),
    "hint_background": (
        "point:1,1",
        only("hint_background", always("where the background is; it cannot become foreground")),
    ),
    "confidence": ("", only("confidence", always("grey layers say how sure each pixel is"))),
    "refine": (
        "earlier",
        only("refine", lambda task, given: Refused("has nothing to correct; give --hint")),
    ),
    "layers": (
        "auto",
        only(
            "layers",
            for_clips("how many foregrounds are told apart by their motion", "picture", "pictures"),
        ),
    ),
    "space": ("linear", only("space", always("the light in which layers add up"))),
    "strength": ("0.5", only("strength", always("how much of the haze is taken off"))),
    "force": ("", only("force", always("what is not believed is separated all the same"))),
    "lossless": (
        "",
        always("no loss in video layers; pictures never have one, and keep their 16 bits"),
    ),
    "alpha": (
        "vp9",
        only("alpha", for_clips("the container of the foreground", "picture", "pictures")),
    ),
    "timeline": ("csv", only("timeline", always("the cut, as files for editors"))),
    "codec": ("ffv1", for_clips("the codec of all layers", "picture", "pictures")),
    "resume": (
        "",
        always("goes on with what is there, and begins where nothing is, as its help says"),
    ),
    "anew": (
        "",
        always("begins again what --resume cannot go on with; refused without --resume, see below"),
    ),
    "overwrite": ("", always("replaces what is there; where nothing is it has nothing to replace")),
    "no_cache": ("", always("an earlier search is not taken; other tasks search for nothing")),
    "threads": ("1", always("how many cores compute; decoding and encoding have their own")),
    "quiet": ("", always("nothing is printed but warnings and errors; refused with --json")),
    "no_progress": ("", always("no progress bar; with --json there is none anyway")),
    "json": ("", always("machine-readable lines")),
    "debug": ("", always("shows where an error came from, where there is one")),
}
"""A value and the rule for each option of ``run``."""

PROBE = {
    "task": "only the things of these tasks are looked for",
    "stream": "which stream is read; refused for pictures, as by run",
    "salvage": "damage is no error",
    "interlaced": "whether fields become frames before the search; refused for pictures, as by run",
    "max_pixels": "larger frames are refused",
    "start": "frames before it are not read; refused for pictures, as by run",
    "end": "frames after it are not read; refused for pictures, as by run",
    "transition": "not searched for; its kind and curve are measured",
    "shots": "nothing is searched for; refused for one picture, as by run",
    "timeline": "the source's cut, as files for editors; refused for pictures but for csv",
    "csv": "where the shot list goes",
    "no_cache": "an earlier search is not taken",
    "json": "one JSON object",
    "debug": "shows where an error came from",
    "quiet": "prints warnings and errors alone",
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
"""The options that only ``batch`` has, and those that it passes on to each clip's run."""
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
    "report": {
        "quiet": "only errors",
        "no_progress": "no progress bar",
        "debug": "shows where an error came from",
    },
}


PATHS = {
    "video": ["clip.mkv"],
    "folder": ["folder"],
    "picture": ["0.png"],
    "pictures": ["0.png", "1.png"],
}


def stand_in(job: Job) -> Result:
    """Return a result at once: what is tested here comes before a task's work."""
    path = job.work / "layer.png"
    cv2.imwrite(str(path), np.zeros((24, 32, 3), np.uint8))
    return Result((WrittenLayer("layer", "layer", path, 0, 0),))


def perform(monkeypatch: pytest.MonkeyPatch, task: str, words: list[str]) -> int:
    quick: Task = replace(find_task(task), run=stand_in, roles=("layer",))
    monkeypatch.setattr(running, "find_task", lambda name: quick)
    monkeypatch.setattr(
        "pipeline.estimate.dry_run.estimate_run",
        lambda settings, stages: open_checked(settings) and {},
    )
    monkeypatch.setattr("pipeline.estimate.dry_run.print_estimate", lambda facts: None)
    monkeypatch.setattr(
        running, "with_report", lambda build_manifest, *more: (build_manifest([], None), [])
    )
    return main(["run", *words, "--task", task])


OF_SEGMENT = ("hint_background", "refine")
"""Options of one clip that only ``segment`` has."""


def test_every_option_of_every_verb_has_an_entry() -> None:
    tables = {
        "run": set(RUN),
        "probe": set(PROBE),
        "batch": set(BATCH) | set(RUN) - {"transition", "shots", *OF_SEGMENT, "anew"},
        "bench": set(BENCH),
    }
    tables |= {verb: set(table) for verb, table in OTHERS.items()}
    assert set(tables) == set(VERBS)
    for verb, table in tables.items():
        assert {item.name for item in options(verb)} == table, (
            f"every option of {verb} needs an entry that says where it is used"
        )


@pytest.mark.usually(8)
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
    assert "the key 'seed' appears twice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["run", "clip.mkv", "--task", "segment", "--anew"],
            "--anew has a meaning only together with --resume",
        ),
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
