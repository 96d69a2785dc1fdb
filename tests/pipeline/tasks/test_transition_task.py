"""Test the task ``transition`` with a stand-in for the separation: what is read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
from clips import OWN, dissolve, moving, plain_answer, read_clip

from pipeline.cli.main import main
from pipeline.task import Job
from pipeline.tasks.transition import run as task
from pipeline.tasks.transition import separate
from pipeline.tasks.transition.search import SearchResult
from pipeline.tasks.transition.write import write_layers
from stages.context import FitSettings
from stages.media.read import Clip, open_clip
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.transition.plan import PLANS, Plan
from stages.transition.separate import TransitionResult, separate_transition
from stages.transition.window import Window

windows: list[tuple[int, int, int]] = []


def stand_in(window: Window, transition: Transition, **more: Any) -> TransitionResult:
    """Return :func:`clips.plain_answer` and record the window."""
    windows.append((window.first, window.last, transition.first_frame))
    return plain_answer(window, transition, **more)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    windows.clear()
    monkeypatch.setattr(separate, "separate_transition", stand_in)
    monkeypatch.chdir(tmp_path)


def fake_search(
    monkeypatch: pytest.MonkeyPatch,
    shots: list[tuple[int, int]],
    transitions: list[Transition],
    frames: int,
    *colors: ColorGap,
) -> None:
    """Make the search return these shots and transitions."""
    analysis = Analysis(frames, tuple(Shot(*shot) for shot in shots), tuple(transitions), colors)

    def found(clip: Clip, settings: object, step: object, checkpoints: object) -> SearchResult:
        blocks = list(clip.blocks(size=(8, 8)))
        return SearchResult(
            analysis,
            blocks[0].first,
            [time for block in blocks for time in block.times],
            clip.frame_index,
        )

    monkeypatch.setattr(task, "search", found)


def run(*words: object, out: str = "out", status: int = 0) -> dict[str, Any]:
    options = ["--task", "transition", "--out", out, "--no-progress"]
    assert main(["run", *map(str, words), *options]) == status
    manifest = json.loads(Path(out, "manifest.json").read_text())
    assert isinstance(manifest, dict)
    return manifest


def layer(manifest: dict[str, Any], name: str, out: str = "out") -> tuple[np.ndarray, int, int]:
    layers = manifest["layers"]
    assert isinstance(layers, list)
    (entry,) = [item for item in layers if item["name"] == name]
    frames = read_clip(Path(out, entry["path"]))
    assert len(frames) == entry["last_frame"] - entry["first_frame"] + 1
    return frames, entry["first_frame"], entry["last_frame"]


def is_plain(frames: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((frames == np.array(color, np.uint8)).all())


RED, GREEN = (255, 0, 0), (0, 255, 0)


def test_clean_frames_pass_unchanged_and_mixed_ones_are_separated(
    mixed_clip: Callable[..., Path],
) -> None:
    clip = mixed_clip()
    source = read_clip(clip)
    manifest = run(clip, "--lossless", "--transition", "8:15")
    one, first, last = layer(manifest, "scene-001")
    assert (first, last) == (0, 15)
    assert np.array_equal(one[:8], source[:8]) and is_plain(one[8:], RED)
    two, first, last = layer(manifest, "scene-002")
    assert (first, last) == (8, 23)
    assert is_plain(two[:8], GREEN) and np.array_equal(two[8:], source[16:])
    (move,) = manifest["transitions"]
    assert (move["first_frame"], move["last_frame"]) == (8, 15)
    assert (move["from"], move["to"]) == ("scene-001", "scene-002")
    assert move["mix"] == pytest.approx([k / 9 for k in range(1, 9)], abs=1e-6)
    report = manifest["report"]
    assert isinstance(report, dict) and report["reconstruction_psnr"] == 40.0
    assert report["stages"]["fit"] == 0.25
    assert sum(report["stages"].values()) <= report["seconds"] + 0.25
    assert sorted(entry.name for entry in Path("out").iterdir()) == sorted(
        [*OWN, "scene-001.mkv", "scene-002.mkv", "sheet.png"]
    )


def test_layers_are_playable_by_default(mixed_clip: Callable[..., Path]) -> None:
    manifest = run(mixed_clip(), "--transition", "8:15")
    assert [item["path"] for item in manifest["layers"]] == ["scene-001.mp4", "scene-002.mp4"]
    assert layer(manifest, "scene-001")[0].shape == (16, 48, 64, 3)


def test_the_window_has_twelve_clean_frames_of_the_shots_beside_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = media.save(tmp_path / "long.mp4", moving(1, 60))
    moves = [
        Transition(20, 23, "dissolve", (0.2, 0.4, 0.6, 0.8), "gamma", 0, 1),
        Transition(30, 31, "dissolve", (0.3, 0.6), "gamma", 1, 2),
    ]
    fake_search(monkeypatch, [(0, 19), (24, 29), (32, 59)], moves, 60)
    manifest = run(clip, "--lossless")
    assert windows == [(8, 29, 20), (24, 43, 30)]
    # The shot in the middle goes on through both transitions.
    middle, first, last = layer(manifest, "scene-002")
    assert (first, last) == (20, 31)
    assert (
        is_plain(middle[:4], GREEN)
        and np.array_equal(middle[4:10], moving(1, 60)[24:30])
        and is_plain(middle[10:], RED)
    )
    assert Path("out/sheet-001.png").exists() and Path("out/sheet-002.png").exists()
    report = manifest["report"]
    assert isinstance(report, dict) and len(report["transitions"]) == 2


def test_touching_transitions_leave_a_shot_without_a_frame_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = media.save(tmp_path / "touching.mp4", moving(1, 12))
    moves = [
        Transition(4, 5, "dissolve", (0.3, 0.6), "gamma", 0, 1),
        Transition(6, 7, "dissolve", (0.3, 0.6), "gamma", 1, 2),
    ]
    fake_search(monkeypatch, [(0, 3), (6, 5), (8, 11)], moves, 12)
    middle, first, last = layer(run(clip, "--lossless"), "scene-002")
    assert (first, last) == (4, 7) and is_plain(middle[:2], GREEN) and is_plain(middle[2:], RED)


def test_a_fade_gives_one_layer_and_its_color(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = media.save(tmp_path / "fade.mp4", moving(1, 12))
    fake_search(
        monkeypatch,
        [(0, 7)],
        [Transition(8, 9, "fade", (0.3, 0.6), "gamma", 0, None, "#000000")],
        12,
        ColorGap(10, 11, "#000000"),
    )
    manifest = run(clip, "--lossless")
    assert windows == [(0, 9, 8)]
    assert manifest["colors"] == [{"color": "#000000", "first_frame": 10, "last_frame": 11}]
    assert manifest["warnings"] == ["frames of a plain colour are in no scene: 10 to 11 (#000000)"]
    frames, first, last = layer(manifest, "scene-001")
    assert (first, last) == (0, 9) and is_plain(frames[8:], RED)
    assert len(manifest["layers"]) == 1
    (move,) = manifest["transitions"]
    assert (move["from"], move["to"], move["color"]) == ("scene-001", None, "#000000")


def test_a_wipe_has_its_matte_as_a_layer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = media.save(tmp_path / "wipe.mp4", moving(1, 12))
    fake_search(
        monkeypatch,
        [(0, 4), (8, 11)],
        [Transition(5, 7, "wipe", (0.2, 0.5, 0.8), "gamma", 0, 1)],
        12,
    )
    manifest = run(clip, "--lossless")
    (move,) = manifest["transitions"]
    assert move["matte"] == "matte"
    frames, first, last = layer(manifest, "matte")
    assert (first, last) == (5, 7) and is_plain(frames, (128, 128, 128))
    assert [item["name"] for item in manifest["layers"]] == ["scene-001", "matte", "scene-002"]


@pytest.mark.parametrize("budget", [(), ("--max-seconds", "60")])
def test_through_a_transition_of_unknown_kind_scenes_are_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: tuple[str, ...]
) -> None:
    """Its frames are written unchanged to a layer of their own."""
    monkeypatch.setattr(separate, "separate_transition", separate_transition)
    clip = media.save(tmp_path / "other.mkv", moving(1, 12))
    fake_search(
        monkeypatch,
        [(0, 4), (9, 11)],
        [Transition(5, 8, "other", (0.1, 0.4, 0.5, 0.9), "gamma", 0, 1)],
        12,
    )
    manifest = run(clip, "--lossless", *budget)
    source = read_clip(clip)
    one, *spans = layer(manifest, "scene-001")
    assert spans == [0, 8] and np.array_equal(one, source[[0, 1, 2, 3, 4, 4, 4, 4, 4]])
    two, *spans = layer(manifest, "scene-002")
    assert spans == [5, 11] and np.array_equal(two, source[[9, 9, 9, 9, 9, 10, 11]])
    mixed, *spans = layer(manifest, "mixed")
    assert spans == [5, 8] and np.array_equal(mixed, source[5:9])
    (warning,) = manifest["warnings"]
    assert (
        warning.startswith("frames 5 to 8: the picture changes for good in a way that is not known")
        and "--transition 5:8" in warning
    )
    assert (
        "scene-001 holds its last clean frame and scene-002 holds its first clean frame there, "
        "and the layer mixed has the frames as they are"
    ) in warning
    (move,) = manifest["transitions"]
    assert (move["kind"], move["mixed"], move["matte"]) == ("other", "mixed", None)
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "<b>0</b><span>transitions separated</span>" in page and "Mixing over time" not in page


def test_shots_of_one_and_two_frames_are_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clip = media.save(tmp_path / "short.mkv", moving(1, 8))
    starts = [0, 1, 2, 4, 5, 7, 8]
    shots = [(first, after - 1) for first, after in zip(starts, starts[1:], strict=False)]
    fake_search(
        monkeypatch,
        shots,
        [
            Transition(cut, cut - 1, "cut", (), "gamma", at, at + 1)
            for at, cut in enumerate(starts[1:-1])
        ],
        8,
    )
    for words in (("--lossless",), ()):
        manifest = run(clip, *words, out=f"out{len(words)}")
        found = [
            layer(manifest, f"scene-{number + 1:03d}", f"out{len(words)}")
            for number in range(len(shots))
        ]
        assert [(first, last) for _, first, last in found] == shots
        if words:
            assert np.array_equal(
                np.concatenate([frames for frames, _, _ in found]), read_clip(clip)
            )


def test_cuts_are_listed_and_mix_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = media.save(tmp_path / "cut.mp4", moving(1, 12))
    fake_search(monkeypatch, [(0, 5), (6, 11)], [Transition(6, 5, "cut", (), "gamma", 0, 1)], 12)
    manifest = run(clip, "--lossless")
    assert np.array_equal(layer(manifest, "scene-002")[0], moving(1, 12)[6:])
    assert not windows and not list(Path("out").glob("sheet*"))
    assert "only hard cuts" in capsys.readouterr().err


def test_a_clip_without_a_transition_is_written_with_one_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = media.save(tmp_path / "still.mp4", moving(1, 10))
    fake_search(monkeypatch, [(0, 9)], [], 10)
    manifest = run(clip, "--lossless")
    assert np.array_equal(layer(manifest, "scene-001")[0], moving(1, 10))
    assert manifest["transitions"] == [] and len(manifest["warnings"]) == 1
    assert capsys.readouterr().err.count("no transition was found") == 1


def test_frame_numbers_of_a_trimmed_clip_count_from_its_start(
    mixed_clip: Callable[..., Path],
) -> None:
    clip = mixed_clip()
    manifest = run(clip, "--lossless", "--start", "0.2", "--end", "0.8", "--transition", "8:15")
    assert layer(manifest, "scene-001")[1:] == (5, 15) and layer(manifest, "scene-002")[1:] == (
        8,
        19,
    )
    assert np.array_equal(layer(manifest, "scene-001")[0][:3], read_clip(clip)[5:8])


def test_each_scene_has_its_part_of_the_sound() -> None:
    fade = Path(__file__).parents[3] / "samples/fade.mp4"
    manifest = run(fade, "--transition", "26:49")
    for entry in manifest["layers"]:
        with av.open(str(Path("out", entry["path"]))) as box:
            assert len(box.streams.audio) == 1
            seconds = sum(frame.samples / frame.sample_rate for frame in box.decode(audio=0))
        assert seconds == pytest.approx(
            (entry["last_frame"] - entry["first_frame"] + 1) / 25, abs=0.06
        )


def test_json_lines_report_each_stage(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    options = "--task transition --transition 8:15 --json --out out".split()
    assert main(["run", str(mixed_clip()), *options]) == 0
    out, err = capsys.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert err == "" and events[-1]["event"] == "done"
    assert events[-1]["manifest"] == "out/manifest.json"
    begun = [event["stage"] for event in events if event["event"] == "begin"]
    assert begun == "open checksum find separate write report".split()


def test_a_finished_run_is_left_and_a_different_one_refused(
    mixed_clip: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    clip = mixed_clip()
    run(clip, "--transition", "8:15")
    before = Path("out/manifest.json").stat().st_mtime_ns
    run(clip, "--transition", "8:15")
    assert Path("out/manifest.json").stat().st_mtime_ns == before and len(windows) == 1
    run(clip, "--transition", "8:15", "--seed", 5, status=2)
    assert "--resume" in (err := capsys.readouterr().err) and "--overwrite" in err
    manifest = run(clip, "--transition", "8:15", "--seed", 5, "--overwrite")
    assert manifest["settings"]["seed"] == 5
    # Another input under the same name is another run.
    media.save(clip, dissolve(moving(3, 24), moving(4, 24), 8, 8)[0])
    run(clip, "--transition", "8:15", "--seed", 5, status=2)


def test_an_error_leaves_nothing_behind(
    mixed_clip: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(*words: object, **more: object) -> TransitionResult:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(separate, "separate_transition", fails)
    options = "--task transition --transition 8:15 --out out --no-progress".split()
    assert main(["run", str(mixed_clip()), *options]) == 1
    assert not Path("out").exists()
    assert "No space left" in capsys.readouterr().err


def test_separated_frames_wait_on_disk_and_are_gone_afterwards(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def spy(job: Job, *rest: Any) -> object:
        folder = job.checkpoints.folder
        seen.extend(sorted(str(entry.relative_to(folder)) for entry in folder.rglob("*.npy")))
        return write_layers(job, *rest)

    monkeypatch.setattr(task, "write_layers", spy)
    run(mixed_clip(), "--transition", "8:15")
    assert {"transition-001/outgoing.npy", "transition-001/incoming.npy"} == set(seen)
    assert not Path("out/.work").exists()


def test_a_budget_covers_all_transitions_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[tuple[list[int], float]] = []

    def plans(mixture: object, counts: list[int], settings: FitSettings) -> list[Plan]:
        assert settings.max_seconds is not None
        given.append((counts, settings.max_seconds))
        return [PLANS["fast"]] * len(counts)

    monkeypatch.setattr(task, "plans_for", plans)
    clip = media.save(tmp_path / "two.mp4", moving(1, 40))
    moves = [
        Transition(10, 15, "dissolve", tuple(k / 7 for k in range(1, 7)), "gamma", 0, 1),
        Transition(25, 26, "dissolve", (0.3, 0.6), "gamma", 1, 2),
    ]
    fake_search(monkeypatch, [(0, 9), (16, 24), (27, 39)], moves, 40)
    manifest = run(clip, "--max-seconds", 80)
    # Both share what is left, less a part for writing.
    assert len(given) == 1 and given[0][0] == [6, 2] and 60 < given[0][1] <= 80
    report = manifest["report"]
    assert isinstance(report, dict)
    assert [item["first_frame"] for item in report["transitions"]] == [10, 25]


def test_pictures_in_pictures_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "one.png"), moving(1, 1)[0][..., ::-1])
    manifest = run(tmp_path / "one.png")
    assert [item["path"] for item in manifest["layers"]] == ["scene-001.png"]
    assert np.array_equal(cv2.imread("out/scene-001.png")[..., ::-1], moving(1, 1)[0])
    assert "no transition was found" in capsys.readouterr().err
    assert open_clip([tmp_path / "one.png"]).info.is_picture
