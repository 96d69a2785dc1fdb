"""Test the report's page: its players, previews, curves, and the index of a batch."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import moving, read_clip
from report_pages import Page, film, manifest_of, page_of, run

from pipeline.cli.main import main
from pipeline.report.facts import RunFacts, read_facts
from pipeline.report.index import write_index
from pipeline.report.tracks import LONGEST_PREVIEW, fitting, link, shown_spans
from pipeline.tasks.transition import separate
from stages.errors import UnlayerError
from stages.media.sheet import draw_sheet
from stages.transition.separate import separate_transition

pytestmark = pytest.mark.usefixtures("quick")


def test_a_run_leaves_a_page_with_its_players() -> None:
    made = run(film())
    page, whole = page_of(made), manifest_of(made)
    videos = page.all("video")
    assert [each["src"] for each in videos] == [
        "report/preview-input.mp4",
        "scene-001.mp4",
        "scene-002.mp4",
    ]
    assert all(
        (made / str(each["src"])).is_file() and (made / str(each["poster"])).is_file()
        for each in videos
    )
    assert len(read_clip(made / "report/preview-input.mp4")) == 16
    files = [path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()]
    others = ("scene", "sheet", "manifest")
    assert set(whole["report_files"]) == {name for name in files if not name.startswith(others)}
    assert (
        whole["thumbnail"] == "report/still-input.jpg" and whole["report"]["stages"]["report"] > 0
    )
    for text in ("dissolve 5 to 10", "Self-checks", "40.0 dB"):
        assert text in page.text
    for word in "in.mkv scene-002 preset torch find".split():
        assert word in page.text, word
    data = json.loads(page.scripts[0])
    assert data["timeline"] == {"first": 0, "count": 16, "step": 0.04, "times": []}
    assert [track["spans"] for track in data["tracks"]] == [
        [[0, 15]],
        [[0, 10]],
        [[5, 15]],
    ] and data["moving"]


def test_lossless_layers_get_previews() -> None:
    made = run(film(), "--lossless")
    videos = [str(each["src"]) for each in page_of(made).all("video")]
    assert videos == [
        "report/preview-input.mp4",
        "report/preview-scene-001.mp4",
        "report/preview-scene-002.mp4",
    ]
    shown = read_clip(made / videos[1])
    assert shown.shape == (11, 48, 64, 3)
    truth = np.asarray(moving(1, 16)[:5], float)
    assert np.abs(shown[:5] - truth).mean() < 8


def test_odd_sizes_get_playable_previews() -> None:
    made = run(film(size=(37, 53)))
    assert all("preview" in str(each["src"]) for each in page_of(made).all("video"))
    height, width = read_clip(made / "report/preview-scene-001.mp4").shape[1:3]
    assert height % 2 == 0 and width % 2 == 0 and abs(width / height - 53 / 37) < 0.1


def test_pictures_have_no_players_but_a_slider() -> None:
    cv2.imwrite("hazy.png", moving(3, 1, (40, 56))[0])
    options = "--task dehaze --preset fast --out out --no-progress".split()
    assert main(["run", "hazy.png", *options]) == 0
    page = page_of(Path("out"))
    assert not page.all("video") and len(page.all("canvas")) == 1
    shown = [each["src"] for each in page.all("img") if "live" in (each.get("class") or "")]
    assert shown == ["report/input-001.jpg", "clear.png", "transmission.png", "airlight.png"]
    assert not [each for each in page.all("input") if each.get("id") == "scrub"]
    # Pictures are counted from 1, both layers and input.
    assert (
        "1 picture of 56x40" in page.text
        and "what pictures airlight.png airlight 1 clear.png clear 1" in page.text
        and "input, 56x40 1" in page.text
    )


def test_sheet_and_page_name_the_same_space(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []

    def spy(*rows: Any, title: str) -> Any:
        titles.append(title)
        return draw_sheet(*rows, title=title)

    monkeypatch.setattr(separate, "draw_sheet", spy)
    page = page_of(run(film()))
    assert (
        titles == ["dissolve, frames 5 to 10, mixed in encoded values"]
        and "frames 5 to 10, mixed in encoded values" in page.text
    )


def test_transparent_layers_lie_on_a_checkerboard() -> None:
    media.save(Path("in.mkv"), moving(3, 2, (24, 32)))
    options = "--task segment --preset fast --out out --no-progress".split()
    assert main(["run", "in.mkv", *options]) == 0
    whole = manifest_of(Path("out"))
    (front,) = [layer for layer in whole["layers"] if layer["role"] == "foreground"]
    assert (
        front["path"].endswith(".mov") and (Path("out") / "report/preview-foreground.mp4").exists()
    )
    page = page_of(Path("out"))
    assert "mean of the matte" in page.text and "networks: " in page.text


def test_long_clips_are_shown_around_their_transitions() -> None:
    def facts(count: int, spans: list[tuple[int, int]]) -> RunFacts:
        size = {"width": 8, "height": 8, "frames": count, "rate": "25/1"}
        covered = {"first_frame": 0, "last_frame": count - 1}
        fades = [
            {"first_frame": first, "last_frame": last, "mix": [0.5] * (last - first + 1)}
            for first, last in spans
        ]
        return read_facts(
            {
                "schema": 1,
                "task": "transition",
                "input": [{"path": "a", "sha256": "b", **size}],
                "layers": [{"name": "scene-001", "role": "scene", "path": "a.mp4", **covered}],
                "transitions": [{"from": None, "to": None, "kind": "fade", **one} for one in fades],
            }
        )

    assert shown_spans(facts(LONGEST_PREVIEW, [])) == [(0, LONGEST_PREVIEW - 1)]
    assert shown_spans(facts(10**6, [])) == [(0, LONGEST_PREVIEW - 1)]
    assert shown_spans(facts(10**5, [(10, 20), (90, 95), (5000, 5009)])) == [(0, 145), (4950, 5059)]
    many = shown_spans(facts(10**6, [(k * 1000, k * 1000 + 10) for k in range(1, 900)]))
    assert sum(last - first + 1 for first, last in many) == LONGEST_PREVIEW


def test_a_note_says_which_frames_a_preview_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.tracks.LONGEST_PREVIEW", 8)
    monkeypatch.setattr("pipeline.report.tracks.AROUND", 1)
    page = page_of(run(film(), "--lossless"))
    assert "shows 8 of 16 frames (4 to 11)" in page.text
    assert json.loads(page.scripts[0])["tracks"][0]["spans"] == [[4, 11]]


def test_sizes_of_previews() -> None:
    assert fitting(1080, 1920, 960) == (540, 960) and fitting(37, 53, 960) == (36, 52)
    assert fitting(1, 1, 960) == (16, 16) and fitting(8000, 10, 960) == (960, 16)
    assert fitting(576, 720, 960, Fraction(16, 15)) == (576, 768)


def test_links_are_quoted() -> None:
    assert link("report/a b.mp4") == "report/a%20b.mp4"
    assert link('a"#?.mp4') == "a%22%23%3F.mp4" and link(os.fsdecode(b"\xff")) == "%FF"


def test_a_real_fit_shows_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.tasks.transition.separate.separate_transition", separate_transition
    )
    made = run(film(size=(32, 48)), "--preset", "fast")
    losses = json.loads((made / "losses.json").read_text())
    (fit,) = losses["fits"]
    assert (fit["first_frame"], fit["last_frame"]) == (5, 10) and {"motion", "sweeps"} <= set(
        fit["curves"]
    )
    curve = fit["curves"]["motion"]["unexplained"]
    assert len(curve) <= 240 and all(0 < at <= 0.3 for at, _ in curve)
    page = page_of(made)
    assert (
        "motion: unexplained" in page.text
        and "sweeps: residual" in page.text
        and ("steady" in page.text or "jumps" in page.text)
    )


def test_the_index_of_a_batch_lists_failures_first() -> None:
    made = run(film(), out="runs/in-transition")
    evil = '"><script>alert(1)</script>'
    done = {"status": "done", "seconds": 3.2, "error": "", "warnings": [evil]}
    failed = {"status": "failed", "seconds": 0.1, "error": evil, "warnings": []}
    record = {
        "task": "transition",
        "folder": "clips",
        "clips": [
            {"path": "clips/in.mkv", "out": str(made), **done},
            {"path": f"clips/{evil}", "out": "runs/bad-transition", **failed},
        ],
    }
    write_index(Path("runs"), record)
    page = Page(Path("runs/index.html").read_text())
    runs = [about for about in page.all("li") if "run" in (about.get("class") or "").split()]
    assert [about["data-word"] for about in runs] == ["failed", "done"] and len(page.scripts) == 1
    assert "done, 2 layers, 1 transition, 40.0 dB mixed back" in page.text
    assert [about["href"] for about in page.all("a")] == ["./in-transition/report.html"]
    assert [(about["alt"], about["src"]) for about in page.all("img")] == [
        ("before", "./in-transition/report/still-input.jpg"),
        ("scene-001", "./in-transition/report/still-scene-001.jpg"),
        ("scene-002", "./in-transition/report/still-scene-002.jpg"),
    ]
    write_index(Path("runs"), record)
    Path("runs/index.html").write_text("<h1>mine</h1>")
    with pytest.raises(UnlayerError, match="not from a batch of ours"):
        write_index(Path("runs"), record)
