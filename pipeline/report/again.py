"""The command ``report``: make the report of a finished run again, from its folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.report.attach import LOSSES, PAGE, write_page
from pipeline.report.contents import assemble
from pipeline.report.earlier import earlier_input
from pipeline.report.facts import ReportedRun, RunFacts, read_facts
from pipeline.report.index import INDEX, write_chain_index
from pipeline.report.page import render
from pipeline.run.manifest import checksums
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import Stages, Step, reporter
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import (
    MANIFEST,
    REPORT,
    files_of,
    identity_of,
    read_json,
    report_name,
    steps_of,
    texts_of,
    write_json,
)
from pipeline.settings import Settings
from stages.errors import UnlayerError, UsageError
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable
from stages.storage import safe_files

TEMPORARY = ".report-again-"
"""Beginning of the name of the folder in which a report is made again."""


def report(settings: Settings) -> int:
    """Write ``report.html`` again for each run in ``settings.inputs``; return exit status 0.

    Raises UnlayerError for what is no finished run.
    """
    if not settings.inputs:
        raise UsageError("report needs RUN: the folder that a run wrote")
    stages = Stages(reporter(json_lines=settings.json, quiet=settings.hides_progress))
    console = Console(quiet=settings.json or settings.quiet)
    try:
        for folder in settings.inputs:
            steps = _steps_in(folder)
            for run in [folder] if steps is None else steps:
                with stages.stage("report") as step:
                    write_again(run, step)
                _say_written(console, run / PAGE)
            if steps is not None:
                with claim(folder):
                    write_chain_index(folder, read_json(folder / MANIFEST) or {})
                _say_written(console, folder / INDEX)
    finally:
        stages.reporter.close()
    return 0


def _say_written(console: Console, page: Path) -> None:
    """Print that a page was written."""
    print_line(f"written to {printable(page)}", console)


def _steps_in(folder: Path) -> list[Path] | None:
    """Return the steps' folders if ``folder`` holds a chain of tasks, else ``None``.

    A chain that found nothing to do has no step.
    """
    manifest = read_json(folder / MANIFEST) or {}
    steps = manifest.get("steps")
    if not isinstance(steps, list) or identity_of(manifest) is None:
        return None
    folders = [folder / step["path"] for step in steps_of(manifest)]
    return folders if len(folders) == len(steps) else None


def write_again(run: Path, step: Step) -> None:
    """Write the report of a finished run again, from its folder and, if it is there, its input.

    Raises UnlayerError where the folder holds no finished run, or a damaged one.
    """
    if not run.is_dir():
        raise UsageError(f"{printable(run)}: is no folder; give the folder that a run wrote")
    if not safe_files.is_file(run / MANIFEST):
        raise UnlayerError(
            f"{printable(run)}: holds no finished run (it has no {MANIFEST}); give the folder that "
            "a run wrote"
        )
    try:
        with claim(run) as folder:
            _write_again(folder, step)
    except UnlayerError as error:
        if str(error).startswith((printable(run), str(run))):
            raise
        raise UnlayerError(f"{printable(run)}: {error}", settings=error.settings) from error


def _write_again(folder: RunFolder, step: Step) -> None:
    """Make the report anew beside the old one, in a folder of its own, and put it in its place."""
    run = folder.path
    manifest = dict(read_json(run / MANIFEST) or {})
    facts = read_facts(manifest)
    _check_layers(run, facts)
    clip, reason = _input_of(facts)
    earlier = earlier_input(run, facts)
    missing_input = None
    if clip is None and earlier is None:
        missing_input = f"{reason}, so it has no player."
    elif clip is None:
        missing_input = f"{reason}; its player shows the preview that the run made."
    for leftover in run.glob(f"{TEMPORARY}*"):
        with suppress(OSError):
            safe_files.remove(leftover)
    work = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=run))
    try:
        contents = assemble(
            ReportedRun(facts, run, work / REPORT), clip, step=step, earlier=earlier
        )
        if earlier is not None:
            names = [name for _, name in earlier.pictures]
            if earlier.video:
                names = [earlier.video]
            contents.files = sorted({*contents.files, *names})
        losses = read_json(run / LOSSES) or {}
        write_page(work, render(facts, contents, losses, missing_input=missing_input))
        _replace(folder, work, manifest, [PAGE, *contents.files])
    finally:
        with suppress(OSError):
            safe_files.remove(work)


def _check_layers(run: Path, facts: RunFacts) -> None:
    """Raise UnlayerError where a layer's file is missing or a link."""
    for layer in facts.layers:
        path = run / layer.path
        files = list(path.iterdir()) if safe_files.is_folder(path) else [path]
        if any(file.is_symlink() for file in files):
            raise UnlayerError(
                f"its layer {printable(Path(layer.path))} is a link, and what it leads to may be "
                "anybody's; put the file there"
            )
    for layer in facts.layers:
        path = run / layer.path
        if not safe_files.is_file(path) and not safe_files.is_folder(path):
            raise UnlayerError(
                f"its layer {printable(Path(layer.path))} is missing; do the run again with "
                "--overwrite"
            )


def _replace(folder: RunFolder, work: Path, manifest: dict[str, Any], names: Sequence[str]) -> None:
    """Replace the old report by a new one.

    names: the new report's files in ``work``, the page first.
    At every moment the manifest lists all of our files that are there.
    """
    report_folder = folder.path / REPORT
    before = [name for name in texts_of(manifest, "report_files") if report_name(name)]
    known = set(files_of(manifest))
    # Files of another origin under the names of the new report.
    strangers = [
        name for name in names if name not in known and os.path.lexists(folder.path / name)
    ]
    if strangers or (os.path.lexists(report_folder) and not safe_files.is_folder(report_folder)):
        raise UnlayerError(
            f"{printable(folder.path / (strangers or [REPORT])[0])}: is in the way and not from a "
            "run of ours; move it"
        )
    kept = [name for name in before if name == LOSSES]
    write_json(folder.path / MANIFEST, {**manifest, "report_files": sorted({*before, *names})})
    for name in [*names[1:], names[0]]:
        if (work / name).exists():
            folder.put(work / name, name)
    folder.remove(sorted(set(before) - set(names) - set(kept)))
    write_json(folder.path / MANIFEST, {**manifest, "report_files": sorted({*names, *kept})})


def _input_of(facts: RunFacts) -> tuple[Clip | None, str]:
    """Return the input if it is unchanged; otherwise ``None`` and why there is none."""
    settings, paths = facts.settings, facts.input_paths
    missing = [path for path in paths if not path.exists()]
    if missing:
        return None, f"The input is not at {printable(missing[0])} any more"
    stream = settings.get("stream")
    try:
        clip = open_clip(
            paths,
            stream=stream if isinstance(stream, int) else None,
            salvage=bool(settings.get("salvage")),
            interlaced=str(settings.get("interlaced", "auto")),
        )
        # A manifest that came by mail may name any file of this machine.
        if checksums(paths, clip) != [item.get("sha256") for item in facts.inputs]:
            return None, f"What is at {printable(paths[0])} is not the input any more"
        return clip, ""
    except (UnlayerError, OSError) as error:
        return None, f"The input cannot be read ({error})"
