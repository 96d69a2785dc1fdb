"""The comparison of the three methods: its cases, its scores, and what it prints."""

from __future__ import annotations

import compare_tasks
import numpy as np
import pytest
from compare_tasks import CASES, HEIGHT, PRESETS, WIDTH, TaskCase, either, overlap, reached

pytest.importorskip("samples.make", reason="needs scikit-image, from the dev extra")


def test_scores_know_the_truth() -> None:
    one, other = np.full((4, 5, 3), 0.25), np.full((4, 5, 3), 0.75)
    assert reached(one, one) == 99 and reached(one, other) == pytest.approx(6.02, abs=0.01)
    layers = {"transmission": other[None], "reflection": one[None]}
    assert either(layers, (one, other)) == 99, "which layer is which is not judged"
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


def test_a_preset_is_run_through_the_python_interface() -> None:
    score, seconds = compare_tasks.run(CASES["one mixture"](), "fast", None)
    assert 5 < score < 60 and seconds > 0
