"""The search on real footage and on the development cases, where these are at hand."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.find.search import find, search_size
from stages.media.read import open_clip
from stages.shots import Analysis

SHARED = Path(__file__).parents[4] / "shared"
DATA = SHARED / "data"
needs_data = pytest.mark.skipif(not (DATA / "transition").is_dir(), reason=f"no footage at {DATA}")


def look(path: Path) -> Analysis:
    """Return what the search finds in a file."""
    clip = open_clip([path])
    return find(clip.blocks(size=search_size(clip.info.width, clip.info.height)))


def bench() -> Any:
    """Return the module that builds the development cases."""
    spec = importlib.util.spec_from_file_location("score", SHARED / "bench" / "score.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cases() -> list[dict[str, Any]]:
    """Return the development cases of transitions, none where these are not at hand."""
    path = SHARED / "bench" / "cases.json"
    return (
        [case for case in json.loads(path.read_text()) if case["task"] == "transition"]
        if path.is_file()
        else []
    )


@needs_data
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case.get("quick") else pytest.mark.slow, id=case["name"])
        for case in cases()
    ],
)
def test_bench_case(case: dict[str, Any], tmp_path: Path) -> None:
    score = bench()
    frames, _, _, weight = score.build_transition(case, DATA)
    path = tmp_path / ("clip.mp4" if case["codec"] == "h264" else "clip.mkv")
    score.write_video(path, frames, case.get("rate", 25), case["codec"])
    found = look(path)
    assert len(found.shots) == 2
    (one,) = found.transitions
    true, span = (
        set(range(case["pre"], case["pre"] + case["steps"])),
        set(range(one.first_frame, one.last_frame + 1)),
    )
    assert len(true & span) / len(true | span) >= 0.9
    guess = np.interp(sorted(true), sorted(span), one.mix)
    assert np.abs(guess - weight[sorted(true)].mean((1, 2, 3))).mean() <= 0.02
    assert one.kind == {"wipe": "wipe", "circle": "iris"}.get(case["kind"], "dissolve")
    assert one.space == ("linear" if case["kind"] == "light" else "gamma")


REAL = {
    "nasa13013_480x270.mp4": ([(150, 178)], [240], 1),
    "nasa13013_dissolve.mp4": ([(127, 150)], [202], 3),
    "bbb_trailer_dissolves.webm": (
        [(88, 111), (157, 178)],
        [227, 280, 330, 347, 375, 400, 415, 623, 650, 749, 756],
        3,
    ),
    "photo_slideshow_fades_dissolve.mp4": (
        [(211, 239), (331, 359), (394, 422), (528, 558), (664, 690)],
        [30, 180],
        3,
    ),
}


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("name", list(REAL))
def test_transitions_in_real_footage(name: str) -> None:
    spans, cuts, slack = REAL[name]
    found = look(DATA / "transition" / "real" / name).transitions
    for first, last in spans:
        assert any(
            abs(one.first_frame - first) <= slack and abs(one.last_frame - last) <= slack
            for one in found
        )
    assert set(cuts) <= {one.first_frame for one in found if one.kind == "cut"}


# The list beside the footage leaves out the street's cut at 187, to another framing and place.
CUTS = {
    "bikes_street_cuts_272p.mp4": [30, 76, 137, 187, 242],
    "tears_of_steel_208p.h264": [214, 323, 442, 600, 966],
}


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((DATA / "transition" / "clips").glob("*")), ids=lambda path: path.stem
)
def test_single_shots_hold_their_cuts_and_nothing_else(path: Path) -> None:
    found = look(path).transitions
    assert [(one.kind, one.first_frame) for one in found] == [
        ("cut", cut) for cut in CUTS.get(path.name, [])
    ]
