"""Test ``batch --dry-run``: what it says about each clip and about all of them."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from clips import moving
from media import save

from pipeline.cli.main import main
from pipeline.estimate import dry_batch


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def batch(*words: str) -> dict[str, Any]:
    """Return what ``batch --dry-run --json`` prints."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert main(["batch", *words, "--dry-run", "--json"]) == 0
    answer: dict[str, Any] = json.loads(text.getvalue())
    return answer


def test_a_folder_without_clips_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Path("clips").mkdir()
    assert main(["batch", "clips", "--task", "dehaze", "--dry-run"]) == 2
    assert "clips: has no clip" in capsys.readouterr().err


@pytest.mark.slow
def test_what_would_be_done_with_each_clip(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("clips").mkdir()
    for number, name in enumerate(("done", "half", "lost", "new", "other", "taken")):
        save(Path("clips", f"{name}.mkv"), moving(number, 4, (24, 40)))
    Path("clips/bad.mkv").write_text("no clip")
    words = ["--task", "dehaze", "--preset", "fast", "--no-progress"]
    assert main(["run", "clips/done.mkv", *words, "--out", "out/done-dehaze"]) == 0
    assert main(["run", "clips/other.mkv", *words, "--seed", "9", "--out", "out/other-dehaze"]) == 0
    assert main(["run", "clips/lost.mkv", *words, "--out", "out/lost-dehaze"]) == 0
    Path("out/lost-dehaze/clear.mp4").unlink()
    Path("out/half-dehaze/.work").mkdir(parents=True)
    Path("out/half-dehaze/.work/run.json").write_text('{"versions": ["0"]}')
    Path("out/taken-dehaze").mkdir()
    Path("out/taken-dehaze/clear.mp4").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    capsys.readouterr()
    facts = batch("clips", *words, "--out", "out", "--jobs", "2")
    assert sorted(tmp_path.rglob("*")) == before
    clips = {Path(clip["path"]).stem: clip for clip in facts["clips"]}
    assert [name for name, clip in clips.items() if clip["does"]] == ["half", "lost", "new"]
    for name, says in {
        "bad": "would fail: clips/bad.mkv",
        "done": "finished: nothing would be done",
        "half": "would be started again",
        "lost": "would be done again",
        "new": "new",
        "other": "replace it with --overwrite",
        "taken": "is in the way",
    }.items():
        assert says in clips[name]["folder"], name
    assert facts["jobs"] == 2 and facts["measured"] == 3
    assert facts["seconds"] == pytest.approx(
        sum(clips[name]["seconds"] for name in ("half", "lost", "new")) / 2, abs=0.1
    )
    assert all(
        clip["does"]
        for clip in batch("clips", *words, "--out", "out", "--overwrite")["clips"]
        if clip["path"][6:] not in ("bad.mkv", "taken.mkv")
    )


def test_clips_that_are_not_measured_are_estimated_by_their_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seconds = iter((0.0, 0.0, 99.0))
    monkeypatch.setattr(dry_batch, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    monkeypatch.setattr(
        dry_batch, "estimate_planned", lambda one, stages: {"frames": 4, "seconds": {"total": 8.0}}
    )
    Path("clips").mkdir()
    save(Path("clips/a.mkv"), moving(1, 4, (24, 40)))
    # Twice as many bytes; what follows the last packet is ignored.
    Path("clips/b.mkv").write_bytes(
        Path("clips/a.mkv").read_bytes().ljust(2 * Path("clips/a.mkv").stat().st_size, b"\0")
    )
    assert main(["batch", "clips", "--task", "dehaze", "--dry-run", "--jobs", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        "2 of 2 clips would be done, 1 at once, in about 24 s (1 of them by the sizes of their "
        "files); nothing was written" in out
    )
