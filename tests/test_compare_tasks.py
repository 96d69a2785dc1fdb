"""The comparison of the three methods: its cases, its scores, and what it prints."""

from __future__ import annotations

from pathlib import Path

import compare_tasks
import cv2
import numpy as np
import pytest
from compare_tasks import CASES, HEIGHT, PRESETS, WIDTH, TaskCase, either, overlap, reached

pytest.importorskip("samples.make", reason="needs scikit-image, from the dev extra")


def test_scores_know_the_truth() -> None:
    one, other = np.full((4, 5, 3), 0.25), np.full((4, 5, 3), 0.75)
    assert reached(one, one) == 99 and reached(one, other) == pytest.approx(6.02, abs=0.01)
    one, other = np.random.default_rng(3).random((2, 4, 5, 3))
    layers = {"transmission": 0.5 * other[None] + 0.1, "reflection": one[None]}
    assert either(layers, (one, other)) == 99, "neither the order nor the level is judged"
    assert reached(0.5 * other + 0.1, other) < 20
    mixed = {"transmission": (one + other)[None], "reflection": (one + other)[None]}
    assert either(mixed, (one, other)) < 20, "a mixture is not a layer"
    matte = np.zeros((4, 4, 3))
    matte[:2] = 1
    assert overlap(matte, matte) == 1 and overlap(matte, np.roll(matte, 1, 0)) == pytest.approx(
        1 / 3
    )


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_small_and_its_task_is_one(name: str) -> None:
    given = CASES[name]()
    pictures = given.source if isinstance(given.source, list) else [given.source]
    assert all(picture.shape[-3:] == (HEIGHT, WIDTH, 3) for picture in pictures)
    assert all(picture.min() >= 0 and picture.max() <= 1 for picture in pictures)
    assert given.task in ("transition", "segment", "dehaze", "watermark", "transparency")


def test_true_layers_score_best() -> None:
    matte = compare_tasks.lettered()
    clean = compare_tasks.coffee()
    given = CASES["a mark on a picture"]()
    assert given.score({"clean": clean[None]}) == 99
    assert given.score({"clean": ((1 - matte) * clean + matte)[None]}) < 20
    assert CASES["haze"]().score({"clear": clean[None]}) == 99


@pytest.mark.parametrize("name", [name for name in CASES if "object" not in name])
def test_the_input_itself_is_judged_like_a_layer(name: str) -> None:
    given = CASES[name]()
    score = compare_tasks.as_it_is(given)
    assert score is not None and 8 < score < 22
    if name == "haze":
        assert score == reached(given.source, compare_tasks.coffee())


def test_a_hazy_file_is_judged_by_its_clear_one(tmp_path: Path) -> None:
    hazy, clear = tmp_path / "hazy.png", tmp_path / "clear.png"
    cv2.imwrite(str(hazy), np.full((6, 8, 3), (0, 51, 102), np.uint8))
    cv2.imwrite(str(clear), np.full((12, 16, 3), (0, 51, 51), np.uint8))
    given = compare_tasks.haze_pair(hazy, clear)
    assert given.source.shape == (6, 8, 3) and given.source[0, 0].tolist() == [0.4, 0.2, 0]
    # One channel of three is wrong by 0.2.
    assert compare_tasks.as_it_is(given) == pytest.approx(-10 * np.log10(0.04 / 3), abs=1e-6)
    with pytest.raises(SystemExit, match="cannot be read"):
        compare_tasks.haze_pair(tmp_path / "none.png", clear)


def test_what_is_measured_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, float | None]] = []

    def run(given: TaskCase, preset: str, seconds: float | None) -> tuple[float, float]:
        asked.append((preset, seconds))
        return 12.34, 5.6

    monkeypatch.setattr(compare_tasks, "run", run)
    assert compare_tasks.main(["haze", "--seconds", "7"]) == 0
    assert asked == [(preset, 7.0) for preset in PRESETS]
    assert capsys.readouterr().out.startswith("haze: paper 12.3 dB in 6 s, coupled 12.3 dB in 6 s")
    assert compare_tasks.main(["an object in a picture", "--markdown"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert (
        printed[-1] == "| an object in a picture (J) |  | " + " | ".join(["12.34 | 6"] * 3) + " |"
    )
    with pytest.raises(SystemExit):
        compare_tasks.main(["rain"])
    assert "no case 'rain'" in capsys.readouterr().err


def test_a_preset_is_run_and_leaves_one_mixture_as_it_is() -> None:
    given = CASES["one mixture"]()
    score, seconds = compare_tasks.run(given, "fast", None)
    left = {"transmission": given.source[None], "reflection": np.zeros((1, HEIGHT, WIDTH, 3))}
    assert score == pytest.approx(given.score(left), abs=0.1) and seconds > 0
