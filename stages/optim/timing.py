"""Measure how long a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial

import torch

LEAST_PART = 0.05
"""Least cost of a step, as a part of the mean over all steps. It limits the plan of a machine that
was delayed during the shorter of two measurements."""

LEAST_STEP = 1e-6
"""Least cost of a step, in seconds."""

MEASURED_PART = 0.05
"""Part of a time budget in which the cost of a step is measured, if a step takes no longer."""

MOST_MEASURED = 40
"""Most steps that are measured; from there on, more say nothing new."""


@contextmanager
def clocked(seconds: MutableMapping[str, float], name: str) -> Iterator[None]:
    """Add the seconds that the block takes to ``seconds[name]``."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began


def seconds_a_step(work: Callable[[int], object], few: int, more: int) -> float:
    """Return the seconds of one step of ``work(steps)``, without the fixed cost of a call.

    few, more: numbers of steps of two calls, whose difference in time is taken.
    """
    return call_and_step(work, few, more)[1]


def call_and_step(work: Callable[[int], object], few: int, more: int) -> tuple[float, float]:
    """Return the seconds of ``work(few)`` and those of one step (:func:`seconds_a_step`)."""
    first = min(seconds_of(partial(work, few)) for _ in range(2))
    last = seconds_of(partial(work, more))
    return first, max((last - first) / (more - few), LEAST_PART * last / more, LEAST_STEP)


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that ``work`` takes, with what it leaves a GPU to do."""
    began = time.monotonic()
    work()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
    return time.monotonic() - began


def steps_within(work: Callable[[int], object], seconds: float, most: int) -> int:
    """Return how many steps of ``work(steps)`` take ``seconds`` in all, from 1 to ``most``.

    The steps by which their cost is measured count as spent.
    """
    began = time.monotonic()
    work(1)  # The first call also starts threads and allocates.
    once = seconds_of(partial(work, 1))
    count = max(2, min(MOST_MEASURED, int(MEASURED_PART * seconds / max(once, LEAST_STEP))))
    longer = seconds_of(partial(work, 1 + count))
    step = max((longer - once) / count, LEAST_PART * longer / count, LEAST_STEP)
    left = seconds - (time.monotonic() - began) - (once - step)
    return max(1, min(most, int(left / step)))
