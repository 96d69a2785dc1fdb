"""Test the measurements of confidence and of chains without taking anything apart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import measure_chain
import measure_confidence
import numpy as np
import pytest
from media import SHARED
from movers import Footage

from pipeline.tasks import built_in

FOOTAGE = Footage(SHARED / "segment", SHARED / "photos")
MEASUREMENTS = {
    "confidence": (measure_confidence, "dissolve"),
    "chain": (measure_chain, "mark-dissolve"),
}


def test_a_summary_says_correlation_error_and_bias() -> None:
    pairs = [(30.0, 32.0), (20.0, 22.0), (40.0, 42.0)]
    assert measure_confidence.summary(pairs, "dB") == (
        "3 frames, correlation 1.00, mean error 2.00 dB, expected too much by -2.00 dB"
    )
    assert "correlation 0.00" in measure_confidence.summary([(0.5, 0.1), (0.5, 0.9)], "J")
    assert measure_confidence.summary([], "J").startswith("too few")


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_what_is_unknown_and_missing_footage_are_said(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, first = MEASUREMENTS[name]
    with pytest.raises(SystemExit):
        module.main(["fog"])
    assert f"fog is not one of {first}" in capsys.readouterr().err
    module.main(["--footage", str(tmp_path)])
    assert capsys.readouterr().out.startswith("skipped: ")


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "segment").is_dir(), reason="the footage is missing")
@pytest.mark.parametrize("name", measure_confidence.KINDS)
def test_what_is_drawn_is_the_same_again(name: str) -> None:
    kind = measure_confidence.KINDS[name]
    one, again = (kind.draw(np.random.default_rng(5), 5, FOOTAGE) for _ in range(2))
    assert one.words == again.words and np.array_equal(one.frames, again.frames)
    assert one.frames.min() >= 0 and one.frames.max() <= 1


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "segment").is_dir(), reason="the footage is missing")
@pytest.mark.parametrize("name", measure_chain.CHAINS)
def test_a_chain_is_drawn_with_its_intermediate(name: str) -> None:
    drawn = measure_chain.CHAINS[name](np.random.default_rng(6), 6, FOOTAGE)
    assert set(drawn.chain.split(",")) <= set(built_in())
    assert drawn.frames.shape == drawn.between.shape
    assert np.abs(drawn.frames - drawn.between).max() > 0.1


def test_true_scenes_are_perfect_and_are_compared_frame_by_frame() -> None:
    scenes = np.full((4, 2, 2, 3), 0.2, np.float32), np.full((4, 2, 2, 3), 0.8, np.float32)
    drawn = measure_confidence.joined(*scenes, np.full((2, 1, 1, 1), 0.5, np.float32), "")
    assert drawn.frames[:, 0, 0, 0] == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.8, 0.8])
    expected = {"from": [50, 40], "to": [30, 20]}
    entry = {"from": "a", "to": "b", "first_frame": 2, "confidence": expected}
    layers = {
        name: SimpleNamespace(frames=np.full((4, 2, 2, 3), value, np.uint8), first_frame=first)
        for name, value, first in (("a", 51, 0), ("b", 204, 2))
    }
    made: Any = SimpleNamespace(manifest={"transitions": [entry]}, layers=layers)
    found = measure_confidence.scene_pairs(made, scenes, range(2, 4))
    assert found == [(50, 60.0), (40, 60.0), (30, 60.0), (20, 60.0)]
