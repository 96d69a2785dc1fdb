"""Find out how many cores and how much memory this process may use.

Where the process runs in a container or a Slurm job, that is the container's or the job's share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
"""Where Linux says what a control group, such as a container, may use."""
OWN_CGROUPS = Path("/proc/self/cgroup")
"""Where Linux says which control groups this process belongs to."""
MEMINFO = Path("/proc/meminfo")
"""Where Linux says how the machine's memory is used."""


def cores(most: int | None = None) -> int:
    """Return the number of cores that this process may use, at least 1 and at most ``most``.

    Parts of a core are rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    for group in _groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = _cpu_quota(group)
            if quota > 0:
                count = min(count, -(-quota // period))
    return max(1, min(count, most or count))


def _cpu_quota(group: Path) -> tuple[int, int]:
    """Return a group's CPU time and the period it is for, in microseconds.

    Raises OSError or ValueError where there is no limit: version 2 of control groups then says
    ``max``, which is not a number. Version 1 says -1.
    """
    version_2 = group / "cpu.max"
    if version_2.exists():
        quota, period = version_2.read_text(encoding="utf-8").split()
        return int(quota), int(period)
    quota, period = (
        (group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8") for name in ("quota", "period")
    )
    return int(quota), int(period)


def machine_memory() -> int | None:
    """Return the bytes of memory that this process may have, or ``None`` where that is unknown."""
    amounts = list(_limits(lambda limit, group: limit))
    with suppress(ValueError, OSError, AttributeError):
        amounts.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(amounts, default=None)


def free_memory() -> int | None:
    """Return the bytes of memory that are still free for this process.

    Returns ``None`` where that is unknown.
    """
    amounts = list(_limits(lambda limit, group: max(0, limit - _used(group))))
    try:
        # Memory that only caches files counts as free here, but not in SC_AVPHYS_PAGES.
        amounts.append(1024 * value_of(MEMINFO, "MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        with suppress(ValueError, OSError, AttributeError):
            amounts.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(amounts, default=None)


def _limits(value: Callable[[int, Path], int]) -> Iterator[int]:
    """Yield ``value(limit, group)`` for each control group that has a limit, in bytes."""
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                yield value(int((group / name).read_text(encoding="utf-8")), group)


def _used(group: Path) -> int:
    """Return the bytes that a group uses, without cached files that it can drop."""
    version_2 = (group / "memory.current").exists()
    usage = "memory.current" if version_2 else "memory.usage_in_bytes"
    inactive = "inactive_file" if version_2 else "total_inactive_file"
    used = int((group / usage).read_text(encoding="utf-8"))
    with suppress(OSError, ValueError, StopIteration):
        used -= value_of(group / "memory.stat", inactive)
    return used


def value_of(table: Path, name: str) -> int:
    """Return the number after ``name`` in a file with one name and number a line.

    Raises OSError, ValueError or StopIteration where there is none.
    """
    text = table.read_text(encoding="utf-8", errors="replace")
    lines = (line.split() for line in text.splitlines())
    return int(next(words[1] for words in lines if words[:1] == [name] and len(words) > 1))


def _groups(kind: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups and of all groups above them.

    kind: ``cpu`` or ``memory``. A limit of any of them holds for the process.
    """
    yield from (CGROUP_ROOT, CGROUP_ROOT / kind)
    with suppress(OSError):
        for line in OWN_CGROUPS.read_text(encoding="utf-8", errors="replace").splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and kind not in kinds.split(","):
                continue
            # Version 1 has a hierarchy for each kind, version 2 a single one without a name.
            root = CGROUP_ROOT / kind if kinds else CGROUP_ROOT
            below = Path(name.lstrip("/"))
            yield from (root / part for part in (below, *below.parents) if part != Path("."))
