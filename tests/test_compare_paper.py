"""The comparison with the published method: its clip, clock and verdict, in a few steps."""

from __future__ import annotations

from dataclasses import replace

import compare_paper
import pytest
from compare_paper import CLEAN, MIXED, Record, case, score, verdict, watch_paper

from samples.ablation import Case
from stages.media.clip import Frames
from stages.mixing.mixture import mix
from stages.transition.plan import Plan

pytest.importorskip("samples.make", reason="needs scikit-image, from the dev extra")


@pytest.fixture(scope="module")
def given() -> Case:
    """Return the clip at its smallest."""
    return case(18, 32)


def test_the_clip_is_made_of_its_true_layers(given: Case) -> None:
    assert given.window.pixels.shape == (2 * CLEAN + MIXED, 3, 18, 32)
    mixture = given.mixture
    assert (mixture.first, mixture.last) == (CLEAN, CLEAN + MIXED - 1)
    again = mix(*given.truth, mixture.weight[mixture.mixed], "gamma")
    assert (again - mixture.frames[mixture.mixed]).abs().max() <= 0.5 / 255 + 1e-6
    # Both scenes go on from their clean frames, without a jump.
    for clean, layer in (
        (mixture.frames[CLEAN - 1], given.truth[0][0]),
        (mixture.frames[CLEAN + MIXED], given.truth[1][-1]),
    ):
        assert (clean - layer).abs().mean() < 0.05
    assert score(given.truth, given.truth) == pytest.approx(60)


def test_a_record_knows_its_last_rise_and_when_it_is_quiet() -> None:
    record = Record(quiet=10)
    seen = [(1, 1.0, 20.0), (2, 4.0, 21.0), (3, 6.0, 21.04), (4, 13.0, 21.02), (5, 14.0, 20.0)]
    assert [record.add(*each) for each in seen] == [False, False, False, False, True]
    assert (record.best, record.seconds, record.steps, record.peak, record.spent) == (
        21.0,
        4.0,
        2,
        21.04,
        14.0,
    )
    assert record.done and record.history == seen


def test_many_small_rises_are_one() -> None:
    record = Record(quiet=10)
    assert not any(record.add(step, float(step), 20 + 0.02 * step) for step in range(1, 30))
    assert record.steps == 28


def test_a_record_that_is_cut_short_says_so() -> None:
    record = Record(quiet=10, limit=3)
    assert not record.add(1, 2.0, 20.0) and record.add(2, 3.0, 22.0)
    assert not record.done


@pytest.mark.parametrize(
    ("seconds", "reached", "expected"),
    [(5.0, 30.0, True), (5.1, 30.0, False), (1.0, 29.9, False), (1.0, 35.0, True)],
)
def test_the_verdict_asks_for_speed_and_quality(
    seconds: float, reached: float, expected: bool
) -> None:
    record = Record(quiet=10, peak=30.0, seconds=100.0)
    assert verdict(record, seconds, reached) is expected


def test_the_published_fit_is_watched_until_it_is_quiet(given: Case) -> None:
    lines: list[str] = []
    ticks = iter(range(1000))
    short = Frames(given.window.pixels[CLEAN - 2 : CLEAN + 4], given.window.times[:6])
    transition = replace(
        given.transition, first_frame=2, last_frame=5, mix=given.transition.mix[:4]
    )
    small = Case("", short, transition, (given.truth[0][:4], given.truth[1][:4]))
    record = watch_paper(
        small, Record(1e9, limit=2.0), check=2, say=lines.append, clock=lambda: float(next(ticks))
    )
    # The clock is read once before the fit and twice at each look. The time between these two is
    # not the fit's.
    assert [(steps, seconds) for steps, seconds, _ in record.history] == [(2, 1.0), (4, 2.0)]
    assert record.peak == max(reached for _, _, reached in record.history) and 5 < record.peak < 60
    assert "4 steps" in lines[-1]


@pytest.mark.parametrize(
    ("balanced", "status"), [((2.0, 33.0), 0), ((20.0, 33.0), 1), ((2.0, 20.0), 1)]
)
def test_the_comparison_is_printed_and_its_status_returned(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: Case,
    balanced: tuple[float, float],
    status: int,
) -> None:
    def watched(_: Case, record: Record, **__: object) -> Record:
        assert (record.quiet, record.limit) == (30.0, 500.0)
        for step, (seconds, reached) in enumerate([(10.0, 20.0), (100.0, 30.0), (131.0, 29.0)]):
            record.add(step, seconds, reached)
        return record

    monkeypatch.setattr(compare_paper, "case", lambda: given)
    monkeypatch.setattr(compare_paper, "watch_paper", watched)
    monkeypatch.setattr(
        compare_paper,
        "whole_run",
        lambda _, preset: balanced if preset == "balanced" else (1.0, 31.0),
    )
    assert compare_paper.main(["--quiet-minutes", "0.5", "--seconds", "500"]) == status
    said = capsys.readouterr().out
    assert "best 30.00 dB, last rise at 100.0 s (1 steps); no rise for 31 s" in said
    assert "fast: 31.00 dB after 1.0 s: +1.00 dB against paper, 100.0 times sooner" in said
    assert ("NOT 20 times" in said) == bool(status)


def test_a_whole_run_is_timed_and_judged(monkeypatch: pytest.MonkeyPatch, given: Case) -> None:
    monkeypatch.setattr(
        "stages.transition.plan.PLANS",
        {"tiny": Plan(pixels=960 * 540, levels=((2, 20), (1, 10)), turns=1)},
    )
    seconds, reached = compare_paper.whole_run(given, "tiny")
    mixed = given.window.pixels[given.mixture.mixed]
    assert seconds > 0 and reached > score((mixed, mixed), given.truth) + 3
