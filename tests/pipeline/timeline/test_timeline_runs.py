"""``--timeline``: files beside the layers, from which the input can be made again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, moving, plain_answer, read_clip
from other_readers import read

from pipeline.cli.main import main
from pipeline.tasks.transition import separate

FORMATS = "otio,edl,fcpxml,csv"
FILES = ["shots.csv", "timeline.edl", "timeline.fcpxml", "timeline.otio"]
LEAST_PSNR = 38.0
"""dB by which the layers mix back to the input; those of a small dissolve have more."""


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the separation by plain colours, which take no time."""
    monkeypatch.setattr(separate, "separate_transition", plain_answer)


def run(*words: object, status: int = 0) -> dict[str, Any]:
    options = ["--task", "transition", "--out", "out", "--no-progress", "--lossless"]
    assert main(["run", *map(str, words), *options]) == status
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert isinstance(manifest, dict)
    return manifest


def rebuilt(path: Path) -> np.ndarray:
    """Return the frames that an OTIO timeline shows, ``(T, H, W, 3)`` in [0, 255]."""
    items = read("otio", path)["tracks"][0]["items"]
    clips = [item for item in items if item["type"] == "Clip"]
    files = {
        clip["name"]: read_clip(path.parent / clip["url"]).astype(np.float64) for clip in clips
    }
    shown: list[np.ndarray] = []
    cuts: dict[str, tuple[int, int]] = {}
    for clip in clips:
        first = int(clip["source"][0] - clip["available"][0])
        assert len(files[clip["name"]]) == clip["available"][1]
        cuts[clip["name"]] = len(shown), first
        shown += list(files[clip["name"]][first : first + int(clip["source"][1])])
    for place, item in enumerate(items):
        if item["type"] != "Transition":
            continue
        names = items[place - 1]["name"], items[place + 1]["name"]
        begin = cuts[names[1]][0] - int(item["offsets"][0])
        known = item["entry"]
        assert known["space"] == "gamma" and known["matte"] is None
        assert len(known["mix"]) == sum(item["offsets"])
        for number, weight in enumerate(known["mix"], begin):
            sides = [files[name][cuts[name][1] + number - cuts[name][0]] for name in names]
            shown[number] = (1 - weight) * sides[0] + weight * sides[1]
    return np.stack(shown)


def test_the_input_is_made_again_from_its_timeline(tmp_path: Path) -> None:
    one, two = moving(1, 28), moving(2, 28)
    source = np.concatenate([dissolve(one, two, 10, 8)[0], moving(3, 12)])
    clip = media.save(tmp_path / "film.mp4", source)
    manifest = run(clip, "--preset", "fast", "--transition", "10:17", "--timeline", FORMATS)
    assert [move["kind"] for move in manifest["transitions"]] == ["dissolve", "cut"]
    assert manifest["timelines"] == [
        "timeline.otio",
        "timeline.edl",
        "timeline.fcpxml",
        "shots.csv",
    ]
    shown = rebuilt(Path("out/timeline.otio"))
    assert len(shown) == len(source)
    errors = ((shown - source) ** 2).mean((1, 2, 3))
    mixed = manifest["transitions"][0]
    clean = [
        place for place in range(40) if not mixed["first_frame"] <= place <= mixed["last_frame"]
    ]
    assert not errors[clean].any()
    psnr = 10 * np.log10(255**2 / errors[mixed["first_frame"] : mixed["last_frame"] + 1])
    assert psnr.min() >= LEAST_PSNR


def test_a_finished_run_gets_the_timelines_it_lacks(
    mixed_clip: Callable[..., Path], stand_in: None
) -> None:
    words = mixed_clip(), "--transition", "8:15"
    assert "timelines" not in run(*words)
    layers = Path("out/scene-001.mkv").stat().st_mtime_ns
    assert run(*words, "--timeline", "edl")["timelines"] == ["timeline.edl"]
    assert run(*words, "--timeline", "edl,csv")["timelines"] == ["timeline.edl", "shots.csv"]
    assert Path("out/scene-001.mkv").stat().st_mtime_ns == layers
    Path("out/shots.csv").unlink()
    run(*words, "--timeline", "csv")
    assert Path("out/shots.csv").exists()
    # A run that is replaced takes its timelines with it.
    run(*words, "--overwrite", "--seed", "1")
    assert not [name for name in FILES if Path("out", name).exists()]


@pytest.mark.usually(3)
@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("transitions", {"usable": {"from": -9, "to": None}}),
        ("transitions", {"usable": {"from": None, "to": 10**6}}),
        ("transitions", {"usable": {"from": 8}}),
        ("transitions", {"usable": [8, 15]}),
        ("transitions", {"last_frame": float("inf")}),
        ("layers", {"first_frame": -3}),
        ("layers", {"last_frame": 10**15}),
    ],
    ids=str,
)
def test_frames_of_a_damaged_manifest_are_refused(
    place: str,
    change: dict[str, Any],
    mixed_clip: Callable[..., Path],
    stand_in: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = mixed_clip(), "--transition", "8:15"
    whole = run(*words)
    whole[place][0] |= change
    Path("out/manifest.json").write_text(json.dumps(whole))
    capsys.readouterr()
    run(*words, "--timeline", FORMATS, status=1)
    (line,) = capsys.readouterr().err.splitlines()
    assert "its manifest.json is damaged" in line
    assert not [name for name in FILES if Path("out", name).exists()]


def test_a_file_of_the_user_is_never_overwritten(
    mixed_clip: Callable[..., Path], stand_in: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = mixed_clip(), "--transition", "8:15"
    Path("out").mkdir()
    Path("out/timeline.edl").write_text("mine")
    # Without the option the name is not needed.
    run(*words)
    capsys.readouterr()
    run(*words, "--timeline", FORMATS, status=2)
    assert "timeline.edl: is in the way" in capsys.readouterr().err
    run(*words, "--timeline", FORMATS, "--overwrite", status=2)
    assert "timeline.edl: is in the way" in capsys.readouterr().err
    assert Path("out/timeline.edl").read_text() == "mine"


@pytest.mark.usually(1)
@pytest.mark.parametrize("formats", ["csv", "edl,otio", FORMATS])
def test_a_manifest_as_configuration_brings_the_timelines_back(
    formats: str, mixed_clip: Callable[..., Path], stand_in: None
) -> None:
    clip = mixed_clip()
    first = run(clip, "--transition", "8:15", "--timeline", formats)
    Path("out").rename("before")
    again = run(clip, "--config", "before/manifest.json")
    assert sorted(again["timelines"]) == sorted(first["timelines"])
    Path("out").rename("second")
    # An option of the command line wins.
    assert run(clip, "--config", "before/manifest.json", "--timeline", "fcpxml")["timelines"] == [
        "timeline.fcpxml"
    ]


def test_uneven_frames_are_warned_of(tmp_path: Path, stand_in: None) -> None:
    ticks = [3600 * place + (1800 if place > 12 else 0) * (place - 12) for place in range(24)]
    clip = media.save_vfr(tmp_path / "uneven.mp4", moving(1, 24), ticks)
    manifest = run(clip, "--transition", "8:15", "--timeline", "edl")
    assert manifest["input"][0]["variable_rate"] is True
    assert [text for text in manifest["warnings"] if "not evenly spaced" in text]
    assert "* LOC:" in Path("out/timeline.edl").read_text()


def test_probe_writes_timelines_of_the_source(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip("my film.mp4")
    words = ["probe", str(clip), "--transition", "8:15", "--timeline", FORMATS]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    names = [f"my film-{name}" for name in FILES]
    assert sorted(facts["timelines"]) == sorted(names)
    assert "my%20film.mp4" in Path("my film-timeline.otio").read_text()
    # The same again is no harm, another list in its place is.
    assert main(words) == 0
    Path("my film-shots.csv").write_text("mine")
    capsys.readouterr()
    assert main(words) == 2
    assert "is there already" in capsys.readouterr().err
    assert Path("my film-shots.csv").read_text() == "mine"


@pytest.mark.parametrize("verb", ["run", "probe"])
def test_what_cannot_be_written_is_refused_at_once(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = media.save(tmp_path / "fast.mp4", moving(1, 12), 120)
    task = ["--task", "transition"] if verb == "run" else []
    assert main([verb, str(clip), *task, "--timeline", "edl"]) == 2
    assert "--timeline edl" in capsys.readouterr().err
    assert main([verb, str(clip), *task, "--timeline", "aaf"]) == 2
    assert "'aaf' is not known; choose csv, edl, fcpxml, otio" in capsys.readouterr().err


def test_only_transitions_have_timelines(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(mixed_clip()), "--task", "dehaze", "--timeline", "otio"]
    assert main(words) == 2
    assert "--timeline has no meaning for --task dehaze" in capsys.readouterr().err
