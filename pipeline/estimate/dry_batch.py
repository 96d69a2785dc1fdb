"""``batch --dry-run``: what would be done with each clip of the folder, and about how long all would take; nothing is written."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from pipeline.batch.batch import check, jobs_at_once, left_out, no_clip
from pipeline.batch.clips import Item, find_clips, out_of
from pipeline.batch.skipped import Skipped
from pipeline.estimate.dry_run import foreseen, known
from pipeline.option_hints import with_options
from pipeline.runtime.progress import Silent, Stages
from pipeline.settings import Settings
from stages.errors import UnlayerError
from stages.media.sniff import printable

MEASURE = 60.0
"""Seconds after which no further clip is measured: the rest is counted by the bytes of its files, which tell without being read."""


def dry_batch(settings: Settings) -> int:
    """Prints what the batch would do; returns the exit status 0. Raises UnlayerError where the batch would before a clip is begun."""
    check(settings)
    closed: list[OSError] = []
    skipped = Skipped()
    items = find_clips(settings.inputs[0], out_of(settings), settings, closed.append, skipped)
    if not items:
        raise no_clip(settings, closed, skipped)
    began, clips = time.monotonic(), []
    for item in items:
        clips.append(_clip(item, settings, measure=time.monotonic() - began < MEASURE))
    measured = [clip for clip in clips if clip["seconds"] is not None]
    rate = sum(clip["seconds"] for clip in measured) / max(
        1, sum(clip["bytes"] for clip in measured)
    )
    to_do = [clip for clip in clips if clip["does"]]
    seconds = sum(
        rate * clip["bytes"] if clip["seconds"] is None else clip["seconds"] for clip in to_do
    )
    # How many a cluster does at once is not known here.
    jobs = 1 if settings.ray else min(jobs_at_once(settings, len(to_do)), max(1, len(to_do)))
    facts = {
        "event": "dry_run",
        "clips": clips,
        "measured": len(measured),
        "jobs": jobs,
        "seconds": round(seconds / jobs, 1),
        "notes": left_out(settings.inputs[0], closed, skipped),
    }
    print(json.dumps(facts)) if settings.json else show(facts)
    return 0


def _clip(item: Item, settings: Settings, *, measure: bool) -> dict[str, Any]:
    """One clip: what is in it and in its folder; its seconds, where it would be done and there is time to measure them."""
    told: dict[str, Any] = {
        "path": str(item.path),
        "out": str(item.out),
        "frames": None,
        "bytes": 0,
        "does": False,
        "seconds": None,
    }
    one = replace(
        settings,
        inputs=(item.path,),
        out=item.out,
        resume=not settings.overwrite,
        anew=not settings.overwrite,
    )
    try:
        facts = known(one)
        told["bytes"] = item.path.stat().st_size
        told |= {"folder": facts["folder"], "does": facts["does"], "frames": facts["frames"]}
        if measure and facts["does"]:
            found = foreseen(one, Stages(Silent()))
            told |= {"frames": found["frames"], "seconds": found["seconds"]["total"]}
    except UnlayerError as error:
        told |= {"folder": f"would fail: {with_options(error)}", "does": False}
    return told


def show(facts: dict[str, Any]) -> None:
    """The facts for people."""
    console, clips = Console(), facts["clips"]
    table = Table("clip", "frames", "about", "into")
    for clip in clips:
        seconds = "" if clip["seconds"] is None else f"{clip['seconds']:.0f} s"
        table.add_row(
            printable(clip["path"]),
            str(clip["frames"] or ""),
            seconds,
            f"{printable(clip['out'])}: {clip['folder']}",
        )
    console.print(table)
    count, jobs = sum(clip["does"] for clip in clips), facts["jobs"]
    minutes = (
        f"{facts['seconds']:.0f} s"
        if facts["seconds"] < 100
        else f"{facts['seconds'] / 60:.0f} minutes"
    )
    left = (
        f" ({count - facts['measured']} of them by the sizes of their files)"
        if count > facts["measured"]
        else ""
    )
    for note in facts["notes"]:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{count} of {len(clips)} clips would be done, {jobs} at once, in about {minutes}{left}; nothing was written",
        markup=False,
    )
