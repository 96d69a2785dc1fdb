"""``probe``: what is in a clip, as a table for people or one JSON object for programs."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.run.execute import open_checked
from pipeline.run.input_notes import facts_of
from pipeline.run.inputs import input_warnings
from pipeline.run.manifest import describe_colors, describe_transition, not_whole, scene_name
from pipeline.runtime.progress import Stages, reporter
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.tasks.transition.search import search
from stages.media.clip import ClipInfo
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation
from stages.shots import Analysis


@one_thread_an_operation(cores)
def probe(settings: Settings) -> int:
    """Prints what is in the clip; returns the exit status 0. Raises UnlayerError for a file that cannot be read."""
    stages = Stages(reporter(json_lines=False, quiet=settings.json))
    try:
        clip = open_checked(settings)
        for text in input_warnings(settings):
            stages.warn(text)
        with stages.stage("find") as step:
            analysis = search(clip, settings, step).analysis
    finally:
        stages.shown.close()
    facts = {**describe(clip, analysis), "warnings": [*stages.warnings, *not_whole(analysis)]}
    if settings.json:
        print(json.dumps(facts))
    else:
        show(facts)
    return 0


def describe(clip: Clip, analysis: Analysis) -> dict[str, object]:
    """The facts that ``probe --json`` prints."""
    info: ClipInfo = clip.info
    return {
        "path": str(info.path),
        "width": info.width,
        "height": info.height,
        "frames": analysis.frames,
        "rate": f"{info.rate.numerator}/{info.rate.denominator}",
        "seconds": round(float(analysis.frames / info.rate), 3),
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
        **facts_of(info),
        "salvaged": clip.salvaged,
        "shots": [
            {"first_frame": shot.first_frame, "last_frame": shot.last_frame}
            for shot in analysis.shots
        ],
        "transitions": [describe_transition(transition) for transition in analysis.transitions],
        "colors": describe_colors(analysis),
    }


def show(facts: dict[str, object]) -> None:
    """The facts as tables: the clip, then shots and transitions in order of time."""
    console = Console()
    about = Table(show_header=False, title=escape(printable(Path(Path(str(facts["path"])).name))))
    for name, value in facts.items():
        if name not in ("path", "shots", "transitions", "colors", "warnings") and value is not None:
            about.add_row(name.replace("_", " "), str(value))
    console.print(about)
    shots, transitions, colors, warnings = (
        facts["shots"],
        facts["transitions"],
        facts["colors"],
        facts["warnings"],
    )
    assert (
        isinstance(shots, list)
        and isinstance(transitions, list)
        and isinstance(colors, list)
        and isinstance(warnings, list)
    )
    rows = [
        (shot["first_frame"], "shot", shot["first_frame"], shot["last_frame"], scene_name(number))
        for number, shot in enumerate(shots)
    ]
    rows += [
        (gap["first_frame"], "colour", gap["first_frame"], gap["last_frame"], gap["color"])
        for gap in colors
    ]
    for move in transitions:
        sides = f"{move['from'] or move.get('color')} to {move['to'] or move.get('color')}"
        rows.append(
            (move["first_frame"], move["kind"], move["first_frame"], move["last_frame"], sides)
        )
    table = Table("what", "first", "last", "scenes")
    # A cut stands before the shot that it begins.
    for _, what, first, last, scenes in sorted(
        rows, key=lambda row: (row[0], row[1] in ("shot", "colour"))
    ):
        alone = last >= first
        table.add_row(what, str(first), str(last) if alone else "-", scenes)
    console.print(table)
    if not transitions:
        console.print("no transition and no cut was found")
    for warning in warnings:
        console.print(f"note: {warning}", markup=False, highlight=False, soft_wrap=True)
