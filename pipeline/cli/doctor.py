"""The command ``doctor``: try out what this machine can do, and say what to do about the rest."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from pipeline.cli.versions import versions
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.memory import format_bytes
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import Settings
from pipeline.tasks import built_in, find_task, names, offered, shadowed_task_warning
from stages.errors import UnlayerError
from stages.media.selftest import check_formats as try_formats
from stages.media.selftest import probe_precision

LEAST_DISK = 2**30
"""Bytes of free disk below which runs on ordinary clips are likely to fail: 1 GiB."""
LEAST_MEMORY = 2 * 2**30
"""Bytes of free memory below which runs on ordinary clips are likely to fail: 2 GiB."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    group, name: what was checked. state: ``ok``, ``absent`` (missing, and not needed) or ``bad``.
    found: what was found. todo: what to do about it, where the state is ``bad``.
    """

    group: str
    name: str
    state: str
    found: str
    todo: str = ""


def doctor(settings: Settings) -> int:
    """Print what this machine can do.

    Returns 0, or 1 where something does not work that runs need.
    """
    results = [
        *check_devices(),
        *check_speed(),
        *check_space(),
        *check_formats(),
        *check_extras(),
        *check_tasks(),
    ]
    bad = [result for result in results if result.state == "bad"]
    if settings.json:
        findings = [asdict(result) for result in results]
        print(json.dumps({"ok": not bad, "versions": versions(), "findings": findings}))
    else:
        show(results)
    return 1 if bad else 0


def check_devices() -> list[CheckResult]:
    """Check the processor and the GPUs that PyTorch sees."""
    processor = f"{cores()} of {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    results = [CheckResult("devices", "cpu", "ok", processor)]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_properties(index).name
        text = f"{name}, {format_bytes(free)} of {format_bytes(total)} free"
        results.append(CheckResult("devices", f"cuda:{index}", "ok", text))
    if not count:
        text = "no CUDA GPU that this PyTorch can use; runs use the CPU"
        results.append(CheckResult("devices", "cuda", "absent", text))
    if torch.backends.mps.is_available():
        results.append(CheckResult("devices", "mps", "ok", "a Metal GPU, for --device mps"))
    else:
        results.append(CheckResult("devices", "mps", "absent", "no Metal GPU"))
    return results


def check_speed() -> list[CheckResult]:
    """Measure how much a network computes a second, see :mod:`models.precision`."""
    cuda = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    results = []
    for device in (torch.device("cpu"), *cuda):
        speed = probe_precision(device)
        used = str(speed.dtype).removeprefix("torch.")
        half = f"bfloat16 {speed.bfloat16:.0f} GFLOP/s" if speed.bfloat16 else "no bfloat16"
        one = " on one thread" if device.type == "cpu" else ""
        text = f"float32 {speed.float32:.0f}, {half}{one}; networks use {used}"
        results.append(CheckResult("speed", str(device), "ok", text))
    return results


def check_space() -> list[CheckResult]:
    """Check the free memory, and the free disk in the current folder."""
    return [_check_memory(), _check_disk()]


def _check_memory() -> CheckResult:
    free = free_memory()
    if free is None:
        return CheckResult("room", "memory", "absent", "free memory is not known here")
    text = f"{format_bytes(free)} free"
    if free < LEAST_MEMORY:
        return CheckResult("room", "memory", "bad", text, "close other programs")
    return CheckResult("room", "memory", "ok", text)


def _check_disk() -> CheckResult:
    try:
        free = shutil.disk_usage(".").free
        with tempfile.TemporaryFile(dir="."):
            pass
    except OSError as error:
        text = f"cannot be written ({error.strerror})"
        return CheckResult("room", "disk here", "bad", text, "go to another folder, or give --out")
    text = f"{format_bytes(free)} free"
    if free < LEAST_DISK:
        return CheckResult("room", "disk here", "bad", text, "free some, or give --out")
    return CheckResult("room", "disk here", "ok", text)


def check_formats() -> list[CheckResult]:
    """Write and read back a file of each format that layers can have."""
    todo = "install PyAV's own build again: pip install --force-reinstall av"
    with tempfile.TemporaryDirectory(prefix="unlayer-doctor-") as folder:
        tried = try_formats(Path(folder))
    return [
        CheckResult("formats", trial.name, "bad", trial.fault, todo)
        if trial.fault
        else CheckResult("formats", trial.name, "ok", "written and read back")
        for trial in tried
    ]


def check_extras() -> list[CheckResult]:
    """Check for what is used if it is there, and not needed."""
    results = []
    for name, use in (
        ("decord", "samples the report's pictures; without it PyAV does"),
        ("ray", "batch --ray spreads a folder over a cluster"),
    ):
        if importlib.util.find_spec(name) is None:
            results.append(CheckResult("extras", name, "absent", f"not installed; {use}"))
        else:
            results.append(CheckResult("extras", name, "ok", f"{_version(name)}; {use}"))
    binary = ffmpeg_binary()
    if binary:
        results.append(CheckResult("extras", "ffmpeg", "ok", binary))
    else:
        text = "no program of that name; only tests and samples/make.py use one"
        results.append(CheckResult("extras", "ffmpeg", "absent", text))
    return results


def check_tasks() -> list[CheckResult]:
    """Load every task."""
    results = []
    for name in names():
        try:
            find_task(name)
        except UnlayerError as error:
            todo = "update or uninstall that package"
            results.append(CheckResult("tasks", name, "bad", str(error), todo))
            continue
        origin = "built in" if name in built_in() else f"from {offered()[name][0].value}"
        results.append(CheckResult("tasks", name, "ok", shadowed_task_warning(name) or origin))
    return results


def ffmpeg_binary() -> str | None:
    """Return the path of an FFmpeg program, or ``None`` where there is none."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


def show(results: list[CheckResult]) -> None:
    """Print the results as a table, and what to do."""
    console = Console()

    marks = {"ok": ("ok", "green"), "absent": ("-", "dim"), "bad": ("bad", "bold red")}
    table = Table("", "what", "", Column("found", overflow="fold"))
    group = ""
    for result in results:
        heading = result.group if result.group != group else ""
        group = result.group
        mark = Text(*marks[result.state])
        table.add_row(Text(heading, "yellow"), result.name, mark, Text(result.found))
    console.print(table)
    print_line(", ".join(f"{name} {number}" for name, number in versions().items()))
    bad = [result for result in results if result.state == "bad"]
    for result in bad:
        print_line(f"{result.name}: {result.found}; {result.todo}")
    print_line(
        "fix these first, then run doctor again" if bad else "everything that runs need works"
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of unknown version"
