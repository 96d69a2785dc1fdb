"""Test batches: bad clips stop nothing, and a second batch does what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, moving, read_clip

from pipeline.batch import batch as module
from pipeline.batch.batch import command, gpu_environment, jobs_at_once
from pipeline.batch.clips import BatchClip, find_clips
from pipeline.batch.skipped import Skipped
from pipeline.cli.main import main
from pipeline.hint_arguments import HintArgument
from pipeline.settings import Settings
from stages.errors import UsageError

HINTS = (HintArgument(file=Path("h.png")), HintArgument(48, box=(1, 2, 3, 4)))

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # So that the clips' processes find the project from any folder.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)


def settings(**more: Any) -> Settings:
    return Settings(inputs=(Path("clips"),), task="transition", **more)


def touch(names: str) -> None:
    """Create files of one byte; their names are separated by spaces."""
    for name in names.split():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"x")


def names(clips: list[BatchClip]) -> list[tuple[str, str]]:
    return [(str(clip.path), str(clip.out)) for clip in clips]


def test_which_files_are_clips() -> None:
    touch("clips/b.mp4 clips/a.MKV clips/notes.txt clips/.hidden.mp4 clips/in/c.webm clips/p.png")
    touch("clips/a-transition/manifest.json clips/a-transition/scene-001.mp4")
    touch("clips/half/.work/run.json clips/half/scene.mp4")
    Path("clips/a-transition/manifest.json").write_text(
        '{"schema": 1, "task": "transition", "input": []}'
    )
    os.symlink(".", "clips/loop")
    assert names(find_clips(Path("clips"), Path("out"), settings())) == [
        ("clips/a.MKV", "out/a-transition"),
        ("clips/b.mp4", "out/b-transition"),
        ("clips/in/c.webm", "out/in/c-transition"),
    ]
    assert len(find_clips(Path("clips"), Path("out"), settings(flat=True))) == 2
    assert names(find_clips(Path("clips"), Path("out"), settings(pattern="*.png"))) == [
        ("clips/p.png", "out/p-transition")
    ]


def test_the_folder_of_runs_is_left_out() -> None:
    touch("clips/a.mp4 clips/out/b.mp4")
    assert names(find_clips(Path("clips"), Path("clips/out"), settings())) == [
        ("clips/a.mp4", "clips/out/a-transition")
    ]


def test_clips_that_differ_by_suffix_have_different_folders() -> None:
    touch("clips/a.mp4 clips/a.mov clips/b.mp4")
    assert [out for _, out in names(find_clips(Path("clips"), Path("o"), settings()))] == [
        "o/a.mov-transition",
        "o/a.mp4-transition",
        "o/b-transition",
    ]


def interrupted(place: str, *files: str) -> None:
    Path(place, ".work").mkdir(parents=True)
    Path(place, ".work/run.json").write_text(
        json.dumps({"task": "transition", "input": ["aa"], "settings": {}, "names": files})
    )


def finished(place: str, *files: str) -> None:
    Path(place).mkdir(parents=True)
    inputs = [{"path": f"somewhere/{name}", "sha256": "aa"} for name in files]
    Path(place, "manifest.json").write_text(
        json.dumps(
            {"schema": 1, "task": "transition", "input": inputs, "settings": {}, "layers": []}
        )
    )


@pytest.mark.parametrize("make_run", [interrupted, finished])
def test_a_clip_keeps_its_folder_when_neighbors_come_and_go(make_run: Any) -> None:
    def places() -> dict[str, str]:
        return {
            clip.path.name: clip.out.name
            for clip in find_clips(Path("clips"), Path("o"), settings())
        }

    touch("clips/a.mp4")
    make_run("o/a-transition", "a.mp4")
    touch("clips/a.mkv")
    assert places() == {"a.mp4": "a-transition", "a.mkv": "a.mkv-transition"}
    make_run("o/a.mkv-transition", "a.mkv")
    assert places() == {"a.mp4": "a-transition", "a.mkv": "a.mkv-transition"}
    Path("clips/a.mp4").unlink()
    assert places() == {"a.mkv": "a.mkv-transition"}


def test_the_command_line_of_one_clip() -> None:
    given = settings(seed=3, lossless=True, max_seconds=20.0, hint=HINTS)
    words = command(BatchClip(Path("-odd.mp4"), Path("out/x")), given)
    assert (
        words[1:5] == ["-m", "pipeline", "run", "--task"]
        and words[-2:] == ["--", "-odd.mp4"]
        and "--resume" in words
    )
    assert (
        words[words.index("--seed") + 1] == "3"
        and words[words.index("--max-seconds") + 1] == "20.0"
        and "--lossless" in words
    )
    assert [words[at + 1] for at, word in enumerate(words) if word == "--hint"] == [
        "h.png",
        "48:box:1,2,3,4",
    ]
    assert "--overwrite" in command(BatchClip(Path("a"), Path("b")), settings(overwrite=True))


def test_jobs_are_bounded_by_clips_cores_memory_and_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "cores", lambda: 16)
    monkeypatch.setattr(module, "free_memory", lambda: 20 * 2**30)
    assert [jobs_at_once(settings(), clips) for clips in (0, 1, 3, 100)] == [1, 1, 3, 5]
    assert jobs_at_once(settings(jobs=7), 2) == 7
    assert jobs_at_once(settings(max_memory=10 * 2**30), 100) == 2
    monkeypatch.setattr(module, "free_memory", lambda: None)
    assert jobs_at_once(settings(), 100) == 8
    monkeypatch.setattr(module, "free_memory", lambda: 2**40)
    monkeypatch.setattr(module, "cores", lambda: 1)
    assert jobs_at_once(settings(), 9) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "one folder of clips"),
        (["clips", "more"], "one folder of clips"),
        (["empty"], "has no clip"),
        (["clips", "--pattern", "*.xyz"], "name fits *.xyz"),
        (["clips", "--jobs", "0"], "1 or more"),
        (["clips", "--transition", "1:2"], "not an option of batch; it is one of run and probe"),
        (["clips", "--device", "cuda:77"], "--device"),
        (["clips", "--alpha", "png"], "no meaning"),
    ],
)
def test_wrong_options_are_an_error_before_any_clip_begins(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    touch("clips/a.mp4")
    Path("empty").mkdir()
    assert main(["batch", *words, "--task", "transition", "--out", "out"]) == 2
    err = capsys.readouterr().err
    assert message in err and len(err.strip().splitlines()) == 1
    assert not Path("out").exists()


def make(path: str, seed: int = 1, count: int = 6) -> np.ndarray:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    frames = moving(seed, count, (32, 48))
    media.save(Path(path), frames)
    return frames


def record() -> dict[str, Any]:
    whole: dict[str, Any] = json.loads(Path("out/batch.json").read_text())
    return whole


@pytest.mark.slow
def test_a_folder_with_good_and_bad_clips(capfd: pytest.CaptureFixture[str]) -> None:
    frames = make("clips/a.mp4")
    make("clips/deep/er/b.mkv", 2)
    Path("clips/bad.mp4").write_bytes(b"this is no clip")
    words = "batch clips --task transition --out out --lossless --jobs 2".split()
    assert main(words) == 1
    entries = {clip["path"]: clip for clip in record()["clips"]}
    assert {path: clip["status"] for path, clip in entries.items()} == {
        "clips/a.mp4": "done",
        "clips/bad.mp4": "failed",
        "clips/deep/er/b.mkv": "done",
    }
    assert (
        "bad.mp4" in entries["clips/bad.mp4"]["error"]
        and "\n" not in entries["clips/bad.mp4"]["error"]
    )
    assert any("no transition was found" in text for text in entries["clips/a.mp4"]["warnings"])
    assert np.array_equal(read_clip(Path("out/a-transition/scene-001.mkv")), frames)
    assert Path("out/deep/er/b-transition/manifest.json").exists()
    out, err = capfd.readouterr()
    assert "2 done, 1 failed" in out and sum("bad.mp4" in line for line in err.splitlines()) >= 1
    # A second batch does only what is left: the bad clip.
    before = Path("out/a-transition/scene-001.mkv").stat().st_mtime_ns
    make("clips/bad.mp4", 3)
    assert main([*words, "--json"]) == 0
    assert [clip["status"] for clip in record()["clips"]] == ["unchanged", "done", "unchanged"]
    assert Path("out/a-transition/scene-001.mkv").stat().st_mtime_ns == before
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert lines[-1] == {"event": "done", "clips": 3, "with_warnings": 3, "unchanged": 2, "done": 1}
    assert {line["event"] for line in lines} == {"begin", "end", "done"}


def test_a_clip_whose_process_is_killed_is_one_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    make("clips/a.mp4")
    make("clips/b.mp4", 2)
    original = module.command

    def deadly(clip: BatchClip, given: Settings) -> list[str]:
        dies = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
        return dies if clip.path.name == "a.mp4" else original(clip, given)

    monkeypatch.setattr(module, "command", deadly)
    assert main(["batch", "clips", "--task", "transition", "--out", "out", "--no-progress"]) == 1
    first, second = record()["clips"]
    assert (
        first["status"] == "failed"
        and "was killed, perhaps for lack of memory" in first["error"]
        and second["status"] == "done"
    )


def start(*words: str) -> subprocess.Popen[str]:
    # A shell's background job ignores Ctrl-C, and so would its children.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    command = [sys.executable, "-m", "pipeline", "batch", *words]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard
    )


def until(seen: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_signal_stops_the_clips_and_a_second_batch_resumes() -> None:
    Path("clips").mkdir()
    a, b = moving(1, 24, (48, 64)), moving(2, 24, (48, 64))
    media.save(Path("clips/a.mkv"), dissolve(a, b, 8, 8)[0])
    words = ["clips", "--task", "transition", "--out", "out", "--no-progress", "--preset", "fast"]
    child = start(*words)
    until(lambda: Path("out/a-transition/.work/run.json").exists())
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 143 and "goes on with what is left" in err
    assert record()["clips"][0]["status"] == "waiting"
    assert not Path("out/a-transition/manifest.json").exists()
    assert main(["batch", *words]) == 0
    assert record()["clips"][0]["status"] == "done"


@pytest.mark.slow
def test_watching_goes_on_until_it_is_stopped() -> None:
    Path("clips").mkdir()
    child = start("clips", "--task", "transition", "--out", "out", "--watch", "--no-progress")
    time.sleep(2)
    make("new.mp4")
    os.rename("new.mp4", "clips/new.mp4")
    until(lambda: Path("out/new-transition/manifest.json").exists())
    until(lambda: Path("out/batch.json").exists())
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert [(clip["path"], clip["status"]) for clip in record()["clips"]] == [
        ("clips/new.mp4", "done")
    ]


def test_two_batches_cannot_use_one_folder(capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.runtime.run_folder import claim

    make("clips/a.mp4")
    with claim(Path("out")):
        assert main(["batch", "clips", "--task", "transition", "--out", "out"]) == 1
    assert "another run is working" in capsys.readouterr().err


def test_watch_needs_no_clip_yet_but_a_plain_batch_does() -> None:
    Path("clips").mkdir()
    with pytest.raises(UsageError, match="has no clip"):
        module.batch(settings(out=Path("out")))


def test_no_two_clips_share_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("clips/web").mkdir(parents=True)
    for name in ("a.mp4", "a.mkv", "a.mp4.mov", "web/b.mp4"):
        Path("clips", name).write_bytes(b"")
    # A folder with another program's manifest.json is no run of ours.
    Path("clips/web/manifest.json").write_text("{}")
    outs = [clip.out for clip in find_clips(Path("clips"), Path("o"), settings())]
    assert len(outs) == len(set(outs)) == 4


def test_an_unreadable_folder_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    touch("clips/a.mp4 clips/closed/b.mp4")
    listed = Path.iterdir

    def refuse(folder: Path) -> Any:
        if folder.name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(Path, "iterdir", refuse)
    skipped = Skipped()
    assert len(find_clips(Path("clips"), Path("out"), settings(), skipped)) == 1
    (text,) = skipped.sentences(Path("clips"))
    assert text == "clips/closed: cannot be read (Permission denied); the clips in it are left out"


def test_each_slot_has_its_own_gpu_without_a_device_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_environment(settings(device="cpu"), 1) == {}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [gpu_environment(settings(), slot) for slot in (0, 1, 2)] == [
        {"CUDA_VISIBLE_DEVICES": name} for name in "010"
    ]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert (
        gpu_environment(settings(), 1) == {"CUDA_VISIBLE_DEVICES": "7"}
        and gpu_environment(settings(device="cuda:0"), 1) == {}
    )
    assert "--device" not in command(BatchClip(Path("a"), Path("b")), settings())


@pytest.mark.slow
def test_a_clip_interrupted_by_another_version_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``batch.json`` says so. A finished run with other settings stays as it is."""
    make("clips/a.mp4")
    make("clips/b.mp4", 2)
    words = "batch clips --task transition --out out --pattern b.mp4 --seed 5"
    assert main(words.split()) == 0
    before = Path("out/b-transition/manifest.json").read_bytes()
    Path("out/a-transition/.work/keep").mkdir(parents=True)
    Path("out/a-transition/.work/run.json").write_text(
        '{"task": "transition", "input": ["aa"], "settings": {}, "versions": ["0.0.1"]}'
    )
    Path("out/a-transition/.work/keep/find.safetensors").write_bytes(b"of an older version")
    assert main(["batch", "clips", "--task", "transition", "--out", "out", "--no-progress"]) == 1
    first, second = record()["clips"]
    assert first["status"] == "done" and any(
        "the run began again" in text for text in first["warnings"]
    )
    assert second["status"] == "failed" and "--overwrite" in second["error"]
    assert Path("out/b-transition/manifest.json").read_bytes() == before
