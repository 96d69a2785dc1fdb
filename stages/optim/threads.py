"""Threads: how many a run may keep busy, and where they are worth it.

A run works on small tensors: an operation on 240x135 pixels takes 12 microseconds on one thread, and waking a second thread takes
70. So each operation is computed by one thread, and the other cores are kept busy by independent work side by side
(:func:`side_by_side`). Wide convolutions are the exception; see :func:`convolution_threads`. A thread that waits never spins
at another program's cost, because there is none.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn

WIDE = 1_000_000
"""Values of a convolution's output from which every core is worth its waking.

A step of a generator, forward and backward, on two threads beside one (bfloat16, 8 frames, best of 7 to 15 steps): 0.73 to 1.36 times
as fast with 0.1 to 0.4 million values in its widest layer, 1.45 to 1.79 with 1.6 million and more.
"""

WORTH = 3 * 128 * 72
"""Values of a picture from which a few warps of it take longer than it takes to hand them to another thread."""

T = TypeVar("T")
R = TypeVar("R")

_workers: list[int] = []
_inside = threading.local()


def workers() -> int:
    """Return how many threads this run may keep busy: 1 or more."""
    return _workers[-1] if _workers else max(1, torch.get_num_threads())


@contextmanager
def one_thread_an_operation(limit: Callable[[], int] | None = None) -> Iterator[None]:
    """Compute each PyTorch operation on one thread, and remember how many threads there were for :func:`workers`.

    Also a decorator. limit: tells the most threads to keep busy, as a container's share of the cores; without it, and at most,
    what PyTorch was told (OMP_NUM_THREADS).
    """
    before = torch.get_num_threads()
    _workers.append(max(1, min(workers(), limit() if limit else workers())))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _workers.pop()
        torch.set_num_threads(before)


def side_by_side(work: Callable[[T], R], items: Iterable[T], *, worth: bool = True) -> list[R]:
    """Return ``work(item)`` of every item, in order, computed by as many threads as :func:`workers` tells.

    The items' work must be independent. Then the results do not depend on the number of threads. worth: whether the work takes
    longer than it takes to hand it over, some 0.1 ms an item; otherwise the calling thread does it.
    """
    todo = list(items)
    if not worth or len(todo) < 2 or workers() < 2 or getattr(_inside, "pool", False):
        return [work(item) for item in todo]
    return list(_pool(workers()).map(work, todo))


def _enter_pool() -> None:
    """Mark a pool's thread, so that it waits for no other, and keep its operations to itself."""
    _inside.pool = True
    torch.set_num_threads(1)


@lru_cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "side-by-side", _enter_pool)


def _begin_alone() -> None:
    """Forget a parent's threads, which a forked process has none of: OpenMP would wait for them for ever."""
    _pool.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_alone)


@contextmanager
def convolution_threads(module: nn.Module) -> Iterator[Callable[[], None]]:
    """Compute the steps of a fit on one thread up to the first wide convolution of each step, and on all from there to its end.

    module: what is fitted. Yields a function to be called at the start of every step. The choice follows from the shapes alone, so
    a step comes out the same wherever in a fit it stands.
    """
    before = torch.get_num_threads()

    def widen(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if output.numel() >= WIDE:
            torch.set_num_threads(workers())

    with ExitStack() as hooks:
        if _workers and workers() > 1:
            for layer in module.modules():
                if isinstance(layer, nn.Conv2d):
                    hooks.callback(layer.register_forward_hook(widen).remove)
        try:
            yield lambda: torch.set_num_threads(before)
        finally:
            torch.set_num_threads(before)
