"""A full disk, and a folder that cannot be written.

Both are said in one line, and nothing half-written stays.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, grainy
from provoke import MIXED, Run, Zygote, film, layers, parts, refused, small_plans, visible

from pipeline.framewise.run import FREE_DISK_RESERVE
from stages.storage.checkpoint import Checkpoints
from stages.transition.separate import separate_transition

WORDS = ("--task", "transition", "--no-progress", *MIXED)
NOBODY = 65534


def test_disk_full(zygote: Zygote, tmp_path: Path) -> None:
    """Row 5: wherever the disk is full, one line names the folder and asks for space.

    Partial files are removed, and the run can go on later.
    """
    frames, _ = dissolve(grainy(1, 80, (48, 64)), grainy(2, 80, (48, 64)), 4, 4)
    media.save(tmp_path / "in.mkv", frames)
    words = ("run", "in.mkv", *WORDS, "--out", "out", "--lossless")
    faults, said = (("small_plans",), ("stand_in",)), []
    # Too small for the run's record, a checkpoint, the waiting layers, the sheet, the layers'
    # files.
    for size in (0, 1_000, 30_000, 100_000, 450_000):
        line = refused(
            zygote.run(tmp_path, *words, "--resume", faults=faults, file_size=size),
            1,
            "out",
            "File too large",
        )
        assert "free some space there" in line and ("--resume" in line or "--out" in line)
        assert visible(tmp_path / "out") == [] and parts(tmp_path) == []
        said.append(line)
    assert "checkpoint" in said[1] and "scene-00" in said[-1] and len(set(said)) >= 3, said
    answer = zygote.run(tmp_path, *words, "--resume", faults=faults)
    assert answer.status == 0, answer
    assert len(layers(tmp_path / "out")) == 2 and not (tmp_path / "out/.work").exists()


@pytest.mark.usually(1)
@pytest.mark.parametrize(
    ("words", "needed"),
    [(WORDS, 36_864), (("--task", "dehaze", "--no-progress", "--lossless"), 82_944)],
)
def test_too_little_room_is_said_before_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any, needed: int
) -> None:
    """Row 5: a lack of space is noticed before anything is fitted.

    The line says how much is needed and how much there is.
    """
    film(tmp_path / "in.mkv")
    real = shutil.disk_usage
    for free in (needed - 1, 1000):
        monkeypatch.setattr(
            shutil, "disk_usage", lambda path, free=free: real(path)._replace(free=free)
        )
        line = refused(
            run("run", "in.mkv", *words, "--out", "out"), 1, "out: has ", "choose another --out"
        )
        has, wants = re.findall(
            r"has (\S+?K|1000 bytes) of disk left and about (\S+?K) are needed", line
        )[0]
        assert has != wants and wants == f"{needed // 1024}K"
        assert visible(tmp_path / "out") == []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=needed))
    assert run("run", "in.mkv", *words, "--preset", "fast", "--out", "out").status == 0


def test_all_transitions_have_room_before_the_first_is_fitted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frames wait on disk until the layers are written.

    What a run kept before it was stopped is no reason to refuse it.
    """
    small_plans(monkeypatch)
    a, b, c = np.random.default_rng(0).integers(0, 256, (3, 12, 48, 64, 3), np.uint8)
    media.save(
        tmp_path / "in.mkv", np.concatenate([dissolve(a, b, 4, 4)[0], dissolve(b, c, 4, 4)[0][4:]])
    )
    each = 2 * 4 * 3 * 48 * 64
    words = ("run", "in.mkv", *WORDS, "--transition", "12:15", "--out", "out", "--resume")
    real, fitted = shutil.disk_usage, []

    def spy(window: Any, move: Any, **more: Any) -> Any:
        fitted.append(move.first_frame)
        if len(fitted) == 2:
            raise KeyboardInterrupt
        return separate_transition(window, move, **more)

    def free(size: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: real(path)._replace(free=size))

    monkeypatch.setattr("pipeline.tasks.transition.separate.separate_transition", spy)
    free(2 * each - 1)
    refused(run(*words), 1, "out: has 143.999K of disk left and about 144K are needed")
    assert fitted == []
    free(2 * each)
    assert run(*words).status == 130
    free(each - 1)
    assert run(*words).status == 1
    free(each)
    assert run(*words).status == 0 and fitted == [4, 12, 12]


@pytest.mark.parametrize(("more", "kept"), [(82_943, False), (82_944, True)])
def test_checkpoints_leave_the_room_that_the_layers_need(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int, kept: bool
) -> None:
    """There are 82 944 bytes, as above.

    With fewer, ``--resume`` would be refused for the space that the run's own checkpoints take.
    """
    film(tmp_path / "in.mkv")
    real, names = shutil.disk_usage, []
    window = 2 * 3 * 12 * 3 * 32 * 48
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: real(path)._replace(free=FREE_DISK_RESERVE + 4 * window + more),
    )
    monkeypatch.setattr(Checkpoints, "save_if_due", lambda self, name, value: names.append(name))
    assert (
        run(
            "run",
            "in.mkv",
            "--task",
            "dehaze",
            "--preset",
            "fast",
            "--lossless",
            "--no-progress",
            "--out",
            "out",
        ).status
        == 0
    )
    assert ("layers" in names) is kept


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Return a folder that other users can read; pytest's folders belong to its user alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("out", ["new", "there", "below/it"])
def test_folder_not_writable(zygote: Zygote, open_folder: Path, out: str) -> None:
    """Row 6: an output folder that cannot be written is refused before any search or fit.

    Nothing is left.
    """
    film(open_folder / "in.mkv")
    for name in ("there", "below"):
        (open_folder / name).mkdir(mode=0o555)
    open_folder.chmod(0o555)
    user = {} if os.geteuid() else {"user": NOBODY}
    faults = (("killed_at_step", "find", 1), ("killed_at_step", "separate", 1))
    answer = zygote.run(open_folder, "run", "in.mkv", *WORDS, "--out", out, faults=faults, **user)
    refused(
        answer,
        1,
        out,
        "cannot be used as the run's folder (Permission denied)",
        "choose another --out",
    )
    open_folder.chmod(0o755)
    assert sorted(path.name for path in open_folder.rglob("*")) == ["below", "in.mkv", "there"]
