"""``doctor``: what this machine can do, tried out and measured, and in plain words what to do about what it lacks."""

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
from pipeline.runtime.memory import amount
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import Settings
from pipeline.tasks import built_in, find_task, hidden, names, offered
from stages.errors import UnlayerError
from stages.media.selftest import check_formats, probe_precision

DISK = 2**30
MEMORY = 2 * 2**30
"""Bytes under which runs of ordinary clips are likely to fail."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. state: ``ok``, ``absent`` (not there, and not needed), or ``bad``: then ``todo`` says what to do."""

    group: str
    name: str
    state: str
    found: str
    todo: str = ""


def doctor(settings: Settings) -> int:
    """Prints what this machine can do. Returns 0, or 1 where something that runs need does not work."""
    findings = [
        *about_devices(),
        *about_speed(),
        *about_room(),
        *about_formats(),
        *about_extras(),
        *about_tasks(),
    ]
    bad = [finding for finding in findings if finding.state == "bad"]
    if settings.json:
        print(
            json.dumps(
                {
                    "ok": not bad,
                    "versions": versions(),
                    "findings": [asdict(finding) for finding in findings],
                }
            )
        )
    else:
        show(findings)
    return 1 if bad else 0


def about_devices() -> list[Finding]:
    """The processor and the GPUs that PyTorch sees."""
    found = [
        Finding(
            "devices",
            "cpu",
            "ok",
            f"{cores()} of {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        )
    ]
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        about = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        found.append(
            Finding(
                "devices",
                f"cuda:{index}",
                "ok",
                f"{about.name}, {amount(free)} of {amount(total)} free",
            )
        )
    if not count:
        found.append(
            Finding(
                "devices",
                "cuda",
                "absent",
                "no CUDA GPU that this PyTorch can use; runs take the CPU",
            )
        )
    metal = torch.backends.mps.is_available()
    found.append(
        Finding(
            "devices",
            "mps",
            "ok" if metal else "absent",
            "a Metal GPU, for --device mps" if metal else "no Metal GPU",
        )
    )
    return found


def about_speed() -> list[Finding]:
    """What a network's step computes a second, as :mod:`models.precision` measures it."""
    places = [
        torch.device("cpu"),
        *(torch.device("cuda", index) for index in range(torch.cuda.device_count())),
    ]
    found = []
    for place in places:
        speed = probe_precision(place)
        taken = str(speed.dtype).removeprefix("torch.")
        half = f"bfloat16 {speed.bfloat16:.0f} GFLOP/s" if speed.bfloat16 else "no bfloat16"
        one = " on one thread" if place.type == "cpu" else ""
        found.append(
            Finding(
                "speed",
                str(place),
                "ok",
                f"float32 {speed.float32:.0f}, {half}{one}; networks take {taken}",
            )
        )
    return found


def about_room() -> list[Finding]:
    """Memory, and disk in the current folder."""
    free = free_memory()
    memory = Finding("room", "memory", "absent", "free memory is not known here")
    if free is not None:
        memory = Finding(
            "room",
            "memory",
            "ok" if free >= MEMORY else "bad",
            f"{amount(free)} free",
            "close other programs" if free < MEMORY else "",
        )
    try:
        space = shutil.disk_usage(".").free
        with tempfile.TemporaryFile(dir="."):
            pass
    except OSError as error:
        return [
            memory,
            Finding(
                "room",
                "disk here",
                "bad",
                f"cannot be written ({error.strerror})",
                "go to another folder, or give --out",
            ),
        ]
    low = space < DISK
    return [
        memory,
        Finding(
            "room",
            "disk here",
            "bad" if low else "ok",
            f"{amount(space)} free",
            "free some, or give --out" if low else "",
        ),
    ]


def about_formats() -> list[Finding]:
    """Every format that layers are written in, tried."""
    todo = "install PyAV's own build again: pip install --force-reinstall av"
    with tempfile.TemporaryDirectory(prefix="unlayer-doctor-") as folder:
        tried = check_formats(Path(folder))
    return [
        Finding(
            "formats",
            one.name,
            "bad" if one.fault else "ok",
            one.fault or "written and read back",
            todo if one.fault else "",
        )
        for one in tried
    ]


def about_extras() -> list[Finding]:
    """What is used where it is there, and not needed."""
    found = []
    for name, distribution, use in (
        ("decord", "decord", "samples the report's pictures; without it PyAV does"),
        ("ray", "ray", "batch --ray spreads a folder over a cluster"),
    ):
        there = importlib.util.find_spec(name) is not None
        text = f"{_version(distribution)}; {use}" if there else f"not installed; {use}"
        found.append(Finding("extras", name, "ok" if there else "absent", text))
    binary = ffmpeg_binary()
    found.append(
        Finding(
            "extras",
            "ffmpeg",
            "ok" if binary else "absent",
            binary or "no binary; only tests and samples/make.py use one",
        )
    )
    return found


def about_tasks() -> list[Finding]:
    """Every task there is, loaded."""
    found = []
    for name in names():
        try:
            find_task(name)
        except UnlayerError as error:
            found.append(
                Finding("tasks", name, "bad", str(error), "update or uninstall that package")
            )
        else:
            clash = hidden(name)
            found.append(
                Finding(
                    "tasks",
                    name,
                    "ok",
                    clash
                    or ("built in" if name in built_in() else f"from {offered()[name][0].value}"),
                )
            )
    return found


def ffmpeg_binary() -> str | None:
    """Where an FFmpeg program is; ``None`` where there is none."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        return shutil.which("ffmpeg")


def show(findings: list[Finding]) -> None:
    """The findings as a table, and what to do."""
    console = Console()
    table = Table("", "what", "", Column("found", overflow="fold"))
    group = ""
    for finding in findings:
        mark = {
            "ok": Text("ok", "green"),
            "absent": Text("-", "dim"),
            "bad": Text("bad", "bold red"),
        }[finding.state]
        table.add_row(
            Text(finding.group if finding.group != group else "", "yellow"),
            finding.name,
            mark,
            Text(finding.found),
        )
        group = finding.group
    console.print(table)
    console.print(
        ", ".join(f"{name} {number}" for name, number in versions().items()),
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    bad = [finding for finding in findings if finding.state == "bad"]
    for finding in bad:
        console.print(
            f"{finding.name}: {finding.found}; {finding.todo}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    console.print(
        "everything that runs need works" if not bad else "mend these first, then run doctor again",
        highlight=False,
    )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of unknown version"
