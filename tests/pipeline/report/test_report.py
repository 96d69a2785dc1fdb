"""The report: what is on the page, that nothing on it can do harm, that its files come and go with the run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import media
import numpy as np
import pytest
from clips import OWN, dissolve, moving, plain_answer, read_clip

from pipeline.cli.main import main
from pipeline.report.facts import facts_of
from pipeline.report.media import LONGEST, fitting, link, shown_spans
from pipeline.tasks import transition
from stages.errors import UnlayerError
from stages.media.thumbnails import read_thumbnails
from stages.transition.separate import separate_transition

HOSTILE = [
    '"><img src=x onerror=alert(1)>.mp4',
    "</script><script>alert(1)</script>.mp4",
    "';alert(1);'.mp4",
    "{{ 7 * 7 }}&amp;%3C.mp4",
]


class Page(HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self._in: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in.append(tag)
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while tag in self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "script":
            self.scripts[-1] += data
        elif self._in and self._in[-1] != "style":
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [about for name, about in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def page_of(run: Path) -> Page:
    return Page((run / "report.html").read_text(encoding="utf-8"))


def manifest_of(run: Path) -> dict[str, Any]:
    whole: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    return whole


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Plain colours instead of a separation, in an empty folder."""
    monkeypatch.setattr("pipeline.tasks.transition.run.separate_transition", plain_answer)
    monkeypatch.chdir(tmp_path)


def film(
    name: str = "in.mkv", count: int = 16, steps: int = 6, size: tuple[int, int] = (48, 64)
) -> Path:
    return media.save(
        Path(name), dissolve(moving(1, count, size), moving(2, count, size), 5, steps)[0]
    )


def run(*words: object, out: str = "out", status: int = 0) -> Path:
    assert (
        main(
            [
                "run",
                "--task",
                "transition",
                "--transition",
                "5:10",
                "--out",
                out,
                "--no-progress",
                *map(str, words),
            ]
        )
        == status
    )
    return Path(out)


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
    assert set(whole["report_files"]) == {
        name
        for name in (
            path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()
        )
        if not name.startswith(("scene", "sheet", "manifest"))
    }
    assert (
        whole["thumbnail"] == "report/still-input.jpg" and whole["report"]["stages"]["report"] > 0
    )
    for word in (
        "in.mkv",
        "dissolve 5 to 10",
        "Self-checks",
        "40.0 dB",
        "scene-002",
        "preset",
        "torch",
        "find",
    ):
        assert word in page.text, word
    data = json.loads(page.scripts[0])
    assert data["timeline"] == {"first": 0, "count": 16, "step": 0.04, "times": []}
    assert [track["spans"] for track in data["tracks"]] == [
        [[0, 15]],
        [[0, 10]],
        [[5, 15]],
    ] and data["moving"]


def test_the_page_asks_nothing_of_any_network() -> None:
    page = page_of(run(film()))
    (policy,) = [
        each["content"]
        for each in page.all("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    assert (
        policy is not None
        and "default-src 'none'" in policy
        and "unsafe" not in policy
        and "http" not in policy
    )
    for _, about in page.elements:
        for name in ("src", "href", "poster"):
            assert ":" not in (about.get(name) or "") and not (about.get(name) or "").startswith(
                "//"
            )
        assert not [name for name in about if name.startswith("on") or name == "style"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    name = name.replace("/", "\u2215") if "/" in name else name
    os.rename(film("plain.mp4"), name)
    made = run("--", name)
    plain = page_of(run(film("tame.mp4"), out="other"))
    page = page_of(made)
    assert name in page.text
    # Not an element more than with a tame name.
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements] and len(
        page.scripts
    ) == 2
    assert json.loads(page.scripts[0])["tracks"][0]["name"] == name


def test_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe.mp4")
    os.rename(film("plain.mp4"), name)
    assert "\\udcff" in page_of(run("--", name)).text


def test_warnings_and_settings_from_a_foreign_manifest_are_text() -> None:
    made = run(film())
    whole = manifest_of(made)
    evil = "</p><script>alert(1)</script>"
    whole["warnings"], whole["settings"]["preset"], whole["report"]["versions"]["torch"] = (
        [evil],
        evil,
        evil,
    )
    whole["layers"][0]["role"] = whole["transitions"][0]["kind"] = whole["transitions"][0][
        "color"
    ] = evil
    whole["report"]["stages"][evil] = 1.0
    (made / "losses.json").write_text(
        json.dumps(
            {
                "fits": [
                    {
                        "name": evil,
                        "first_frame": 0,
                        "last_frame": 1,
                        "curves": {evil: {evil: [[0, 1], [1, 2]]}},
                    }
                ]
            }
        )
    )
    (made / "manifest.json").write_text(json.dumps(whole))
    assert main(["report", "out", "--no-progress"]) == 0
    page = page_of(made)
    assert len(page.scripts) == 2 and page.text.count(evil) >= 5


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: whole["layers"][0].update(path="../plain.mkv"),
        lambda whole: whole["layers"][0].update(path="/etc/passwd"),
        lambda whole: whole["layers"][0].update(first_frame=-1),
        lambda whole: whole["layers"][0].update(last_frame=10**30),
        lambda whole: whole.update(layers=[]),
        lambda whole: whole.update(input=3),
        lambda whole: whole.update(schema=2),
        lambda whole: whole["transitions"][0].update(mix=[float("nan")] * 6),
        lambda whole: whole["input"][0].update(rate="25/0"),
    ],
)
def test_a_damaged_manifest_is_one_line(
    change: Callable[[dict[str, Any]], None], capsys: pytest.CaptureFixture[str]
) -> None:
    made = run(film())
    before = (made / "report.html").read_bytes()
    whole = manifest_of(made)
    change(whole)
    (made / "manifest.json").write_text(json.dumps(whole))
    capsys.readouterr()
    assert main(["report", "out", "--no-progress"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("unlayer: out: ")
    assert (made / "report.html").read_bytes() == before


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


def test_odd_sizes_get_previews_that_browsers_play() -> None:
    made = run(film(size=(37, 53)))
    assert all("preview" in str(each["src"]) for each in page_of(made).all("video"))
    height, width = read_clip(made / "report/preview-scene-001.mp4").shape[1:3]
    assert height % 2 == 0 and width % 2 == 0 and abs(width / height - 53 / 37) < 0.1


def test_overwriting_removes_exactly_its_files() -> None:
    source = film()
    made = run(source, "--lossless")
    (made / "report/mine.txt").write_text("mine")
    run(source, "--overwrite")
    assert (made / "report/mine.txt").read_text() == "mine"
    assert not list(made.rglob("preview-scene*")) and len(page_of(made).all("video")) == 3


@pytest.mark.parametrize(
    "name", ["report.html", "losses.json", "report/preview-input.mp4", "report"]
)
def test_nothing_of_a_stranger_is_replaced(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = Path("out") / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    run(film(), status=2)
    assert (
        name in capsys.readouterr().err
        and place.read_text() == "mine"
        and not Path("out/manifest.json").exists()
    )


def test_a_report_that_fails_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: object, **more: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("pipeline.report.contents.read_thumbnails", broken)
    made = run(film())
    whole = manifest_of(made)
    assert "report.html could not be made (RuntimeError: no such thing)" in whole["warnings"][0]
    assert (
        whole["report_files"] == ["losses.json"]
        and not (made / "report").exists()
        and not (made / "report.html").exists()
    )
    monkeypatch.setattr("pipeline.report.contents.read_thumbnails", read_thumbnails)
    assert main(["report", str(made), "--no-progress"]) == 0
    assert sorted(os.listdir(made)) == sorted([*OWN, "scene-001.mp4", "scene-002.mp4", "sheet.png"])


def test_written_again_without_the_input(capsys: pytest.CaptureFixture[str]) -> None:
    source = film()
    made = run(source)
    source.unlink()
    before = (made / "report/preview-input.mp4").read_bytes()
    assert main(["report", "out", "--no-progress"]) == 0
    page = page_of(made)
    assert "The input is not at in.mkv any more" in page.text and len(page.all("video")) == 3
    assert (made / "report/preview-input.mp4").read_bytes() == before
    # Without the preview there is no player for it, and the page says so.
    (made / "report/preview-input.mp4").unlink()
    assert main(["report", "out", "--no-progress"]) == 0
    page = page_of(made)
    assert "it has no player" in page.text and [each["src"] for each in page.all("video")] == [
        "scene-001.mp4",
        "scene-002.mp4",
    ]
    assert set(manifest_of(made)["report_files"]) == {
        path.relative_to(made).as_posix()
        for path in [made / "report.html", made / "losses.json", *(made / "report").iterdir()]
    }


def test_another_file_in_the_inputs_place_is_not_shown() -> None:
    source = film()
    made = run(source)
    (made / "report/preview-input.mp4").unlink()
    film(steps=4)
    assert main(["report", "out", "--no-progress"]) == 0
    assert (
        "is not the input any more" in page_of(made).text and len(page_of(made).all("video")) == 2
    )


def test_a_folder_that_was_sent_somewhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run(film())
    shutil.move(made, tmp_path / "elsewhere here")
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert main(["report", "../elsewhere here", "--no-progress"]) == 0
    assert len(page_of(tmp_path / "elsewhere here").all("video")) == 3


def test_a_missing_layer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = run(film())
    (made / "scene-002.mp4").unlink()
    capsys.readouterr()
    assert main(["report", "out", "--no-progress"]) == 1
    assert "scene-002.mp4" in capsys.readouterr().err


def test_pictures_have_no_players_but_a_slider() -> None:
    cv2.imwrite("hazy.png", moving(3, 1, (40, 56))[0])
    assert (
        main(
            [
                "run",
                "hazy.png",
                "--task",
                "dehaze",
                "--preset",
                "fast",
                "--out",
                "out",
                "--no-progress",
            ]
        )
        == 0
    )
    page = page_of(Path("out"))
    assert not page.all("video") and len(page.all("canvas")) == 1
    shown = [each["src"] for each in page.all("img") if "live" in (each.get("class") or "")]
    assert shown == ["report/input-001.jpg", "clear.png", "transmission.png", "airlight.png"]
    assert not [each for each in page.all("input") if each.get("id") == "scrub"]
    # Pictures are counted from 1, layers and input alike.
    assert (
        "1 picture of 56x40" in page.text
        and "what pictures airlight.png airlight 1 clear.png clear 1" in page.text
        and "input, 56x40 1" in page.text
    )


def test_sheet_and_page_say_the_light_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    draw = transition.draw_sheet
    monkeypatch.setattr(
        transition,
        "draw_sheet",
        lambda *rows, title: (titles.append(title), draw(*rows, title=title))[1],
    )
    page = page_of(run(film()))
    assert (
        titles == ["dissolve, frames 5 to 10, mixed in encoded values"]
        and "frames 5 to 10, mixed in encoded values" in page.text
    )


def test_what_is_transparent_lies_on_a_board() -> None:
    media.save(Path("in.mkv"), moving(3, 2, (24, 32)))
    assert (
        main(
            [
                "run",
                "in.mkv",
                "--task",
                "segment",
                "--preset",
                "fast",
                "--out",
                "out",
                "--no-progress",
            ]
        )
        == 0
    )
    whole = manifest_of(Path("out"))
    (front,) = [layer for layer in whole["layers"] if layer["role"] == "foreground"]
    assert (
        front["path"].endswith(".mov") and (Path("out") / "report/preview-foreground.mp4").exists()
    )
    page = page_of(Path("out"))
    assert "mean of the matte" in page.text and "networks: " in page.text


def test_long_clips_are_shown_around_their_transitions() -> None:
    def facts(count: int, moves: list[tuple[int, int]]) -> Any:
        return facts_of(
            {
                "schema": 1,
                "task": "transition",
                "input": [
                    {
                        "path": "a",
                        "sha256": "b",
                        "width": 8,
                        "height": 8,
                        "frames": count,
                        "rate": "25/1",
                    }
                ],
                "layers": [
                    {
                        "name": "scene-001",
                        "role": "scene",
                        "path": "a.mp4",
                        "first_frame": 0,
                        "last_frame": count - 1,
                    }
                ],
                "transitions": [
                    {
                        "from": None,
                        "to": None,
                        "first_frame": a,
                        "last_frame": b,
                        "kind": "fade",
                        "mix": [0.5] * (b - a + 1),
                    }
                    for a, b in moves
                ],
            }
        )

    assert shown_spans(facts(LONGEST, [])) == [(0, LONGEST - 1)]
    assert shown_spans(facts(10**6, [])) == [(0, LONGEST - 1)]
    assert shown_spans(facts(10**5, [(10, 20), (90, 95), (5000, 5009)])) == [(0, 145), (4950, 5059)]
    many = shown_spans(facts(10**6, [(k * 1000, k * 1000 + 10) for k in range(1, 900)]))
    assert sum(last - first + 1 for first, last in many) == LONGEST


def test_a_preview_that_is_cut_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.report.media.LONGEST", 8)
    monkeypatch.setattr("pipeline.report.media.AROUND", 1)
    page = page_of(run(film(), "--lossless"))
    assert "shows 8 of 16 frames (4 to 11)" in page.text
    assert json.loads(page.scripts[0])["tracks"][0]["spans"] == [[4, 11]]


def test_sizes_of_previews() -> None:
    from fractions import Fraction

    assert fitting(1080, 1920, 960) == (540, 960) and fitting(37, 53, 960) == (36, 52)
    assert fitting(1, 1, 960) == (16, 16) and fitting(8000, 10, 960) == (960, 16)
    assert fitting(576, 720, 960, Fraction(16, 15)) == (576, 768)


def test_links_are_quoted() -> None:
    assert link("report/a b.mp4") == "report/a%20b.mp4"
    assert link('a"#?.mp4') == "a%22%23%3F.mp4" and link(os.fsdecode(b"\xff")) == "%FF"


def test_facts_refuse_what_is_no_manifest() -> None:
    for value in ({}, {"schema": 1}, {"schema": 1, "task": "x", "input": [], "layers": []}):
        with pytest.raises(UnlayerError, match="manifest"):
            facts_of(value)


def test_a_real_fit_leaves_its_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.tasks.transition.run.separate_transition", separate_transition)
    made = run(film(size=(32, 48)), "--preset", "fast")
    told = json.loads((made / "losses.json").read_text())
    (fit,) = told["fits"]
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


def test_a_batch_has_an_index_with_failures_first(monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.report.index import write_index

    made = run(film(), out="runs/in-transition")
    evil = '"><script>alert(1)</script>'
    record = {
        "task": "transition",
        "folder": "clips",
        "clips": [
            {
                "path": "clips/in.mkv",
                "out": str(made),
                "status": "done",
                "seconds": 3.2,
                "error": "",
                "warnings": [evil],
            },
            {
                "path": f"clips/{evil}",
                "out": "runs/bad-transition",
                "status": "failed",
                "seconds": 0.1,
                "error": evil,
                "warnings": [],
            },
        ],
    }
    write_index(Path("runs"), record)
    page = Page(Path("runs/index.html").read_text())
    runs = [about for about in page.all("li") if "run" in (about.get("class") or "").split()]
    assert [about["data-word"] for about in runs] == ["failed", "done"] and len(page.scripts) == 1
    assert "done, 2 layers, 1 transition, 40.0 dB" in page.text
    assert [about["href"] for about in page.all("a")] == ["./in-transition/report.html"]
    assert [about["src"] for about in page.all("img")] == ["./in-transition/report/still-input.jpg"]
    write_index(Path("runs"), record)
    Path("runs/index.html").write_text("<h1>mine</h1>")
    with pytest.raises(UnlayerError, match="not from a batch of ours"):
        write_index(Path("runs"), record)
