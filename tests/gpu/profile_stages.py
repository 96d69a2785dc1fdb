"""Show where the time of a separation on a GPU goes, by stage and by kernel.

    python tests/gpu/profile_stages.py DEVICE

A made dissolve of twelve mixed frames is taken apart at some working sizes, on the device and on
the CPU; its stages are clocked. Then some steps of the motion fit run under PyTorch's profiler. The
part of the time in which the GPU computes says how much is lost to waiting and starting kernels.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from dataclasses import replace

import torch
from torch.profiler import ProfilerActivity, profile

from pipeline.bench.clips import dissolve
from stages.context import FitSettings
from stages.mixing.mixture import Mixture
from stages.motion.carry import carry
from stages.optim.fit import FitPlan
from stages.optim.threads import one_thread_an_operation
from stages.transition.alternate import Reporting, alternate
from stages.transition.networks import fit_layers
from stages.transition.plan import PLANS

HEIGHTS = (144, 270, 540)
"""Working heights, in pixels, that are clocked."""

FRAMES = 24
"""Frames of the window, half of them mixed."""

ROWS = 25
"""Operators in each table."""

PROFILED_STEPS = 40
"""Steps of the motion fit under the profiler."""

NETWORK_STEPS = 100
"""Steps of the networks that are clocked."""

CPU = torch.device("cpu")


def made_mixture(height: int) -> Mixture:
    """Return the window of a made dissolve, with its true weights."""
    clip = dissolve(height, FRAMES)
    frames = torch.stack([torch.from_numpy(clip.mixed(index)) for index in range(FRAMES)])
    first, last = clip.judged
    weight = torch.zeros(FRAMES, 1, 1, 1)
    weight[first : last + 1, 0, 0, 0] = torch.linspace(0, 1, last - first + 3)[1:-1]
    weight[last + 1 :] = 1
    return Mixture(frames.permute(0, 3, 1, 2).float().contiguous(), weight, first, last)


def separated(mixture: Mixture, device: torch.device) -> dict[str, float]:
    """Take a window apart with the balanced plan at its own size; return the seconds by stage."""
    seconds: dict[str, float] = {}
    plan = replace(PLANS["balanced"], pixels=mixture.size[0] * mixture.size[1])
    reporting = Reporting(lambda done, note: None, seconds)
    began = time.monotonic()
    with one_thread_an_operation():
        alternate(mixture, "dissolve", plan, FitSettings(device=device), reporting)
    return {"all": time.monotonic() - began} | seconds


def report(height: int, device: torch.device) -> None:
    """Print the seconds of a separation at a height, by stage."""
    found = separated(made_mixture(height), device)
    words = ", ".join(f"{name} {spent:.2f} s" for name, spent in found.items())
    print(f"{height}p on {device}: {words}", flush=True)


def networks(mixture: Mixture, device: torch.device) -> float:
    """Return the milliseconds of a step of the networks."""
    fit_layers(mixture, plan=FitPlan(5), device=device)
    began = time.monotonic()
    fit_layers(mixture, plan=FitPlan(NETWORK_STEPS), device=device)
    return (time.monotonic() - began) / NETWORK_STEPS * 1000


def main(device: torch.device) -> int:
    """Print all tables; return the exit status."""
    print("The first separation on the device, which also starts it:")
    with cProfile.Profile() as calls:
        report(HEIGHTS[0], device)
    pstats.Stats(calls).sort_stats("tottime").print_stats(ROWS)
    for height in HEIGHTS:
        report(height, device)
    for place in {device, CPU}:
        report(HEIGHTS[0], place)
        print(f"networks at 90p on {place}: {networks(made_mixture(90), place):.1f} ms a step")
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    mixture = made_mixture(HEIGHTS[1]).to(device)
    carry(mixture, [(1, 2)])
    began = time.monotonic()
    with profile(activities=activities) as found:
        carry(mixture, [(1, PROFILED_STEPS)])
    spent = time.monotonic() - began
    averages = found.key_averages()
    if device.type == "cuda":
        # An operator's row repeats the time of its kernels.
        kernels = [row for row in averages if row.device_type.name == "CUDA"]
        busy = sum(row.self_device_time_total for row in kernels) / 1e6
        print(
            f"{PROFILED_STEPS} steps of the motion fit at {HEIGHTS[1]}p: the GPU computed "
            f"{busy:.3f} s of {spent:.3f} s"
        )
        print(averages.table(sort_by="self_device_time_total", row_limit=ROWS))
    print(averages.table(sort_by="self_cpu_time_total", row_limit=ROWS))
    return 0


if __name__ == "__main__":
    sys.exit(main(torch.device(sys.argv[1])))
