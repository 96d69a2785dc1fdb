"""The trace of a fit: short, complete at its ends, and held by checkpoints."""

from __future__ import annotations

from pathlib import Path

from stages.optim.loss_curves import Trace, joined, placed, thinned
from stages.storage.checkpoint import Checkpoints


def test_a_trace_stays_short_and_keeps_its_ends() -> None:
    trace = Trace(most=10)
    for step in range(1000):
        trace.add("networks", (step + 1) / 1000, {"loss": 1000.0 - step, "other": 1.0})
    curve = trace.curves()["networks"]["loss"]
    assert len(curve) <= 12 and curve[0] == [0.001, 1000.0] and curve[-1] == [1.0, 1.0]
    assert [at for at, _ in curve] == sorted(at for at, _ in curve)


def test_values_that_are_not_finite_are_left_out() -> None:
    trace = Trace()
    trace.add("motion", 0.5, {"loss": float("nan"), "other": 2.0})
    trace.add("motion", 1.0, {"loss": float("inf")})
    assert trace.curves() == {"motion": {"other": [[0.5, 2.0]]}}


def test_joining_placing_thinning() -> None:
    one, other = (
        {"a": {"x": [[0.0, 1.0], [1.0, 2.0]]}},
        {"a": {"x": [[0.0, 3.0]]}, "b": {"y": [[1.0, 4.0]]}},
    )
    both = joined(placed(one, 0.0, 0.5), placed(other, 0.5, 1.0))
    assert both == {"a": {"x": [[0.0, 1.0], [0.5, 2.0], [0.5, 3.0]]}, "b": {"y": [[1.0, 4.0]]}}
    assert one["a"]["x"] == [[0.0, 1.0], [1.0, 2.0]]
    long = {"a": {"x": [[step / 99, float(step)] for step in range(100)]}}
    assert [value for _, value in thinned(long, 4)["a"]["x"]] == [0.0, 33.0, 66.0, 99.0]


def test_a_checkpoint_holds_a_trace(tmp_path: Path) -> None:
    trace = Trace()
    trace.add("motion", 0.25, {"loss": 0.125})
    Checkpoints(tmp_path, "x").save("trace", trace.curves())
    assert Checkpoints(tmp_path, "x").newest("trace") == {"motion": {"loss": [[0.25, 0.125]]}}
