"""What becomes of a chain's folder later: timelines, another run in its place, its report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import plain_answer

from pipeline.cli.main import main
from pipeline.diagnosis import choose
from pipeline.settings import Settings
from pipeline.tasks.transition import separate
from stages.diagnosis import NOT_THERE, Diagnosed, Diagnosis

FAST = ("--preset", "fast", "--no-progress", "--out", "out")
TWO = ("--task", "dehaze,transition", "--transition", "8:15")
ONE = ("--task", "dehaze")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(separate, "separate_transition", plain_answer)


def run(*words: object, status: int = 0) -> None:
    assert main(["run", *map(str, words), *FAST]) == status


def manifest(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text())
    return found


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the diagnoses find nothing."""
    names = ("watermark", "transparency", "dehaze", "transition", "segment")
    told = {name: Diagnosis(name, NOT_THERE, "as told") for name in names}
    monkeypatch.setattr(
        choose, "diagnoser_for", lambda *words: lambda search, kept: Diagnosed((), told, ())
    )


@pytest.mark.usually(1)
@pytest.mark.parametrize("tasks", ["dehaze,transition", "transition,dehaze"])
def test_a_finished_chain_gets_the_timelines_it_lacks(
    tasks: str, mixed_clip: Callable[..., Path]
) -> None:
    words = mixed_clip(), "--task", tasks, "--transition", "8:15"
    run(*words)
    (step,) = (one["path"] for one in manifest()["steps"] if one["task"] == "transition")
    layers = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.m*")}
    run(*words, "--timeline", "csv,edl")
    assert manifest(f"out/{step}")["timelines"] == ["shots.csv", "timeline.edl"]
    assert "scene-002" in Path("out", step, "shots.csv").read_text()
    changed = [path for path, time in layers.items() if path.stat().st_mtime_ns != time]
    assert changed == []
    # They are those that a new run with the option writes.
    first = Path("out", step, "timeline.edl").read_text()
    run(*words, "--timeline", "csv,edl", "--overwrite")
    assert Path("out", step, "timeline.edl").read_text() == first


@pytest.mark.usually(2)
@pytest.mark.parametrize("names", [None, 3, [], [7], ["../in.mp4"]], ids=str)
def test_a_damaged_manifest_is_one_clear_error(
    names: object, mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = mixed_clip(), *TWO
    run(*words)
    whole = manifest()
    whole["steps"][1]["input"] = names
    Path("out/manifest.json").write_text(json.dumps(whole))
    capsys.readouterr()
    run(*words, "--timeline", "csv", status=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "out: its manifest.json is damaged; do it again with --overwrite" in line


@pytest.mark.slow
def test_a_single_task_that_replaces_a_chain_leaves_no_step(
    mixed_clip: Callable[..., Path],
) -> None:
    clip = mixed_clip()
    run(clip, *TWO)
    Path("out/02-transition/mine.txt").write_text("mine")
    run(clip, *ONE, "--overwrite")
    assert manifest()["task"] == "dehaze"
    assert not Path("out/index.html").exists() and not Path("out/01-dehaze").exists()
    assert [entry.name for entry in Path("out/02-transition").iterdir()] == ["mine.txt"]


@pytest.mark.usually(1)
@pytest.mark.parametrize("words", [ONE, ("--task", "dehaze,dehaze")], ids=" ".join)
def test_an_interrupted_chain_that_is_replaced_leaves_no_step(
    words: tuple[str, ...], mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*words: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    clip = mixed_clip()
    with monkeypatch.context() as patch:
        patch.setattr(separate, "separate_transition", stopped)
        run(clip, *TWO, status=130)
    assert Path("out/02-transition").is_dir()
    Path("out/03-mine").mkdir()
    run(clip, *words, "--overwrite")
    steps = {step["path"] for step in manifest().get("steps", [])}
    assert {entry.name for entry in Path("out").iterdir() if entry.is_dir()} == {
        *steps,
        "03-mine",
        *([] if steps else ["report"]),
    }


@pytest.mark.usefixtures("nothing")
def test_a_run_that_found_nothing_has_a_report(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run(mixed_clip())
    assert manifest()["steps"] == []
    Path("out/index.html").unlink()
    assert main(["report", "out", "--no-progress"]) == 0
    assert "written to out/index.html" in capsys.readouterr().out
    assert "left as it is" in Path("out/index.html").read_text()


@pytest.mark.slow
def test_the_report_of_a_chain_renews_its_index(mixed_clip: Callable[..., Path]) -> None:
    run(mixed_clip(), *TWO)
    before = Path("out/index.html").read_text()
    Path("out/index.html").unlink()
    assert main(["report", "out", "--quiet"]) == 0
    assert Path("out/index.html").read_text() == before


def test_spaces_beside_commas_make_no_other_run(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip()
    run(clip, *TWO)
    assert manifest()["task"] == "dehaze,transition"
    capsys.readouterr()
    run(clip, "--task", " dehaze , transition", *TWO[2:])
    assert "finished already" in capsys.readouterr().out
    assert Settings(task=" dehaze, transition ").task == "dehaze,transition"


def test_the_word_auto_stands_alone(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ("auto,dehaze", "dehaze, auto"):
        run(mixed_clip(), "--task", words, status=2)
        (line,) = capsys.readouterr().err.splitlines()
        assert "give auto alone, or name all tasks" in line


@pytest.mark.parametrize("words", [("--",), ("--quiet", "--")], ids=" ".join)
@pytest.mark.usefixtures("nothing")
def test_the_short_form_takes_names_after_two_dashes(
    words: tuple[str, ...], mixed_clip: Callable[..., Path]
) -> None:
    mixed_clip("a.mp4").rename("-odd.mp4")
    assert main([*words, "-odd.mp4"]) == 0
    assert manifest("-odd-auto")["input"][0]["path"] == "-odd.mp4"


def test_two_dashes_alone_ask_for_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--"]) == 2
    assert "run needs INPUT" in capsys.readouterr().err
