"""Several tasks in one run: each takes the main layer of the one before, and all can resume."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clips import plain_answer

from pipeline import separate as separate_clip
from pipeline.cli.main import main
from pipeline.diagnosis import choose
from pipeline.diagnosis.diagnose import tasks_to_do
from pipeline.tasks.transition import separate
from stages.diagnosis import NOT_THERE, THERE, Diagnosed, Diagnosis

FAST = ("--preset", "fast", "--no-progress")
DISSOLVE = ("--transition", "8:15")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(separate, "separate_transition", plain_answer)


def run(*words: object, out: str = "out", status: int = 0) -> dict[str, Any]:
    assert main(["run", *map(str, words), *FAST, "--out", out]) == status
    if status:
        return {}
    found = json.loads(Path(out, "manifest.json").read_text())
    assert isinstance(found, dict)
    return found


def error(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """Return the one line that a wrong command line is answered with."""
    capsys.readouterr()
    assert main(["run", *map(str, words), *FAST]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def layer_bytes(folder: str, manifest: dict[str, Any]) -> dict[str, bytes]:
    return {
        Path(layer["path"]).name: Path(folder, layer["path"]).read_bytes()
        for layer in manifest["layers"]
    }


def test_each_step_gets_the_main_layer_of_the_one_before(
    mixed_clip: Callable[..., Path],
) -> None:
    clip = mixed_clip()
    made = run(clip, "--task", "dehaze,transition", *DISSOLVE)
    assert [step["path"] for step in made["steps"]] == ["01-dehaze", "02-transition"]
    assert made["steps"][1]["input"] == ["01-dehaze/clear.mkv"]
    assert made["task"] == "dehaze,transition" and made["input"][0]["frames"] == 24
    assert [layer["name"] for layer in made["layers"]] == [
        "01-dehaze/airlight",
        "01-dehaze/transmission",
        "02-transition/scene-001",
        "02-transition/scene-002",
    ]
    assert all(Path("out", layer["path"]).is_file() for layer in made["layers"])
    assert made["transitions"][0]["from"] == "02-transition/scene-001"
    assert "report.html" in Path("out/index.html").read_text()
    # By hand, without loss between the steps, the layers are the same.
    run(clip, "--task", "dehaze", "--lossless", out="one")
    other = run("one/clear.mkv", "--task", "transition", *DISSOLVE, out="two")
    by_hand = layer_bytes("two", other)
    assert by_hand and by_hand.items() <= layer_bytes("out", made).items()


def test_every_scene_goes_on_to_the_next_step(mixed_clip: Callable[..., Path]) -> None:
    made = run(mixed_clip(), "--task", "transition,dehaze", *DISSOLVE)
    assert [step["path"] for step in made["steps"]] == [
        "01-transition",
        "02-dehaze-scene-001",
        "02-dehaze-scene-002",
    ]
    spans = {layer["name"]: (layer["first_frame"], layer["last_frame"]) for layer in made["layers"]}
    assert spans["02-dehaze-scene-001/clear"] == (0, 15)
    assert spans["02-dehaze-scene-002/clear"] == (8, 23)


@pytest.mark.slow
def test_a_finished_chain_is_left_as_it_is(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = (mixed_clip(), "--task", "dehaze,transition", *DISSOLVE)
    run(*words)
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    capsys.readouterr()
    run(*words)
    assert "finished already" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    assert "--overwrite" in error(capsys, *words, "--seed", "5", "--out", "out")
    Path("out/02-transition/scene-001.mp4").unlink()
    assert "scene-001.mp4 is missing" in error(capsys, *words, "--out", "out")
    run(*words, "--overwrite")
    assert Path("out/02-transition/scene-001.mp4").is_file()


def test_a_stopped_chain_goes_on_where_it_was(
    mixed_clip: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = (mixed_clip(), "--task", "dehaze,transition", *DISSOLVE)
    whole = run(*words, out="whole")

    def stopped(*words: Any, **more: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(separate, "separate_transition", stopped)
    run(*words, status=130)
    first = Path("out/01-dehaze/manifest.json").stat().st_mtime_ns
    assert not Path("out/manifest.json").exists()
    assert "--resume" in error(capsys, *words, "--out", "out")
    monkeypatch.setattr(separate, "separate_transition", plain_answer)
    made = run(*words, "--resume")
    assert Path("out/01-dehaze/manifest.json").stat().st_mtime_ns == first
    assert layer_bytes("out", made) == layer_bytes("whole", whole)


def test_a_chain_that_begins_nothing_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film")
    run(broken, "--task", "dehaze,transition", status=1)
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--task", "dehaze,"), "a name is missing"),
        (("--task", "dehaze,upscale"), "'upscale' is not known"),
        (("--task", "dehaze,transition", "--hint", "box:1,1,4,4"), "--hint has no meaning"),
        (("--task", "watermark,segment", "--hint", "box:1,1,4,4"), "runs of their own"),
        (("--hint", "box:1,1,4,4"), "give --task too"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(
    words: tuple[str, ...],
    said: str,
    mixed_clip: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert said in error(capsys, mixed_clip(), *words)


def told(there: set[str]) -> Diagnosed:
    """Return diagnoses in which the things of these tasks are there, and no others."""
    names = ("watermark", "transparency", "dehaze", "transition", "segment")
    return Diagnosed(
        (),
        {name: Diagnosis(name, THERE if name in there else NOT_THERE, "as told") for name in names},
        (),
    )


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """Return the set of tasks whose things the diagnoses find; a test fills it."""
    there: set[str] = set()

    def diagnoser_for(*words: Any) -> Any:
        return lambda search, kept: told(there)

    monkeypatch.setattr(choose, "diagnoser_for", diagnoser_for)
    yield there


def test_without_a_task_a_run_does_what_was_found(
    mixed_clip: Callable[..., Path], found: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found |= {"dehaze", "transition"}
    made = run(mixed_clip("a.mp4"))
    assert [step["task"] for step in made["steps"]][:2] == ["dehaze", "transition"]
    assert made["task"] == "auto"
    assert [entry["verdict"] for entry in made["diagnoses"]].count("there") == 2
    printed = capsys.readouterr().out
    assert "found dehaze (as told): --task dehaze" in printed
    # A pane lifts black as haze does, so what looks like haze is not taken off too.
    found |= {"transparency"}
    assert tasks_to_do(told(found)) == ["transparency", "transition"]


def test_a_file_alone_is_such_a_run(mixed_clip: Callable[..., Path], found: set[str]) -> None:
    found |= {"transition"}
    assert main([str(mixed_clip("a.mp4")), *FAST, "--out", "out"]) == 0
    made = json.loads(Path("out/manifest.json").read_text())
    assert made["task"] == "auto" and [step["task"] for step in made["steps"]] == ["transition"]


def test_where_nothing_is_found_the_input_is_left_as_it_is(
    mixed_clip: Callable[..., Path], found: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip("a.mp4")
    assert main(["run", str(clip), *FAST]) == 0
    made = json.loads(Path("a-auto/manifest.json").read_text())
    assert made["layers"] == [] and made["steps"] == []
    assert made["warnings"] == [choose.NOTHING_FOUND]
    assert "left as it is" in capsys.readouterr().err
    assert main(["run", str(clip), *FAST]) == 0
    assert "finished already" in capsys.readouterr().out


def test_python_gets_the_layers_of_all_steps(mixed_clip: Callable[..., Path]) -> None:
    with separate_clip(
        str(mixed_clip()), "dehaze,transition", preset="fast", transition=[(8, 15)]
    ) as made:
        assert made.layers["02-transition/scene-002"].frames.shape == (16, 48, 64, 3)


@pytest.mark.slow
def test_a_batch_does_chains_and_resumes_them(mixed_clip: Callable[..., Path]) -> None:
    Path("clips").mkdir()
    clip = mixed_clip("clips/a.mp4")
    words = ["batch", str(clip.parent), "--task", "dehaze,dehaze", "--out", "made", *FAST]
    assert main(words) == 0
    made = Path("made/a-dehaze+dehaze")
    assert json.loads((made / "manifest.json").read_text())["steps"][1]["path"] == "02-dehaze"
    assert main(words) == 0
    record = json.loads(Path("made/batch.json").read_text())
    assert [entry["status"] for entry in record["clips"]] == ["unchanged"]


def test_the_report_of_a_chain_is_that_of_its_steps(mixed_clip: Callable[..., Path]) -> None:
    run(mixed_clip(), "--task", "dehaze,dehaze")
    page = Path("out/02-dehaze/report.html")
    page.unlink()
    assert main(["report", "out", "--quiet"]) == 0
    assert page.is_file()


TWO = ("--task", "dehaze,transition", *DISSOLVE)


def test_a_link_in_the_place_of_a_step_is_refused(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """What the link leads to stays as it is, whichever step it stands for."""
    clip = mixed_clip()
    for step in ("01-dehaze", "02-transition"):
        elsewhere = Path(f"elsewhere-{step}")
        elsewhere.mkdir()
        (elsewhere / "mine.txt").write_text("mine")
        out = Path(f"out-{step}")
        out.mkdir()
        (out / step).symlink_to(elsewhere.resolve(), target_is_directory=True)
        for more in ((), ("--overwrite",)):
            assert "is a link" in error(capsys, clip, *TWO, "--out", out, *more)
        assert [entry.name for entry in elsewhere.iterdir()] == ["mine.txt"]
        assert [entry.name for entry in out.iterdir()] == [step]


@pytest.mark.slow
def test_a_chain_that_is_replaced_leaves_nothing_behind(mixed_clip: Callable[..., Path]) -> None:
    clip = mixed_clip()
    run(clip, *TWO)
    Path("out/02-transition/mine.txt").write_text("mine")
    run(clip, "--task", "dehaze,dehaze", "--overwrite")
    steps = {entry.name for entry in Path("out").iterdir() if entry.is_dir()}
    assert steps == {"01-dehaze", "02-dehaze", "02-transition"}
    assert [entry.name for entry in Path("out/02-transition").iterdir()] == ["mine.txt"]


@pytest.mark.slow
def test_a_chain_that_is_stopped_while_it_replaces_another_goes_on(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = mixed_clip()
    run(clip, *TWO)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.run.execute.perform", stopped)
        words = [*TWO, "--seed", "5", *FAST, "--out", "out", "--overwrite"]
        assert main(["run", str(clip), *words]) == 130
    # The old chain is no longer taken for a finished one.
    assert not Path("out/manifest.json").exists()
    made = run(clip, *TWO, "--seed", "5", "--resume")
    assert made["settings"]["seed"] == 5
    for step in ("01-dehaze", "02-transition"):
        assert json.loads(Path("out", step, "manifest.json").read_text())["settings"]["seed"] == 5


def stopped(*words: object) -> object:
    raise KeyboardInterrupt


def test_a_missing_layer_is_made_again_by_resume(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip()
    made = run(clip, *TWO)
    lost = Path("out", made["layers"][-1]["path"])
    content = lost.read_bytes()
    lost.unlink()
    assert "--resume" in error(capsys, clip, *TWO, "--out", "out")
    run(clip, *TWO, "--resume")
    assert lost.read_bytes() == content


@pytest.mark.slow
def test_a_damaged_manifest_is_one_line(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip()
    run(clip, *TWO)
    path = Path("out/manifest.json")
    whole = json.loads(path.read_text())
    damaged: list[object] = [None, "abc", ["abc"], [{}], 3]
    for layers in damaged:
        path.write_text(json.dumps(whole | {"layers": layers}))
        capsys.readouterr()
        assert main(["run", str(clip), *TWO, *FAST, "--out", "out"]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "its manifest.json is damaged" in line


def test_places_of_the_input_are_not_taken_for_those_of_a_part(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip()
    said = error(capsys, clip, *TWO, "--start", "0.12", "--out", "out")
    assert "--transition counts frames of the whole input" in said and not Path("out").exists()


def test_an_option_that_no_chosen_task_uses_is_said(
    mixed_clip: Callable[..., Path], found: set[str]
) -> None:
    found |= {"dehaze"}
    made = run(mixed_clip("a.mp4"), "--timeline", "csv")
    assert "--timeline was not used: no task that was done uses it" in made["warnings"]
