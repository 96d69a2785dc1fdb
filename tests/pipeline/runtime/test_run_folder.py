"""The run's folder: locking, what may be replaced, and that nothing half-done has a final name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ONE, OTHER, ROLES, finish, listing, manifest

from pipeline.runtime.folder_decision import Request
from pipeline.runtime.run_folder import claim
from pipeline.runtime.run_record import files_of, write_json
from stages.errors import UnlayerError, UsageError


def written(path: Path) -> tuple[int, int, int]:
    """Return what changes when a file is written; the time of its last reading is not part."""
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def test_a_finished_run_holds_its_files_and_nothing_else(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        assert folder.state() == ("finished", ONE)
    assert listing(tmp_path / "out") == ["manifest.json", "scene-001.mp4", "sheet.png"]


def test_the_same_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        before = written(tmp_path / "out/manifest.json")
        assert not folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        assert not folder.prepare(ONE, Request.RESUME, roles=ROLES)
        assert written(tmp_path / "out/manifest.json") == before


def test_another_run_is_refused_and_both_options_named(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        for request in (Request.BEGIN, Request.RESUME):
            with pytest.raises(UsageError, match=r"(?s)--resume.*--overwrite"):
                folder.prepare(OTHER, request, roles=ROLES)


def test_an_interrupted_run_is_refused_or_resumed(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        assert folder.state() == ("interrupted", ONE)
        with pytest.raises(UsageError, match=r"(?s)--resume.*--overwrite"):
            folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        with pytest.raises(UsageError, match="--overwrite"):
            folder.prepare(OTHER, Request.RESUME, roles=ROLES)
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES)
        assert folder.prepare(OTHER, Request.OVERWRITE, roles=ROLES)


def test_resume_begins_where_nothing_was_saved(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES)
    (tmp_path / "killed/.work").mkdir(parents=True)
    with claim(tmp_path / "killed") as folder:
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES)


def test_a_run_stopped_while_publishing_knows_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with claim(tmp_path / "out") as folder:
        folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        files = [folder.work / "scene-001.mp4", folder.work / "scene-002.mp4"]
        files[0].write_text("ours")
        with pytest.raises(FileNotFoundError):
            folder.publish(files, manifest(ONE), ONE)
        assert listing(folder.path) == [".lock", ".work", "scene-001.mp4"]
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES)


def test_overwrite_replaces_our_files_alone(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        for name in ("notes.txt", "scene-001.txt.bak"):
            (folder.path / name).write_text("mine")
        before = listing(folder.path)
        folder.prepare(OTHER, Request.OVERWRITE, roles=ROLES)
        # The old run stays whole until the new one is finished, and remains if that never happens.
        assert listing(folder.path) == sorted([".work", *before]) and folder.state() == (
            "finished",
            ONE,
        )
        folder.publish([], manifest(OTHER), OTHER)
    assert listing(tmp_path / "out") == ["manifest.json", "notes.txt", "scene-001.txt.bak"]


def test_foreign_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "scene-003.mkv").write_text("mine")
    with claim(tmp_path) as folder:
        for request in (Request.BEGIN, Request.OVERWRITE):
            with pytest.raises(UsageError, match=r"scene-003\.mkv"):
                folder.prepare(ONE, request, roles=ROLES)
    assert (tmp_path / "scene-003.mkv").read_text() == "mine"


def test_a_foreign_manifest_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "my web page"}')
    with claim(tmp_path) as folder:
        for request in (Request.BEGIN, Request.OVERWRITE):
            with pytest.raises(UsageError, match="--out"):
                folder.prepare(ONE, request, roles=ROLES)
    assert "web page" in (tmp_path / "manifest.json").read_text()


def test_a_reports_files_are_removed_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/still.jpg").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    crafted = manifest(ONE) | {
        "report_files": [
            "report.html",
            "report/still.jpg",
            "report/../../elsewhere/still.jpg",
            "../x",
            3,
            "report/",
        ]
    }
    assert files_of(crafted) == ["sheet.png", "scene-001.mp4", "report.html", "report/still.jpg"]
    write_json(out / "manifest.json", crafted)
    (out / "report").symlink_to(tmp_path / "elsewhere")
    with claim(out) as folder:
        folder.remove(files_of(crafted))
        assert (tmp_path / "elsewhere/still.jpg").read_text() == "mine" and (
            out / "report"
        ).is_symlink()
        (out / "report").unlink()
        (out / "report").mkdir()
        (out / "report/still.jpg").write_text("ours")
        folder.remove(files_of(crafted))
    assert listing(out) == ["manifest.json"]


def test_overwrite_follows_no_path_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    crafted = manifest(ONE) | {
        "layers": [
            {"path": "../precious"},
            {"path": str(tmp_path / "precious")},
            {"path": ".."},
            {"path": 3},
        ],
        "sheets": 4,
    }
    write_json(out / "manifest.json", crafted)
    with claim(out) as folder:
        assert folder.prepare(ONE, Request.OVERWRITE, roles=ROLES)
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_second_run_is_refused_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.runtime.run_folder import claim\n"
        f"with claim(Path({str(tmp_path / 'out')!r})): print('held', flush=True); sys.stdin.read()"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    try:
        assert child.stdout and child.stdout.readline() == "held\n"
        with pytest.raises(UnlayerError, match="another run"), claim(tmp_path / "out"):
            pass
    finally:
        child.kill()
        child.communicate()
    # The lock ended with its process, although its file is still there.
    assert (tmp_path / "out/.lock").exists()
    with claim(tmp_path / "out") as folder:
        finish(folder)
    assert folder.state()[0] == "finished"


def test_an_unused_folder_is_removed_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim(tmp_path / "new"):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    with claim(tmp_path / "old"):
        pass
    assert (tmp_path / "old").exists()


@pytest.mark.parametrize("request_", Request)
def test_a_work_folder_that_is_a_link_is_not_touched(tmp_path: Path, request_: Request) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/run.json").write_text("{}")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.work").symlink_to(tmp_path / "mine")
    with claim(tmp_path / "out") as folder, pytest.raises(UsageError, match="is a link"):
        folder.prepare(ONE, request_, roles=("scene",))
    assert (tmp_path / "mine/run.json").read_text() == "{}"


def test_stopped_between_its_record_and_the_old_runs_end(tmp_path: Path) -> None:
    """Killed while publishing, before the old manifest is removed, the old run is whole.

    The new one goes on.
    """
    with claim(tmp_path / "out") as folder:
        finish(folder)
        before = listing(tmp_path / "out")
        two = {**ONE, "settings": {"seed": 2}}
        assert folder.prepare(two, Request.OVERWRITE, roles=("scene",))
        write_json(folder.work / "run.json", {**two, "files": ["scene-001.mp4", "sheet.png"]})
        assert folder.prepare(two, Request.RESUME, roles=("scene",))
        assert "manifest.json" in before and set(before) <= set(listing(tmp_path / "out"))


def test_stopped_while_tidying_up_is_finished(tmp_path: Path) -> None:
    with claim(tmp_path / "out") as folder:
        finish(folder)
        folder.work.mkdir()
        write_json(folder.work / "run.json", {**ONE, "files": ["scene-001.mp4", "sheet.png"]})
        assert folder.prepare(ONE, Request.RESUME, roles=("scene",)) is False
    assert listing(tmp_path / "out") == ["manifest.json", "scene-001.mp4", "sheet.png"]


def test_killed_while_it_removes_what_it_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is left of the work folder is known as ours, and is removed the next time."""
    removed: list[str] = []

    def killed(path: Path, ignore_errors: bool = False) -> None:
        if removed:
            raise KeyboardInterrupt
        removed.append(path.name)
        for entry in sorted(path.rglob("*.safetensors"))[:1]:
            entry.unlink()

    with claim(tmp_path / "out") as folder:
        assert folder.prepare(ONE, Request.BEGIN, roles=ROLES)
        for name in ("find", "survey"):
            (folder.kept / name).mkdir(parents=True)
            (folder.kept / name / "a.safetensors").write_text("kept")
        files = [folder.work / "scene-001.mp4", folder.work / "sheet.png"]
        for file in files:
            file.write_text("ours")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(shutil, "rmtree", killed)
            folder.publish(files, manifest(ONE), ONE)
        assert folder.kept.is_dir() and (folder.work / "run.json").exists()
        assert folder.prepare(ONE, Request.RESUME, roles=ROLES) is False
    assert listing(tmp_path / "out") == ["manifest.json", "scene-001.mp4", "sheet.png"]
