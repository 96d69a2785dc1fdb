"""Render pages: one HTML file each, with its style and its script inside.

A page's policy allows this style, this script and files beside the page, nothing else. Everything
shown comes from outside (names, warnings, settings) and is escaped by Jinja2. The script gets its
data as JSON that cannot end its element.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipeline import __version__
from pipeline.frame_ranges import range_text
from pipeline.report.contents import ReportContents
from pipeline.report.facts import RunFacts, number_of
from pipeline.report.page_data import (
    FileData,
    FilesData,
    HeadData,
    InputData,
    JumpData,
    LaneData,
    PlaceData,
    PlayersData,
    ScriptData,
    StripData,
    TablesData,
)
from pipeline.report.page_plots import MAX_LOSSES, MAX_MIXES, drawn_losses, plots_data, separated
from pipeline.report.shots import MAX_SHOTS, shot_rows, shots_of
from pipeline.report.tracks import Track, certainties, cutouts, link
from pipeline.report.wording import bars, counted, figures, rows, self_checks, shares
from pipeline.task import RunSummary
from stages.media.sniff import printable

TEMPLATES = Path(__file__).with_name("templates")

MAX_JUMPS, MAX_SHEETS = 200, 50
"""Buttons that jump to a transition, and contact sheets, at most."""

COLORS = (
    ("black", "#000000"),
    ("grey", "#808080"),
    ("white", "#ffffff"),
    ("green", "#00b140"),
    ("magenta", "#d4007f"),
)
"""Colours that are offered behind a foreground, by the classes of their buttons."""

TRACK_KEYS = ("name", "slug", "spans", "pictures", "step", "times", "size", "sound")
"""Fields of a track that the page's script gets."""


@cache
def environment() -> Environment:
    """Return Jinja2 with autoescape; a name that a template misspells is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, styles: Sequence[str], scripts: Sequence[str], **context: Any) -> str:
    """Return a page made of a template, its styles and its scripts, each joined to one."""
    css, js = (
        "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in files)
        for files in (styles, scripts)
    )
    css_hash, js_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (css, js)
    )
    # A page that was opened as a file has no origin of its own, so 'self' alone would not let it
    # show the files beside it.
    policy = (
        f"default-src 'none'; style-src {css_hash}; script-src {js_hash}; "
        "img-src 'self' file:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )
    return (
        environment()
        .get_template(template)
        .render(css=Markup(css), js=Markup(js), policy=policy, version=__version__, **context)
    )


def render(
    facts: RunFacts,
    contents: ReportContents,
    losses: Mapping[str, Any],
    *,
    missing_input: str | None = None,
) -> str:
    """Return a run's page.

    losses: the content of ``losses.json``.
    missing_input: why the input has no player of its own, as a sentence.
    """
    is_moving = any(track.video for track in contents.tracks)
    jumps: list[JumpData] = [
        {"frame": item.first, "label": item.label} for item in facts.transitions
    ]
    return page(
        "report.html.j2",
        ("page.css", "report.css"),
        ("compare.js", "report.js"),
        facts=facts,
        is_moving=is_moving,
        has_slider=is_moving or facts.count > 1,
        jumps=jumps[:MAX_JUMPS],
        data=_script_data(facts, contents, is_moving),
        **_head(facts, is_moving),
        **_players(facts, contents, losses, is_moving, missing_input),
        **_strip(facts, contents),
        shots=shot_rows(facts, contents.shots),
        **plots_data(facts, contents, losses),
        **_tables(facts, contents),
        **_file_list(facts, is_moving),
    )


def _script_data(facts: RunFacts, contents: ReportContents, is_moving: bool) -> ScriptData:
    """Return the data for the script."""
    mixed = [item for item in facts.transitions if item.is_mixed]
    begin = facts.first
    if mixed and is_moving:
        begin = (mixed[0].first + mixed[0].last) // 2
    tracks: list[Mapping[str, object]] = [track.as_json() for track in contents.tracks]
    return {
        "tracks": [{key: track[key] for key in TRACK_KEYS} for track in tracks],
        "timeline": contents.timeline,
        "moving": is_moving,
        "jumps": [item.first for item in facts.transitions],
        "begin": begin,
        "cutouts": cutouts(contents.tracks),
        "certainties": certainties(contents.tracks),
    }


def _head(facts: RunFacts, is_moving: bool) -> HeadData:
    """Return the title, the first lines and the largest figures."""
    names = [printable(Path(path.name)) for path in facts.input_paths]
    account = facts.report.get("account")
    return {
        "title": names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more",
        "lede": _lede(facts, is_moving),
        "headline": _headline(facts),
        "account": account if isinstance(account, str) else "",
    }


def _lede(facts: RunFacts, is_moving: bool) -> str:
    """Return one line about the input's length and size."""
    height, width = facts.size
    if not is_moving:
        return f"{counted(facts.count, 'picture')} of {width}x{height}"
    return (
        f"{facts.count} frames of {width}x{height}, {facts.rate:.5g} a second, "
        f"{facts.count / facts.rate:.1f} s"
    )


def _headline(facts: RunFacts) -> list[tuple[str, str]]:
    """Return the largest figures and what they mean."""
    found = shares(facts.report)
    if (task := facts.installed_task) is not None:
        summary = RunSummary(len(facts.layers), len(separated(facts)), facts.report)
        found += task.headline(summary)
    found.append(_counted_apart(facts.layers, "layer"))
    seconds = number_of(facts.report, "seconds")
    if seconds is not None:
        text = f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
        found.append((text, f"on {facts.report.get('device', 'an unknown device')}"))
    return found


def _counted_apart(items: Any, what: str) -> tuple[str, str]:
    """Return how many items there are, and the noun in the number that fits, as two texts."""
    number, noun = counted(len(items), what).split(" ", 1)
    return number, noun


def _players(
    facts: RunFacts,
    contents: ReportContents,
    losses: Mapping[str, Any],
    is_moving: bool,
    missing_input: str | None,
) -> PlayersData:
    """Return the players and the notes below them."""
    notes = list(contents.notes)
    has_input = any(track.role == "input" for track in contents.tracks)
    if missing_input and has_input:
        notes.insert(0, missing_input)
    mixes = len(separated(facts))
    fits = len(drawn_losses(losses))
    if mixes > MAX_MIXES:
        notes.append(
            f"The mixing curves of the first {MAX_MIXES} of {mixes} transitions are drawn."
        )
    if fits > MAX_LOSSES:
        notes.append(f"The losses of the first {MAX_LOSSES} of {fits} fits are drawn.")
    if len(shots_of(facts)) > MAX_SHOTS:
        notes.append(f"The first {MAX_SHOTS} of {len(shots_of(facts))} shots are listed.")
    return {
        "tracks": [
            {
                **track.as_json(),
                "caption": _caption(track, is_moving),
                "file": _file_of(track, facts),
            }
            for track in contents.tracks
        ],
        "colors": COLORS,
        "has_cutouts": bool(cutouts(contents.tracks)),
        "has_certainties": bool(certainties(contents.tracks)),
        "has_sound": any(track.sound for track in contents.tracks),
        "missing_input": None if has_input else missing_input,
        "notes": notes,
    }


def _file_of(track: Track, facts: RunFacts) -> str | None:
    """Return the address of a layer's file; ``None`` for the input and for several files."""
    files = [layer.path for layer in facts.layers if layer.slug == track.slug]
    is_file = len(files) == 1 and len(track.pictures) < 2 and "." in files[0]
    return link(files[0]) if is_file else None


def _caption(track: Track, is_moving: bool) -> str:
    """Return a player's role and frames."""
    parts = [] if track.role == track.name else [track.role]
    if is_moving:
        first, last = track.spans[0][0], track.spans[-1][1]
        parts.append(f"frame {first}" if first == last else f"frames {first} to {last}")
    return ", ".join(parts)


def _strip(facts: RunFacts, contents: ReportContents) -> StripData:
    """Return the strip, the scenes along the clip in two rows, and the transitions' marks."""

    def place(first: int, last: int) -> PlaceData:
        """Return where a span lies, in percent of the clip."""
        return {
            "at": round(100 * (first - facts.first) / facts.count, 3),
            "wide": round(100 * (last - first + 1) / facts.count, 3),
        }

    scenes = [layer for layer in facts.layers if layer.role == "scene"]
    if len(scenes) < 2 and not facts.transitions:
        scenes = []
    # Neighbours overlap, so they alternate between two rows.
    lanes: list[LaneData] = [
        {"name": scene.name, "row": number % 2, **place(scene.first, scene.last)}
        for number, scene in enumerate(scenes)
    ]
    return {
        "strip": contents.strip,
        "lanes": lanes,
        "lane_rows": min(2, max(1, len(lanes))),
        "marks": [
            {"label": item.label, **place(item.first, item.last)} for item in facts.transitions
        ],
    }


def _tables(facts: RunFacts, contents: ReportContents) -> TablesData:
    """Return self-checks, seconds, settings, figures and versions."""
    versions = facts.report.get("versions")
    return {
        "checks": self_checks(facts, contents.seams),
        "seconds": bars(facts.report.get("stages")),
        "settings": rows(facts.settings),
        "figures": figures(facts.report),
        "versions": rows(versions if isinstance(versions, dict) else {}),
    }


def _file_list(facts: RunFacts, is_moving: bool) -> FilesData:
    """Return the run's files, its inputs and its contact sheets."""
    files: list[FileData] = [
        {
            "name": layer.path,
            "href": link(layer.path),
            "what": layer.name if layer.name == layer.role else f"{layer.name}, {layer.role}",
            "frames": _frames_named(layer.first, layer.last, is_moving),
            # The folder of a sequence cannot be downloaded as one file.
            "is_file": "." in layer.path,
        }
        for layer in facts.layers
    ]
    manifest = "manifest.json"
    files.append(
        {
            "name": manifest,
            "href": manifest,
            "what": "everything above, for programs",
            "frames": "",
            "is_file": True,
        }
    )
    inputs: list[InputData] = [
        {
            "name": printable(path),
            "size": f"{item.get('width')}x{item.get('height')}",
            "frames": item.get("frames") if is_moving else number,
        }
        for number, (path, item) in enumerate(zip(facts.input_paths, facts.inputs, strict=True), 1)
    ]
    sheets = [link(name) for name in facts.sheets[:MAX_SHEETS]]
    return {"files": files, "inputs": inputs, "sheets": sheets}


def _frames_named(first: int, last: int, is_moving: bool) -> str:
    """Return which frames (from 0) or which of the pictures (from 1) a file covers."""
    offset = 0 if is_moving else 1
    return range_text(first + offset, last + offset)
