"""Measure how long a piece of work takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial

LEAST_PART = 0.05
"""Least cost of a step, as a part of the mean over all steps. It limits the plan of a machine that
was delayed during the shorter of two measurements."""

LEAST_STEP = 1e-6
"""Least cost of a step, in seconds."""


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
    """Return the seconds that ``work`` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
