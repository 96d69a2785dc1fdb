"""What a piece of work takes by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial

LEAST_PART = 0.05
"""Of the mean of all steps, the least that one may cost: a machine that was held up meanwhile must not make a plan of thousands."""


@contextmanager
def clocked(seconds: MutableMapping[str, float], name: str) -> Iterator[None]:
    """Adds what the block takes to ``seconds[name]``."""
    began = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = seconds.get(name, 0.0) + time.monotonic() - began


def seconds_a_step(work: Callable[[int], object], few: int, more: int) -> float:
    """Seconds of a step of ``work(steps)``: what ``more`` steps take beyond ``few``, without what every call pays once."""
    return call_and_step(work, few, more)[1]


def call_and_step(work: Callable[[int], object], few: int, more: int) -> tuple[float, float]:
    """Seconds of ``work(few)``, and of a step as :func:`seconds_a_step` has it."""
    first = min(seconds_of(partial(work, few)) for _ in range(2))
    last = seconds_of(partial(work, more))
    return first, max((last - first) / (more - few), LEAST_PART * last / more, 1e-6)


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes."""
    began = time.monotonic()
    work()
    return time.monotonic() - began
