"""``report.html``: a run on one page, with all that it needs beside it in the run's folder.

:func:`attach` makes it as a part of a run, :func:`report` again for a finished one; :mod:`pipeline.report.index` makes the page of a batch.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.report.contents import SECONDS, Assembled, assemble, known_input
from pipeline.report.facts import Facts, facts_of, input_paths
from pipeline.run.manifest import checksums
from pipeline.runtime.progress import Stages, Step, reporter
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import (
    MANIFEST,
    REPORT,
    files_of,
    read_json,
    report_name,
    write_json,
)
from pipeline.settings import Settings
from stages import safe_files
from stages.errors import UnlayerError, UsageError
from stages.media.read import Clip, open_clip
from stages.media.sniff import printable

PAGE = "report.html"
LEAST = 3.0
"""Seconds for previews in the shortest budget: what a run may take beyond it for writing has room for them."""
LOSSES = "losses.json"


@dataclass
class Attached:
    """A report in the making: what was assembled in the work folder, for the page that is written once everything else is known."""

    work: Path
    made: Assembled
    losses: Mapping[str, Any]

    @property
    def files(self) -> list[str]:
        """The names of all its files, the page first."""
        return [PAGE, *self.made.files]

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Writes the page of the finished ``manifest``."""
        _write_page(self.work / PAGE, facts_of(manifest), self.made, self.losses)


def attach(
    manifest: Mapping[str, Any],
    losses: Mapping[str, Any],
    clip: Clip,
    work: Path,
    step: Step,
    *,
    seconds: float | None = None,
) -> Attached:
    """Makes the previews and pictures of a run whose layers lie in ``work``. seconds: what the run may take, where it is bounded."""
    share = SECONDS if seconds is None else min(SECONDS, max(LEAST, 0.05 * seconds))
    return Attached(
        work,
        assemble(facts_of(manifest), work, work / REPORT, clip, seconds=share, step=step),
        losses,
    )


def _write_page(
    path: Path, facts: Facts, made: Assembled, losses: Mapping[str, Any], gone: str | None = None
) -> None:
    # Jinja2 is loaded by what needs it alone.
    from pipeline.report.page import render

    safe_files.write_whole(
        path, render(facts, made, losses, gone=gone).encode("utf-8", "backslashreplace")
    )


def report(settings: Settings) -> int:
    """Writes ``report.html`` of each run in ``settings.inputs`` again; returns 0. Raises UnlayerError for what is no finished run."""
    if not settings.inputs:
        raise UsageError("report needs RUN: the folder that a run wrote")
    stages = Stages(reporter(json_lines=settings.json, quiet=settings.no_progress))
    try:
        for run in settings.inputs:
            with stages.stage("report") as step:
                again(run, step)
            if not settings.json:
                Console().print(
                    f"written to {printable(run / PAGE)}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
    finally:
        stages.shown.close()
    return 0


def again(run: Path, step: Step) -> None:
    """Writes the report of the finished run in the folder ``run`` from what lies in it, and from its input where that is still there."""
    if not run.is_dir():
        raise UsageError(f"{printable(run)}: is no folder; give the folder that a run wrote")
    if not safe_files.is_file(run / MANIFEST):
        raise UnlayerError(
            f"{printable(run)}: holds no finished run (it has no {MANIFEST}); give the folder that a run wrote"
        )
    try:
        with claim(run) as folder:
            _again(folder, step)
    except UnlayerError as error:
        if str(error).startswith((printable(run), str(run))):
            raise
        raise UnlayerError(f"{printable(run)}: {error}") from error


def _again(folder: RunFolder, step: Step) -> None:
    run = folder.path
    manifest = dict(read_json(run / MANIFEST) or {})
    facts = facts_of(manifest)
    linked = [layer.path for layer in facts.layers if (run / layer.path).is_symlink()]
    if linked:
        raise UnlayerError(
            f"its layer {printable(Path(linked[0]))} is a link, and what it leads to may be anybody's; put the file there"
        )
    missing = [layer.path for layer in facts.layers if not safe_files.is_file(run / layer.path)]
    if missing:
        raise UnlayerError(
            f"its layer {printable(Path(missing[0]))} is missing; do the run again with --overwrite"
        )
    clip, why = _input_of(facts)
    known = known_input(run, facts)
    gone = None
    if clip is None:
        gone = (
            f"{why}, so it has no player."
            if known is None
            else f"{why}; its player shows the preview that the run made."
        )
    for left in run.glob(".report-again-*"):
        with suppress(OSError):
            safe_files.remove(left)
    work = Path(tempfile.mkdtemp(prefix=".report-again-", dir=run))
    try:
        made = assemble(facts, run, work / REPORT, None if known else clip, step=step, known=known)
        if known is not None:
            names = [known.video] if known.video else [name for _, name in known.pictures]
            made.files = sorted({*made.files, *names})
        _write_page(work / PAGE, facts, made, read_json(run / LOSSES) or {}, gone)
        _replace(folder, work, manifest, [PAGE, *made.files])
    finally:
        with suppress(OSError):
            safe_files.remove(work)


def _replace(folder: RunFolder, work: Path, manifest: dict[str, Any], names: Sequence[str]) -> None:
    """Puts a new report in the place of the old one. At every moment the manifest lists all files of ours that are there."""
    inside = folder.path / REPORT
    listed = manifest.get("report_files")
    before = (
        [name for name in listed if isinstance(name, str) and report_name(name)]
        if isinstance(listed, list)
        else []
    )
    known = set(files_of(manifest))
    strangers = [
        name for name in names if name not in known and os.path.lexists(folder.path / name)
    ]
    if strangers or (os.path.lexists(inside) and not safe_files.is_folder(inside)):
        raise UnlayerError(
            f"{printable(folder.path / (strangers or [REPORT])[0])}: is in the way and not from a run of ours; move it"
        )
    kept = [name for name in before if name == LOSSES]
    write_json(folder.path / MANIFEST, {**manifest, "report_files": sorted({*before, *names})})
    for name in [*names[1:], names[0]]:
        if (work / name).exists():
            folder.put(work / name, name)
    folder.remove(sorted(set(before) - set(names) - set(kept)))
    write_json(folder.path / MANIFEST, {**manifest, "report_files": sorted({*names, *kept})})


def _input_of(facts: Facts) -> tuple[Clip | None, str]:
    """The input, where it is still what it was; else why there is none."""
    settings = facts.settings
    paths = input_paths(facts)
    gone = [path for path in paths if not path.exists()]
    if gone:
        return None, f"The input is not at {printable(gone[0])} any more"
    stream = settings.get("stream")
    try:
        clip = open_clip(
            paths,
            stream=stream if isinstance(stream, int) else None,
            salvage=bool(settings.get("salvage")),
            interlaced=str(settings.get("interlaced", "auto")),
        )
        # A manifest that came by mail may name any file of ours.
        if checksums(paths, clip) != [item.get("sha256") for item in facts.inputs]:
            return None, f"What is at {printable(paths[0])} is not the input any more"
        return clip, ""
    except (UnlayerError, OSError) as error:
        return None, f"The input cannot be read ({error})"
