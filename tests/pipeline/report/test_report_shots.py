"""Test the report's table of shots, its sound, its download links, and pictures as JPEG."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import ffmpeg
import media
import pytest
from clips import moving
from report_pages import Page, film, page_of, run

from pipeline.cli.main import main
from pipeline.report.facts import RunFacts, read_facts
from pipeline.report.index import write_index
from pipeline.report.previews import encode_preview
from pipeline.report.shots import shot_rows, shots_of, time_code
from stages.media.read import open_clip

pytestmark = pytest.mark.usefixtures("quick")


def facts(transitions: list[dict[str, Any]], rate: str = "25/1", timecode: str = "") -> RunFacts:
    """Return the facts of a run of three scenes: 0 to 30, 20 to 60 and 61 to 99."""
    scenes = [(0, 30), (20, 60), (61, 99)]
    size = {"width": 8, "height": 8, "frames": 100, "rate": rate, "timecode": timecode}
    return read_facts(
        {
            "schema": 1,
            "task": "transition",
            "input": [{"path": "a", "sha256": "b", **size}],
            "layers": [
                {
                    "name": f"scene-{number:03d}",
                    "role": "scene",
                    "path": f"scene-{number:03d}.mp4",
                    "first_frame": first,
                    "last_frame": last,
                }
                for number, (first, last) in enumerate(scenes, 1)
            ],
            "transitions": transitions,
        }
    )


def move(first: int, last: int, names: tuple[str, str], kind: str = "dissolve") -> dict[str, Any]:
    return {
        "first_frame": first,
        "last_frame": last,
        "from": names[0],
        "to": names[1],
        "kind": kind,
        "mix": [0.5] * (last - first + 1),
    }


BOTH = [
    move(20, 30, ("scene-001", "scene-002")),
    move(61, 60, ("scene-002", "scene-003"), "cut"),
]


def test_shots_know_where_they_are_alone_and_what_was_recovered() -> None:
    found = [(shot.first, shot.last, shot.recovered) for shot in shots_of(facts(BOTH))]
    assert found == [(0, 19, [(20, 30)]), (31, 60, [(20, 30)]), (61, 99, [])]
    # A shot between two transitions that touch is never alone.
    touching = [BOTH[0], move(31, 60, ("scene-002", "scene-003"))]
    assert shots_of(facts(touching))[1].recovered == [(20, 60)]
    # Through a transition of an unknown kind, a clean frame is only held.
    held = [move(20, 30, ("scene-001", "scene-002"), "other"), BOTH[1]]
    assert [shot.recovered for shot in shots_of(facts(held))] == [[], [], []]
    beside = [held[0], move(31, 60, ("scene-002", "scene-003"))]
    assert shots_of(facts(beside))[1].recovered == [(31, 60)]


def test_rows_are_in_order_of_time_with_the_cut_before_its_shot() -> None:
    rows = shot_rows(facts(BOTH), {"scene-002": "report/shot-scene-002.jpg"})
    assert [row["name"] for row in rows] == [
        "scene-001",
        "dissolve",
        "scene-002",
        "cut",
        "scene-003",
    ]
    assert [row["frames"] for row in rows] == ["0 to 19", "20 to 30", "31 to 60", "", "61 to 99"]
    assert rows[2]["picture"] == "report/shot-scene-002.jpg" and rows[0]["picture"] is None
    assert (rows[0]["recovered"], rows[4]["recovered"]) == ("11 (20 to 30)", "")
    assert (rows[2]["begin"], rows[2]["end"]) == ("00:00:01:06", "00:00:02:10")
    assert shot_rows(read_facts(one_shot()), {}) == []


def one_shot() -> dict[str, Any]:
    size = {"width": 8, "height": 8, "frames": 9, "rate": "25/1"}
    layer = {"name": "scene-001", "role": "scene", "path": "a.mp4", "first_frame": 0}
    return {
        "schema": 1,
        "task": "transition",
        "input": [{"path": "a", "sha256": "b", **size}],
        "layers": [{**layer, "last_frame": 8}],
    }


@pytest.mark.parametrize(
    ("rate", "timecode", "code"),
    [
        ("25/1", "", "00:00:02:11"),
        ("25/1", "10:00:00:00", "10:00:02:11"),
        ("30000/1001", "00:00:59;15", "00:01:01;18"),
        ("30000/1001", "no code", "00:00:02:01"),
        ("1/4", "", "244.00 s"),
    ],
)
def test_time_codes_are_those_of_the_input(rate: str, timecode: str, code: str) -> None:
    assert time_code(facts(BOTH, rate, timecode), 61) == code


def test_the_page_has_the_table_with_pictures_and_links() -> None:
    made = run(film())
    page = page_of(made)
    for text in ("scene-002 00:00:00:11 00:00:00:15 11 to 15", "dissolve 00:00:00:05"):
        assert text in page.text, page.text
    pictures = [str(each["src"]) for each in page.all("img") if "shot-" in str(each["src"])]
    assert pictures == ["report/shot-scene-001.jpg", "report/shot-scene-002.jpg"]
    assert {made / name for name in pictures} <= set(made.rglob("*.jpg"))
    saved = [each["href"] for each in page.all("a") if "download" in each]
    assert saved.count("scene-001.mp4") == 3 and "manifest.json" in saved
    assert all((made / str(name)).is_file() for name in saved)


def with_tone(name: str) -> Path:
    tone = ffmpeg.input("sine=frequency=440:duration=0.64", f="lavfi")
    picture = ffmpeg.input(str(film("silent.mkv")))
    options = {"c:v": "libx264", "qp": 0, "c:a": "aac"}
    media.run(ffmpeg.output(picture.video, tone.audio, name, **options))
    return Path(name)


@pytest.mark.parametrize("words", [(), ("--lossless",)], ids=str)
def test_players_have_the_sound(words: tuple[str, ...]) -> None:
    source = with_tone("loud.mp4")
    made = run(source, *words)
    tracks = json.loads((made / "report/data.json").read_text())["tracks"]
    assert [track["sound"] for track in tracks] == [True, True, True]
    page = page_of(made)
    buttons = [each for each in page.all("button") if "data-listen" in each]
    assert len(buttons) == 3 and [each for each in page.all("button") if each.get("id") == "sound"]
    # Without the input, its preview is used again, with its sound.
    source.unlink()
    assert main(["report", "out", "--quiet"]) == 0
    assert len([each for each in page_of(made).all("button") if "data-listen" in each]) == 3


def test_a_clip_with_sound_that_ends_too_early_is_as_one_without() -> None:
    # ValueError is what the report expects of a damaged layer.
    for source in (with_tone("loud.mp4"), film()):
        with pytest.raises(ValueError, match="no frame was written"):
            encode_preview(
                open_clip([source]), [(100, 110)], Path("preview"), (40, 56), deadline=math.inf
            )


def test_players_without_sound_have_no_such_button() -> None:
    page = page_of(run(film()))
    assert not [each for each in page.all("button") if each.get("id") == "sound"]


def test_a_photograph_as_jpeg_is_shown_as_a_picture() -> None:
    cv2.imwrite("hazy.jpg", moving(3, 1, (40, 56))[0])
    options = "--task dehaze --preset fast --out out --no-progress --codec jpeg".split()
    assert main(["run", "hazy.jpg", *options]) == 0
    page = page_of(Path("out"))
    shown = [each["src"] for each in page.all("img") if "live" in (each.get("class") or "")]
    assert not page.all("video") and shown[:2] == ["report/input-001.jpg", "clear.jpg"]


def test_the_index_of_a_batch_of_chains_shows_both_ends() -> None:
    words = ["run", str(film()), "--task", "dehaze,dehaze", "--preset", "fast"]
    assert main([*words, "--out", "made/in-dehaze+dehaze", "--no-progress"]) == 0
    done = {"status": "done", "seconds": 3.2, "error": "", "warnings": []}
    clip = {"path": "clips/in.mkv", "out": "made/in-dehaze+dehaze", **done}
    write_index(Path("made"), {"task": "dehaze,dehaze", "folder": "clips", "clips": [clip]})
    page = Page(Path("made/index.html").read_text())
    place = "./in-dehaze%2Bdehaze"
    assert [(each["alt"], each["src"]) for each in page.all("img")] == [
        ("before", f"{place}/01-dehaze/report/still-input.jpg"),
        ("clear", f"{place}/02-dehaze/report/still-clear.jpg"),
    ]
    assert [each["href"] for each in page.all("a")] == [f"{place}/index.html"]
