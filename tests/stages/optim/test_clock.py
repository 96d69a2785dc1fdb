"""Seconds by the clock, and what a step costs though the machine is held up meanwhile."""

from __future__ import annotations

import pytest

from stages.optim.timing import LEAST_PART, clocked, seconds_a_step, seconds_of


class Machine:
    """A clock that work moves on: once for a call, then for every step; and by how much more the calls are held up."""

    def __init__(self, once: float, step: float, held_up: tuple[float, ...] = ()) -> None:
        self.now, self.once, self.step, self.held_up = 0.0, once, step, list(held_up)

    def work(self, steps: int) -> None:
        self.now += self.once + steps * self.step + (self.held_up.pop(0) if self.held_up else 0.0)


def cost(machine: Machine, patch: pytest.MonkeyPatch) -> float:
    patch.setattr("stages.optim.timing.time.monotonic", lambda: machine.now)
    return seconds_a_step(machine.work, 1, 6)


def test_what_every_call_pays_once_is_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost(Machine(1.0, 0.25), monkeypatch) == pytest.approx(0.25)


def test_a_machine_that_is_held_up_makes_no_plan_of_thousands(
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
