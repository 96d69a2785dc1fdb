"""Choose the number format that is faster on this machine, by measuring.

The name of a processor does not tell which one is faster.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

from models.generator import NEGATIVE_SLOPE

GAIN = 1.3
"""How many times as fast bfloat16 has to be. Far above the noise of a probe, so that a machine
answers the same every time."""

CHANNELS = 96
"""Channels of the measured block, inputs and outputs."""

KERNEL = 3
"""Side of the measured block's filter, in pixels."""

PICTURES, HEIGHT, WIDTH = 2, 36, 64
"""Pictures in a batch of the measured block, and their size."""

CONVOLUTIONS = 3
"""Convolutions that a step computes: one forward, and backward one to the input and one to the
weights."""

PROBE_WEIGHT = 0.01
"""Value of all weights of the measured block. The time does not depend on it."""

REPEATS = 8
"""Most repetitions of a measurement, of which the fastest counts."""

LEAST_SECONDS = 0.08
"""Seconds of measuring after which the best repetition so far is enough."""


@dataclass(frozen=True)
class Precision:
    """The result of a probe: the faster ``dtype`` on ``device``, and the speed of both formats.

    float32, bfloat16: gigaflop/s; 0 where the format does not run. On a CPU, of one thread.
    """

    device: str
    dtype: torch.dtype
    float32: float
    bfloat16: float


def speed(device: torch.device, dtype: torch.dtype) -> float:
    """Return the gigaflop/s of a generator's block, forward and backward, best of a few.

    The block is a 3x3 convolution, batch norm and leaky ReLU in the channels-last layout. A
    multiplication with its addition counts as two operations; norm and activation are not
    counted, but they take part of the time. The weights stay float32, as in a fit, so the time to
    cast them is included. On a CPU, one thread is measured.

    Returns 0 where the device cannot compute in ``dtype``.
    """
    step = _timed_step(device, dtype)
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        best = _fastest(step)
    except (RuntimeError, NotImplementedError):
        return 0.0
    finally:
        torch.set_num_threads(threads)
    products = KERNEL**2 * CHANNELS**2 * PICTURES * HEIGHT * WIDTH
    return CONVOLUTIONS * 2 * products / best / 1e9


def _timed_step(device: torch.device, dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that runs the block of :func:`speed` once and returns the seconds."""
    convolve = nn.Conv2d(
        CHANNELS, CHANNELS, KERNEL, padding=KERNEL // 2, bias=False, device="meta"
    ).to_empty(device=device)
    nn.init.constant_(convolve.weight, PROBE_WEIGHT)
    convolve.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    norm = nn.BatchNorm2d(CHANNELS).to(device)
    x = (
        torch.ones(PICTURES, CHANNELS, HEIGHT, WIDTH, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )

    # On a CPU, count the thread's own time and not the time that other programs take. So the
    # answer, and with it the bytes of a result, is the same on a busy machine.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter

    def step() -> float:
        start = clock()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            y = F.leaky_relu(norm(convolve(x)), NEGATIVE_SLOPE)
        # Reading a number waits for a device that computes asynchronously.
        float(torch.autograd.grad(y.float().mean(), [x, convolve.weight])[1].flatten()[0])
        return clock() - start

    return step


def _fastest(step: Callable[[], float]) -> float:
    """Return the seconds of the fastest of a few runs of ``step``, which returns its own."""
    best = step()  # The first one also compiles and allocates.
    spent = 0.0
    for _ in range(REPEATS):
        taken = step()
        best = min(best, taken)
        spent += taken
        if spent > LEAST_SECONDS:
            break
    return best


@lru_cache
def probe(device: torch.device) -> Precision:
    """Measure both formats on ``device``, once per process, in less than a second.

    float32 is chosen unless bfloat16 is :data:`GAIN` times as fast.
    """
    single = speed(device, torch.float32)
    half = speed(device, torch.bfloat16)
    dtype = torch.bfloat16 if half > GAIN * single else torch.float32
    return Precision(str(device), dtype, single, half)
