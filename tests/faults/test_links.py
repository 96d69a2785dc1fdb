"""Folders with links, pipes and sockets under the program's own names.

Whatever a command does there, nothing outside changes and nothing waits. Cases are drawn by number:
UNLAYER_DRAWS is how many there are, UNLAYER_SEED the number of the first one.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from provoke import MIXED, Answer, Run, film, small_plans, stand_in

from pipeline.cli.main import main
from pipeline.runtime.remote_store import Store, store_at
from stages.errors import UnlayerError

DRAWS, SEED = int(os.environ.get("UNLAYER_DRAWS", "40")), int(os.environ.get("UNLAYER_SEED", "0"))
PICTURE = cv2.imencode(".png", np.arange(45, dtype=np.uint8).reshape(3, 5, 3))[1].tobytes()
LONGEST = 30
"""Seconds after which a call counts as hanging."""
PARTS = (
    "manifest.json",
    "batch.json",
    "index.html",
    "report.html",
    "losses.json",
    "sheet.png",
    "scene-001.png",
    "scene-001.mkv",
)
KEPT = (
    "find",
    "search",
    "transition-001/standing",
    "transition-001/parts",
    "written/scene-001",
    "survey",
    "window-000000/layers",
)
NAMES = (
    *PARTS,
    *(f"{name}.part" for name in PARTS),
    *(f".work/{name}" for name in PARTS),
    *(f".work/{name}.part" for name in PARTS),
    *(f".work/keep/{name}.safetensors" for name in KEPT),
    *(
        f".work/keep/{os.path.dirname(name)}/.{os.path.basename(name)}.safetensors.part"
        for name in KEPT
    ),
    *".lock .index.html.part .work .work/run.json .work/run.json.part .work/report".split(),
    *".work/.scene-001.part.png .work/.scene-001.part.mkv .work/keep .work/keep/written".split(),
    *".work/keep/transition-001 .work/keep/window-000000".split(),
    *".work/keep/transition-001/outgoing.npy .work/keep/transition-001/incoming.npy".split(),
    *".work/keep/transition-001/sheet.png .work/keep/written/scene-001.mkv".split(),
    *".work/deep/er/link report report/data.json report/data.json.part report/strip.jpg".split(),
    *"report/strip.jpg.part report/preview-input.mp4 report/.preview-input.part.mp4".split(),
    *"report/still-input.jpg scene-002.mkv .report-again-x .report-again-x/report".split(),
    *"sheet-001.png a-transition a-transition/.work a-transition/manifest.json.part".split(),
)


class HungError(BaseException):
    """A call took too long."""


@contextmanager
def alarmed() -> Iterator[None]:
    """Raise HungError in a call that waits."""

    def hung(*_: Any) -> None:
        raise HungError

    before = signal.signal(signal.SIGALRM, hung)
    signal.alarm(LONGEST)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def snapshot(folder: Path) -> dict[str, object]:
    """Return everything in a folder: the bytes of files, the targets of links, and the rest."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        kind = stat.S_IFMT(os.lstat(path).st_mode)
        told: object = (
            path.read_bytes()
            if kind == stat.S_IFREG
            else os.readlink(path)
            if kind == stat.S_IFLNK
            else kind
        )
        found[str(path.relative_to(folder))] = told
    return found


def plant(folder: Path, name: str, outside: Path, rng: random.Random) -> str:
    """Put something hostile in the place of a name in a folder, and say what."""
    place = folder / name
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
    if not place.parent.is_dir() or place.parent.is_symlink():
        return "nothing"
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    kind = rng.choice(
        [
            "file",
            "folder",
            "new",
            "new in it",
            "itself",
            "above",
            "pipe",
            "socket",
            "zeros",
            "folder of ours",
            "empty",
        ]
    )
    targets = {
        "file": "mine.json",
        "folder": "folder",
        "new": "made",
        "new in it": "folder/made",
        "folder of ours": "run",
    }
    if kind in targets:
        place.symlink_to(outside / targets[kind])
    elif kind in ("itself", "above", "zeros"):
        place.symlink_to({"itself": place.name, "above": "..", "zeros": "/dev/zero"}[kind])
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made, suppress(OSError):
            here = os.getcwd()
            os.chdir(place.parent)  # a socket's whole path may have 108 bytes
            try:
                made.bind(place.name)
            finally:
                os.chdir(here)
    else:
        place.mkdir()
    return kind


class InProcess:
    """A stand-in for a clip's process; it does its command at once."""

    def __init__(self, words: list[str], threads: int, more: Any = None) -> None:
        self.code = main(words[words.index("run") :])

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield nothing."""
        return iter(())

    def status(self) -> int:
        """Return the exit status."""
        return self.code

    def seconds(self) -> float:
        """Return 0."""
        return 0.0

    def signal(self, number: int) -> None:
        """Do nothing: the command has ended."""

    def failure_reason(self, status: int) -> str:
        """Return a reason for a failure."""
        return "failed"


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> dict[str, Path]:
    """Make finished and interrupted runs of a picture and a film, a batch, and their inputs."""
    small_plans(monkeypatch)
    stand_in(monkeypatch)
    monkeypatch.setattr("pipeline.batch.batch.Child", InProcess)
    (tmp_path / "clips").mkdir()
    (tmp_path / "in.png").write_bytes(PICTURE)
    shutil.copyfile(film(tmp_path / "in.mkv", (16, 24)), tmp_path / "clips/a.mkv")
    (tmp_path / "templates").mkdir()
    for name, words in (("png", ["in.png"]), ("mkv", ["in.mkv", *MIXED])):
        assert run("run", *words, *TASK, "--out", f"templates/{name}").status == 0

        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("pipeline.run.execute.with_report", stop)
            assert run("run", *words, *TASK, "--out", f"templates/{name}-interrupted").status == 130
    (tmp_path / "templates/new").mkdir()
    return {path.name: path for path in (tmp_path / "templates").iterdir()}


TASK = ("--task", "transition", "--no-progress", "--lossless")
VERBS: dict[str, tuple[str, ...]] = {
    "run": (),
    "resume": ("--resume",),
    "anew": ("--resume", "--anew"),
    "overwrite": ("--overwrite",),
    "another": ("--overwrite", "--seed", "1"),
    "dry run": ("--dry-run",),
    "report": (),
    "batch": (),
}


def words_of(verb: str, template: str, rng: random.Random) -> list[str]:
    """Return the command line of a case, for the folder ``box/run``."""
    inputs = (
        ["in.mkv", *MIXED]
        if template.startswith("mkv") or (template == "new" and rng.random() < 0.5)
        else ["in.png"]
    )
    if verb == "report":
        return ["report", "box/run", "--no-progress"]
    if verb == "batch":
        return ["batch", "clips", *TASK, "--out", "box/run", *rng.choice([[], ["--overwrite"]])]
    return ["run", *inputs, *TASK, "--out", "box/run", *VERBS[verb]]


def check_sound(answer: Answer, batch: bool) -> None:
    """Check that a call answered, or refused in this program's words.

    A batch has its own words for its clips.
    """
    assert (
        answer.status in (0, 1, 2)
        and "Traceback" not in answer.err
        and "unexpected" not in answer.err
    )
    lines = [line for line in answer.err.splitlines() if not line.startswith("unlayer: warning: ")]
    assert batch or (
        all(line.startswith("unlayer: ") for line in lines) and (answer.status == 0 or lines)
    ), answer


def boxed(
    tmp_path: Path, template: Path, fill: Callable[[Path, Path], None]
) -> tuple[Path, dict[str, object]]:
    """Copy a template to ``box/run`` and fill it; also return what lies outside the box."""
    for name in ("box", "outside"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    (tmp_path / "outside/folder/report").mkdir(parents=True)
    (tmp_path / "outside/mine.json").write_text('{"mine": 1}')
    (tmp_path / "outside/folder/mine.txt").write_text("mine")
    shutil.copytree(template, tmp_path / "outside/run", symlinks=True)
    (tmp_path / "box").mkdir()
    shutil.copytree(template, tmp_path / "box/run", symlinks=True)
    fill(tmp_path / "box/run", tmp_path / "outside")
    return tmp_path / "box/run", snapshot(tmp_path / "outside")


def test_hostile_folders(run: Run, tmp_path: Path, templates: dict[str, Path]) -> None:
    """Every command that writes meets links, pipes and sockets at the names that it uses."""
    for number in range(SEED, SEED + DRAWS):
        rng = random.Random(number)
        template, verb = rng.choice(sorted(templates)), rng.choice(sorted(VERBS))
        planted: list[tuple[str, str]] = []

        def fill(
            folder: Path, outside: Path, rng: random.Random = rng, planted: Any = planted
        ) -> None:
            for _ in range(rng.randint(1, 4)):
                name = rng.choice(NAMES)
                planted.append((name, plant(folder, name, outside, rng)))

        _, before = boxed(tmp_path, templates[template], fill)
        inputs = {
            name: (tmp_path / name).read_bytes() for name in ("in.png", "in.mkv", "clips/a.mkv")
        }
        words = words_of(verb, template, rng)
        try:
            with alarmed():
                answer = run(*words)
            check_sound(answer, verb == "batch")
            assert snapshot(tmp_path / "outside") == before, "something outside was changed"
            assert {name: (tmp_path / name).read_bytes() for name in inputs} == inputs
            assert {path.name for path in tmp_path.iterdir()} == {
                "box",
                "clips",
                "in.mkv",
                "in.png",
                "outside",
                "templates",
            }
        except (AssertionError, HungError) as error:
            raise AssertionError(
                f"number {number}: {' '.join(words)} on {template} with {planted}: {error!r}"
            ) from error


def test_hostile_stores(tmp_path: Path, templates: dict[str, Path]) -> None:
    """The same holds for what is fetched from a store and sent to it, with links on either side."""
    store_at.cache_clear()
    for number in range(SEED, SEED + DRAWS):
        rng = random.Random(number)
        template = rng.choice(sorted(templates))
        planted: list[tuple[str, str]] = []

        def fill(
            folder: Path,
            outside: Path,
            rng: random.Random = rng,
            template: str = template,
            planted: Any = planted,
        ) -> None:
            shutil.copytree(templates[template], folder.parent / "here", symlinks=True)
            for _ in range(rng.randint(1, 4)):
                side, name = rng.choice([folder, folder.parent / "here"]), rng.choice(NAMES)
                planted.append((f"{side.name}/{name}", plant(side, name, outside, rng)))

        far, before = boxed(tmp_path, templates[template], fill)
        store, here = Store(f"file://{far}"), tmp_path / "box/here"
        work: dict[str, Callable[[], None]] = {
            "fetch": partial(store.fetch, here, layers=True),
            "send": partial(store.send_kept, here),
            "publish": partial(store.publish, here),
        }
        verb = rng.choice(sorted(work))
        try:
            with alarmed(), suppress(UnlayerError, OSError):
                work[verb]()
            assert snapshot(tmp_path / "outside") == before, "something outside was changed"
        except (AssertionError, HungError) as error:
            raise AssertionError(
                f"number {number}: {verb} on {template} with {planted}: {error!r}"
            ) from error
