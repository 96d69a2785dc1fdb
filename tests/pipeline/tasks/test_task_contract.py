"""What every frame-wise task promises: sizes, ranges, layers that mix back, the same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import moving, read_clip
from numpy.typing import NDArray

from pipeline.cli.main import main
from pipeline.report.wording import SHARES
from pipeline.tasks import find_task, names

Values = NDArray[np.float64]
TASKS = [name for name in names() if name != "transition"]


def summed(layers: dict[str, Values], report: dict[str, float]) -> Values:
    """Return transmission plus reflection, in the values that the report names."""
    if report["space"] < 0.5:
        return layers["transmission"] + layers["reflection"]
    return np.asarray((layers["transmission"] ** 2.2 + layers["reflection"] ** 2.2) ** (1 / 2.2))


MIXED: dict[str, Callable[[dict[str, Values], dict[str, float]], Values]] = {
    "segment": lambda layers, _: (
        layers["matte"] * layers["foreground"] + (1 - layers["matte"]) * layers["background"]
    ),
    "dehaze": lambda layers, _: (
        layers["transmission"] * layers["clear"] + (1 - layers["transmission"]) * layers["airlight"]
    ),
    "watermark": lambda layers, _: (
        (1 - layers["matte"]) * layers["clean"] + layers["matte"] * layers["watermark"]
    ),
    "transparency": summed,
}
"""How each task's layers make the input; values are in [0, 1]."""


def test_every_task_says_how_its_layers_mix() -> None:
    assert set(TASKS) == set(MIXED)


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def run(task: str, *words: object, out: str = "out") -> dict[str, Any]:
    assert (
        main(
            [
                "run",
                *map(str, words),
                "--task",
                task,
                "--out",
                out,
                "--lossless",
                "--preset",
                "fast",
                "--no-progress",
            ]
        )
        == 0
    )
    whole: dict[str, Any] = json.loads(Path(out, "manifest.json").read_text())
    return whole


def layers_of(whole: dict[str, Any], out: str = "out") -> dict[str, Values]:
    """Return every layer by its role, ``(T, H, W, 3)`` in [0, 1], without alpha."""
    found = {}
    for layer in whole["layers"]:
        path = Path(out, layer["path"])
        picture: np.ndarray
        if path.suffix == ".png":
            read = cv2.imread(str(path), cv2.IMREAD_COLOR)
            assert read is not None
            picture = read[None, ..., ::-1]
        else:
            picture = read_clip(path)
        assert len(picture) == layer["last_frame"] - layer["first_frame"] + 1
        found[layer["role"]] = np.asarray(picture, np.float64) / 255
    return found


def check(task: str, whole: dict[str, Any], source: NDArray[np.uint8], out: str = "out") -> None:
    """Check that the layers are the task's, of the input's size, and mix back with 40 dB."""
    assert {layer["role"] for layer in whole["layers"]} == set(find_task(task).roles)
    layers = layers_of(whole, out)
    assert {values.shape for values in layers.values()} == {source.shape}
    again = MIXED[task](layers, whole["report"]).clip(0, 1)
    error = float(((again - source / 255) ** 2).mean())
    assert error <= 1e-4, f"{task}: {-10 * np.log10(error):.1f} dB"
    shares = [whole["report"][name] for name in SHARES if name in whole["report"]]
    assert all(0 <= part <= 1 for part in shares) and sum(shares) <= 1.002, (
        f"{task}: known, invented and untouched are {shares}"
    )
    assert (Path(out) / whole["sheets"][0]).exists()


def save(frames: NDArray[np.uint8]) -> Path:
    if len(frames) == 1:
        cv2.imwrite("in.png", frames[0][..., ::-1])
        return Path("in.png")
    return media.save(Path("in.mkv"), frames)


def cut(count: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(moving(3, count, (48, 64))[:, : size[0], : size[1]])


@pytest.mark.usually(10)
@pytest.mark.parametrize(
    ("count", "size"),
    [(1, (1, 1)), (1, (37, 53)), (2, (5, 3)), (2, (24, 33)), (4, (24, 33))],
    ids=str,
)
@pytest.mark.parametrize("task", TASKS)
def test_any_length_and_size(task: str, count: int, size: tuple[int, int]) -> None:
    frames = cut(count, size)
    check(task, run(task, save(frames)), frames)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(48, 64), (37, 53), (5, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("count", [1, 2, 6])
@pytest.mark.parametrize("task", TASKS)
def test_every_length_and_size(task: str, count: int, size: tuple[int, int]) -> None:
    frames = cut(count, size)
    check(task, run(task, save(frames)), frames)


@pytest.mark.usually(6)
@pytest.mark.parametrize(("count", "level"), [(1, 0), (1, 255), (3, 128)])
@pytest.mark.parametrize("task", TASKS)
def test_a_constant_input(task: str, count: int, level: int) -> None:
    frames = np.full((count, 24, 32, 3), level, np.uint8)
    check(task, run(task, save(frames)), frames)


def plain(count: int) -> NDArray[np.uint8]:
    """Return frames of one grey."""
    return np.full((count, 24, 32, 3), 128, np.uint8)


def vivid(count: int) -> NDArray[np.uint8]:
    """Return squares in pure colours, white and black under a camera that pans.

    Nothing veils them, and nothing moves by itself.
    """
    squares = np.random.default_rng(0).integers(0, 2, (12, 16, 3)).astype(np.uint8) * 255
    picture = np.kron(squares, np.ones((4, 4, 1), np.uint8))
    return np.stack([np.roll(picture, place, 1) for place in range(count)])


def scene(count: int) -> NDArray[np.uint8]:
    return moving(3, count, (48, 64))


CLEAN: dict[str, tuple[str, str, dict[int, Callable[[int], NDArray[np.uint8]]]]] = {
    "segment": ("background", "so the foreground is empty there", {1: plain, 4: vivid}),
    "dehaze": ("clear", "no haze found", {1: vivid, 4: vivid}),
    "watermark": ("clean", "no mark was found", {1: scene, 4: scene}),
    "transparency": ("transmission", "no reflection is believed", {1: scene, 4: plain}),
}
"""Inputs with nothing to find.

For each task: the layer that then is the input, the warning, and how a picture and a clip are made.
"""


def test_every_task_has_an_input_without_anything_to_find() -> None:
    assert set(CLEAN) == set(TASKS)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("task", TASKS)
def test_where_nothing_is_found_that_is_said_once(
    task: str, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    role, says, sources = CLEAN[task]
    frames = sources[count](count)
    whole = run(task, save(frames))
    (warning,) = whole["warnings"]
    assert (
        says in warning
        and ("the picture" if count == 1 else "all 4 frames") in warning
        and "{" not in warning
    )
    assert f"unlayer: warning: {warning}" in capsys.readouterr().err
    # This is within what a layer of 8 bits can hold.
    assert np.abs(layers_of(whole)[role] - frames / 255).max() <= 2 / 255


@pytest.mark.usefixtures("whole_fits")
def test_a_mark_that_is_not_in_the_box_is_told() -> None:
    source = save(scene(1))
    box = np.zeros((48, 64, 3), np.uint8)
    # Not where the scene's plain square is, which looks like an opaque mark.
    box[28:46, 26:62] = 255
    cv2.imwrite("box.png", box)
    (warning,) = run("watermark", source, "--hint", "box.png")["warnings"]
    assert warning.startswith(
        "no mark was found at the place that --hint marks in the picture, "
        "so the clean layer is the input;"
    )


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_several_windows_say_it_once(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.framewise.run.max_window_frames", lambda *about: 4)
    role, says, sources = CLEAN[task]
    (warning,) = run(task, save(sources[4](7)))["warnings"]
    assert says in warning and "all 7 frames" in warning


@pytest.mark.usually(2)
@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_bytes(task: str) -> None:
    source = save(moving(4, 3, (24, 40)))
    for out in ("one", "other"):
        run(task, source, "--seed", "3", out=out)
    sums = [
        {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(Path(out).iterdir())
            if path.suffix in (".mkv", ".png")
        }
        for out in ("one", "other")
    ]
    assert sums[0] == sums[1] and len(sums[0]) >= 3


@pytest.mark.usually(2)
@pytest.mark.parametrize("task", TASKS)
def test_a_clip_of_several_windows_has_no_seam(task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.framewise.run.max_window_frames", lambda *about: 4)
    frames = moving(5, 6, (24, 40))
    check(task, run(task, save(frames)), frames)


@pytest.mark.parametrize("task", TASKS)
def test_a_budget_is_kept_to(task: str) -> None:
    whole = run(task, save(moving(4, 3, (24, 40))), "--max-seconds", "4")
    assert whole["report"]["seconds"] <= 4 * 1.25 + 30


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_published_method_runs(task: str) -> None:
    frames = moving(4, 2, (40, 56))
    source = save(frames)
    words = [
        "run",
        str(source),
        "--task",
        task,
        "--out",
        "out",
        "--lossless",
        "--preset",
        "paper",
        "--max-seconds",
        "20",
        "--no-progress",
    ]
    assert main(words) == 0
    check(task, json.loads(Path("out/manifest.json").read_text()), frames)
