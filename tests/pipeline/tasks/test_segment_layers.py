"""`--layers`: several foregrounds, each with its files, which mix back to the input in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import read_clip
from numpy.typing import NDArray

from pipeline.cli.main import main

SIZE = (96, 144)
SQUARE = 26
Clip = NDArray[np.uint8]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def patch(seed: int, cells: int, size: tuple[int, int], low: int, high: int) -> Clip:
    """Return a smooth random picture ``(H, W, 3)``."""
    noise = np.random.default_rng(seed).integers(low, high, (cells, cells * 3 // 2, 3))
    return np.asarray(
        cv2.resize(noise.astype(np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC), np.uint8
    )


def movers(count: int, *ways: tuple[int, int, int]) -> Clip:
    """Return a clip in which textured squares pass over a still picture, the last one in front.

    ways: for each square its first left edge, its top, and its pixels a frame to the right.
    """
    ground = patch(0, 10, SIZE, 70, 190)
    frames = np.stack([ground] * count)
    for number, (left, top, speed) in enumerate(ways, 1):
        square = patch(number, 8, (SQUARE, SQUARE), 0, 255)
        for t in range(count):
            begin = left + speed * t
            first, last = max(0, begin), min(SIZE[1], begin + SQUARE)
            if first < last:
                shown = square[:, first - begin : last - begin]
                frames[t, top : top + SQUARE, first:last] = shown
    return frames


def run(frames: Clip, *words: str, out: str = "out") -> dict[str, Any]:
    source = media.save(Path("in.mkv"), frames)
    options = ["--lossless", "--no-progress", "--preset", "fast"]
    given = ["run", str(source), "--task", "segment", "--out", out]
    assert main([*given, *options, *words]) == 0
    whole: dict[str, Any] = json.loads(Path(out, "manifest.json").read_text())
    return whole


def names(whole: dict[str, Any], role: str) -> list[str]:
    return [layer["name"] for layer in whole["layers"] if layer["role"] == role]


def mixed(whole: dict[str, Any], out: str = "out") -> NDArray[np.float64]:
    """Return the layers laid over each other, from the background to the first foreground."""
    paths = {layer["name"]: Path(out, layer["path"]) for layer in whole["layers"]}
    layers = {name: read_clip(path).astype(np.float64) / 255 for name, path in paths.items()}
    again = layers["background"]
    for name in reversed(names(whole, "foreground")):
        matte = layers[name.replace("foreground", "matte")]
        again = matte * layers[name] + (1 - matte) * again
    return again


APART = ((12, 8, 4), (104, 56, -4))
"""Two squares that pass above and below each other."""


def test_two_that_move_differently_are_two_layers_that_mix_back() -> None:
    frames = movers(12, *APART)
    whole = run(frames, "--layers", "auto")
    assert names(whole, "foreground") == ["foreground-001", "foreground-002"]
    assert names(whole, "matte") == ["matte-001", "matte-002"]
    assert {(layer["first_frame"], layer["last_frame"]) for layer in whole["layers"]} == {(0, 11)}
    error = float(((mixed(whole) - frames / 255) ** 2).mean())
    assert error <= 1e-4
    assert whole["report"]["things"] == 2
    (pair,) = whole["report"]["order"]
    # They never meet: the lower one is taken for the nearer one, and the run says that it guesses.
    assert pair["front"] == "foreground-001" and pair["known_by"].startswith("guess")
    assert pair["agreement"] is None
    lower = read_clip(Path("out", "matte-001.mkv"))[..., 0] > 127
    rows = np.nonzero(lower.any((0, 2)))[0]
    assert rows.min() > 48
    assert any("their order is a guess" in text for text in whole["warnings"])
    assert (Path("out") / whole["sheets"][0]).exists()


@pytest.mark.slow
def test_the_one_that_hides_the_other_comes_first() -> None:
    frames = movers(20, (16, 26, 4), (100, 40, -4))
    whole = run(frames, "--layers", "auto")
    assert len(names(whole, "foreground")) == 2
    (pair,) = whole["report"]["order"]
    assert pair["front"] == "foreground-001" and pair["known_by"] == "seen where they meet"
    assert pair["agreement"] > 0.65
    # The second square is in front; it comes from the right.
    first = read_clip(Path("out", "matte-001.mkv"))[0, ..., 0] > 127
    assert np.nonzero(first.any(0))[0].mean() > SIZE[1] / 2
    assert float(((mixed(whole) - frames / 255) ** 2).mean()) <= 1e-4


@pytest.mark.slow
def test_fewer_than_asked_for_is_said() -> None:
    whole = run(movers(12, (12, 30, 4)), "--layers", "3")
    assert names(whole, "foreground") == ["foreground-001"]
    assert any(text.startswith("--layers 3: only 1 thing ") for text in whole["warnings"])


def test_nothing_that_moves_has_no_foreground() -> None:
    pan = np.stack([np.roll(patch(3, 12, SIZE, 0, 255), 2 * t, 1) for t in range(8)])
    whole = run(pan, "--layers", "auto")
    assert names(whole, "foreground") == [] and whole["report"]["things"] == 0
    (warning,) = whole["warnings"]
    assert "nothing that moves against the camera was found" in warning


@pytest.mark.slow
def test_a_clip_that_stands_still_has_no_foreground_unless_it_is_marked() -> None:
    still = movers(5, (60, 30, 0))
    whole = run(still, "--layers", "auto")
    assert names(whole, "foreground") == []
    assert np.array_equal(read_clip(Path("out", "background.mkv")), still)
    assert "nothing that moves against the camera was found" in whole["warnings"][0]
    # The input is left as it is, so nothing of it was hidden or made up.
    assert (whole["report"]["untouched"], whole["report"]["background_unseen"]) == (1.0, 0.0)
    whole = run(still, "--layers", "auto", "--hint", "box:58,28,30,30", out="marked")
    assert names(whole, "foreground") == ["foreground-001"]


def test_one_layer_is_what_it_always_was() -> None:
    whole = run(movers(6, (12, 30, 4)), "--layers", "1")
    assert [layer["name"] for layer in whole["layers"]] == ["background", "foreground", "matte"]
    assert "things" not in whole["report"]


@pytest.mark.slow
def test_what_is_found_in_a_later_window_covers_all_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.framewise.run.max_window_frames", lambda *about: 12)
    frames = movers(26, (6, 8, 4), (-70, 60, 4))
    whole = run(frames, "--layers", "auto")
    assert names(whole, "foreground") == ["foreground-001", "foreground-002"]
    assert {(layer["first_frame"], layer["last_frame"]) for layer in whole["layers"]} == {(0, 25)}
    assert float(((mixed(whole) - frames / 255) ** 2).mean()) <= 1e-4
    assert any("was not found in frames" in text for text in whole["warnings"])
    # Each one keeps its file through all windows.
    for name in names(whole, "matte"):
        matte = read_clip(Path("out", f"{name}.mkv"))[..., 0] > 127
        rows = np.nonzero(matte.any((0, 2)))[0]
        assert rows.max() - rows.min() < SIZE[0] / 2
