"""Print what a run made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.frame_ranges import range_text
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import print_event
from pipeline.runtime.run_record import MANIFEST
from pipeline.settings import Settings
from stages.media.sniff import printable


def show_end(settings: Settings, out: Path, manifest: Mapping[str, Any] | None) -> None:
    """Say what a run made, unless it is to be quiet.

    out: the run's folder. manifest: its own, or ``None`` where it was finished already.
    """
    if settings.quiet:
        return
    if manifest is None:
        show_unchanged(settings, out)
    else:
        show_summary(settings, out, manifest)


def show_unchanged(settings: Settings, out: Path) -> None:
    """Say that the run was finished already."""
    if settings.json:
        print_event("done", out=str(out), manifest=str(out / MANIFEST), unchanged=True)
    else:
        print_line(f"{printable(out)}: this run is finished already; --overwrite does it again")


def show_summary(settings: Settings, out: Path, manifest: Mapping[str, Any]) -> None:
    """Print a table of the layers, or a JSON line with ``--json``.

    out: the run's folder. manifest: the finished run's.
    """
    layers = manifest["layers"]
    report = manifest["report"]
    if settings.json:
        print_event(
            "done",
            out=str(out),
            manifest=str(out / MANIFEST),
            unchanged=False,
            layers=layers,
            seconds=report["seconds"],
            warnings=manifest["warnings"],
        )
        return
    table = Table("layer", "role", "frames", "file", title=None)
    for layer in layers:
        frames = range_text(layer["first_frame"], layer["last_frame"])
        table.add_row(layer["name"], layer["role"], frames, layer["path"])
    Console().print(table)
    if isinstance(account := report.get("account"), str):
        print_line(account)
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in report["stages"].items())
    print_line(f"{report['seconds']:.1f} s ({stages}) on {report['device']}")
    print_line(f"written to {printable(out)}")
