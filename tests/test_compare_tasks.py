"""The comparison of the three methods: its cases, its scores, and what it prints."""

from __future__ import annotations

from pathlib import Path

import compare_tasks
import cv2
import numpy as np
import pytest
from compare_tasks import ENLARGED, PRESETS, PresetResult
from task_cases import CASES, HEIGHT, WIDTH, TaskCase, coffee, either, haze_pair, overlap, reached

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


@pytest.mark.parametrize("name", CASES)
def test_true_layers_score_best_and_are_shown(name: str) -> None:
    given = CASES[name]()
    assert given.score(given.truth) == (1.0 if given.unit == "J" else 99)
    shown, mixed = given.shown(given.truth), given.shown_input
    assert shown.shape == mixed.shape == (HEIGHT, WIDTH, 3)
    # A picture of the true layer belongs to the frame of the input that is shown beside it.
    inside = np.abs(shown - mixed).max(-1) < 1e-9
    if given.task == "segment":
        assert 0.02 < inside.mean() < 0.4, "the thing is shown as it is"
    if given.task == "watermark":
        assert 0.7 < inside.mean() < 1, "only the mark changes"
    assert given.task in ("segment", "watermark") or not np.array_equal(shown, mixed)


@pytest.mark.parametrize("name", [name for name in CASES if "object" not in name])
def test_the_input_itself_is_judged_like_a_layer(name: str) -> None:
    given = CASES[name]()
    score = compare_tasks.as_it_is(given)
    assert score is not None and 8 < score < 22
    if name == "haze":
        assert score == reached(given.source, coffee())


def test_a_hazy_file_is_judged_by_its_clear_one(tmp_path: Path) -> None:
    hazy, clear = tmp_path / "hazy.png", tmp_path / "clear.png"
    cv2.imwrite(str(hazy), np.full((6, 8, 3), (0, 51, 102), np.uint8))
    cv2.imwrite(str(clear), np.full((12, 16, 3), (0, 51, 51), np.uint8))
    given = haze_pair(hazy, clear)
    assert given.source.shape == (6, 8, 3) and given.source[0, 0].tolist() == [0.4, 0.2, 0]
    # One channel of three is wrong by 0.2.
    assert compare_tasks.as_it_is(given) == pytest.approx(-10 * np.log10(0.04 / 3), abs=1e-6)
    with pytest.raises(SystemExit, match="cannot be read"):
        haze_pair(tmp_path / "none.png", clear)


def test_what_is_measured_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[tuple[str, float | None]] = []

    def run(given: TaskCase, preset: str, seconds: float | None) -> PresetResult:
        asked.append((preset, seconds))
        return PresetResult(given.truth, 12.34, 5.6)

    monkeypatch.setattr(compare_tasks, "run", run)
    assert compare_tasks.main(["haze", "--seconds", "7"]) == 0
    assert asked == [(preset, 7.0) for preset in PRESETS]
    assert capsys.readouterr().out.startswith("haze: paper 12.3 dB in 6 s, coupled 12.3 dB in 6 s")
    sheet = tmp_path / "sheet.png"
    words = ["an object in a picture", "--markdown", "--sheet", str(sheet)]
    assert compare_tasks.main(words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert (
        printed[-1] == "| an object in a picture (J) |  | " + " | ".join(["12.34 | 6"] * 3) + " |"
    )
    drawn = cv2.imread(str(sheet))
    assert drawn is not None and drawn.shape[1] > (len(PRESETS) + 2) * ENLARGED * WIDTH
    assert np.array_equal(
        drawn[:, -ENLARGED * WIDTH :][-60:],
        drawn[:, -2 * ENLARGED * WIDTH - 4 : -ENLARGED * WIDTH - 4][-60:],
    ), "the default drew the truth"
    with pytest.raises(SystemExit):
        compare_tasks.main(["rain"])
    assert "no case 'rain'" in capsys.readouterr().err


def test_a_preset_is_run_and_leaves_one_mixture_as_it_is() -> None:
    given = CASES["one mixture"]()
    found = compare_tasks.run(given, "fast", None)
    left = {"transmission": given.source[None], "reflection": np.zeros((1, HEIGHT, WIDTH, 3))}
    assert found.score == pytest.approx(given.score(left), abs=0.1) and found.seconds > 0
