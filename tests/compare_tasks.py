"""Compare three methods on every task, at equal seconds, on the sample's photographs.

    python tests/compare_tasks.py [CASE]... [--seconds 20] [--markdown] [--sheet PNG]
    python tests/compare_tasks.py --haze HAZY CLEAR [--seconds 60] [--markdown]

``paper`` is the published method, ``coupled`` the generators alone, and ``balanced`` the default.
Each gets ``--max-seconds`` and the same input, at 128x72. The true layers are used only to judge
the results. *As it is* judges the input itself as every layer.
``--haze`` compares on one hazy picture instead, at its own size, whose clear picture is known.
``--markdown`` prints a table. ``--sheet`` writes a contact sheet: a row for each case with the
input, the main layer of each method, and the true one. Layers of light are shown in the order and
at the level that fit the truth best. The sample needs no footage.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray
from task_cases import CASES, FIRST_MIXED, Layers, Picture, TaskCase, haze_pair

from pipeline import separate
from samples.figures import Tile, grid, save_picture, tile

PRESETS = ("paper", "coupled", "balanced")
"""The methods that are compared."""

SECONDS = 20.0
"""Time budget of each run, unless told otherwise."""

ENLARGED = 2
"""How many times as wide and high a picture is shown in the contact sheet."""

SHEET_COLORS = 64
"""Colours of the sheet's palette; more make too large a file for `docs/`."""


@dataclass(frozen=True)
class PresetResult:
    """What a preset made of a case: its layers by role, their score, and the seconds of the run."""

    layers: Layers
    score: float
    seconds: float


def eight_bits(picture: Picture) -> NDArray[np.uint8]:
    """Return values in [0, 1] as they lie in a file."""
    return np.asarray(np.rint(255 * picture.clip(0, 1)), np.uint8)


def as_it_is(given: TaskCase) -> float | None:
    """Return the score of the input itself in place of the layers; ``None`` for mattes."""
    if given.task == "segment":
        return None
    if given.task == "transition":
        scenes: Any = {"scene": [given.source, given.source[FIRST_MIXED:]]}
        return given.score(scenes)
    if given.task == "transparency":
        is_one = not isinstance(given.source, list)
        one, other = [given.source] * 2 if is_one else given.source
        return given.score({"transmission": one[None], "reflection": other[None]})
    frames = given.source if isinstance(given.source, list) else given.source[None]
    return given.score(dict.fromkeys(("clear", "clean"), np.asarray(frames)))


def run(given: TaskCase, preset: str, seconds: float | None) -> PresetResult:
    """Run a preset on a case within a budget of ``seconds``."""
    source = given.source
    several = isinstance(source, list)
    pixels = [eight_bits(picture) for picture in source] if several else eight_bits(source)
    began = time.monotonic()
    more: dict[str, Any] = dict(given.options)
    if seconds is not None:
        more["max_seconds"] = seconds
    with separate(pixels, given.task, preset=preset, **more) as made:
        spent = time.monotonic() - began
        layers: dict[str, Any] = {}
        for layer in made.layers.values():
            frames = layer.frames
            values = frames / np.iinfo(frames.dtype).max
            layers.setdefault(layer.role, []).append(values)
    if given.task != "transition":
        layers = {role: np.concatenate(parts) for role, parts in layers.items()}
    return PresetResult(layers, given.score(layers), spent)


def sheet_row(name: str, given: TaskCase, results: Sequence[PresetResult]) -> list[Tile]:
    """Return a row of the contact sheet: the input, what each preset made of it, and the truth."""
    plain = as_it_is(given)
    score = "" if plain is None else f" {score_text(plain, given)}"
    tiles = [enlarged(given.shown_input, f"{name}:{score}")]
    for preset, result in zip(PRESETS, results, strict=True):
        label = f"{preset}: {score_text(result.score, given)}"
        tiles.append(enlarged(given.shown(result.layers), label))
    return [*tiles, enlarged(given.shown(given.truth), "truth")]


def enlarged(picture: Picture, label: str) -> Tile:
    """Return a picture ``(H, W, 3)`` as a tile with larger pixels, and a line of text above it."""
    large = picture.repeat(ENLARGED, 0).repeat(ENLARGED, 1)
    return tile(large.transpose(2, 0, 1), label)


def score_text(score: float, given: TaskCase) -> str:
    """Return a score with its unit."""
    return f"{score:.1f} dB" if given.unit == "dB" else f"{given.unit} {score:.2f}"


def printed(name: str, given: TaskCase, results: Sequence[PresetResult], markdown: bool) -> str:
    """Return the line of a case, as a row of a Markdown table or as a sentence."""
    if not markdown:
        told = [
            f"{preset} {score_text(result.score, given)} in {result.seconds:.0f} s"
            for preset, result in zip(PRESETS, results, strict=True)
        ]
        return f"{name}: {', '.join(told)}"
    digits = 1 if given.unit == "dB" else 2
    plain = as_it_is(given)
    cells = ["" if plain is None else f"{plain:.{digits}f}"]
    for result in results:
        cells += [f"{result.score:.{digits}f}", f"{result.seconds:.0f}"]
    return f"| {name} ({given.unit}) | {' | '.join(cells)} |"


def main(words: Sequence[str] | None = None) -> int:
    """Run the comparison and print a line for each case."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--haze", nargs=2, type=Path, metavar=("HAZY", "CLEAR"))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time budget of each run")
    parser.add_argument("--markdown", action="store_true", help="print a table")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write a contact sheet")
    options = parser.parse_args(words)
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no case {sorted(unknown)[0]!r}; there are {', '.join(CASES)}")
    chosen = {name: CASES[name] for name in options.cases or CASES}
    if options.haze:
        chosen = {options.haze[0].stem: lambda: haze_pair(*options.haze)}
    if options.markdown:
        print("| case | as it is | " + " | ".join(f"`{name}` | s" for name in PRESETS) + " |")
        print("|---|---|" + "---|---|" * len(PRESETS), flush=True)
    rows = []
    for name, make in chosen.items():
        given = make()
        results = [run(given, preset, options.seconds) for preset in PRESETS]
        print(printed(name, given, results, options.markdown), flush=True)
        rows.append(sheet_row(name, given, results))
        if options.sheet:  # After every case, so that an interrupted run leaves what it has.
            save_picture(options.sheet, grid(rows), SHEET_COLORS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
