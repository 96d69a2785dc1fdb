"""Test the measurement of diagnoses without running ``probe``."""

from __future__ import annotations

from pathlib import Path

import measure_diagnoses
import numpy as np
import pytest
from media import SHARED
from movers import Footage

from pipeline.diagnosis.diagnose import diagnosing_tasks


def test_a_summary_counts_both_halves() -> None:
    verdicts = [(True, "there"), (True, "perhaps"), (False, "there"), (False, "not there")]
    assert measure_diagnoses.summary(verdicts) == (
        "with it: there 1, perhaps 1, of 2; without it: there 1, perhaps 0, of 2; "
        "balanced accuracy 0.50"
    )
    assert measure_diagnoses.summary([(True, "there"), (False, "perhaps")]).endswith("1.00")


def test_every_thing_is_one_that_a_task_diagnoses() -> None:
    tasks = {task.name for task in diagnosing_tasks()}
    assert {thing.task for thing in measure_diagnoses.THINGS.values()} == tasks


def test_an_unknown_thing_and_missing_footage_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        measure_diagnoses.main(["fog"])
    assert "fog is not one of foreground, haze" in capsys.readouterr().err
    measure_diagnoses.main(["haze", "--footage", str(tmp_path)])
    assert capsys.readouterr().out.startswith("skipped: ")


@pytest.mark.usually(3)
@pytest.mark.skipif(not (SHARED / "segment").is_dir(), reason="the footage is missing")
@pytest.mark.parametrize("name", measure_diagnoses.THINGS)
def test_what_is_drawn_holds_the_thing_and_is_the_same_again(name: str) -> None:
    footage = Footage(SHARED / "segment", SHARED / "photos")
    thing = measure_diagnoses.THINGS[name]
    plain, _ = measure_diagnoses.without(name, np.random.default_rng(5), 5, footage)
    one, words = thing.add(np.random.default_rng(5), 5, footage)
    again, _ = thing.add(np.random.default_rng(5), 5, footage)
    assert words and np.array_equal(one, again)
    assert one.min() >= 0 and one.max() <= 1
    assert one.shape != plain.shape or np.abs(one - plain).max() > 0.1
