"""Threads: how many a run may keep busy, and where a second one pays.

A run works on small tensors. An operation on 240x135 pixels takes 12 microseconds on one thread,
and waking a second thread takes 70. So each operation runs on one thread, and the other cores get
independent work of their own (:func:`map_in_threads`). Wide convolutions are the exception; see
:func:`convolution_threads`. Waiting threads do not spin, so they cost other programs nothing.

Work on files goes through stages: :func:`read_ahead` decodes, and a :class:`WorkQueue` for each
stage behind it converts or encodes. All of them keep the order, and bound how much waits.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from typing import TypeVar

import torch
from torch import Tensor, nn

WIDE = 1_000_000
"""Values in a convolution's output from which all cores are worth waking.

Measured: a generator's step, forward and backward, on two threads against one (bfloat16, 8 frames,
best of 7 to 15 steps). It was 0.73 to 1.36 times as fast with 0.1 to 0.4 million values in its
widest layer, and 1.45 to 1.79 times with 1.6 million and more.
"""

LEAST_VALUES = 3 * 128 * 72
"""Values of a picture from which a few warps take longer than handing them to another thread."""

LEAST_ROWS = 16
"""Rows of a band, at least: with fewer, starting the operations takes as long as they do."""

T = TypeVar("T")
R = TypeVar("R")

_NO_MORE = object()  # what stands for the end of items that are prepared ahead
_workers: list[int] = []
_inside = threading.local()


def workers() -> int:
    """Return how many threads this run may keep busy, 1 or more."""
    return _workers[-1] if _workers else max(1, torch.get_num_threads())


def _has_no_helpers() -> bool:
    """Return whether the calling thread has none to share its work with.

    A thread of the pool has none: it would wait for the pool, and so for itself.
    """
    return workers() < 2 or getattr(_inside, "pool", False)


@contextmanager
def one_thread_an_operation(limit: Callable[[], int] | None = None) -> Iterator[None]:
    """Run each PyTorch operation on one thread inside the block; also a decorator.

    The number of threads that PyTorch had before is what :func:`workers` returns inside.

    limit: returns the most threads to keep busy, such as a container's share of the cores.
        PyTorch's own number (OMP_NUM_THREADS) is never exceeded.
    """
    before = torch.get_num_threads()
    _workers.append(max(1, min(workers(), limit() if limit else workers())))
    torch.set_num_threads(1)
    try:
        yield
    finally:
        _workers.pop()
        torch.set_num_threads(before)


def map_in_threads(work: Callable[[T], R], items: Iterable[T], *, parallel: bool = True) -> list[R]:
    """Return ``work(item)`` for every item, in order, computed on :func:`workers` threads.

    work: must be independent from item to item; then the results do not depend on the number of
        threads. parallel: whether the work takes longer than handing it over, about 0.1 ms an item;
        otherwise the calling thread does it.
    """
    todo = list(items)
    if not parallel or len(todo) < 2 or _has_no_helpers():
        return [work(item) for item in todo]
    results: list[R] = [None] * len(todo)  # type: ignore[list-item]
    # Whoever is free takes the next number. Handing over every item by itself would wake threads
    # four times as often, which small tensors notice.
    numbers = iter(range(len(todo)))

    def take_turns() -> None:
        try:
            for number in numbers:
                results[number] = work(todo[number])
        except BaseException:
            # No thread begins another item.
            for _ in numbers:
                pass
            raise

    helpers = [
        _pool(workers() - 1).submit(take_turns) for _ in range(min(workers(), len(todo)) - 1)
    ]
    with _as_in_pool():
        take_turns()
    for helper in helpers:
        # A helper that did not get to begin has nothing left to do.
        if not helper.cancel():
            helper.result()
    return results


def read_ahead(items: Iterable[T]) -> Generator[T]:
    """Yield items while a thread of its own prepares the next one, such as frames of a file.

    One item is prepared ahead, which bounds the memory. With one thread to keep busy, or inside
    work that is shared out already, nothing is prepared ahead.
    """
    if _has_no_helpers():
        yield from items
        return
    iterator = iter(items)
    with ThreadPoolExecutor(1, "ahead", _enter_pool) as reader:
        try:
            coming = reader.submit(next, iterator, _NO_MORE)
            while (item := coming.result()) is not _NO_MORE:
                coming = reader.submit(next, iterator, _NO_MORE)
                yield item  # type: ignore[misc]
        finally:
            # A generator holds a file open; it is closed where it was worked. Nothing can be
            # submitted any more where Python itself ends.
            with suppress(RuntimeError):
                reader.submit(getattr(iterator, "close", _do_nothing))


class WorkQueue:
    """Work that a thread of its own does piece by piece, in order, while the caller goes on.

    waiting: how many pieces may wait, at most, while one is being done; this bounds the memory.
        With 0, or with one thread to keep busy, the caller does all work at once.

    After an error of a piece, no later piece is begun. The next :meth:`do` or :meth:`finish` that
    finds it raises it, in the caller's thread; :meth:`stop` drops it. One thread at a time may call
    the methods.
    """

    def __init__(self, waiting: int = 2) -> None:
        self._waiting = waiting
        self._thread: ThreadPoolExecutor | None = None
        self._pieces: deque[Future[None]] = deque()
        self._is_over = False

    def do(self, work: Callable[[], None]) -> None:
        """Hand a piece of work over. Waits while too many pieces wait."""
        if self._waiting < 1 or _has_no_helpers():
            work()
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "work-queue", _compute_with_one)
        while self._pieces and (len(self._pieces) > self._waiting or self._pieces[0].done()):
            self._pieces.popleft().result()
        self._pieces.append(self._thread.submit(self._do, work))

    def finish(self) -> None:
        """Wait until all work is done."""
        while self._pieces:
            self._pieces.popleft().result()
        self._end()

    def stop(self) -> None:
        """Drop the work that waits, and wait until the piece that is being done has ended."""
        self._is_over = True
        self._pieces.clear()
        self._end()

    def _do(self, work: Callable[[], None]) -> None:
        """Do a piece, unless an earlier one failed or the work was stopped."""
        if self._is_over:
            return
        try:
            work()
        except BaseException:
            self._is_over = True
            raise

    def _end(self) -> None:
        """End the thread, once it has done all that it was given."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None


def _compute_with_one() -> None:
    """Let this thread compute each operation by itself. It may share work out as any other."""
    torch.set_num_threads(1)


def _do_nothing() -> None:
    """Do nothing, for iterators that need not be closed."""


def pays_in_threads(picture: Tensor) -> bool:
    """Return whether work on a picture ``(C, H, W)`` is worth a thread of its own.

    It is where a few warps of it take longer than handing them over, and not on a GPU, which one
    thread keeps busy.
    """
    return picture.numel() >= LEAST_VALUES and picture.device.type == "cpu"


def bands(height: int, *, parallel: bool = True) -> list[slice]:
    """Return the rows of a picture in bands, one for each of the :func:`workers`.

    parallel: whether the work on a picture takes longer than handing it over; otherwise there is
        one band.
    """
    return equal_parts(height, min(workers(), height // LEAST_ROWS) if parallel else 1)


def equal_parts(count: int, parts: int) -> list[slice]:
    """Return ``count`` things in parts, at least one, equally long to within one thing."""
    ends = [count * (number + 1) // parts for number in range(parts)] or [count]
    return [slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)]


@contextmanager
def _as_in_pool() -> Iterator[None]:
    """Let the calling thread work as one of the pool does, inside the block."""
    before = torch.get_num_threads()
    _inside.pool = True
    if before > 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        _inside.pool = False
        if before > 1:
            torch.set_num_threads(before)


def _enter_pool() -> None:
    """Mark a thread of the pool, so that it never waits for the pool, and give it one thread."""
    _inside.pool = True
    torch.set_num_threads(1)


@lru_cache
def _pool(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "side-by-side", _enter_pool)


def _begin_alone() -> None:
    """Forget the threads of the parent, in a forked process: OpenMP would wait for them forever."""
    _pool.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_alone)


@contextmanager
def convolution_threads(module: nn.Module) -> Iterator[Callable[[], None]]:
    """Use all threads from the first wide convolution of a step to the end of that step.

    module: what is fitted. Yields a function to be called at the start of every step. The choice
    follows from the shapes alone, so a step has the same result wherever it stands in a fit.
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
