"""The command line: exit statuses, one clear line, and nothing heavy before the words are right."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from clips import OWN, plain_answer

from pipeline import __version__
from pipeline.cli.main import main
from pipeline.cli.verbs import VERBS

ROOT = Path(__file__).parents[3]
MIXED = ("--task", "transition", "--transition", "8:15")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return what runs the command line in an empty folder.

    It returns the exit status, standard output and standard error.
    """
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return status, out, err

    return call


def refused(answer: tuple[int, str, str], status: int, *says: str) -> None:
    """Check that an answer is a refusal.

    It has this status, nothing on standard output, and one line that contains all of ``says``.
    """
    code, out, err = answer
    assert code == status, err
    assert out == ""
    lines = [line for line in err.splitlines() if " done in " not in line]
    assert len(lines) == 1 and lines[0].startswith("unlayer: "), err
    assert "Traceback" not in err
    for word in says:
        assert word in lines[0]


def test_help_and_version(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0 and all(verb in out for verb in VERBS)
    status, out, err = run("--version")
    assert (status, err) == (0, "") and out.splitlines()[0] == f"unlayer {__version__}"
    versions = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (
        versions["torch"] == torch.__version__
        and versions["av"] == av.__version__
        and versions["numpy"] == np.__version__
    )
    assert (
        ".".join(map(str, av.library_versions["libavcodec"])) in versions["ffmpeg"]
        or versions["ffmpeg"] == "of this system"
    )
    assert run()[0] == 2


def test_help_of_run_shows_every_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "--help-all"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for default in ("balanced", "auto", "0"):
        assert f"(default: {default})" in shown


def test_report_wants_a_finished_run(run: Run, tmp_path: Path) -> None:
    refused(run("report"), 2, "RUN")
    refused(run("report", "nowhere"), 2, "nowhere", "folder")
    (tmp_path / "empty").mkdir()
    refused(run("report", "empty"), 1, "empty", "manifest.json")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_is_built_has_its_function(verb: str) -> None:
    module, name = VERBS[verb].function.split(":")
    assert callable(getattr(importlib.import_module(f"pipeline.{module}"), name))


def test_wrong_command_lines(run: Run) -> None:
    refused(run("rum", "x"), 2, "did you mean run")
    refused(run("--versoin"), 2, "did you mean --version")
    refused(run("run", "--task", "transition"), 2, "INPUT")
    # Without a task a run does what is found, so only the file is wrong here.
    refused(run("run", "x"), 1, "x: there is no such file")
    refused(run("run", "x", "--task", "transitoin"), 2, "did you mean transition")
    refused(run("run", "x", "--task", "transition", "--preset", "quick"), 2, "--preset")
    refused(run("run", "x", "--task", "transition", "--alpha", "png"), 2, "--alpha")
    refused(run("run", "x", "--task", "transition", "--hint", "y.png"), 2, "--hint")
    refused(run("probe", "x", "--preset", "best"), 2, "--preset")


def test_missing_and_useless_inputs(run: Run, tmp_path: Path) -> None:
    refused(run("run", "nothing.mp4", "--task", "transition"), 1, "nothing.mp4")
    refused(run("probe", "nothing.mp4"), 1, "nothing.mp4")
    Path("text.mp4").write_text("hello\n" * 100)
    refused(run("run", "text.mp4", "--task", "transition"), 1, "text.mp4")
    Path("empty.mp4").touch()
    refused(run("run", "empty.mp4", "--task", "transition"), 1, "empty.mp4")
    refused(run("run", "no\nsuch\x1b[31m.mp4", "--task", "transition"), 1, "no")
    assert not [entry for entry in tmp_path.iterdir() if entry.is_dir()]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_said_before_the_input_is_opened(run: Run) -> None:
    refused(
        run("run", "nothing.mp4", "--task", "transition", "--device", "cuda"),
        2,
        "--device cuda",
        "--device cpu",
    )


def test_ranges_outside_the_clip(run: Run, mixed_clip: Callable[..., Path]) -> None:
    clip = mixed_clip()
    refused(run("run", clip, "--task", "transition", "--start", 100), 2, "--start")
    refused(
        run("run", clip, "--task", "transition", "--transition", "500:600"),
        2,
        "--transition 500:600",
    )
    refused(run("run", clip, "--task", "transition", "--transition", "20:30"), 2, "20")
    refused(
        run("run", clip, "--task", "transition", "--start", "0.4", "--transition", "3:12"),
        2,
        "3:12",
        "10",
    )
    refused(
        run("run", clip, "--task", "transition", "--start", "0.4", "--transition", "20:25"),
        2,
        "which begin at 10",
    )
    refused(run("run", clip, "--task", "transition", "--stream", 7), 2, "--stream")
    assert not list(clip.parent.glob("*-transition"))


def test_folders_that_cannot_be_written(
    run: Run, mixed_clip: Callable[..., Path], tmp_path: Path
) -> None:
    clip = mixed_clip()
    (tmp_path / "file").touch()
    refused(run("run", clip, "--task", "transition", "--out", "file"), 1, "file", "--out")
    refused(run("run", clip, "--task", "transition", "--out", "file/below"), 1, "below", "--out")
    refused(
        run("run", clip, "--task", "transition", "--out", "/proc/nothing"),
        1,
        "/proc/nothing",
        "--out",
    )


def test_debug_shows_where_an_error_came_from(run: Run) -> None:
    status, _, err = run("run", "nothing.mp4", "--task", "transition", "--debug")
    assert status == 1 and "Traceback" in err and err.splitlines()[-1].startswith("unlayer: ")


def test_unexpected_errors_are_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(words: object) -> int:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr("pipeline.cli.main.dispatch", breaks)
    refused(run("run"), 1, "RuntimeError", "first second", "--debug")


def test_disk_full_and_memory_are_explained(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, says in (
        (OSError(28, "No space left on device", "/out/x"), "/out/x: No space left"),
        (MemoryError(), "out of memory"),
    ):

        def breaks(words: object, error: Exception = error) -> int:
            raise error

        monkeypatch.setattr("pipeline.cli.main.dispatch", breaks)
        refused(run("run"), 1, says)


def test_probe(run: Run, mixed_clip: Callable[..., Path]) -> None:
    clip = mixed_clip()
    status, out, _ = run("probe", clip, "--json", "--transition", "8:15")
    facts = json.loads(out)
    assert status == 0
    assert (facts["width"], facts["height"], facts["frames"], facts["rate"]) == (64, 48, 24, "25/1")
    assert facts["shots"] == [
        {"first_frame": 0, "last_frame": 7},
        {"first_frame": 16, "last_frame": 23},
    ]
    (move,) = facts["transitions"]
    assert (move["first_frame"], move["last_frame"], move["from"], move["to"]) == (
        8,
        15,
        "scene-001",
        "scene-002",
    )
    assert len(move["mix"]) == 8
    status, out, _ = run("probe", clip, "--transition", "8:15")
    assert status == 0 and "scene-001 to scene-002" in out


STUCK = """
import sys, time
import pipeline.tasks.transition.separate as task
def stuck(*words, **more):
    print("stuck", flush=True)
    while True:
        time.sleep(0.05)
task.separate_transition = stuck
from pipeline.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def stopped(number: int, *words: str) -> tuple[int, str, str]:
    """Send a run a signal in the middle of its separation.

    Return its exit status, what it printed after that, and its errors.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STUCK, *words, "--no-progress"]
    # A shell's background job ignores Ctrl-C, and so would its children.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=heard,
    )
    try:
        assert child.stdout and child.stdout.readline() == "stuck\n"
        child.send_signal(number)
        out, err = child.communicate(timeout=10)
    finally:
        child.kill()
        child.communicate()
    return child.returncode, out, err


@pytest.mark.usually(1)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(
    mixed_clip: Callable[..., Path], tmp_path: Path, number: int, status: int
) -> None:
    words = ("run", str(mixed_clip()), *MIXED, "--out", str(tmp_path / "out"))
    refused(stopped(number, *words), status, "--resume")
    assert (tmp_path / "out/.work/run.json").exists()
    assert not (tmp_path / "out/manifest.json").exists() and not (tmp_path / "out/.lock").exists()


def test_killed_then_refused_then_resumed(
    run: Run, mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("run", str(mixed_clip()), *MIXED, "--out", "out")
    assert stopped(signal.SIGKILL, *words)[0] == -signal.SIGKILL
    assert [entry.name for entry in Path("out").iterdir() if not entry.name.startswith(".")] == []
    refused(run(*words), 2, "--resume", "--overwrite")
    refused(run(*words, "--resume", "--seed", 7), 2, "--overwrite")
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    assert run(*words, "--resume")[0] == 0
    assert sorted(entry.name for entry in Path("out").iterdir()) == sorted(
        [*OWN, "scene-001.mp4", "scene-002.mp4", "sheet.png"]
    )


HEAVY = """
import sys
from pipeline.cli.main import main
main(sys.argv[1:])
print({"torch", "av", "numpy", "cv2"} & set(sys.modules))
"""


@pytest.mark.parametrize(
    "words",
    [
        "run x --presett y",
        "run x --task transitoin",
        "run x --preset fats --task segment",
        "rum",
        "--version",
    ],
)
def test_words_are_answered_before_anything_heavy_is_imported(words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HEAVY, *words.split()], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "set()"
    assert "did you mean" in done.stderr or words == "--version"
