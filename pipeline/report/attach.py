"""Make the report of a run that is just being finished, as a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.report.contents import PREVIEW_SECONDS, ReportContents, assemble
from pipeline.report.facts import ReportedRun, read_facts
from pipeline.report.page import render
from pipeline.report.watch import SeenFrames
from pipeline.runtime.progress import Step
from pipeline.runtime.run_record import REPORT
from pipeline.task import Job
from stages.storage import safe_files

PAGE = "report.html"
LOSSES = "losses.json"

LEAST_SECONDS = 3.0
"""Seconds for previews, at least; a budget may be overrun by more for writing."""

BUDGET_SHARE = 0.05
"""The part of a time budget that previews may take, 0 to 1."""


@dataclass
class PendingReport:
    """A report whose page is written once everything else is known.

    work: the folder in which its files were made.
    contents: what the page shows.
    losses: the content of ``losses.json``.
    """

    work: Path
    contents: ReportContents
    losses: Mapping[str, Any]

    @property
    def files(self) -> list[str]:
        """The names of all its files, the page first."""
        return [PAGE, *self.contents.files]

    def write(self, manifest: Mapping[str, Any]) -> None:
        """Write the page of the finished ``manifest``."""
        write_page(self.work, render(read_facts(manifest), self.contents, self.losses))


def attach(
    manifest: Mapping[str, Any],
    losses: Mapping[str, Any],
    job: Job,
    step: Step,
    seen: SeenFrames | None = None,
) -> PendingReport:
    """Make the previews and pictures of a run whose layers lie in the job's work folder.

    manifest, losses: the contents of ``manifest.json`` and ``losses.json``. step: gets the
    progress. seen: what was kept of the frames while the layers were written.
    The page is written later, by :meth:`PendingReport.write`.
    """
    seconds = PREVIEW_SECONDS
    if job.settings.max_seconds is not None:
        seconds = min(seconds, max(LEAST_SECONDS, BUDGET_SHARE * job.settings.max_seconds))
    run = ReportedRun(read_facts(manifest), job.work, job.work / REPORT)
    contents = assemble(run, job.clip, seconds=seconds, step=step, seen=seen)
    return PendingReport(job.work, contents, losses)


def write_page(folder: Path, text: str) -> None:
    """Write the text of a report's page into ``folder``."""
    safe_files.write_whole(folder / PAGE, text.encode("utf-8", "backslashreplace"))
