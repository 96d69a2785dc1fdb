"""``from pipeline import separate``: the command line's run, with arrays or files on both ends."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from clips import moving, plain_answer
from media import save

from pipeline import LayerResult, Separated, UnlayerError, UsageError, separate
from pipeline.arrays import hint_words, mark_path
from pipeline.cli.main import main
from pipeline.settings import Settings
from pipeline.tasks import names

ROOT = Path(__file__).parents[2]
QUICK: dict[str, Any] = {"preset": "fast", "seed": 3}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("task", [name for name in names() if name != "transition"])
def test_the_same_layers_as_from_the_command_line(task: str) -> None:
    save(Path("in.mkv"), moving(4, 3, (24, 40)))
    made = separate("in.mkv", task, out="api", **QUICK)
    assert (
        main(
            [
                "run",
                "in.mkv",
                "--task",
                task,
                "--preset",
                "fast",
                "--seed",
                "3",
                "--out",
                "cli",
                "--no-progress",
            ]
        )
        == 0
    )
    whole = json.loads(Path("cli/manifest.json").read_text())
    assert [layer["path"] for layer in whole["layers"]] == [
        layer.path.name for layer in made.layers.values()
    ]
    for layer in made.layers.values():
        assert layer.path.read_bytes() == (Path("cli") / layer.path.name).read_bytes()
    assert made.manifest["settings"] == whole["settings"] and made.folder == Path("api")


def test_a_transition_from_an_array(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    frames = moving(1, 24)
    told: list[tuple[str, float, str]] = []
    with separate(
        frames,
        "transition",
        fps=Fraction(30000, 1001),
        transition=[(8, 15)],
        progress=lambda *step: told.append(step),
    ) as made:
        one, other = made.layers.values()
        assert isinstance(made, Separated) and isinstance(one, LayerResult)
        assert (one.name, one.role, one.first_frame, one.last_frame) == (
            "scene-001",
            "scene",
            0,
            15,
        )
        assert one.frames.shape == (16, 48, 64, 3) and one.frames.dtype == np.uint8
        # Both ways are lossless: frames that are not mixed come back as they were.
        assert np.array_equal(one.frames[:8], frames[:8]) and np.array_equal(
            other.frames[8:], frames[16:]
        )
        assert (one.frames[8:] == (255, 0, 0)).all()
        assert np.array_equal(np.concatenate(list(one.blocks())), one.frames)
        assert made.manifest["input"][0]["rate"] == "30000/1001"
        folder = made.folder
        assert folder.exists()
    assert not folder.exists() and one.frames.shape == (16, 48, 64, 3)
    assert {stage for stage, _, _ in told} >= {"open", "find", "separate", "write"}
    assert all(0 <= fraction <= 1 and isinstance(note, str) for _, fraction, note in told)
    assert list(Path().iterdir()) == [] and capfd.readouterr() == ("", "")


def test_the_temporary_folder_goes_with_its_owner() -> None:
    made = separate(moving(4, 2, (24, 32)), "dehaze", **QUICK)
    folder = made.folder
    assert folder.exists()
    del made
    gc.collect()
    assert not folder.exists()


def test_arrays_of_every_kind_are_the_same_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = moving(2, 4, (20, 28))
    values = frames.astype(np.float32) / 255
    kinds: list[Any] = [frames, frames.astype(np.uint16) * 257, values, values.astype(np.float64)]
    kinds += [
        torch.from_numpy(frames).permute(0, 3, 1, 2),
        torch.from_numpy(values).permute(0, 3, 1, 2),
    ]
    for kind in kinds:
        with separate(kind, "transition") as made:
            (layer,) = made.layers.values()
            found = layer.frames
        top = 255 if kind.dtype in (np.uint8, torch.uint8) else 65535
        assert found.dtype == (np.uint8 if top == 255 else np.uint16)
        assert np.abs(found / top - values).max() < 1e-4
        assert "no transition was found" in made.manifest["warnings"][0]


@pytest.mark.slow
def test_one_picture_and_several() -> None:
    pictures = moving(3, 3, (24, 32))
    with separate(pictures[0], "dehaze", **QUICK) as made:
        assert [layer.path.suffix for layer in made.layers.values()] == [".png"] * 3
        assert made.layers["clear"].frames.shape == (1, 24, 32, 3)
    with separate(list(pictures), "watermark", **QUICK) as made:
        assert {"clean-001", "clean-002", "clean-003", "watermark"} <= set(made.layers)


def test_several_files() -> None:
    pictures = moving(3, 2, (24, 32))
    for number, picture in enumerate(pictures):
        save(Path(f"{number}.png"), picture[None], **{"c:v": "png"})
    files: list[str | Path] = ["0.png", Path("1.png")]
    with separate(files, "watermark", **QUICK) as made:
        assert {"clean-001", "clean-002"} <= set(made.layers)


@pytest.mark.parametrize(
    ("source", "more", "says"),
    [
        (np.zeros((4, 5, 6), np.uint8), {}, "it must be (T, H, W, 3)"),
        (torch.zeros(4, 5, 6, 3), {}, "it must be (T, 3, H, W)"),
        (np.zeros((0, 5, 6, 3), np.uint8), {}, "it must be"),
        (np.zeros((2, 5, 6, 3), np.int64), {}, "int64"),
        (np.full((2, 5, 6, 3), 1.5), {}, "outside [0, 1]"),
        (np.full((2, 5, 6, 3), np.nan), {}, "outside [0, 1]"),
        (np.zeros((2, 5, 6, 3), np.uint8), {"fps": 0}, "fps 0"),
        (np.zeros((2, 5, 6, 3), np.uint8), {"fps": float("nan")}, "fps nan"),
        ("in.mp4", {"fps": 25}, "a file has its own"),
        ([], {}, "source is empty"),
        (["a.png", np.zeros((5, 6, 3), np.uint8)], {}, "mixes paths and arrays"),
        ([np.zeros((1, 5, 6, 3), np.uint8)], {}, "it must be (H, W, 3)"),
        (7, {}, "source is of type int"),
        (b"in.mp4", {}, "source is of type bytes"),
        ("", {}, "source is ''"),
        ("in.mp4", {"out": ""}, "out is ''"),
        ("in.mp4", {"out": 5}, "out is 5"),
        ("in.mp4", {"hint": ""}, "hint: is empty"),
        ("a\0b.mp4", {}, "source is 'a\\x00b.mp4', which cannot be used"),
        ("\ud800.mp4", {}, "which cannot be used"),
        (["a.png", "n" * 300], {}, "which cannot be used (File name too long); give another path"),
        ("in.mp4", {"out": "a\0b"}, "out is 'a\\x00b', which cannot be used"),
        ("in.mp4", {"out": Path("n" * 300, "a")}, "(File name too long); give another path"),
        ("in.mp4", {"hint": "n" * 300}, "(File name too long); give another path"),
        (torch.zeros(2, 3, 5, 6, device="meta"), {}, "source is a meta tensor"),
        (torch.zeros(2, 3, 5, 6).to_sparse(), {}, "source is a sparse tensor"),
        ("in.mp4", {"hint": torch.zeros(5, 6).to_sparse()}, "hint is a sparse tensor"),
        ("in.mp4", {"progress": 5}, "progress is 5"),
        (
            "in.mp4",
            {"hint": np.zeros(5)},
            "hint has the shape (5,); it must be (H, W, 3) or (H, W)",
        ),
        ("in.mp4", {"hint": np.zeros((5, 6), int)}, "hint is of int64"),
        ("in.mp4", {"prest": "fast"}, "did you mean preset"),
        ("in.mp4", {"preset": "fats"}, "did you mean fast"),
        ("in.mp4", {"json": True}, "cannot be set here"),
        ("in.mp4", {"lossless": 1}, "neither true nor false"),
        ("in.mp4", {"resume": True, "overwrite": True}, "resume and overwrite contradict"),
        ("in.mp4", {"lossless": True, "codec": "h265"}, "lossless and codec h265 contradict"),
        ("in.mp4", {"start": 5, "end": 3, "fps": None}, "start 5 is not before end 3"),
        (PIL.Image.new("F", (5, 6)), {}, "mode F; convert it to RGB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments(source: Any, more: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        separate(source, "dehaze", **more)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_task_that_is_no_text() -> None:
    with pytest.raises(UsageError, match="task is 5; give one of dehaze"):
        separate("in.mp4", 5)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers() -> None:
    more: dict[str, Any] = {
        "fps": np.float32(30),
        "seed": np.int64(3),
        "max_seconds": np.float32(20),
        "lossless": np.bool_(True),
        "max_memory": 2e9,
    }
    with separate(moving(1, 2, (20, 28)), "dehaze", preset="fast", **more) as made:
        kept = made.manifest["settings"]
        assert (kept["seed"], kept["max_seconds"], kept["lossless"], kept["max_memory"]) == (
            3,
            20.0,
            True,
            2_000_000_000,
        )
        assert made.manifest["input"][0]["rate"] == "30/1"
    with separate(
        moving(1, 4, (20, 28)), "transition", transition=[(np.int64(1), np.int64(2))], preset="fast"
    ) as made:
        assert made.manifest["settings"]["transition"] == [[1, 2]]


def test_bfloat16_is_taken() -> None:
    with separate(
        torch.rand(3, 20, 28, generator=torch.Generator().manual_seed(0)).bfloat16(),
        "dehaze",
        preset="fast",
    ) as made:
        assert made.layers["clear"].frames.shape == (1, 20, 28, 3)


def test_hints_of_every_kind_are_the_same_picture() -> None:
    mark = np.zeros((24, 32), np.uint8)
    mark[4:12, 4:16] = 255
    cv2.imwrite("hint.png", mark)
    kinds: list[Any] = [
        "hint.png",
        mark,
        mark[..., None],
        np.repeat(mark[..., None], 3, -1),
        mark > 0,
        mark / 255,
    ]
    kinds += [torch.from_numpy(mark), torch.from_numpy(mark)[None], torch.from_numpy(mark > 0)]
    for number, kind in enumerate(kinds):
        (word,) = hint_words(kind, f"hint_{number}", Path())
        read = cv2.imread(str(word), cv2.IMREAD_GRAYSCALE)
        assert read is not None and np.array_equal(read, mark), number


def test_marks_of_every_kind_are_the_same_picture() -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (6, 8, 4)).astype(np.uint8)
    kinds = [pixels, pixels / 255, torch.from_numpy(pixels).permute(2, 0, 1)]
    for number, kind in enumerate(kinds):
        folder = Path(f"mark-{number}")
        folder.mkdir()
        read = cv2.imread(str(mark_path(kind, folder)), cv2.IMREAD_UNCHANGED)
        assert read is not None and read.shape == pixels.shape
        levels = np.round(read / (read.max() / 255)).astype(np.uint8)
        assert np.array_equal(levels[..., [2, 1, 0, 3]], pixels), number
    assert mark_path("logo.png", Path()) == Path("logo.png")


def test_a_hint_as_a_file_and_as_an_array_give_the_same_matte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Filling what the mark hides takes as long as all the rest, and does not change the matte.
    monkeypatch.setattr("stages.watermark.layers.fill", lambda frames, *given: frames)
    picture = moving(3, 1, (24, 32))[0]
    mark = np.zeros((24, 32), np.uint8)
    mark[4:12, 4:16] = 255
    cv2.imwrite("hint.png", mark)
    picture[6:10, 6:14] = 250
    mattes = []
    for hint, name in (("hint.png", "hint.png"), (mark > 0, "array-hint")):
        with separate(picture, "watermark", hint=hint, **QUICK) as made:
            mattes.append(made.layers["matte"].frames)
            assert made.manifest["settings"]["hint"] == name
    assert mattes[0].any() and np.array_equal(mattes[1], mattes[0])


def test_a_hint_that_does_not_fit_is_named_as_the_manifest_names_it() -> None:
    picture = moving(3, 1, (24, 32))[0]
    with pytest.raises(
        UsageError,
        match="^hint array-hint: is 6x5, but array is 32x24; draw it at the input's size$",
    ):
        separate(picture, "watermark", hint=np.ones((5, 6)), **QUICK)
    with pytest.raises(UsageError, match="^hint array-hint: has nothing white in it"):
        separate(picture, "watermark", hint=np.zeros((24, 32)), **QUICK)


def test_arrays_are_known_again_by_what_they_hold() -> None:
    picture, mark = moving(3, 1, (24, 32))[0], np.zeros((24, 32), bool)
    mark[4:12, 4:16] = True
    made = separate(picture, "watermark", hint=mark, out="out", **QUICK)
    assert [item["path"] for item in made.manifest["input"]] == ["array"]
    again = separate(picture, "watermark", hint=mark, out="out", **QUICK)
    assert again.manifest["report"] == made.manifest["report"]
    # It has the same name but another mark, so the layers that are there are not its.
    with pytest.raises(UsageError, match="another input or with other options"):
        separate(picture, "watermark", hint=~mark, out="out", **QUICK)
    with separate(list(moving(3, 2, (24, 32))), "watermark", **QUICK) as several:
        assert [item["path"] for item in several.manifest["input"]] == ["array-001", "array-002"]


def test_errors_are_raised_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with pytest.raises(UsageError, match="did you mean dehaze"):
        separate(moving(1, 2), "dehase")
    with pytest.raises(UnlayerError, match=r"none\.mp4"):
        separate("none.mp4", "dehaze")

    def stop(*step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate(moving(1, 2), "dehaze", progress=stop)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_finished_run_is_given_back(
    mixed_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    clip = mixed_clip()
    first = separate(clip, "transition", out="out", transition=[(8, 15)])
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", None)
    again = separate(clip, "transition", out="out", transition=["8:15"])
    assert again.layers == first.layers and again.manifest == json.loads(json.dumps(first.manifest))


def test_the_package_stays_light() -> None:
    code = (
        "import sys, pipeline; heavy = {'torch', 'av', 'numpy', 'typer'}; "
        "print(heavy & set(sys.modules), callable(pipeline.separate))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set() True\n"
    with pytest.raises(AttributeError, match="has no attribute 'seperate'"):
        import pipeline

        pipeline.seperate  # noqa: B018


def test_the_example_runs(
    mixed_clip: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)
    from samples import separate as example

    example.main([str(mixed_clip())])
    out = capsys.readouterr().out
    assert out.startswith("scene-001: frames 0 to 23, (24, 48, 64, 3), mean level ")


@pytest.mark.parametrize(
    ("given", "lossless"), [({}, True), ({"lossless": False}, False), ({"codec": "h265"}, False)]
)
def test_layers_without_a_folder_are_lossless_unless_told_otherwise(
    given: dict[str, Any], lossless: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Settings] = []

    def stopped(settings: Settings, reporter: object) -> None:
        seen.append(settings)
        raise UsageError("stopped")

    monkeypatch.setattr("pipeline.api.perform", stopped)
    with pytest.raises(UsageError, match="stopped"):
        separate(np.zeros((8, 8, 3), np.uint8), "dehaze", **given)
    assert seen[0].lossless == lossless
