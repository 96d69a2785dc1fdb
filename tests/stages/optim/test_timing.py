"""Seconds by the clock, and the cost of a step though the machine is delayed meanwhile."""

from __future__ import annotations

import pytest

from stages.optim.timing import LEAST_PART, clocked, seconds_a_step, seconds_of


class Machine:
    """A clock that only work advances.

    once: seconds of a call. step: seconds of each of its steps. delays: of the calls in turn.
    """

    def __init__(self, once: float, step: float, delays: tuple[float, ...] = ()) -> None:
        self.now = 0.0
        self.once = once
        self.step = step
        self.delays = list(delays)

    def work(self, steps: int) -> None:
        delay = self.delays.pop(0) if self.delays else 0.0
        self.now += self.once + steps * self.step + delay


def cost(machine: Machine, patch: pytest.MonkeyPatch) -> float:
    patch.setattr("stages.optim.timing.time.monotonic", lambda: machine.now)
    return seconds_a_step(machine.work, 1, 6)


def test_the_fixed_cost_of_a_call_is_not_part_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost(Machine(1.0, 0.25), monkeypatch) == pytest.approx(0.25)


def test_a_delayed_machine_does_not_plan_thousands_of_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cost(Machine(0.1, 0.25, (9.0,)), monkeypatch) == pytest.approx(0.25)
    assert cost(Machine(0.1, 0.25, (9.0, 9.0)), monkeypatch) == pytest.approx(LEAST_PART * 1.6 / 6)
    assert cost(Machine(0.1, 0.25, (0.0, 0.0, 5.0)), monkeypatch) == pytest.approx(1.25)


def test_seconds_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, seconds = Machine(0.0, 1.0), {"fit": 1.0}
    monkeypatch.setattr("stages.optim.timing.time.monotonic", lambda: machine.now)
    with pytest.raises(ValueError), clocked(seconds, "fit"):
        machine.work(2)
        raise ValueError
    assert seconds == {"fit": 3.0} and seconds_of(lambda: machine.work(4)) == 4.0
