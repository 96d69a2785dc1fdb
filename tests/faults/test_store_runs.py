"""Batches and distributed runs that keep their runs on shared storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import fsspec
import media
import pytest
from provoke import ROOT, layers, small_plans
from stores import empty_stores, film, folder_of, there, working

from pipeline.batch import distributed_run
from pipeline.batch.batch import Batch
from pipeline.batch.clips import BatchClip
from pipeline.batch.display import QuietDisplay
from pipeline.cli.main import main
from pipeline.run.execute import version_fingerprint
from pipeline.run.restart import RESTARTED
from pipeline.runtime.child_process import Child
from pipeline.runtime.remote_store import Store
from pipeline.runtime.run_record import identity_of
from pipeline.settings import Settings
from stages.errors import UnlayerError, UsageError


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    with empty_stores(monkeypatch, tmp_path):
        yield


def test_parts_done_on_machines_that_share_nothing_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_plans(monkeypatch)
    film()
    words = [
        "run",
        "in.mkv",
        "--task",
        "transition",
        "--transition",
        "4:7",
        "--lossless",
        "--no-progress",
        "--out",
        "plain",
    ]
    assert main(words) == 0
    url = f"file://{tmp_path}/shared/in"
    told = Settings(
        inputs=(Path("in.mkv"),),
        task="transition",
        transition=((4, 7),),
        lossless=True,
        resume=True,
    )
    settings = replace(told, out=Path("nowhere"), store=url)
    assert distributed_run.prepare(settings) == (1, [])
    with monkeypatch.context() as patch:
        calls = []

        def stop(*given: Any, **more: Any) -> None:
            calls.append(1)
            raise KeyboardInterrupt

        patch.setattr("stages.transition.alternate.relink_and_sweep", stop)
        with pytest.raises(KeyboardInterrupt):
            distributed_run.do_part(settings, 0)
    # Another machine goes on after the checkpoints of the lost one.
    assert (tmp_path / "shared/in/.work/keep/transition-001/standing.safetensors").exists()
    carried: list[int] = []
    monkeypatch.setattr(
        "stages.transition.alternate.carry", lambda *given, **more: carried.append(1)
    )
    distributed_run.do_part(settings, 0)
    assert carried == []
    assert distributed_run.finish(settings) == (True, []) and distributed_run.finish(
        replace(settings)
    ) == (False, [])
    assert (
        layers(tmp_path / "shared/in") == layers(Path("plain")) and len(layers(Path("plain"))) == 2
    )
    assert sorted(path.name for path in (tmp_path / "shared/in").iterdir()) == sorted(
        path.name for path in Path("plain").iterdir()
    )
    assert not Path("nowhere").exists()


@pytest.mark.slow
def test_a_batch_keeps_its_runs_on_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("clips/deep").mkdir(parents=True)
    media.save(Path("clips/deep/a.mp4"), media.moving(6))
    Path("clips/bad.mp4").write_bytes(b"no clip")
    words = [
        "batch",
        "clips",
        "--task",
        "transition",
        "--no-progress",
        "--store",
        f"file://{tmp_path}/shared",
    ]
    assert main([*words, "--out", "one"]) == 1
    names = {
        str(path.relative_to("shared")) for path in Path("shared").rglob("*") if path.is_file()
    }
    assert {
        "batch.json",
        "deep/a-transition/manifest.json",
        "deep/a-transition/scene-001.mp4",
    } <= names
    Path("clips/bad.mp4").unlink()
    # Elsewhere nothing is left to do.
    assert main([*words, "--out", "two"]) == 0
    (clip,) = json.loads(Path("shared/batch.json").read_text())["clips"]
    assert clip["status"] == "unchanged" and Path("two/deep/a-transition/scene-001.mp4").exists()
    # Nothing is left either where the same run was begun before it was finished elsewhere.
    work = Path("three/deep/a-transition/.work")
    work.mkdir(parents=True)
    same = identity_of(json.loads(Path("one/deep/a-transition/manifest.json").read_text()))
    assert same is not None
    (work / "run.json").write_text(json.dumps({**same, "versions": version_fingerprint()}))
    assert main([*words, "--out", "three"]) == 0
    (clip,) = json.loads(Path("three/batch.json").read_text())["clips"]
    assert clip["status"] == "unchanged" and not work.exists()


def test_a_run_that_is_replaced_leaves_nothing_behind() -> None:
    store = Store("memory://runs/a")
    about = {
        "schema": 1,
        "task": "transition",
        "input": [],
        "layers": [{"path": "scene-001.mkv"}],
        "sheets": ["sheet.png"],
    }
    store.publish(
        folder_of(
            "old",
            **{"manifest.json": json.dumps(about), "scene-001.mkv": "old", "sheet.png": "old"},
        )
    )
    fsspec.filesystem("memory").pipe_file("/runs/a/notes.txt", b"mine")
    store.publish(
        folder_of("new", **{"manifest.json": "{}", "scene-001.mp4": "new", "sheet.png": "new"})
    )
    assert there() == {
        "manifest.json": "{}",
        "scene-001.mp4": "new",
        "sheet.png": "new",
        "notes.txt": "mine",
    }


def test_a_manifest_comes_last_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("memory://runs/a")
    store.publish(folder_of("done", **{"manifest.json": "{}", "scene-001.mp4": "one"}))
    fsspec.filesystem("memory").pipe_file("/runs/a/.work/run.json", b"left by a kill")
    fetched: list[str] = []
    get = store.files.get_file

    def noted(source: str, target: str) -> None:
        fetched.append(source)
        get(source, target)

    monkeypatch.setattr(store.files, "get_file", noted)
    store.fetch(Path("here"), layers=True)
    assert [name.rsplit("/", 1)[1] for name in fetched] == ["scene-001.mp4", "manifest.json"]
    assert not Path("here/.work").exists()


@pytest.mark.slow
def test_what_did_not_reach_the_store_is_sent_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("clips").mkdir()
    media.save(Path("clips/a.mp4"), media.moving(6))
    # A file called like the package in the current folder is not what the clips' processes run.
    Path("pipeline.py").write_text("raise SystemExit(9)")
    words = [
        "batch",
        "clips",
        "--task",
        "transition",
        "--no-progress",
        "--out",
        "one",
        "--store",
        f"file://{tmp_path}/shared",
    ]
    with monkeypatch.context() as patch:

        def fails(self: Store, folder: Path) -> None:
            raise UnlayerError("503")

        patch.setattr(Store, "publish", fails)
        assert main(words) == 1
    assert not Path("shared/a-transition/manifest.json").exists()
    assert main(words) == 0 and Path("shared/a-transition/manifest.json").exists()


class Stopped:
    """A stand-in for a clip's process that ends when it is asked to."""

    def signal(self, number: int) -> None:
        self.number = number

    def wait(self) -> int:
        return 143


def test_a_clip_that_is_stopped_sends_what_it_kept() -> None:
    given = Settings(
        inputs=(Path("clips"),), task="transition", out=Path("out"), store="memory://runs"
    )
    items = [BatchClip(Path(f"clips/{name}.mp4"), Path(f"out/{name}"), "running") for name in "ab"]
    working("out/a")
    folder_of("out/b", **{"manifest.json": "{}"})
    batch = Batch(given, Path("out"), items, QuietDisplay())
    batch.running = {slot: (item, cast(Child, Stopped())) for slot, item in enumerate(items)}
    batch.stop()
    assert [item.status for item in items] == ["waiting", "waiting"] and not batch.running
    assert ".work/keep/find.safetensors" in there() and not there("memory://runs/b"), (
        "what is finished is sent by the next batch"
    )


def test_what_is_kept_here_is_newer_than_what_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted clip here does not fall back to the store's state.

    One that is finished there is fetched.
    """
    monkeypatch.setattr("pipeline.batch.batch.Child", lambda *words: Stopped())
    given = Settings(
        inputs=(Path("clips"),), task="transition", out=Path("out"), store="memory://runs"
    )
    item, kept = (
        BatchClip(Path("clips/a.mp4"), Path("out/a")),
        Path("out/a/.work/keep/find.safetensors"),
    )
    Store("memory://runs/a").send_kept(working("out/a"))
    kept.write_text("found more")
    batch = Batch(given, Path("out"), [item], QuietDisplay())
    batch._start(0, item)
    assert kept.read_text() == "found more"
    fsspec.filesystem("memory").pipe_file("/runs/a/manifest.json", b"{}")
    batch._start(0, item)
    assert Path("out/a/manifest.json").exists()


def test_what_was_kept_of_another_run_does_not_stay_on_the_store(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Prepared anew on a cluster, the parts find nothing of the run before."""
    small_plans(monkeypatch)
    film()
    url = f"file://{tmp_path}/shared/in"
    names = (".work/keep/find.safetensors", ".work/keep/transition-001/parts.safetensors")
    folder_of("shared/in", **{".work/run.json": "{}", **dict.fromkeys(names, "old")})
    told = Settings(
        inputs=(Path("in.mkv"),),
        task="transition",
        transition=((4, 7),),
        lossless=True,
        resume=True,
        anew=True,
        store=url,
    )
    assert distributed_run.prepare(told) == (1, [RESTARTED])
    left = [path for path in Path("shared/in/.work/keep").rglob("*") if path.is_file()]
    assert not any(path.name == "parts.safetensors" or path.read_bytes() == b"old" for path in left)
    assert distributed_run.do_part(told, 0) == [] and distributed_run.finish(told)[0] is True


def test_a_clip_that_was_begun_anew_leaves_nothing_old_on_the_store() -> None:
    given = Settings(
        inputs=(Path("clips"),), task="transition", out=Path("out"), store="memory://runs"
    )
    fsspec.filesystem("memory").pipe_file("/runs/a/.work/keep/old.safetensors", b"old")
    item = BatchClip(Path("clips/a.mp4"), working("out/a"), "failed", warnings=[RESTARTED])
    Batch(given, Path("out"), [item], QuietDisplay())._send(Store("memory://runs/a"), item)
    kept = ("find.safetensors", "t-1/outgoing.npy", "t-1/parts.safetensors")
    assert set(there()) == {".work/run.json", *(f".work/keep/{name}" for name in kept)}


def test_a_machine_of_another_version_does_not_undo_what_the_parts_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small_plans(monkeypatch)
    film()
    told = Settings(
        inputs=(Path("in.mkv"),),
        task="transition",
        transition=((4, 7),),
        resume=True,
        anew=True,
        out=Path("out"),
    )
    assert distributed_run.prepare(told) == (1, []) and distributed_run.do_part(told, 0) == []
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="version"):
        patch.setattr("pipeline.run.execute.__version__", "9.9")
        distributed_run.finish(told)
    assert Path("out/.work/keep/transition-001/parts.safetensors").exists()
    assert distributed_run.finish(told)[0] is True
