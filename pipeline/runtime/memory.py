"""Plan for memory: how much a run may use, what this machine has, and what to do without enough."""

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
from stages.errors import UnlayerError, UsageError
from stages.media.clip import ClipInfo
from stages.media.sniff import printable
from stages.storage.checkpoint import Checkpoints

T = TypeVar("T")

DEFAULT_PLAN_BYTES = 4 * 2**30
"""Bytes that a run plans for unless ``--max-memory`` says otherwise: 4 GiB.

It is the same on every machine, so that the layers are the same too.
"""

BASE_BYTES = 500 * 2**20
"""Bytes that a process needs before it has any frame, for Python, PyTorch and the codecs.

Measured with the CPU builds of the pinned versions.
"""

MAX_HALVINGS = 3
"""How often a working size is halved, at most, where the GPU's memory is too small."""

SAFE_SHARE = 0.75
"""Part of the machine's memory that a warning suggests for ``--max-memory``."""

_SUFFIXES = ((2**30, "G"), (2**20, "M"), (2**10, "K"))


def planned_bytes(settings: Settings) -> int:
    """Return the bytes that frames and everything computed from them may take."""
    return max(0, (settings.max_memory or DEFAULT_PLAN_BYTES) - BASE_BYTES)


def check_memory(needed: float, settings: Settings, what: str) -> str | None:
    """Compare what the smallest version of a work needs with what may be used.

    needed: bytes besides :data:`BASE_BYTES`. what: the work's name in messages.

    Returns a warning if it needs more than the default plan, else ``None``. Raises UsageError where
    it needs more than ``--max-memory``, and UnlayerError where it needs more than this machine has.
    """
    total = needed + BASE_BYTES
    if needed <= planned_bytes(settings):
        return None
    if settings.max_memory:
        allowed, wants = format_two_sizes(settings.max_memory, total)
        raise UsageError(f"--max-memory {allowed} is too little for {what}; it needs about {wants}")
    if total > (have := machine_memory() or DEFAULT_PLAN_BYTES):
        has, wants = format_two_sizes(have, total)
        raise UnlayerError(
            f"{what}: needs about {wants} of memory and this machine has {has}; scale it down first"
        )
    return f"{what}: needs about {format_bytes(total)} of memory"


def tight_memory_warning(used: float, what: str) -> str | None:
    """Return a warning if a work is planned with more memory than this machine has, else ``None``.

    used: bytes besides :data:`BASE_BYTES`. what: the work's name in messages.

    The plan is the same on every machine, so that the layers are the same; a smaller one must be
    asked for.
    """
    total = used + BASE_BYTES
    have = machine_memory()
    if have is None or total <= have:
        return None
    has, wants = format_two_sizes(have, total)
    return (
        f"{what}: the plan needs about {wants} of memory and this machine has {has}; "
        f"if that fails, --max-memory {format_bytes(SAFE_SHARE * have)} plans for less "
        "and gives other layers"
    )


def format_bytes(size: float) -> str:
    """Return bytes for people, as ``--max-memory`` takes them: ``3.2G``, ``800M``."""
    return f"{size / 2**30:.3g}G" if size >= 2**30 else f"{-(-size // 2**20):.0f}M"


def format_two_sizes(less: float, more: float) -> tuple[str, str]:
    """Return two different sizes in bytes with enough digits to tell them apart.

    Example: ``("1.01M", "1.02M")``.
    """
    for digits in range(2, 9):
        pair = _sized(less, digits), _sized(more, digits)
        if pair[0] != pair[1]:
            return pair
    return f"{less:.0f} bytes", f"{more:.0f} bytes"


def _sized(size: float, digits: int) -> str:
    """Return ``size`` in a fitting unit, with about ``digits`` + 1 significant digits."""
    fitting = ((unit, letter) for unit, letter in _SUFFIXES if size >= unit)
    unit, letter = next(fitting, (1, " bytes"))
    value = size / unit
    decimals = max(0, digits - int(math.log10(max(1.0, value))))
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def uncompressed_bytes(info: ClipInfo) -> int:
    """Return the bytes of a frame in colour, uncompressed, with as many bits as the input has."""
    return 3 * info.height * info.width * (2 if info.bit_depth > 8 else 1)


def check_disk(folder: Path, needed: int) -> None:
    """Raise UnlayerError where the disk of ``folder`` has less than ``needed`` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        has, wants = format_two_sizes(free, needed)
        raise UnlayerError(
            f"{printable(folder.parent)}: has {has} of disk left and about {wants} are needed; "
            "free some space there, or choose another --out"
        )


def peak_memory() -> int | None:
    """Return this process's peak memory in bytes, or ``None`` where the system does not tell."""
    # On Linux, getrusage begins with the memory of the process that started this one.
    with suppress(OSError, ValueError, StopIteration):
        return 1024 * value_of(Path("/proc/self/status"), "VmHWM:")
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def retry_on_oom(work: Callable[[int, Checkpoints], T], checkpoints: Checkpoints) -> tuple[T, int]:
    """Call ``work``, and again at half the working size after each out-of-memory error of the GPU.

    work: called with the number of halvings, from 0, and the checkpoints for that size.
    checkpoints: of the work. Each smaller size has a namespace of its own inside them. They also
        record the number of halvings, so that a resumed run begins with the size that the
        interrupted run had reached.

    Returns the result and the number of halvings. Raises torch.OutOfMemoryError where the memory is
    still too small after :data:`MAX_HALVINGS`.
    """
    halvings = int(checkpoints.newest("reduced") or 0)
    while True:
        own = checkpoints.namespace(f"reduced-{halvings}") if halvings else checkpoints
        try:
            return work(halvings, own), halvings
        except torch.OutOfMemoryError:
            if halvings == MAX_HALVINGS:
                raise
        # This stands outside the handler, where the exception would keep tensors alive.
        halvings += 1
        checkpoints.save("reduced", halvings)
        torch.cuda.empty_cache()


def halved_warning(first: int, last: int, device: torch.device, times: int) -> str:
    """Return the warning that the working size of frames ``first`` to ``last`` was halved."""
    often = "once" if times == 1 else f"{times} times"
    return (
        f"frames {first} to {last}: the memory of {device} was too small; "
        f"the working size was halved {often}"
    )
