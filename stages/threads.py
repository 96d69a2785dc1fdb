"""How many threads a piece of work is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def few_threads(most: int = 1) -> Iterator[None]:
    """At most ``most`` threads for PyTorch inside.

    A step of a small network is hundreds of short operations; waking a second thread for each took longer than it saved: 800 steps of the
    generators at 64x36 took 13 s with one thread and 40 s with two, on two cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, most))
    try:
        yield
    finally:
        torch.set_num_threads(before)
