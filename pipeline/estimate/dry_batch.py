"""Tell what a batch would do with each clip and about how long it would take.

This is ``batch --dry-run``; nothing is written.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.batch.batch import check_batch_settings, jobs_at_once, no_clip_error
from pipeline.batch.clips import BatchClip, find_clips, runs_folder
from pipeline.batch.skipped import Skipped
from pipeline.diagnosis.choose import NOTHING_FOUND
from pipeline.estimate.dry_chain import estimate_chain
from pipeline.estimate.dry_run import estimate_planned, planned_run
from pipeline.option_names import with_options
from pipeline.run.chain_plan import is_chain
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import SilentReporter, Stages
from pipeline.settings import Settings
from stages.errors import UnlayerError
from stages.media.sniff import printable

MEASURE_SECONDS = 60.0
"""Seconds after which no further clip is measured; the others are estimated by their file sizes."""

MINUTES_FROM = 100
"""Seconds from which a duration is printed in minutes."""


def dry_batch(settings: Settings) -> int:
    """Print what the batch would do; return the exit status 0.

    Raises UnlayerError where the batch would before any clip begins.
    """
    check_batch_settings(settings)
    skipped = Skipped()
    folder = settings.inputs[0]
    clips = find_clips(folder, runs_folder(settings), settings, skipped)
    if not clips:
        raise no_clip_error(settings, skipped)
    began = time.monotonic()
    entries = [
        _entry(clip, settings, measure=time.monotonic() - began < MEASURE_SECONDS) for clip in clips
    ]
    measured = [entry for entry in entries if entry["seconds"] is not None]
    to_do = [entry for entry in entries if entry["does"]]
    seconds = _total_seconds(to_do, measured)
    jobs = 1
    # How many clips a cluster does at once is not known here.
    if not settings.ray:
        jobs = min(jobs_at_once(settings, len(to_do)), max(1, len(to_do)))
    facts = {
        "event": "dry_run",
        "clips": entries,
        "measured": len(measured),
        "jobs": jobs,
        "seconds": round(seconds / jobs, 1),
        "notes": skipped.sentences(folder),
    }
    if settings.json:
        print(json.dumps(facts))
    else:
        print_estimate(facts)
    return 0


def _total_seconds(to_do: list[dict[str, Any]], measured: list[dict[str, Any]]) -> float:
    """Return about how many seconds all clips of ``to_do`` take, one after another.

    Clips that were not measured count by the sizes of their files, at the seconds for each byte of
    those that were.
    """
    measured_bytes = sum(entry["bytes"] for entry in measured)
    seconds_per_byte = sum(entry["seconds"] for entry in measured) / max(1, measured_bytes)
    return float(
        sum(
            seconds_per_byte * entry["bytes"] if entry["seconds"] is None else entry["seconds"]
            for entry in to_do
        )
    )


def _entry(clip: BatchClip, settings: Settings, *, measure: bool) -> dict[str, Any]:
    """Return what would be done with one clip.

    measure: whether there is time to estimate its seconds, where it would be done at all.
    """
    entry: dict[str, Any] = {
        "path": str(clip.path),
        "out": str(clip.out),
        "frames": None,
        "bytes": 0,
        "does": False,
        "seconds": None,
    }
    own = replace(
        settings,
        inputs=(clip.path,),
        out=clip.out,
        resume=not settings.overwrite,
        anew=not settings.overwrite,
    )
    try:
        entry["bytes"] = clip.path.stat().st_size
        if is_chain(own):
            return entry | _chain_facts(own, measure=measure)
        plan = planned_run(own)
        entry |= {name: plan.facts[name] for name in ("folder", "does", "frames")}
        if measure and entry["does"]:
            estimate = estimate_planned(plan, Stages(SilentReporter()))
            entry |= {"frames": estimate["frames"], "seconds": estimate["seconds"]["total"]}
    except UnlayerError as error:
        entry |= {"folder": f"would fail: {with_options(error)}", "does": False}
    return entry


def _chain_facts(settings: Settings, *, measure: bool) -> dict[str, Any]:
    """Return what would be done with a clip that gets several tasks, or those that it needs.

    measure: whether there is time to diagnose the clip and to estimate each task. Raises
    UnlayerError where the run would.
    """
    if not measure:
        return {"does": True, "folder": "its tasks were not looked into, for lack of time"}
    facts = estimate_chain(settings, Stages(SilentReporter()))
    steps = facts["steps"]
    if not steps:
        return {"folder": NOTHING_FOUND, "seconds": 0.0, "tasks": []}
    names = [step["task"] for step in steps]
    return {
        "does": any(step["does"] for step in steps),
        "folder": f"{', '.join(names)}: {steps[0]['folder']}",
        "frames": steps[0]["frames"],
        "seconds": facts["seconds"]["total"],
        "tasks": names,
    }


def print_estimate(facts: dict[str, Any]) -> None:
    """Print the estimate for people."""
    console, clips = Console(), facts["clips"]
    table = Table("clip", "frames", "about", "into")
    for clip in clips:
        table.add_row(
            printable(clip["path"]),
            str(clip["frames"] or ""),
            "" if clip["seconds"] is None else f"{clip['seconds']:.0f} s",
            f"{printable(clip['out'])}: {clip['folder']}",
        )
    console.print(table)
    for note in facts["notes"]:
        print_line(f"note: {note}", console)
    count = sum(clip["does"] for clip in clips)
    duration = f"{facts['seconds'] / 60:.0f} minutes"
    if facts["seconds"] < MINUTES_FROM:
        duration = f"{facts['seconds']:.0f} s"
    by_size = ""
    if count > facts["measured"]:
        by_size = f" ({count - facts['measured']} of them by the sizes of their files)"
    console.print(
        f"{count} of {len(clips)} clips would be done, {facts['jobs']} at once, in about "
        f"{duration}{by_size}; nothing was written",
        markup=False,
    )
