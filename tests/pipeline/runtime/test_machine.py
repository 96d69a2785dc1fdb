"""The machine's limits: a container's limits hold, and cached files count as free memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.runtime import system_limits as machine
from pipeline.runtime.system_limits import cores, free_memory, machine_memory

GIB = 2**30


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine of 16 GiB and 8 cores without control groups, of which 12 GiB are free."""
    for name in ("CGROUP_ROOT", "OWN_CGROUPS", "MEMINFO"):
        monkeypatch.setattr(machine, name, tmp_path / name)
    (tmp_path / "MEMINFO").write_text(
        f"MemFree: {GIB // 1024} kB\nMemAvailable: {12 * GIB // 1024} kB\n"
    )
    monkeypatch.setattr(
        os, "sysconf", lambda name: {"SC_PHYS_PAGES": 16 * GIB // 4096, "SC_PAGE_SIZE": 4096}[name]
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def group(path: Path, **files: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name.replace("__", ".")).write_text(text + "\n")


def test_without_bounds() -> None:
    assert (cores(), machine_memory(), free_memory()) == (8, 16 * GIB, 12 * GIB)


def test_a_containers_bounds(tmp_path: Path) -> None:
    group(
        tmp_path / "CGROUP_ROOT",
        cpu__max="250000 100000",
        memory__max=str(6 * GIB),
        memory__current=str(5 * GIB),
    )
    assert (cores(), machine_memory(), free_memory()) == (3, 6 * GIB, GIB)
    group(tmp_path / "CGROUP_ROOT", memory__stat=f"anon {GIB}\ninactive_file {2 * GIB}")
    assert free_memory() == 3 * GIB
    group(tmp_path / "CGROUP_ROOT", cpu__max="max 100000", memory__max="max")
    assert (cores(), machine_memory(), free_memory()) == (8, 16 * GIB, 12 * GIB)


def test_the_bounds_of_a_job_and_of_what_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "OWN_CGROUPS").write_text("0::/slurm/job_7/step\n")
    group(
        tmp_path / "CGROUP_ROOT/slurm/job_7",
        memory__max=str(4 * GIB),
        memory__current=str(5 * GIB),
        cpu__max="50000 100000",
    )
    group(tmp_path / "CGROUP_ROOT/slurm/job_7/step", memory__max=str(9 * GIB), memory__current="0")
    assert (cores(), machine_memory(), free_memory()) == (1, 4 * GIB, 0)


def test_the_older_kind_of_bounds(tmp_path: Path) -> None:
    (tmp_path / "OWN_CGROUPS").write_text("4:memory:/box\n2:cpu,cpuacct:/box\n1:name=systemd:/\n")
    group(
        tmp_path / "CGROUP_ROOT/memory/box",
        memory__limit_in_bytes=str(3 * GIB),
        memory__usage_in_bytes=str(2 * GIB),
    )
    group(tmp_path / "CGROUP_ROOT/memory/box", memory__stat=f"total_inactive_file {GIB}")
    group(
        tmp_path / "CGROUP_ROOT/memory",
        memory__limit_in_bytes="9223372036854771712",
        memory__usage_in_bytes=str(2 * GIB),
    )
    group(tmp_path / "CGROUP_ROOT/cpu/box", cpu__cfs_quota_us="400000", cpu__cfs_period_us="100000")
    group(tmp_path / "CGROUP_ROOT/cpu", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert (cores(), machine_memory(), free_memory()) == (4, 3 * GIB, 2 * GIB)


def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "MEMINFO").unlink()

    def refuse(name: str) -> int:
        raise ValueError(name)

    monkeypatch.setattr(os, "sysconf", refuse)
    assert machine_memory() is None and free_memory() is None
    monkeypatch.setattr(
        os, "sysconf", lambda name: {"SC_AVPHYS_PAGES": 2**18, "SC_PAGE_SIZE": 4096}[name]
    )
    assert free_memory() == GIB
