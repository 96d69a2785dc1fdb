"""Test that the report's files come and go with the run, and that it can be written again."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from clips import OWN
from report_pages import film, manifest_of, page_of, run

from pipeline.cli.main import main
from pipeline.report.pictures import make_pictures

pytestmark = pytest.mark.usefixtures("quick")


def test_overwrite_removes_exactly_the_files_of_the_run() -> None:
    source = film()
    made = run(source, "--lossless")
    (made / "report/mine.txt").write_text("mine")
    run(source, "--overwrite")
    assert (made / "report/mine.txt").read_text() == "mine"
    assert not list(made.rglob("preview-scene*")) and len(page_of(made).all("video")) == 3


def test_a_report_that_fails_does_not_fail_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*words: object, **more: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("pipeline.report.contents.make_pictures", broken)
    made = run(film())
    whole = manifest_of(made)
    assert "report.html could not be made (RuntimeError: no such thing)" in whole["warnings"][0]
    assert (
        whole["report_files"] == ["losses.json"]
        and not (made / "report").exists()
        and not (made / "report.html").exists()
    )
    monkeypatch.setattr("pipeline.report.contents.make_pictures", make_pictures)
    assert main(["report", str(made), "--no-progress"]) == 0
    assert sorted(os.listdir(made)) == sorted([*OWN, "scene-001.mp4", "scene-002.mp4", "sheet.png"])


def test_report_without_the_input(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_a_file_that_replaced_the_input_is_not_shown() -> None:
    source = film()
    made = run(source)
    (made / "report/preview-input.mp4").unlink()
    film(steps=4)
    assert main(["report", "out", "--no-progress"]) == 0
    assert (
        "is not the input any more" in page_of(made).text and len(page_of(made).all("video")) == 2
    )


def test_report_of_a_moved_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
