"""Which number format is faster on this machine: measured, because the name of a processor does not tell."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional as F

GAIN = 1.3
"""How much faster bfloat16 has to be. Well above the noise of a probe, so that a machine answers the same every time."""
CHANNELS = 96
PICTURES, HEIGHT, WIDTH = 2, 36, 64
LEAST_SECONDS = 0.08


@dataclass(frozen=True)
class Precision:
    """What a probe found: the faster ``dtype`` on ``device``, and the speed of both in gigaflop/s (0 where it does not run).

    On a CPU the speeds are those of one thread.
    """

    device: str
    dtype: torch.dtype
    float32: float
    bfloat16: float


def speed(device: torch.device, dtype: torch.dtype) -> float:
    """Gigaflop/s of a generator's block (3x3 convolution, batch norm, leaky ReLU; channels_last), forward and backward: the best of a few.

    On a CPU that of one thread. A multiplication and an addition count as two; norm and activation are not counted, they are what the
    block costs besides. The weights stay float32, as in a fit, so the time of casting them is in. 0 if the device cannot do it.
    """
    convolve = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False, device="meta").to_empty(
        device=device
    )
    nn.init.constant_(convolve.weight, 0.01)
    convolve.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    norm = nn.BatchNorm2d(CHANNELS).to(device)
    x = (
        torch.ones(PICTURES, CHANNELS, HEIGHT, WIDTH, device=device)
        .contiguous(memory_format=torch.channels_last)
        .requires_grad_()
    )

    # On a CPU, one thread's own time: it does not count what other programs take of the machine meanwhile, so that the answer, and with
    # it the bytes of a result, is the same on a busy machine.
    clock = time.thread_time if device.type == "cpu" else time.perf_counter

    def once() -> float:
        start = clock()
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            y = F.leaky_relu(norm(convolve(x)), 0.2)
        # Reading a number waits for a device that computes in its own time.
        float(torch.autograd.grad(y.float().mean(), [x, convolve.weight])[1].flatten()[0])
        return clock() - start

    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        best, spent = once(), 0.0  # the first one also compiles and allocates
        for _ in range(8):
            taken = once()
            best, spent = min(best, taken), spent + taken
            if spent > LEAST_SECONDS:
                break
    except (RuntimeError, NotImplementedError):
        return 0.0
    finally:
        torch.set_num_threads(threads)
    return 3 * 2 * 9 * CHANNELS**2 * PICTURES * HEIGHT * WIDTH / best / 1e9


@lru_cache
def probe(device: torch.device) -> Precision:
    """Measure both formats on ``device`` once a process, in less than a second; a tie goes to float32."""
    single = speed(device, torch.float32)
    half = speed(device, torch.bfloat16)
    dtype = torch.bfloat16 if half > GAIN * single else torch.float32
    return Precision(str(device), dtype, single, half)
