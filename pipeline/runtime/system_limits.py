"""What of this machine a process may use: its cores and its memory, or its container's where that is less."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux tells what a control group, as of a container or a Slurm job, may use."""
OWN = Path("/proc/self/cgroup")
MEMINFO = Path("/proc/meminfo")


def cores() -> int:
    """The cores that this process may use, 1 or more; of a core that it has only a part of, the whole."""
    found = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    for group in _groups("cpu"):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if (whole := group / "cpu.max").exists():
                quota, period = whole.read_text(encoding="utf-8").split()
            else:
                quota, period = (
                    (group / f"cpu.cfs_{name}_us").read_text(encoding="utf-8")
                    for name in ("quota", "period")
                )
            # Without a bound the one kind says "max", which is no number, the other -1.
            if int(quota) > 0:
                found = min(found, -(-int(quota) // int(period)))
    return max(1, found)


def machine_memory() -> int | None:
    """Bytes of memory that this process may have at all; ``None`` where the system does not tell."""
    found = list(_bounds(lambda limit, group: limit))
    with suppress(ValueError, OSError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def free_memory() -> int | None:
    """Bytes of memory that this process can still have, 0 or more; ``None`` where the system does not tell."""
    found = list(_bounds(lambda limit, group: max(0, limit - _used(group))))
    try:
        # What files only keep in memory until somebody wants it counts as free here, and nowhere else.
        found.append(1024 * value_of(MEMINFO, "MemAvailable:"))
    except (OSError, ValueError, StopIteration):
        with suppress(ValueError, OSError, AttributeError):
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found, default=None)


def _bounds(seen: Callable[[int, Path], int]) -> Iterator[int]:
    """What ``seen`` makes of the limit in bytes of each group that has one."""
    for group in _groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                yield seen(int((group / name).read_text(encoding="utf-8")), group)


def _used(group: Path) -> int:
    """Bytes that a group has in use, but for files' pages that it can let go."""
    whole = (group / "memory.current").exists()
    used = int(
        (group / ("memory.current" if whole else "memory.usage_in_bytes")).read_text(
            encoding="utf-8"
        )
    )
    with suppress(OSError, ValueError, StopIteration):
        used -= value_of(group / "memory.stat", "inactive_file" if whole else "total_inactive_file")
    return used


def value_of(table: Path, name: str) -> int:
    """The number behind ``name`` in a table of lines. Raises OSError, ValueError or StopIteration where there is none."""
    lines = (
        line.split() for line in table.read_text(encoding="utf-8", errors="replace").splitlines()
    )
    return int(next(words[1] for words in lines if words[:1] == [name] and len(words) > 1))


def _groups(kind: str) -> Iterator[Path]:
    """The folders of this process's control group and those above it, of both kinds of hierarchy; a bound of any of them holds."""
    yield from (GROUPS, GROUPS / kind)
    with suppress(OSError):
        for line in OWN.read_text(encoding="utf-8", errors="replace").splitlines():
            _, kinds, name = line.split(":", 2)
            if kinds and kind not in kinds.split(","):
                continue
            below = Path(name.lstrip("/"))
            yield from (
                (GROUPS / kind if kinds else GROUPS) / part
                for part in (below, *below.parents)
                if part != Path(".")
            )
