"""What a run does about its folder: each cell of the table, and each row's folder on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from folders import ONE, OTHER, ROLES, finish, listing

from pipeline.runtime.folder_decision import DECISIONS, Content, Refusal, Request
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import HINT, names_of, write_json
from stages.errors import UsageError

VERSIONS = ["1"]

MISSING = r"its scene-001\.mp4 is missing; make it again with --resume or --overwrite"
FINISHED = (
    "holds a finished run of another input or with other options, which --resume cannot go on with"
)
INTERRUPTED = "holds an interrupted run; go on with it with --resume, or replace it with"
STALE = "holds an interrupted run of another version, of another input or with other options"

CELLS: list[tuple[Content, Request, str]] = [
    (Content.EMPTY, Request.BEGIN, "new"),
    (Content.EMPTY, Request.RESUME, "new"),
    (Content.EMPTY, Request.RESUME_OR_RESTART, "new"),
    (Content.EMPTY, Request.OVERWRITE, "new"),
    (Content.FINISHED, Request.BEGIN, "leave"),
    (Content.FINISHED, Request.RESUME, "leave"),
    (Content.FINISHED, Request.RESUME_OR_RESTART, "leave"),
    (Content.FINISHED, Request.OVERWRITE, "replace"),
    (Content.INCOMPLETE, Request.BEGIN, MISSING),
    (Content.INCOMPLETE, Request.RESUME, "again"),
    (Content.INCOMPLETE, Request.RESUME_OR_RESTART, "again"),
    (Content.INCOMPLETE, Request.OVERWRITE, "replace"),
    (Content.FINISHED_OTHER, Request.BEGIN, FINISHED),
    (Content.FINISHED_OTHER, Request.RESUME, FINISHED),
    (Content.FINISHED_OTHER, Request.RESUME_OR_RESTART, FINISHED),
    (Content.FINISHED_OTHER, Request.OVERWRITE, "replace"),
    (Content.INTERRUPTED, Request.BEGIN, INTERRUPTED),
    (Content.INTERRUPTED, Request.RESUME, "go on"),
    (Content.INTERRUPTED, Request.RESUME_OR_RESTART, "go on"),
    (Content.INTERRUPTED, Request.OVERWRITE, "replace"),
    (Content.INTERRUPTED_OTHER, Request.BEGIN, STALE),
    (Content.INTERRUPTED_OTHER, Request.RESUME, STALE),
    (Content.INTERRUPTED_OTHER, Request.RESUME_OR_RESTART, "anew"),
    (Content.INTERRUPTED_OTHER, Request.OVERWRITE, "replace"),
    (Content.INTERRUPTED_UNKNOWN, Request.BEGIN, INTERRUPTED),
    (Content.INTERRUPTED_UNKNOWN, Request.RESUME, "new"),
    (Content.INTERRUPTED_UNKNOWN, Request.RESUME_OR_RESTART, "new"),
    (Content.INTERRUPTED_UNKNOWN, Request.OVERWRITE, "replace"),
]


def fill(folder: RunFolder, content: Content) -> None:
    """Put into an empty folder what the run ``ONE`` then sees as ``content``."""
    about = {"versions": VERSIONS}
    match content:
        case Content.EMPTY:
            pass
        case Content.FINISHED:
            finish(folder)
        case Content.INCOMPLETE:
            finish(folder)
            (folder.path / "scene-001.mp4").unlink()
        case Content.FINISHED_OTHER:
            finish(folder, OTHER)
        case Content.INTERRUPTED:
            folder.prepare(ONE, Request.BEGIN, roles=ROLES, about=about)
        case Content.INTERRUPTED_OTHER:
            folder.prepare(OTHER, Request.BEGIN, roles=ROLES, about=about)
        case Content.INTERRUPTED_UNKNOWN:
            folder.work.mkdir()


def test_the_cells_are_the_whole_table() -> None:
    assert {(content, request) for content, request, _ in CELLS} == set(DECISIONS)
    assert len(CELLS) == len(DECISIONS) == len(Content) * len(Request)


@pytest.mark.parametrize(("content", "request_", "expected"), CELLS)
def test_each_cell(tmp_path: Path, content: Content, request_: Request, expected: str) -> None:
    with claim(tmp_path / "out") as folder:
        fill(folder, content)
        before = listing(folder.path)
        if isinstance(DECISIONS[content, request_], Refusal):
            with pytest.raises(UsageError, match=expected):
                folder.decide(ONE, request_, versions=VERSIONS)
        else:
            assert folder.decide(ONE, request_, versions=VERSIONS) == expected
        assert listing(folder.path) == before, "a decision changes nothing"


@pytest.mark.parametrize("content", Content)
def test_each_content_is_recognised(tmp_path: Path, content: Content) -> None:
    with claim(tmp_path / "out") as folder:
        fill(folder, content)
        for resume in (False, True):
            assert folder.content_for(ONE, resume=resume, versions=VERSIONS) is content


@pytest.mark.parametrize(
    ("options", "request_"),
    [
        ({}, Request.BEGIN),
        ({"anew": True}, Request.BEGIN),
        ({"resume": True}, Request.RESUME),
        ({"resume": True, "anew": True}, Request.RESUME_OR_RESTART),
        ({"overwrite": True}, Request.OVERWRITE),
    ],
)
def test_options_make_a_request(options: dict[str, bool], request_: Request) -> None:
    assert Request.of(**options) is request_


def test_a_run_that_was_replacing_a_finished_one_goes_on_only_with_resume(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder, OTHER)
        folder.prepare(ONE, Request.OVERWRITE, roles=ROLES, about={"versions": VERSIONS})
        assert folder.content_for(ONE, resume=True, versions=VERSIONS) is Content.INTERRUPTED
        assert folder.content_for(ONE, resume=True, versions=["2"]) is Content.INTERRUPTED_OTHER
        assert folder.content_for(ONE, versions=VERSIONS) is Content.FINISHED_OTHER
        assert folder.content_for(OTHER, resume=True, versions=VERSIONS) is Content.FINISHED


def test_a_run_that_was_published_and_stopped_in_its_clean_up_is_finished(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        folder.work.mkdir()
        write_json(folder.work / "run.json", {**ONE, "files": ["scene-001.mp4", "sheet.png"]})
        assert folder.content_for(ONE, resume=True, versions=VERSIONS) is Content.FINISHED
        (folder.path / "scene-001.mp4").unlink()
        assert folder.content_for(ONE, resume=True, versions=VERSIONS) is Content.INTERRUPTED_OTHER


def test_a_finished_run_without_one_of_its_layers_is_made_again(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        (folder.path / "sheet.png").unlink()
        assert not folder.prepare(ONE, Request.RESUME, roles=ROLES), "a sheet is no layer"
        (folder.path / "scene-001.mp4").unlink()
        with pytest.raises(
            UsageError,
            match=r"its scene-001\.mp4 is missing; make it again with --resume or --overwrite",
        ):
            folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        assert not folder.prepare(ONE, Request.RESUME, roles=ROLES, elsewhere=True)
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES)
        # It was interrupted, and goes on.
        (folder.kept / "x").mkdir(parents=True)
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES) and (folder.kept / "x").exists()


@pytest.mark.parametrize("other", [{"versions": ["1"]}, {}, None])
def test_an_interrupted_run_that_does_not_fit_is_begun_anew_where_that_was_asked(
    tmp_path: Path, other: dict[str, object] | None
) -> None:
    """It may be of another version, of other settings, or without any record."""
    now = {"versions": ["2"], "names": ["in.mp4"]}
    with claim(tmp_path / "out") as folder:
        folder.prepare(ONE if other else OTHER, Request.BEGIN, roles=ROLES, about=other)
        if other is None:
            (folder.work / "run.json").write_text("{}")
        (folder.kept / "x").mkdir(parents=True)
        with pytest.raises(
            UsageError,
            match=f"{STALE}.*--overwrite",
        ):
            folder.prepare(ONE, Request.RESUME, roles=ROLES, about=now)
        assert ((folder.kept / "x").exists(), folder.restarted) == (True, False)
        assert folder.prepare(ONE, Request.RESUME_OR_RESTART, roles=ROLES, about=now)
        assert folder.restarted and not folder.kept.exists() and names_of(folder.path) == ["in.mp4"]


def test_a_finished_run_is_never_begun_anew(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        with pytest.raises(
            UsageError, match="a finished run of another input or with other options"
        ):
            folder.prepare(OTHER, Request.RESUME_OR_RESTART, roles=ROLES)
        assert not folder.prepare(
            ONE, Request.RESUME_OR_RESTART, roles=ROLES, about={"versions": ["2"]}
        )
    assert listing(tmp_path / "out") == ["manifest.json", "scene-001.mp4", "sheet.png"]


def test_a_hint_is_part_of_the_run_whatever_becomes_of_it(tmp_path: Path) -> None:
    one, other = {**ONE, HINT: "a"}, {**ONE, HINT: "b"}
    again, anew = Request.RESUME, Request.RESUME_OR_RESTART
    with claim(tmp_path / "out") as folder:
        assert folder.prepare(one, Request.BEGIN, roles=ROLES, about={"versions": ["1"]})
        assert all(folder.decide(one, asked, versions=["1"]) == "go on" for asked in (again, anew))
        assert folder.decide(other, anew, versions=["1"]) == "anew"
        with pytest.raises(
            UsageError, match="an interrupted run of another version, of another input"
        ):
            folder.decide(other, again, versions=["1"])
        shutil.rmtree(folder.work)
        finish(folder, one)
        assert folder.decide(one, again, versions=["1"]) == "leave"
        # The run that was replacing it was stopped, and goes on.
        assert folder.prepare(other, Request.OVERWRITE, roles=ROLES, about={"versions": ["1"]})
        assert folder.decide(other, again, versions=["1"]) == "go on"


def test_a_finished_run_of_before_hints_were_noted_stays(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder, ONE)
        assert folder.decide({**ONE, HINT: "a"}, Request.RESUME) == "leave"
        with pytest.raises(UsageError, match="a finished run of another input"):
            folder.decide({**OTHER, HINT: "a"}, Request.RESUME)


def test_an_unfinished_run_of_a_version_that_did_not_say_so_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    with claim(tmp_path / "out") as folder:
        folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        assert folder.decide(ONE, Request.RESUME_OR_RESTART, versions=["1"]) == "anew"
