"""Threads: one per operation, independent work side by side, the same bytes for any number."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from clips import dissolve, moving
from torch import nn

from pipeline import separate
from stages.optim.threads import (
    LEAST_ROWS,
    WIDE,
    WorkQueue,
    bands,
    convolution_threads,
    map_in_threads,
    one_thread_an_operation,
    read_ahead,
    workers,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def two_threads() -> Iterator[None]:
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_operations_run_on_one_thread_and_the_others_are_remembered(two_threads: None) -> None:
    with one_thread_an_operation():
        assert torch.get_num_threads() == 1
        assert workers() == 2
        with one_thread_an_operation(lambda: 64):
            assert workers() == 2
        with one_thread_an_operation(lambda: 1):
            assert workers() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("height", [1, LEAST_ROWS, 2 * LEAST_ROWS, 216, 1081])
def test_bands_cover_every_row_once(two_threads: None, height: int) -> None:
    with one_thread_an_operation():
        found = bands(height)
        assert len(found) == (2 if height >= 2 * LEAST_ROWS else 1)
        assert [row for band in found for row in range(height)[band]] == list(range(height))
        assert bands(height, parallel=False) == [slice(0, height)]


def test_work_side_by_side_keeps_its_order_and_uses_all_threads(two_threads: None) -> None:
    seen: set[int] = set()
    both = threading.Barrier(2)

    def work(number: int) -> int:
        if number < 2:
            both.wait(20)
        seen.add(threading.get_ident())
        return number**2

    with one_thread_an_operation():
        assert map_in_threads(work, range(20)) == [number**2 for number in range(20)]
    assert len(seen) == 2


def test_work_inside_work_side_by_side_does_not_wait_for_itself(two_threads: None) -> None:
    with one_thread_an_operation():
        found = map_in_threads(
            lambda outer: map_in_threads(lambda inner: outer + inner, range(3)), range(8)
        )
    assert found == [[outer + inner for inner in range(3)] for outer in range(8)]


def test_an_error_in_work_side_by_side_is_raised(two_threads: None) -> None:
    with one_thread_an_operation(), pytest.raises(ZeroDivisionError):
        map_in_threads(lambda number: 1 // number, range(4))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_has_threads_of_its_own(two_threads: None) -> None:
    code = (
        "import os, torch; from stages.optim.threads import map_in_threads\n"
        "torch.set_num_threads(2)\n"
        "assert map_in_threads(abs, [-1, -2]) == [1, 2]\n"
        "child = os.fork()\n"
        "if not child: os._exit(map_in_threads(abs, [-3, -4]) != [3, 4])\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False).returncode
        == 0
    )


def test_only_wide_convolutions_use_all_threads_and_only_until_their_step_ends(
    two_threads: None,
) -> None:
    seen: list[int] = []

    class Noting(nn.Conv2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            seen.append(torch.get_num_threads())
            return super().forward(input)

    net = nn.Sequential(
        Noting(1, 2, 1), nn.Upsample(scale_factor=8), Noting(2, 2, 1), Noting(2, 1, 1)
    )
    side = round((WIDE / 2) ** 0.5 / 8) + 1
    with one_thread_an_operation():
        with convolution_threads(net) as begin_step:
            for _ in range(2):
                begin_step()
                net(torch.zeros(1, 1, side, side))
        assert torch.get_num_threads() == 1
        with convolution_threads(net) as begin_step:
            begin_step()
            net(torch.zeros(1, 1, 4, 4))
    assert seen == [1, 1, 2] * 2 + [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["transition", "segment"])
def test_layers_are_the_same_bytes_for_any_number_of_threads(task: str, tmp_path: Path) -> None:
    clip = dissolve(moving(1, 14, (80, 128)), moving(2, 14, (80, 128)), 4, 6)[0]
    video = np.asarray(clip)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        with separate(video, task, preset="fast", seed=3) as made:
            assert made.manifest["report"]["threads"] <= threads
            found.append({name: np.array(layer.frames) for name, layer in made.layers.items()})
    assert found[0]
    for other in found[1:]:
        assert other.keys() == found[0].keys()
        assert all(np.array_equal(other[name], frames) for name, frames in found[0].items())


@pytest.mark.slow
def test_a_neighbor_costs_no_more_than_its_share(tmp_path: Path) -> None:
    """Beside programs that keep all cores busy, a run may take 2.4 times as long, no more."""
    words = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "samples/fade.mp4",
        "--task",
        "transition",
        "--preset",
        "fast",
        "--no-progress",
    ]

    def seconds(name: str) -> float:
        began = time.monotonic()
        subprocess.run(
            [*words, "--out", str(tmp_path / name)],
            cwd=ROOT,
            check=True,
            capture_output=True,
            env=free,
        )
        return time.monotonic() - began

    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    alone = seconds("alone")
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(len(os.sched_getaffinity(0)))
    ]
    try:
        beside = seconds("beside")
    finally:
        for program in busy:
            program.kill()
            program.wait()
    assert beside < 2.4 * alone + 3, f"{beside:.1f} s beside busy programs, {alone:.1f} s alone"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_may_separate_after_its_parent_did() -> None:
    """A fork does not copy OpenMP's threads; the child must not wait for them."""
    code = (
        "import os, numpy, torch; from pipeline import separate; torch.set_num_threads(2)\n"
        "clip = numpy.zeros((2, 300, 400, 3), numpy.uint8)\n"
        "separate(clip, 'transition').close()\n"
        "child = os.fork()\n"
        "if not child:\n    separate(clip, 'transition').close(); os._exit(0)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, timeout=120, check=False, capture_output=True
        ).returncode
        == 0
    )


def test_items_are_prepared_ahead_one_at_a_time(two_threads: None) -> None:
    """Order, errors and closing are those of the items themselves, in a thread of their own."""
    made: list[int] = []
    closed: list[int] = []

    def items(end: int) -> Iterator[int]:
        try:
            for number in range(end):
                made.append(number)
                yield number
            raise ValueError("no more")
        finally:
            closed.append(threading.get_ident())

    with one_thread_an_operation():
        with pytest.raises(ValueError, match="no more"):
            for number in read_ahead(items(4)):
                time.sleep(0.02)
                assert len(made) <= number + 2
        assert made == [0, 1, 2, 3]
        some = read_ahead(items(9))
        assert [next(some), next(some)] == [0, 1]
        some.close()
    assert len(closed) == 2 and threading.get_ident() not in closed
    torch.set_num_threads(1)
    assert list(read_ahead([1, 2])) == [1, 2]


def test_a_queue_does_its_work_in_order_and_bounds_what_waits(two_threads: None) -> None:
    done: list[int] = []
    threads: set[int] = set()
    begun = threading.Event()
    goes_on = threading.Event()

    def work(number: int) -> None:
        begun.set()
        goes_on.wait(20)
        threads.add(threading.get_ident())
        done.append(number)

    with one_thread_an_operation():
        queue = WorkQueue(2)
        for number in range(3):
            queue.do(partial(work, number))
        assert begun.wait(20) and done == [], "the caller waits for none of them"
        threading.Timer(0.05, goes_on.set).start()
        queue.do(partial(work, 3))
        assert done[:1] == [0], "a fourth waits for the first"
        queue.finish()
    assert done == [0, 1, 2, 3] and threads.isdisjoint({threading.get_ident()})


@pytest.mark.parametrize("seed", range(3))
def test_an_error_in_a_queue_reaches_the_caller_and_ends_the_work(
    two_threads: None, seed: int
) -> None:
    draw = random.Random(seed)
    count, wrong = draw.randint(3, 12), draw.randint(0, 2)
    done: list[int] = []

    def work(number: int) -> None:
        if number == wrong:
            raise OSError(28, "full")
        done.append(number)

    with one_thread_an_operation():
        queue = WorkQueue(draw.randint(1, 3))
        with pytest.raises(OSError, match="full"):
            for number in range(count):
                queue.do(partial(work, number))
            queue.finish()
        queue.stop()
    assert done == list(range(wrong))


def test_a_stopped_queue_drops_what_waits(two_threads: None) -> None:
    done: list[int] = []
    begun, goes_on = threading.Event(), threading.Event()

    def work(number: int) -> None:
        begun.set()
        goes_on.wait(20)
        done.append(number)

    with one_thread_an_operation():
        queue = WorkQueue(3)
        for number in range(3):
            queue.do(partial(work, number))
        assert begun.wait(20)
        threading.Timer(0.05, goes_on.set).start()
        queue.stop()
    assert done == [0]
    assert not any(thread.name.startswith("work-queue") for thread in threading.enumerate())


def test_one_thread_does_all_work_at_once() -> None:
    done: list[int] = []
    queue = WorkQueue(2)
    queue.do(lambda: done.append(threading.get_ident()))
    assert done == [threading.get_ident()]
    queue.finish()
