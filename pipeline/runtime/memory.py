"""Memory: how much a run may plan for, what this machine has, and what is done where a GPU's is too small after all."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from pipeline.runtime.system_limits import machine_memory, value_of
from pipeline.settings import Settings
from stages.checkpoint import Checkpoints
from stages.errors import UnlayerError, UsageError
from stages.media.sniff import printable

T = TypeVar("T")

PLANNED = 4 * 2**30
"""Bytes that a run plans for unless ``--max-memory`` says otherwise. The same on every machine, so that the layers are, too."""

BASE = 500 * 2**20
"""Bytes that a process takes before it has any frame: Python, PyTorch, the codecs."""

HALVINGS = 3
"""How often a working size is halved, at most, where the GPU's memory is too small for it."""


def planned(settings: Settings) -> int:
    """Bytes that frames and what is made of them may take."""
    return max(0, (settings.max_memory or PLANNED) - BASE)


def check_enough(needed: float, settings: Settings, what: str) -> str | None:
    """Compares what the least of a work needs, in bytes beside :data:`BASE`, with what may be planned for.

    Raises UsageError where it is more than ``--max-memory``, UnlayerError where it is more than this machine has. Returns a warning where
    it is merely more than what is planned for by default.
    """
    total = needed + BASE
    if needed <= planned(settings):
        return None
    if settings.max_memory:
        given, wants = amounts(settings.max_memory, total)
        raise UsageError(f"--max-memory {given} is too little for {what}; it needs about {wants}")
    if total > (have := machine_memory() or PLANNED):
        has, wants = amounts(have, total)
        raise UnlayerError(
            f"{what}: needs about {wants} of memory and this machine has {has}; scale it down first"
        )
    return f"{what}: needs about {amount(total)} of memory"


def say_tight(used: float, what: str) -> str | None:
    """A warning where a work, as it is planned, takes more than this machine has, in bytes beside :data:`BASE`.

    It is planned the same on every machine, so that the layers are the same: less is planned for only where that is asked for.
    """
    total, have = used + BASE, machine_memory()
    if have is None or total <= have:
        return None
    has, wants = amounts(have, total)
    return (
        f"{what}: about {wants} of memory is planned for and this machine has {has}; "
        f"should that be too little, --max-memory {amount(0.75 * have)} plans for less, and for other layers"
    )


def amount(size: float) -> str:
    """Bytes for people, as ``--max-memory`` takes them: ``3.2G``, ``800M``."""
    return f"{size / 2**30:.3g}G" if size >= 2**30 else f"{-(-size // 2**20):.0f}M"


def amounts(less: float, more: float) -> tuple[str, str]:
    """Return two unequal sizes in bytes for people, with as many digits as it takes to tell them apart: ``("1.01M", "1.02M")``."""
    for digits in range(2, 9):
        pair = _sized(less, digits), _sized(more, digits)
        if pair[0] != pair[1]:
            return pair
    return f"{less:.0f} bytes", f"{more:.0f} bytes"


def _sized(size: float, digits: int) -> str:
    """``size`` in its own unit, with about ``digits`` digits that count and one more."""
    unit, letter = next(
        (
            (2**power, letter)
            for power, letter in ((30, "G"), (20, "M"), (10, "K"))
            if size >= 2**power
        ),
        (1, " bytes"),
    )
    value = size / unit
    text = f"{value:.{max(0, digits - int(math.log10(max(1.0, value))))}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def check_room(folder: Path, needed: int) -> None:
    """Raises UnlayerError where the disk of ``folder`` has not ``needed`` bytes for what a run will put there, before any work is done."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        has, wants = amounts(free, needed)
        raise UnlayerError(
            f"{printable(folder.parent)}: has {has} of disk left and about {wants} are needed; "
            "free some space there, or choose another --out"
        )


def peak_memory() -> int | None:
    """The most bytes that this process has had until now; ``None`` where the system does not tell."""
    # Not getrusage where there is another way: on Linux it begins with what the process had that started this one.
    with suppress(OSError, ValueError, StopIteration):
        return 1024 * value_of(Path("/proc/self/status"), "VmHWM:")
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def retry_on_oom(work: Callable[[int, Checkpoints], T], room: Checkpoints) -> tuple[T, int]:
    """``work(times, checkpoints)`` with its working size halved as few ``times`` as the GPU's memory asks for, and how many that was.

    Each size keeps what it has done in a room of its own, and a resumed run goes on with the size that the interrupted one had come to.
    Raises torch.OutOfMemoryError where :data:`HALVINGS` are too few.
    """
    times = int(room.newest("reduced") or 0)
    while True:
        try:
            return work(times, room.namespace(f"reduced-{times}") if times else room), times
        except torch.OutOfMemoryError:
            if times == HALVINGS:
                raise
        # Here, not in the handler: the exception would hold the tensors that were in work.
        times += 1
        room.save("reduced", times)
        torch.cuda.empty_cache()


def say_halved(first: int, last: int, device: torch.device, times: int) -> str:
    """The warning about it."""
    often = "once" if times == 1 else f"{times} times"
    return f"frames {first} to {last}: the memory of {device} was too small; the working size was halved {often}"
