"""Pages: one HTML file each, with its style and its script inside, and a policy that allows these two and files beside it, nothing else.

Everything that is shown comes from outside (names, warnings, settings) and goes through Jinja2 with autoescape; the script gets its data
as JSON that cannot end its element.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline import __version__
from pipeline.report.contents import Assembled
from pipeline.report.facts import Facts, Move, input_paths
from pipeline.report.media import Track, link
from pipeline.report.plots import fits_of, frames_plot, losses_plot
from pipeline.report.words import bars, checks, counted, figures, rows, shares
from pipeline.run.manifest import SPACES
from pipeline.task import RunSummary
from pipeline.tasks import find_task, names
from stages.media.sniff import printable

TEMPLATES = Path(__file__).with_name("templates")
MIXES, LOSSES = 60, 40
"""Transitions whose curves, and fits whose losses, are drawn at most."""


@cache
def environment() -> Environment:
    """Jinja2, escaping everything, with an error for whatever a template misspells."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, script: str, **context: Any) -> str:
    """A page made of a template, the common style and its own script."""
    css, js = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("page.css", script))
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (css, js)
    ]
    # A page that was opened as a file has no origin of its own: "self" alone would not let it show what lies beside it.
    policy = (
        f"default-src 'none'; style-src {hashes[0]}; script-src {hashes[1]}; img-src 'self' file:; media-src 'self' file:; "
        "base-uri 'none'; form-action 'none'"
    )
    made = environment().get_template(template)
    return made.render(
        css=Markup(css), js=Markup(js), policy=policy, version=__version__, **context
    )


def render(
    facts: Facts, made: Assembled, losses: Mapping[str, Any], *, gone: str | None = None
) -> str:
    """A run's page. losses: what ``losses.json`` holds. gone: why the input has no player."""
    paths = [printable(Path(path.name)) for path in input_paths(facts)]
    title = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    mixed = [move for move in facts.moves if move.is_mixed]
    apart = [move for move in mixed if move.is_taken_apart]
    moving = any(track.video for track in made.tracks)
    jumps = [{"frame": move.first, "label": _called(move)} for move in facts.moves]
    drawn = [
        (heading, plot) for heading, curves in fits_of(losses) if (plot := losses_plot(curves))
    ]
    notes = list(made.notes)
    if len(apart) > MIXES:
        notes.append(
            f"The mixing curves of the first {MIXES} of {len(apart)} transitions are drawn."
        )
    if len(drawn) > LOSSES:
        notes.append(f"The losses of the first {LOSSES} of {len(drawn)} fits are drawn.")
    tracks = [{**track.told(), "told_spans": _told(track, moving)} for track in made.tracks]
    data = {
        "tracks": [
            {key: track[key] for key in ("name", "slug", "spans", "pictures", "step", "times")}
            for track in tracks
        ],
        "timeline": made.timeline,
        "moving": moving,
        "jumps": [jump["frame"] for jump in jumps],
        "begin": (mixed[0].first + mixed[0].last) // 2 if mixed and moving else facts.first,
    }
    return page(
        "report.html.j2",
        "report.js",
        facts=facts,
        title=title,
        lede=_lede(facts, moving),
        headline=_headline(facts, apart, moving),
        account=account if isinstance(account := facts.report.get("account"), str) else "",
        tracks=tracks,
        gone=gone if not any(track.role == "input" for track in made.tracks) else None,
        notes=[
            *([gone] if gone and any(track.role == "input" for track in made.tracks) else []),
            *notes,
        ],
        strip=made.strip,
        lanes=(lanes := _lanes(facts)),
        rows_of_lanes=1 + max((lane["row"] for lane in lanes), default=0),
        marks=_marks(facts),
        jumps=jumps[:200],
        mixes=[_mix(move) for move in apart[:MIXES]],
        means=_means(made, facts),
        checks=checks(facts, made.seams),
        losses=[(heading if len(drawn) > 1 else "", plot) for heading, plot in drawn[:LOSSES]],
        seconds=bars(facts.report.get("stages")),
        settings=rows(facts.settings),
        figures=figures(facts.report),
        versions=rows(
            versions if isinstance(versions := facts.report.get("versions"), dict) else {}
        ),
        files=_files(facts, moving),
        inputs=[
            {
                "name": printable(path),
                "size": f"{item.get('width')}x{item.get('height')}",
                "frames": item.get("frames") if moving else number,
            }
            for number, (path, item) in enumerate(
                zip(input_paths(facts), facts.inputs, strict=True), 1
            )
        ],
        sheets=[link(name) for name in facts.sheets[:50]],
        scrubs=moving or (facts.frames - facts.first > 1),
        moving=moving,
        data=data,
    )


def _called(move: Move) -> str:
    return f"{move.kind} {move.first} to {move.last}" if move.is_mixed else f"cut at {move.first}"


def _told(track: Track, moving: bool) -> str:
    first, last = track.spans[0][0], track.spans[-1][1]
    frames = f"frame {first}" if first == last else f"frames {first} to {last}"
    return ", ".join(
        ([] if track.role == track.name else [track.role]) + ([frames] if moving else [])
    )


def _lede(facts: Facts, moving: bool) -> str:
    height, width = facts.size
    count = facts.frames - facts.first
    if not moving:
        return f"{counted(count, 'picture')} of {width}x{height}"
    return (
        f"{count} frames of {width}x{height}, {facts.rate:.5g} a second, {count / facts.rate:.1f} s"
    )


def _headline(facts: Facts, apart: list[Move], moving: bool) -> list[tuple[str, str]]:
    report = facts.report
    told: list[tuple[str, str]] = []
    told += shares(report)
    # A task that somebody added may be gone by the time its report is written again.
    if facts.task in names():
        summary = RunSummary(len(facts.layers), len(apart), report)
        told += find_task(facts.task).headline(summary)
    told.append((str(len(facts.layers)), "layer" if len(facts.layers) == 1 else "layers"))
    seconds = report.get("seconds")
    if isinstance(seconds, int | float):
        told.append(
            (
                f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s",
                f"on {report.get('device', 'an unknown device')}",
            )
        )
    return told


def _lanes(facts: Facts) -> list[dict[str, Any]]:
    """The scenes along the clip, neighbours in two rows as they overlap."""
    scenes = [layer for layer in facts.layers if layer.role == "scene"]
    count = facts.frames - facts.first
    return [
        {
            "name": layer.name,
            "row": number % 2,
            "at": round(100 * (layer.first - facts.first) / count, 3),
            "wide": round(100 * len(layer) / count, 3),
        }
        for number, layer in enumerate(scenes if len(scenes) > 1 or facts.moves else [])
    ]


def _marks(facts: Facts) -> list[dict[str, Any]]:
    count = facts.frames - facts.first
    return [
        {
            "at": round(100 * (move.first - facts.first) / count, 3),
            "wide": round(100 * (move.last - move.first + 1) / count, 3),
            "label": _called(move),
        }
        for move in facts.moves
    ]


def _mix(move: Move) -> dict[str, Any]:
    whose = f"weight of {move.sides[1] or move.color or 'the incoming scene'}"
    light = f", mixed in {SPACES[move.space]}" if move.space in SPACES else ""
    return {
        "title": f"{move.kind.capitalize()}, frames {move.first} to {move.last}{light}",
        "label": f"Mixing curve of the {move.kind}, frames {move.first} to {move.last}",
        "plot": frames_plot({whose: move.mix}, move.first),
        "first": move.first,
        "count": len(move.mix),
    }


def _means(made: Assembled, facts: Facts) -> dict[str, Any] | None:
    if not made.curves:
        return None
    names = " and ".join(made.curves)
    count = max(len(curve) for curve in made.curves.values())
    curves = {f"mean of the {name}": curve for name, curve in made.curves.items()}
    return {
        "title": f"The {names} over time",
        "plot": frames_plot(curves, facts.first),
        "first": facts.first,
        "count": count,
    }


def _covers(first: int, last: int, moving: bool) -> str:
    """Which frames of a clip, from 0, or which of the pictures, from 1, a file covers."""
    begin, end = (first, last) if moving else (first + 1, last + 1)
    return f"{begin} to {end}" if last > first else str(begin)


def _files(facts: Facts, moving: bool) -> list[dict[str, str]]:
    made = [
        {
            "name": layer.path,
            "href": link(layer.path),
            "what": layer.name if layer.name == layer.role else f"{layer.name}, {layer.role}",
            "frames": _covers(layer.first, layer.last, moving),
        }
        for layer in facts.layers
    ]
    return [
        *made,
        {
            "name": "manifest.json",
            "href": "manifest.json",
            "what": "everything above, for programs",
            "frames": "",
        },
    ]
