"""CUDA graphs: work that a GPU repeats by itself.

A step of a fit starts hundreds of small kernels. To start one from Python takes longer than a GPU
needs to compute it, so the GPU mostly waits. A graph records the kernels of a step once, and later
starts all of them with a single call.

A graph repeats the same kernels on the same memory. So numbers that change from step to step must
lie in tensors that are changed in place, and work with other kernels needs a graph of its own.

After the notes on CUDA graphs in PyTorch's documentation.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import torch

R = TypeVar("R")

WARM_UP = 2
"""Times that work is done as usual before it is recorded. The first time loads kernels and
allocates what stays, which must not happen while a graph is recorded."""

MOST_GRAPHS = 32
"""Most graphs of a fit, because each one keeps memory."""

Recorder = Callable[[Callable[[], Any]], tuple[Callable[[], None], Any]]
"""``record(work)``: records work without doing it; returns what does it, and the result of the
work, whose tensors hold values after each repetition. Raises RuntimeError where it fails."""

_failed: list[torch.cuda.CUDAGraph] = []
"""Graphs that could not be recorded, kept because PyTorch's allocator may still refer to them.
After the first one, no more are tried."""


class GraphCache:
    """Does pieces of work that come again and again, from the third time on as a graph.

    record: see :data:`Recorder`; None to do all work as usual.
    """

    def __init__(self, record: Recorder | None) -> None:
        self.record = record
        self._done: Counter[Hashable] = Counter()
        self._graphs: dict[Hashable, tuple[Callable[[], None], Any]] = {}

    def run(self, key: Hashable, work: Callable[[], R]) -> R:
        """Do ``work`` and return its result.

        key: names the work. Under one name it does the same operations on the same tensors, and
            its random numbers, if any, come from outside. With None it is done as usual.

        The tensors of a result hold its values until work with the same key is done again.
        """
        if key in self._graphs:
            repeat, kept = self._graphs[key]
            repeat()
            result: R = kept
            return result
        self._done[key] += 1
        if key is None or self.record is None or self._done[key] <= WARM_UP:
            return work()
        if len(self._graphs) >= MOST_GRAPHS:
            return work()
        try:
            repeat, kept = self.record(work)
        except RuntimeError as error:
            logging.getLogger(__name__).warning(
                "a step of a fit could not be recorded as a CUDA graph, so the fit goes on without "
                "graphs: %s",
                str(error).partition("\n")[0],
            )
            self.record = None
            self._graphs.clear()
            return work()
        self._graphs[key] = repeat, kept
        repeat()
        result = kept
        return result


def cuda_recorder(device: torch.device) -> Recorder | None:
    """Return what records CUDA graphs on ``device``; None where there are none."""
    if device.type != "cuda" or torch.version.hip is not None or _failed:
        return None
    # One pool for all graphs of a fit: only what they return outlives a repetition.
    pool = torch.cuda.graph_pool_handle()

    def record(work: Callable[[], R]) -> tuple[Callable[[], None], R]:
        graph = torch.cuda.CUDAGraph()
        try:
            with _no_garbage_collection():
                # Not torch.cuda.graph, which empties the cache of memory before each recording.
                graph.capture_begin(pool=pool, capture_error_mode="thread_local")
                try:
                    result = work()
                finally:
                    graph.capture_end()
        except RuntimeError:
            _failed.append(graph)
            _end_recording(device, pool)
            raise
        return graph.replay, result

    return record


def _end_recording(device: torch.device, pool: tuple[int, int]) -> None:
    """Tell PyTorch's allocator that nothing is recorded any more.

    PyTorch up to 2.11 does not tell it after a recording that failed, and an allocator that still
    expects one cannot free its cache.
    """
    index = torch.cuda.current_device() if device.index is None else device.index
    end = getattr(torch._C, "_cuda_endAllocateToPool", None)
    if end is not None:
        # Newer versions of PyTorch have told it already, and raise an error here.
        with suppress(RuntimeError, TypeError):
            end(index, pool)


@contextmanager
def recording_stream(device: torch.device) -> Iterator[None]:
    """Let the GPU work on a stream that can be recorded, inside the block.

    Warm-up, recording and repetition must share a stream, because autograd remembers on which one
    a tensor was used. The stream begins after the work that was given to the GPU before, and what
    follows the block begins after it. On other devices nothing happens.
    """
    if device.type != "cuda":
        yield
        return
    outside, inside = torch.cuda.current_stream(device), _stream(device)
    inside.wait_stream(outside)
    try:
        with torch.cuda.stream(inside):
            yield
    finally:
        outside.wait_stream(inside)


@lru_cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """Return the stream for recording. There is one, because each keeps memory of its own."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from freeing GPU memory, events or graphs in the middle of a recording."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
