"""`--refine`: a second round that corrects an earlier run's matte with new hints."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import read_clip
from numpy.typing import NDArray

from pipeline.cli.main import main
from pipeline.estimate.dry_run import planned_run
from pipeline.hint_arguments import parse_hint
from pipeline.run.folder_names import default_folder
from pipeline.runtime.earlier_run import EarlierRun, with_earlier_hints
from pipeline.settings import Settings
from stages.errors import UsageError

SIZE = (48, 80)
COUNT = 6
FAST = ("--preset", "fast", "--max-seconds", "1", "--no-progress")


def scene() -> NDArray[np.uint8]:
    """Return a clip ``(T, H, W, 3)``: a red square and a blue one beside it, which both move."""
    rng = np.random.default_rng(3)
    ground = rng.integers(60, 90, (*SIZE, 3)).astype(np.uint8)
    texture = rng.integers(-20, 20, (24, 12, 3))
    red, blue = ((texture + color).astype(np.uint8) for color in ((210, 40, 40), (40, 60, 210)))
    frames = np.stack([ground] * COUNT)
    for t, frame in enumerate(frames):
        left = 20 + 2 * t
        frame[12:36, left : left + 12] = red
        frame[12:36, left + 12 : left + 24] = blue
    return frames


def stroke(frame: int, left: int) -> NDArray[np.uint8]:
    """Return a picture with a stroke down the square whose left edge is at ``left`` at first."""
    drawn = np.zeros((*SIZE, 3), np.uint8)
    begin = left + 2 * frame + 5
    drawn[15:33, begin : begin + 2] = 255
    return drawn


@pytest.fixture(scope="module")
def first_round(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a clip, hints, and a finished run on the clip."""
    folder = tmp_path_factory.mktemp("refine")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        media.save(Path("in.mkv"), scene())
        media.save(Path("other.mkv"), scene()[::-1])
        cv2.imwrite("red.png", stroke(0, 20))
        cv2.imwrite("blue.png", stroke(2, 32))
        words = ["run", "in.mkv", "--task", "segment", "--out", "in-segment", *FAST]
        assert main([*words, "--hint", "red.png"]) == 0
    return folder


@pytest.fixture
def there(first_round: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(first_round, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def refine(*words: str, source: str = "in.mkv", earlier: str = "in-segment") -> int:
    return main(["run", source, "--task", "segment", "--refine", earlier, *FAST, *words])


def manifest(folder: str) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text())
    return whole


def matte(folder: str) -> NDArray[np.float64]:
    """Return the matte of a run, ``(T, H, W)`` in [0, 1]."""
    (layer,) = (each for each in manifest(folder)["layers"] if each["role"] == "matte")
    return np.asarray(read_clip(Path(folder, layer["path"]))[..., 0] / 255.0)


@pytest.mark.usefixtures("there")
def test_a_second_round_corrects_the_matte_in_a_new_folder() -> None:
    before = Path("in-segment/manifest.json").read_bytes()
    assert refine("--hint-background", "2:blue.png") == 0
    assert Path("in-segment/manifest.json").read_bytes() == before
    whole, earlier, now = manifest("in-segment-2"), matte("in-segment"), matte("in-segment-2")
    assert whole["settings"]["refine"] == "in-segment"
    assert whole["settings"]["hint"] == "red.png"
    assert whole["settings"]["hint_background"] == "2:blue.png"
    assert len(whole["hint_sha256"]) == 2
    assert whole["refined_sha256"] == EarlierRun.open(Path("in-segment"), "segment").checksum()
    for t in range(COUNT):
        blue = np.s_[t, 12:36, 33 + 2 * t : 43 + 2 * t]
        red = np.s_[t, 12:36, 21 + 2 * t : 30 + 2 * t]
        assert earlier[blue].mean() > 0.8 and now[blue].mean() < 0.2
        assert np.abs(now[red] - earlier[red]).max() < 0.02
    # Whatever path leads to the earlier run, this is the same run, which is left as it is.
    written = Path("in-segment-2/manifest.json").stat().st_mtime_ns
    for path in ("in-segment", str(Path("in-segment").resolve())):
        assert refine("--hint-background", "2:blue.png", earlier=path) == 0
    assert Path("in-segment-2/manifest.json").stat().st_mtime_ns == written
    assert main(["run", "in.mkv", "--config", "in-segment-2/manifest.json", "--no-progress"]) == 0


def asked(*hints: str) -> Settings:
    return Settings(
        inputs=(Path("in.mkv"),),
        task="segment",
        refine=Path("in-segment"),
        preset="fast",
        hint=tuple(map(parse_hint, hints)),
    )


@pytest.mark.usefixtures("there")
def test_a_changed_hint_of_the_first_round_is_not_kept_but_may_be_given_again() -> None:
    cv2.imwrite("red.png", stroke(0, 21))
    settings, (warning,) = with_earlier_hints(asked("2:blue.png"))
    assert [str(hint) for hint in settings.hint] == ["2:blue.png"]
    assert "its hint red.png is gone or was changed" in warning
    settings, warnings = with_earlier_hints(asked("red.png"))
    assert [str(hint) for hint in settings.hint] == ["red.png"] and not warnings


@pytest.mark.usefixtures("there")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--refine has nothing to correct; give --hint"),
        (["--hint", "red.png"], "had all of these hints already; give a new one"),
        (["--hint", "point:1,1", "--out", "in-segment"], "is the run to refine"),
        (["--hint", "point:1,1", "--out", "in-segment", "--overwrite"], "is the run to refine"),
        (["--hint", "point:1,1", "--end", "0.1"], "give the same --start and --end"),
        (["--hint", "point:1,1", "--end", "0.1", "--dry-run"], "give the same --start and --end"),
        (["--hint-background", "point:26,20", "--hint", "0:point:26,20"], "mark the same pixel"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refine(*words) == 2
    printed = capsys.readouterr().err
    assert says in printed and len(printed.splitlines()) == 1
    assert not Path("in-segment-2").exists()


@pytest.mark.usefixtures("there")
def test_a_run_that_cannot_be_refined_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str, source: str = "in.mkv") -> str:
        assert refine("--hint", "point:1,1", *words, source=source) == 2
        return capsys.readouterr().err

    assert "is a run of another input (in.mkv)" in said(source="other.mkv")
    with pytest.raises(UsageError, match="--refine and --preset paper contradict each other"):
        replace(asked("red.png"), preset="paper")
    with pytest.raises(UsageError, match="--refine nowhere: holds no finished run"):
        EarlierRun.open(Path("nowhere"), "segment")
    path = Path("in-segment/manifest.json")
    whole = manifest("in-segment")
    (layer,) = (each for each in whole["layers"] if each["role"] == "matte")
    path.write_text(json.dumps({**whole, "task": "dehaze"}))
    assert "is a run of dehaze, not of segment" in said()
    path.write_text(json.dumps({**whole, "layers": []}))
    assert "has no matte" in said()
    for change in (
        {"first_frame": "0"},
        {"first_frame": 0.5},
        {"last_frame": -1},
        {"last_frame": None},
    ):
        path.write_text(json.dumps({**whole, "layers": [{**layer, **change}]}))
        assert "is damaged (a matte does not say which frames it covers)" in said()
    path.write_text(json.dumps({**whole, "layers": [{**layer, "last_frame": 10**12}]}))
    assert "covers the frames 0 to 1000000000000" in said()
    for broken in ({"layers": 5}, {"layers": None}, {"settings": [1]}):
        path.write_text(json.dumps({**whole, **broken}))
        assert "its manifest.json is damaged" in said()
    for name in ("../in.mkv", "gone.mkv"):
        path.write_text(json.dumps({**whole, "layers": [{**layer, "path": name}]}))
        assert f"its layer {name} is missing" in said()
    media.save(Path("in-segment", layer["path"]), scene()[:, :24])
    path.write_text(json.dumps(whole))
    assert "its matte is 80x24, and the input is 80x48" in said()


@pytest.mark.usefixtures("there")
def test_a_dry_run_says_where_a_second_round_goes() -> None:
    facts = planned_run(asked("2:blue.png")).facts
    assert facts["out"] == "in-segment-2"
    assert facts["settings"]["hint"] == ["red.png", "2:blue.png"]
    assert not Path("in-segment-2").exists()


@pytest.mark.parametrize(
    ("name", "next_name"),
    [("dog-segment", "dog-segment-2"), ("a-2", "a-3"), ("a-99", "a-100"), ("a-2026", "a-2026-2")],
)
def test_each_round_has_the_next_number(name: str, next_name: str) -> None:
    settings = replace(asked("point:1,1"), refine=Path("runs", name))
    assert default_folder(settings) == Path(next_name)
