"""Show where the time of a separation on a GPU goes, by stage and by kernel.

    python tests/gpu/profile_stages.py DEVICE [HEIGHT...]

A made dissolve of twelve mixed frames is taken apart at some working heights: on the device with
CUDA graphs and without, and the smallest one on the CPU too. Its stages are clocked and its layers
compared with the truth. Then some steps of the motion fit run under PyTorch's profiler. The part of
the time in which the GPU computes says how much is lost to waiting and starting kernels.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.bench.clips import dissolve
from stages.context import FitSettings
from stages.mixing.forward_model import Pair
from stages.mixing.mixture import Mixture
from stages.mixing.psnr import mean_psnr
from stages.motion.carry import carry
from stages.optim.fit import FitPlan
from stages.optim.threads import one_thread_an_operation
from stages.transition.alternate import Reporting, alternate
from stages.transition.networks import fit_layers
from stages.transition.plan import PLANS

HEIGHTS = (270, 540)
"""Working heights, in pixels, that are clocked where none are given."""

SMALL = 144
"""Height that is clocked on the CPU too."""

FRAMES = 24
"""Frames of the window, half of them mixed."""

ROWS = 25
"""Operators in each table."""

PROFILED_STEPS = 80
"""Steps of the motion fit under the profiler."""

NETWORK_STEPS = 200
"""Steps of the networks that are clocked on a GPU; a fifth of them on the CPU."""

CPU = torch.device("cpu")


@contextmanager
def graphs(wanted: bool) -> Iterator[str]:
    """Do without CUDA graphs inside the block, unless they are wanted; yield how this is called."""
    if wanted:
        yield "with graphs"
        return
    with mock.patch("stages.optim.descent.cuda_recorder", lambda device: None):
        yield "without graphs"


def made_mixture(height: int) -> tuple[Mixture, Pair]:
    """Return the window of a made dissolve with its true weights, and its true layers."""
    clip = dissolve(height, FRAMES)
    frames = torch.stack([torch.from_numpy(clip.mixed(index)) for index in range(FRAMES)])
    first, last = clip.judged
    weight = torch.zeros(FRAMES, 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.linspace(0, 1, last - first + 3)[1:-1]
    weight[last + 1 :] = 1
    true = [clip.truth(index) for index in range(first, last + 1)]
    one, other = (
        torch.stack([torch.from_numpy(layers[name]) for layers in true]).permute(0, 3, 1, 2)
        for name in true[0]
    )
    frames = frames.permute(0, 3, 1, 2).float().contiguous()
    return Mixture(frames, weight, first, last), (one, other)


def report(made: tuple[Mixture, Pair], device: torch.device, words: str) -> Pair:
    """Take a window apart with the balanced plan at its own size; return the layers.

    Prints the seconds by stage, and how near to the truth the layers are.
    """
    mixture, true = made
    seconds: dict[str, float] = {}
    plan = replace(PLANS["balanced"], pixels=mixture.size[0] * mixture.size[1])
    reporting = Reporting(lambda done, note: None, seconds)
    began = time.monotonic()
    with one_thread_an_operation():
        found = alternate(mixture, "dissolve", plan, FitSettings(device=device), reporting).layers
    spent = {"all": time.monotonic() - began} | seconds
    listed = ", ".join(f"{name} {part:.2f} s" for name, part in spent.items())
    reached = [mean_psnr(layer, truth) for layer, truth in zip(found, true, strict=True)]
    near = " and ".join(f"{each:.2f}" for each in reached)
    print(f"{mixture.size[0]}p on {device} {words}: {listed}; {near} dB", flush=True)
    return found


def compare(made: tuple[Mixture, Pair], device: torch.device) -> None:
    """Take a window apart with graphs and without; print how far the layers are apart."""
    found = []
    for wanted in (True, False):
        with graphs(wanted) as words:
            found.append(report(made, device, words))
    apart = [mean_psnr(one, other) for one, other in zip(*found, strict=True)]
    print(f"  both are {apart[0]:.1f} and {apart[1]:.1f} dB apart", flush=True)


def networks(mixture: Mixture, device: torch.device) -> float:
    """Return the milliseconds of a step of the networks."""
    steps = NETWORK_STEPS if device.type == "cuda" else NETWORK_STEPS // 5
    fit_layers(mixture, plan=FitPlan(5), device=device)
    began = time.monotonic()
    fit_layers(mixture, plan=FitPlan(steps), device=device)
    return (time.monotonic() - began) / steps * 1000


def profile_motion(mixture: Mixture, device: torch.device, words: str) -> None:
    """Print what some steps of the motion fit do, by operator."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    mixture = mixture.to(device)
    carry(mixture, [(1, PROFILED_STEPS)])
    began = time.monotonic()
    carry(mixture, [(1, PROFILED_STEPS)])
    if device.type == "cuda":
        torch.cuda.synchronize()
    plain = time.monotonic() - began
    began = time.monotonic()
    with profile(activities=activities) as found:
        carry(mixture, [(1, PROFILED_STEPS)])
    spent = time.monotonic() - began
    title = f"{PROFILED_STEPS} steps of the motion fit at {mixture.size[0]}p {words}"
    print(f"{title}: {plain:.3f} s, under the profiler {spent:.3f} s", flush=True)
    averages = found.key_averages()
    if device.type == "cuda":
        # An operator's row repeats the time of its kernels.
        kernels = [row for row in averages if row.device_type.name == "CUDA"]
        busy = sum(row.self_device_time_total for row in kernels) / 1e6
        print(f"  the GPU computed {busy:.3f} s")
        print(averages.table(sort_by="self_device_time_total", row_limit=ROWS))
    print(averages.table(sort_by="self_cpu_time_total", row_limit=ROWS), flush=True)


def main(device: torch.device, heights: Sequence[int]) -> int:
    """Print all tables; return the exit status."""
    small = made_mixture(min(SMALL, *heights))
    print("The first separation on the device, which also starts it:")
    with cProfile.Profile() as calls:
        report(small, device, "with graphs")
    compare(small, device)
    for height in heights:
        compare(made_mixture(height), device)
    tiny = made_mixture(90)[0]
    for wanted in (True, False):
        with graphs(wanted) as words:
            spent = networks(tiny, device)
            print(f"networks at 90p on {device} {words}: {spent:.2f} ms a step", flush=True)
    if device.type != "cpu":
        report(small, CPU, "")
        print(f"networks at 90p on the CPU: {networks(tiny, CPU):.2f} ms a step")
    profiled = made_mixture(heights[0])[0]
    for wanted in (True, False):
        with graphs(wanted) as words:
            profile_motion(profiled, device, words)
    pstats.Stats(calls).sort_stats("tottime").print_stats(ROWS)
    return 0


if __name__ == "__main__":
    sys.exit(main(torch.device(sys.argv[1]), [int(word) for word in sys.argv[2:]] or HEIGHTS))
