"""Test frame-wise runs with made-up recipes: windows, fading, shared layers, pictures, hints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
import torch
from clips import read_clip
from torch import Tensor

from pipeline.cli.main import main
from pipeline.framewise.run import Output, Recipe, run_layered
from pipeline.run import execute as running
from pipeline.runtime import memory
from pipeline.runtime.memory import BASE_BYTES, DEFAULT_PLAN_BYTES
from pipeline.task import Job, Result, Task
from stages.context import Separation, SeparationContext
from stages.dark_bars import Beyond

calls: list[dict[str, Any]] = []


def survey(sample: Tensor, context: SeparationContext) -> float:
    calls.append({"sample": len(sample), "hint": context.hint, "unordered": context.unordered})
    return float(len(sample))


def halves(frames: Tensor, survey_result: float, context: SeparationContext) -> Separation:
    """Return the frames and their complement; the matte's level is 0.1 times the call's number."""
    calls.append(
        {"window": len(frames), "hint": context.hint, "max_seconds": context.settings.max_seconds}
    )
    context.progress(0.5, "half")
    gray = torch.full_like(frames[:, :1], 0.1 * len([call for call in calls if "window" in call]))
    return Separation(
        {"one": frames, "two": 1 - frames, "matte": gray},
        report={"figure": float(len(frames))},
        seconds={"fit": 0.01},
    )


def with_shared_mark(
    frames: Tensor, survey_result: float, context: SeparationContext
) -> Separation:
    return Separation({"clean": frames, "mark": frames.mean(0, keepdim=True)}, frozenset({"mark"}))


RECIPE = Recipe(
    (Output("one"), Output("two", alpha="matte"), Output("matte", sound=False)),
    survey,
    halves,
    window=6,
    overlap=2,
    sample=4,
)
SHARED_RECIPE = Recipe((Output("clean"), Output("mark")), survey, with_shared_mark)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls.clear()
    monkeypatch.chdir(tmp_path)


def run(
    monkeypatch: pytest.MonkeyPatch, recipe: Recipe, *words: object, status: int = 0
) -> dict[str, Any]:
    def work(job: Job) -> Result:
        return run_layered(job, recipe)

    task = Task(
        "split",
        "",
        tuple(output.role for output in recipe.outputs),
        work,
        frozenset({"hint", "alpha"}),
    )
    monkeypatch.setattr("pipeline.tasks.check_name", lambda name: None)
    monkeypatch.setattr(running, "find_task", lambda name: task)
    assert (
        main(
            [
                "run",
                *map(str, words),
                "--task",
                "split",
                "--out",
                "out",
                "--lossless",
                "--no-progress",
            ]
        )
        == status
    )
    manifest: dict[str, Any] = (
        json.loads(Path("out", "manifest.json").read_text()) if status == 0 else {}
    )
    return manifest


def picture(path: Path) -> np.ndarray:
    found = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert found is not None
    return np.asarray(found)


def test_a_clip_in_windows_gives_every_frame_once(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = media.moving(15)
    manifest = run(monkeypatch, RECIPE, media.save(Path("in.mp4"), frames))
    assert [
        (item["name"], item["role"], item["path"], item["first_frame"], item["last_frame"])
        for item in manifest["layers"]
    ] == [
        ("matte", "matte", "matte.mkv", 0, 14),
        ("one", "one", "one.mkv", 0, 14),
        ("two", "two", "two.mkv", 0, 14),
    ]
    assert np.array_equal(read_clip(Path("out/one.mkv")), frames)
    # Windows of 6 at most that share 2: 0-4, 3-7, 6-10, 9-14.
    assert [call["window"] for call in calls[1:]] == [5, 5, 5, 6]
    assert calls[0] == {"sample": 4, "hint": None, "unordered": False}
    assert manifest["report"]["figure"] == pytest.approx((25 * 3 + 36) / 21, abs=1e-3)
    assert manifest["input"][0]["frames"] == 15
    assert "fit" in manifest["report"]["stages"]
    assert Path("out", manifest["sheets"][0]).stat().st_size > 1000


def test_windows_are_cross_faded(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, RECIPE, media.save(Path("in.mp4"), media.moving(9)))
    grays = read_clip(Path("out/matte.mkv"))[:, 0, 0, 0] / 255
    assert grays == pytest.approx([0.1] * 3 + [0.1 + 0.1 / 3, 0.1 + 0.2 / 3] + [0.2] * 4, abs=0.003)


def test_a_window_is_given_what_the_one_before_found(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Tensor]] = []

    def noting(frames: Tensor, facts: float, context: SeparationContext) -> Separation:
        given.append({name: pixels.clone() for name, pixels in context.before.items()})
        return halves(frames, facts, context)

    recipe = replace(RECIPE, separate=noting, carried=("matte",))
    run(monkeypatch, recipe, media.save(Path("in.mp4"), media.moving(9)))
    assert given[0] == {} and list(given[1]) == ["matte"]
    torch.testing.assert_close(
        given[1]["matte"], torch.full_like(given[1]["matte"], 0.1), atol=1e-4, rtol=0
    )
    assert given[1]["matte"].shape == (2, 1, 48, 64)


@pytest.mark.parametrize(("top", "left"), [(8, 0), (0, 12), (6, 10)])
def test_a_recipe_sees_the_picture_without_its_bars(
    monkeypatch: pytest.MonkeyPatch, top: int, left: int
) -> None:
    inner = np.clip(media.moving(9), 60, 255)
    frames = np.pad(inner, ((0, 0), (top, top), (left, left), (0, 0)))
    seen: list[tuple[int, ...]] = []

    def noting(window: Tensor, facts: float, context: SeparationContext) -> Separation:
        seen.append(tuple(window.shape[-2:]))
        assert all(layer.shape[-2:] == window.shape[-2:] for layer in context.before.values())
        return halves(window, facts, context)

    beyond: dict[str, Beyond] = {"one": "input", "two": "none", "matte": "all"}
    recipe = replace(RECIPE, separate=noting, beyond=beyond, carried=("matte",))
    run(monkeypatch, recipe, media.save(Path("in.mp4"), frames))
    assert set(seen) == {inner.shape[1:3]}
    one, two = (read_clip(Path(f"out/{name}.mkv")) for name in ("one", "two"))
    middle = slice(top, top + inner.shape[1]), slice(left, left + inner.shape[2])
    assert np.array_equal(one, frames)
    assert np.array_equal(two[:, *middle], 255 - inner)
    assert not np.delete(two, np.r_[middle[0]], 1).any() or not top
    seen.clear()
    run(monkeypatch, replace(RECIPE, separate=noting), "in.mp4", "--overwrite")
    assert set(seen) == {frames.shape[1:3]}


def test_settle_is_called_only_where_windows_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(
        frames: Tensor, layers: dict[str, Tensor], survey_result: float
    ) -> dict[str, Tensor]:
        assert survey_result == 4
        return {**layers, "matte": torch.ones_like(layers["matte"])}

    recipe = Recipe(RECIPE.outputs, survey, halves, window=6, overlap=2, sample=4, settle=settle)
    run(monkeypatch, recipe, media.save(Path("in.mp4"), media.moving(9)))
    grays = read_clip(Path("out/matte.mkv"))[:, 0, 0, 0]
    assert [index for index, gray in enumerate(grays) if gray == 255] == [3, 4]


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 10])
def test_any_length(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    frames = media.moving(count)
    run(monkeypatch, RECIPE, media.save(Path("in.mp4"), frames))
    assert np.array_equal(read_clip(Path("out/two.mkv")), 255 - frames)


def test_a_trimmed_clip_keeps_its_frame_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = media.moving(12)
    manifest = run(
        monkeypatch, RECIPE, media.save(Path("in.mp4"), frames), "--start", "0.1", "--end", "0.3"
    )
    assert {(item["first_frame"], item["last_frame"]) for item in manifest["layers"]} == {(3, 7)}
    assert np.array_equal(read_clip(Path("out/one.mkv")), frames[3:8])


def test_a_long_clip_is_sampled_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Tensor] = []

    def keep_sample(sample: Tensor, context: SeparationContext) -> float:
        kept.append(sample)
        return 0.0

    ramp = np.repeat(np.arange(100, dtype=np.uint8)[:, None], 16 * 16 * 3, 1).reshape(
        100, 16, 16, 3
    )
    run(
        monkeypatch,
        Recipe((Output("one"),), keep_sample, halves, sample=6),
        media.save(Path("in.mp4"), ramp),
    )
    numbers = (kept[0][:, 0, 0, 0] * 255).round().int().tolist()
    assert len(numbers) == 6 and numbers[0] == 0 and numbers[-1] > 85
    assert max(np.diff(numbers)) <= 2 * min(np.diff(numbers))


def test_large_frames_make_windows_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    # So costly that four frames fill the memory that is planned by default.
    costly = replace(RECIPE, memory=(DEFAULT_PLAN_BYTES - BASE_BYTES) / (4.5 * 48 * 64 * 3))
    run(monkeypatch, costly, media.save(Path("in.mp4"), media.moving(9)))
    assert [call["window"] for call in calls[1:]] == [3, 4, 4]


def test_max_memory_sets_the_length_of_windows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costly = replace(RECIPE, memory=2**20)  # 9 GiB a frame
    media.save(Path("in.mp4"), media.moving(9))
    run(monkeypatch, costly, "in.mp4", "--max-memory", "38G")
    assert [call["window"] for call in calls[1:]] == [3, 4, 4]
    run(monkeypatch, costly, "in.mp4", "--max-memory", "20G", "--overwrite", status=2)
    assert (
        "--max-memory 20G is too little for in.mp4: 3 frames of 64x48; it needs about 27.5G"
        in capsys.readouterr().err
    )
    # Without the option the machine's own memory is the bound.
    monkeypatch.setattr(memory, "machine_memory", lambda: 30 * 2**30)
    manifest = run(monkeypatch, costly, "in.mp4", "--overwrite")
    assert "in.mp4: 3 frames of 64x48: needs about 27.5G of memory" in manifest["warnings"]
    # A window that needs more memory than the machine has is a warning, no error.
    monkeypatch.setattr(memory, "machine_memory", lambda: 2 * 2**30)
    manifest = run(monkeypatch, replace(RECIPE, memory=2**15), "in.mp4", "--overwrite")
    assert any(
        "in.mp4: 6 frames of 64x48: the plan needs about" in text and "this machine has 2G" in text
        for text in manifest["warnings"]
    )
    monkeypatch.setattr(memory, "machine_memory", lambda: 8 * 2**30)
    run(monkeypatch, costly, "in.mp4", "--overwrite", status=1)
    assert "needs about 27.5G of memory and this machine has 8G" in capsys.readouterr().err


def test_out_of_gpu_memory_halves_the_working_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def small(frames: Tensor, survey_result: float, context: SeparationContext) -> Separation:
        tried.append(context.working_pixels(4096))
        if tried[-1] > 1024:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.00 GiB.")
        return halves(frames, survey_result, context)

    recipe = replace(RECIPE, separate=small)
    media.save(Path("in.mp4"), media.moving(6))
    manifest = run(monkeypatch, recipe, "in.mp4")
    assert tried == [4096, 2048, 1024]
    assert (
        manifest["warnings"][0]
        == "frames 0 to 5: the memory of cpu was too small; the working size was halved 2 times"
    )
    assert manifest["report"]["reduced"] == 2
    monkeypatch.setattr(memory, "MAX_HALVINGS", 1)
    run(monkeypatch, recipe, "in.mp4", "--overwrite", status=1)
    assert (
        "in.mp4: cpu does not have enough memory for it; choose --preset fast or --device cpu"
        in capsys.readouterr().err
    )


def test_several_pictures_are_one_window_with_a_file_each(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = media.moving(3)
    for number, frame in enumerate(frames):
        cv2.imwrite(f"p{number}.png", frame[..., ::-1])
    manifest = run(monkeypatch, SHARED_RECIPE, "p0.png", "p1.png", "p2.png")
    entries = [
        (item["name"], item["role"], item["path"], item["first_frame"], item["last_frame"])
        for item in manifest["layers"]
    ]
    assert entries == [
        ("clean-001", "clean", "clean-001.png", 0, 0),
        ("mark", "mark", "mark.png", 0, 2),
        ("clean-002", "clean", "clean-002.png", 1, 1),
        ("clean-003", "clean", "clean-003.png", 2, 2),
    ]
    assert np.array_equal(picture(Path("out/clean-002.png"))[..., ::-1], frames[1])
    assert np.abs(picture(Path("out/mark.png"))[..., ::-1] - frames.mean(0)).max() <= 0.51
    assert calls[0]["unordered"]


def test_one_picture_and_its_alpha(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite("p.png", media.moving(1)[0])
    manifest = run(monkeypatch, RECIPE, "p.png")
    assert [item["path"] for item in manifest["layers"]] == ["matte.png", "one.png", "two.png"]
    assert picture(Path("out/two.png")).shape[2] == 4 and not calls[0]["unordered"]
    assert picture(Path("out/two.png"))[..., 3].max() == pytest.approx(25.5, abs=1)


def test_a_shared_layer_of_a_clip_covers_all_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, SHARED_RECIPE, media.save(Path("in.mp4"), media.moving(5)))
    mark = read_clip(Path("out/mark.mkv"))
    assert len(mark) == 5 and (mark == mark[0]).all()


def box(width: int = 64, height: int = 48, white: int = 255) -> np.ndarray:
    drawn = np.zeros((height, width, 3), np.uint8)
    drawn[10:20, 10:20] = white
    return drawn


def test_a_hint_picture_and_a_hint_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    media.save(Path("in.mp4"), media.moving(9))
    cv2.imwrite("hint.png", box())
    run(monkeypatch, RECIPE, "in.mp4", "--hint", "hint.png")
    assert [tuple(call["hint"].shape) for call in calls] == [(1, 1, 48, 64)] * 3
    assert float(calls[0]["hint"].sum()) == 100
    calls.clear()
    clip = np.stack([np.roll(box(), index, 1) for index in range(9)])
    media.save(Path("hint.mp4"), clip)
    run(monkeypatch, RECIPE, "in.mp4", "--hint", "hint.mp4", "--overwrite")
    assert [len(call["hint"]) for call in calls] == [4, 5, 6]
    assert float(calls[2]["hint"][0, 0, 15, 13]) == 1 and float(calls[2]["hint"][0, 0, 15, 12]) == 0


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (box(32, 24), "is 32x24, but in.mp4 is 64x48"),
        (box(white=0), "nothing white"),
        (np.stack([box()] * 4), "has 4 frames, but the input has 9"),
    ],
)
def test_a_hint_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drawn: np.ndarray,
    message: str,
) -> None:
    media.save(Path("in.mp4"), media.moving(9))
    hint = Path("hint.png")
    if drawn.ndim == 4:
        hint = media.save(Path("hint.mp4"), drawn)
    else:
        cv2.imwrite(str(hint), drawn)
    run(monkeypatch, RECIPE, "in.mp4", "--hint", hint, status=2)
    assert message in capsys.readouterr().err
    assert not Path("out").exists() or not any(Path("out").iterdir())


def test_the_budget_is_divided_among_the_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, RECIPE, media.save(Path("in.mp4"), media.moving(15)), "--max-seconds", "100")
    given = [call["max_seconds"] for call in calls if "window" in call]
    assert given[0] == pytest.approx(85 * 5 / 15, rel=0.1) and all(
        0 < seconds < 100 for seconds in given
    )
