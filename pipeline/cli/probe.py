"""The command ``probe``: show what is in a clip, as tables for people or as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.diagnosis.diagnose import as_json, diagnoser_for, no_diagnoses
from pipeline.run.input_notes import properties_of
from pipeline.run.inputs import input_warnings
from pipeline.run.opening import open_checked
from pipeline.runtime.console_lines import print_line
from pipeline.runtime.progress import Stages, reporter
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.tasks import DEFAULT_TASK, find_task
from pipeline.timeline.write import (
    check_rate,
    source_shot_list,
    variable_rate_warning,
    write_new,
    write_source_timelines,
)
from stages.errors import UsageError
from stages.media.clip import ClipInfo
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation

_IN_OTHER_TABLES = ("path", "shots", "transitions", "colors", "warnings", "timelines", "diagnoses")


@one_thread_an_operation(cores)
def probe(settings: Settings) -> int:
    """Print what is in the clip and return the exit status 0.

    Raises UnlayerError for a file that cannot be read.
    """
    search = find_task(DEFAULT_TASK).probe
    assert search is not None
    if settings.json and _prints_shot_list(settings):
        raise UsageError("--csv - and --json both write to standard output; give one of them")
    stages = Stages(reporter(json_lines=False, quiet=settings.json or settings.quiet))
    try:
        clip = open_checked(settings)
        _check_timelines(settings, clip.info)
        for text in input_warnings(settings):
            stages.warn(text)
        diagnose_clip = diagnoser_for(clip, settings, stages)
        if _prints_shot_list(settings):
            # A shot list alone needs no diagnoses.
            diagnose_clip = no_diagnoses
        with stages.stage("find") as step:
            found = dict(search(clip, settings, step, diagnose_clip))
    finally:
        stages.reporter.close()
    diagnosed = found.pop("diagnosed")
    if diagnosed is not None:
        found["diagnoses"] = as_json(diagnosed)
    facts: dict[str, Any] = {
        **describe(clip, found["frames"]),
        **found,
        "warnings": [*stages.warnings, *found["warnings"]],
    }
    _write_timelines(settings, facts, clip.info)
    if _prints_shot_list(settings):
        print(source_shot_list(facts, clip.info), end="")
    elif settings.json:
        print(json.dumps(facts))
    elif settings.quiet:
        for warning in found["warnings"]:
            stages.warn(warning)
    else:
        show(facts)
    return 0


def _prints_shot_list(settings: Settings) -> bool:
    """Return whether the shot list goes to standard output (``--csv -``)."""
    return str(settings.csv) == "-"


def _write_timelines(settings: Settings, facts: dict[str, Any], info: ClipInfo) -> None:
    """Write the timelines and the shot list that the user asked for, and add them to ``facts``."""
    if settings.timeline:
        if facts.get("variable_rate"):
            facts["warnings"].append(variable_rate_warning(info))
        written = write_source_timelines(settings.timeline, facts, info)
        facts["timelines"] = [str(path) for path in written]
    if settings.csv is not None and not _prints_shot_list(settings):
        write_new(settings.csv, source_shot_list(facts, info))
        facts["timelines"] = [*facts.get("timelines", ()), str(settings.csv)]


def _check_timelines(settings: Settings, info: ClipInfo) -> None:
    """Raise UsageError where a timeline of this source cannot be written."""
    check_rate([*settings.timeline, *(["csv"] if settings.csv else [])], info)
    is_pictures = info.is_picture or settings.inputs[0].is_dir()
    media = [name for name in settings.timeline if name != "csv"]
    if media and is_pictures:
        raise UsageError(
            f"--timeline {media[0]} has no meaning for pictures ({printable(info.path)}): it needs "
            "a film as its media; csv has one"
        )


def describe(clip: Clip, frames: int) -> dict[str, object]:
    """Return the properties of a clip that ``probe --json`` prints.

    frames: how many frames were decoded.
    """
    info: ClipInfo = clip.info
    return {
        "path": str(info.path),
        "width": info.width,
        "height": info.height,
        "frames": frames,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        "seconds": round(float(frames / info.rate), 3),
        "codec": info.codec,
        "pixel_format": info.pixel_format,
        "bit_depth": info.bit_depth,
        "color_space": info.color_space,
        "full_range": info.full_range,
        "pixel_aspect": f"{info.pixel_aspect.numerator}:{info.pixel_aspect.denominator}",
        "rotation": info.rotation,
        "stream": info.stream,
        "audio_streams": info.audio_streams,
        "subtitle_streams": info.subtitle_streams,
        "has_alpha": info.has_alpha,
        "is_picture": info.is_picture,
        **properties_of(info),
        "salvaged": clip.salvaged,
    }


def show(facts: Mapping[str, Any]) -> None:
    """Print the facts as tables: the clip, its shots and transitions, and the diagnoses."""
    console = Console()
    properties = Table(show_header=False, title=escape(printable(Path(Path(facts["path"]).name))))
    for name, value in facts.items():
        if name not in _IN_OTHER_TABLES and value is not None:
            properties.add_row(name.replace("_", " "), str(value))
    console.print(properties)
    timeline = Table("what", "first", "last", "scenes")
    for first, what, last, scenes in _timeline(facts):
        # A cut has no frame of its own.
        timeline.add_row(what, str(first), str(last) if last >= first else "-", scenes)
    console.print(timeline)
    if not facts["transitions"]:
        console.print("no transition and no cut was found")
    if entries := facts.get("diagnoses"):
        console.print(_diagnoses(entries))
    for warning in facts["warnings"]:
        print_line(f"note: {warning}", console)
    for name in facts.get("timelines", ()):
        print_line(f"written to {printable(Path(name))}", console)


def _diagnoses(entries: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of what is in the clip, and with which task it is taken out."""
    table = Table("is there", "verdict", "what was seen", "--task")
    for entry in entries:
        words = (entry["name"], entry["verdict"], entry["account"], entry["task"] or "-")
        table.add_row(*map(escape, words))
    return table


def _timeline(facts: Mapping[str, Any]) -> list[tuple[int, str, int, str]]:
    """Return rows of first frame, kind, last frame and scenes, in order of time."""
    rows = [
        (shot["first_frame"], "shot", shot["last_frame"], f"scene-{number:03d}")
        for number, shot in enumerate(facts["shots"], 1)
    ]
    for gap in facts["colors"]:
        rows.append((gap["first_frame"], "colour", gap["last_frame"], gap["color"]))
    for entry in facts["transitions"]:
        color = entry.get("color")
        sides = f"{entry['from'] or color} to {entry['to'] or color}"
        rows.append((entry["first_frame"], entry["kind"], entry["last_frame"], sides))
    # A cut stands before the shot that it begins.
    return sorted(rows, key=lambda row: (row[0], row[1] in ("shot", "colour")))
