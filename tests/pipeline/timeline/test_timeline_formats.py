"""Timelines: what each format says of the same cut, read back by other software or strictly."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from fcpxml_rules import faults
from other_readers import read

from pipeline.timeline.build import timeline_of_run, timeline_of_source
from pipeline.timeline.formats import find_format, format_names
from pipeline.timeline.model import EditTimeline
from stages.media.clip import ClipInfo

NTSC = Fraction(30000, 1001)
INFO = ClipInfo(
    Path("in/my film.mov"),
    640,
    360,
    160,
    NTSC,
    Fraction(1, 30000),
    audio_streams=1,
    timecode="01:00:59;20",
)


def layer(number: int, first: int, last: int) -> dict[str, Any]:
    name = f"scene-{number:03d}"
    return {
        "name": name,
        "role": "scene",
        "path": f"{name}.mp4",
        "first_frame": first,
        "last_frame": last,
    }


def move(
    kind: str, first: int, last: int, before: int | None, after: int | None, **more: Any
) -> dict[str, Any]:
    count = last - first + 1
    return {
        "from": None if before is None else f"scene-{before:03d}",
        "to": None if after is None else f"scene-{after:03d}",
        "first_frame": first,
        "last_frame": last,
        "kind": kind,
        "mix": [(place + 1) / (count + 1) for place in range(count)],
        "space": "gamma",
        "matte": None,
        **more,
    }


MANIFEST: dict[str, Any] = {
    "input": [{"path": "in/my film.mov"}],
    "layers": [
        layer(1, 0, 39),
        layer(2, 30, 69),
        layer(3, 70, 99),
        layer(4, 100, 119),
        layer(5, 125, 159),
    ],
    "transitions": [
        move("dissolve", 30, 39, 1, 2),
        move("cut", 70, 69, 2, 3),
        move("other", 98, 101, 3, 4),
        move("fade", 110, 119, 4, None, color="#000000"),
        move("fade", 125, 134, None, 5, color="#000000"),
    ],
    "colors": [{"color": "#000000", "first_frame": 120, "last_frame": 124}],
    "warnings": ["frames 98 to 101: the picture changes for good", "something about all of it"],
}
ALONE = [(0, 29), (40, 69), (70, 97), (102, 109), (135, 159)]
"""The frames that each of these shots has for itself."""


def made(info: ClipInfo = INFO, manifest: dict[str, Any] = MANIFEST) -> EditTimeline:
    return timeline_of_run(manifest, info)


def rendered(name: str, timeline: EditTimeline | None = None) -> str:
    return find_format(name).render(timeline or made())


def test_there_is_a_file_for_each_format() -> None:
    assert format_names() == ("csv", "edl", "fcpxml", "otio")
    for name in format_names():
        assert find_format(name).name == name and rendered(name).endswith("\n")


def test_a_cut_lies_in_the_middle_of_its_mixed_frames() -> None:
    timeline = made()
    spans = [(clip.first, clip.last) for clip in timeline.clips]
    assert spans == [(0, 34), (35, 69), (70, 99), (100, 114), (115, 129), (130, 159)]
    offsets = [found and (found.before, found.after) for found in timeline.transitions]
    assert offsets == [(5, 5), None, None, (5, 5), (5, 5)]
    assert timeline.clips[4].is_black and timeline.clips[4].media is None
    # The frames of a change of an unknown kind are not mixed: the cut is at its turn.
    assert timeline.transitions[2] is None
    assert [(row.first, row.last) for row in timeline.rows if row.kind == "shot"] == ALONE


def test_every_clip_has_its_handles() -> None:
    timeline = made()
    for place, transition in enumerate(timeline.transitions):
        if transition is None:
            continue
        for clip in timeline.clips[place : place + 2]:
            if clip.media is not None:
                assert clip.media.first <= transition.first
                assert transition.last <= clip.media.last


def test_a_clip_that_begins_or_ends_in_a_transition() -> None:
    manifest = {
        **MANIFEST,
        "layers": [layer(1, 0, 19)],
        "transitions": [
            move("fade", 0, 0, None, 1, color="#ffffff"),
            move("fade", 19, 19, 1, None, color="#ff0000"),
        ],
        "colors": [],
    }
    clips = made(manifest=manifest).clips
    spans = [(clip.name, clip.first, clip.last) for clip in clips]
    assert spans == [("#ffffff", 0, 0), ("scene-001", 1, 18), ("#ff0000", 19, 19)]
    for name in format_names():
        assert "#ff0000" in rendered(name, made(manifest=manifest)).lower()


@pytest.mark.parametrize(
    ("usable", "expected"),
    [
        ((35, 34), [("scene-001", 36, 39), ("scene-002", 30, 33)]),
        ((None, 30), [("scene-001", 30, 39)]),
        ((39, None), [("scene-002", 30, 39)]),
        ((39, 30), []),
    ],
)
def test_frames_that_are_hardly_usable_are_marked(
    usable: tuple[int | None, int | None], expected: list[tuple[str, int, int]]
) -> None:
    entry = MANIFEST["transitions"][0] | {"first_frame": 30, "last_frame": 39}
    entry |= {"usable": dict(zip(("from", "to"), usable, strict=True))}
    names = {"scene-001": entry["from"], "scene-002": entry["to"]}
    found = [
        (marker.text, marker.first, marker.last)
        for marker in made(manifest=MANIFEST | {"transitions": [entry], "warnings": []}).markers
    ]
    assert sorted(found) == sorted(
        (f"{names[name]}: less than 30 dB expected", first, last) for name, first, last in expected
    )


def test_a_shot_without_transitions_is_one_clip() -> None:
    manifest = {**MANIFEST, "layers": [layer(1, 0, 9)], "transitions": [], "colors": []}
    (clip,) = made(manifest=manifest).clips
    assert (clip.first, clip.last) == (0, 9)


def test_otio_is_read_by_its_own_library(tmp_path: Path) -> None:
    path = tmp_path / "timeline.otio"
    path.write_text(rendered("otio"))
    found = read("otio", path, float(NTSC))
    assert (found["starts"], found["duration"]) == ("01:00:59;20", 160)
    assert [track["kind"] for track in found["tracks"]] == ["Video", "Audio"]
    items = found["tracks"][0]["items"]
    assert [item["type"] for item in items] == (
        "Clip Transition Clip Clip Clip Transition Gap Transition Clip".split()
    )
    first, dissolve, second = items[:3]
    assert first["source"][1] == 35
    # The media have the time code of their own first frames, and all of their frames.
    assert (second["starts"], second["url"]) == ("01:01:00;22", "scene-002.mp4")
    assert (second["available"][1], second["source"][1]) == (40, 35)
    assert second["source"][0] - second["available"][0] == 5
    assert (dissolve["offsets"], dissolve["kind"]) == ([5, 5], "SMPTE_Dissolve")
    # The library reads the last digit of a number differently.
    mix = MANIFEST["transitions"][0]["mix"]
    assert dissolve["entry"]["mix"] == pytest.approx(mix, abs=1e-15)
    assert found["markers"] == {
        "something about all of it": 0,
        "frames 98 to 101: the picture changes for good": 98,
    }


def test_an_edl_is_read_by_the_adapter_of_others(tmp_path: Path) -> None:
    path = tmp_path / "timeline.edl"
    path.write_text(rendered("edl"))
    assert "FCM: DROP FRAME" in path.read_text().splitlines()
    (track,) = read("edl", path, float(NTSC))["tracks"]
    items = track["items"]
    assert [item["type"] for item in items].count("Transition") == 3
    assert items[0]["source"][1] == 30
    assert sum(items[1]["offsets"]) == 10
    assert items[2]["source"][1] == 40
    assert sum(item["source"][1] for item in items if item.get("source")) == 160


def test_the_events_of_an_edl() -> None:
    lines = [line for line in rendered("edl").splitlines() if line[:3].isdigit()]
    assert lines[0] == (
        "001  SCENE001 V     C        01:00:59;20 01:01:00;22 01:00:59;20 01:01:00;22"
    )
    # A dissolve begins with an empty event of what it leaves.
    assert lines[1] == (
        "002  SCENE001 V     C        01:01:00;22 01:01:00;22 01:01:00;22 01:01:00;22"
    )
    assert lines[2] == (
        "002  SCENE002 V     D    010 01:01:00;22 01:01:02;02 01:01:00;22 01:01:02;02"
    )
    assert [line.split()[1] for line in lines if "D    010" in line] == [
        "SCENE002",
        "BL",
        "SCENE005",
    ]
    ends = [line.split()[-2:] for line in lines]
    assert all(one[1] == other[0] for one, other in zip(ends, ends[1:], strict=False))


def test_an_edl_names_wipes_by_number_and_other_effects_in_a_comment() -> None:
    manifest = {
        **MANIFEST,
        "layers": [layer(1, 0, 39), layer(2, 30, 159)],
        "transitions": [move("wipe", 30, 39, 1, 2, effect="wipedown")],
        "colors": [],
    }
    assert "W002 010" in rendered("edl", made(manifest=manifest))
    manifest["transitions"] = [move("push", 30, 39, 1, 2, effect="slideleft")]
    text = rendered("edl", made(manifest=manifest))
    assert "D    010" in text and "* EFFECT NAME: PUSH (SLIDELEFT)" in text


def test_an_edl_cannot_count_more_than_99_frames_a_second() -> None:
    fits = find_format("edl").fits
    assert fits(Fraction(60)) is None
    assert "at most 99" in str(fits(Fraction(120)))


ATTRIBUTES = {
    "fcpxml": {"version"},
    "resources": set(),
    "format": {"id", "frameDuration", "width", "height", "paspH", "paspV"},
    "effect": {"id", "name", "uid"},
    "asset": {
        "id",
        "name",
        "start",
        "duration",
        "hasVideo",
        "format",
        "videoSources",
        "hasAudio",
        "audioSources",
    },
    "media-rep": {"kind", "src"},
    "library": set(),
    "event": {"name"},
    "project": {"name"},
    "sequence": {"format", "duration", "tcStart", "tcFormat"},
    "spine": set(),
    "asset-clip": {"ref", "name", "offset", "start", "duration", "tcFormat"},
    "gap": {"name", "offset", "start", "duration"},
    "transition": {"name", "offset", "duration"},
    "filter-video": {"ref", "name"},
    "marker": {"start", "duration", "value"},
}
"""The elements that are written and their attributes, all of which FCPXML 1.10 has."""


def frames(text: str | None, rate: Fraction = NTSC) -> int:
    """Return a time of FCPXML in frames; it must be a whole number."""
    assert text is not None and text.endswith("s")
    count = Fraction(text[:-1]) * rate
    assert count.denominator == 1
    return int(count)


def test_fcpxml_holds_the_same_cut() -> None:
    timeline = made(replace(INFO, pixel_aspect=Fraction(4, 3)))
    root = ET.fromstring(rendered("fcpxml", timeline))
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag], element.tag
    assert faults(root) == []
    known = {item.get("id") for item in root.iter() if item.get("id")}
    assert {item.get("ref") for item in root.iter() if item.get("ref")} <= known
    sequence = root.find("library/event/project/sequence")
    assert sequence is not None and sequence.get("tcFormat") == "DF"
    start = frames(sequence.get("tcStart"))
    assert frames(sequence.get("duration")) == 160
    (spine,) = sequence
    at = start
    for item in spine:
        offset, length = frames(item.get("offset")), frames(item.get("duration"))
        if item.tag == "transition":
            # It lies around the cut at which the next clip begins.
            assert offset < at < offset + length and length == 10
            continue
        assert offset == at
        at += length
    assert at == start + 160
    assets = {item.attrib["id"]: item for item in root.iter("asset")}
    for clip in spine.iter("asset-clip"):
        asset = assets[clip.attrib["ref"]]
        first = frames(clip.get("start")) - frames(asset.get("start"))
        assert 0 <= first <= frames(asset.get("duration")) - frames(clip.get("duration"))
    assert [item.get("value") for item in spine.iter("marker")] == [
        "something about all of it",
        "frames 98 to 101: the picture changes for good",
    ]


def test_broken_fcpxml_is_seen_by_the_rules() -> None:
    root = ET.fromstring(rendered("fcpxml", made()))
    spine = root.find("library/event/project/sequence/spine")
    assert spine is not None
    spine.append(ET.Element("marker", start="0s"))
    del spine[0].attrib["ref"]
    spine[0].set("start", "1.5s")
    told = "; ".join(faults(root))
    assert "spine holds" in told and "marker lacks ['value']" in told
    assert "asset-clip lacks ['ref']" in told and "has the time 1.5s" in told


def test_names_with_strange_characters_stay_whole() -> None:
    manifest = {**MANIFEST, "input": [{"path": 'a & <b> "\x07\n.mov'}]}
    timeline = made(manifest=manifest)
    ET.fromstring(rendered("fcpxml", timeline))
    json.loads(rendered("otio", timeline))
    title = rendered("edl", timeline).splitlines()[0]
    assert title.startswith('TITLE: a & <b> "')


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_shot_list_has_frames_and_time_codes_side_by_side() -> None:
    rows = table(rendered("csv"))
    assert [row["kind"] for row in rows] == (
        "shot dissolve shot cut shot other shot fade color fade shot".split()
    )
    assert rows[1]["first_timecode"] == "01:01:00;22" and rows[1]["frames"] == "10"
    assert rows[3]["first_frame"] == "70" and rows[3]["last_frame"] == ""
    assert (rows[2]["file"], rows[2]["file_first_frame"]) == ("scene-002.mp4", "30")
    assert rows[8]["color"] == "#000000"


def test_the_source_is_cut_but_nothing_is_mixed_twice() -> None:
    facts = {
        "shots": [{"first_frame": 0, "last_frame": 29}, {"first_frame": 40, "last_frame": 159}],
        "transitions": [move("dissolve", 30, 39, 1, 2)],
        "colors": [],
        "warnings": [],
    }
    timeline = timeline_of_source(facts, INFO, "../in/my%20film.mov")
    assert [(clip.first, clip.last) for clip in timeline.clips] == [(0, 29), (30, 39), (40, 159)]
    assert timeline.transitions == (None, None)
    assert {clip.media.url for clip in timeline.clips if clip.media} == {"../in/my%20film.mov"}
    (marker,) = timeline.markers
    assert (marker.first, marker.last) == (30, 39) and "dissolve" in marker.text
    for name in format_names():
        assert rendered(name, timeline)


@pytest.mark.parametrize(
    ("rate", "timecode", "shown"),
    [
        (Fraction(25), "", "00:00:01:05"),
        (NTSC, "", "00:00:01:00"),
        (Fraction(24000, 1001), "10:00:00:00", "10:00:01:06"),
        (Fraction(60000, 1001), "00:00:59;40", "00:01:00;14"),
    ],
    ids=str,
)
def test_time_codes_are_those_of_the_input(rate: Fraction, timecode: str, shown: str) -> None:
    timeline = made(replace(INFO, rate=rate, timecode=timecode))
    assert timeline.label(30) == shown
