"""Provoke the faults of ``../shared/MEDIA.md``, and check the answers to them.

Functions that take a ``patch`` bring a fault into the process that calls them, through functions
that the code has anyway. :class:`Zygote` calls them by their names in the children that it starts.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import media
import numpy as np
import pytest
from clips import dissolve, moving, plain_answer

ROOT = Path(__file__).parents[2]
GIB = 2**30
MIXED = ("--transition", "4:7")
"""The mixed frames of :func:`film`."""
FILM_RUN = ("run", "in.mkv", "--task", "transition", "--no-progress", "--lossless", *MIXED)
"""The words of a run on :func:`film`, without its folder."""


@dataclass(frozen=True)
class Answer:
    """What the user sees.

    status: the exit status, ``None`` where the process was killed at its deadline. memory: its
    peak, in bytes.
    """

    status: int | None
    out: str
    err: str
    memory: int = 0


Run = Callable[..., Answer]


def refused(answer: Answer, status: int, *says: str) -> str:
    """Check that an answer is a refusal, and return its line.

    It has this status, nothing on standard output, and one line that contains all of ``says``.
    """
    assert answer.status == status, (answer.status, answer.err)
    assert answer.out == "" and "Traceback" not in answer.err
    lines = [
        line
        for line in answer.err.splitlines()
        if not line.startswith("unlayer: warning: ") and " done in " not in line
    ]
    assert len(lines) == 1 and lines[0].startswith("unlayer: ") and lines[0].isprintable(), (
        answer.err
    )
    assert all(word in lines[0] for word in says), (says, lines[0])
    return lines[0]


def sane(answer: Answer) -> None:
    """Check that a run on any input ended by itself.

    It has an answer or one line, and bounded memory.
    """
    assert answer.status in (0, 1, 2), answer
    assert "Traceback" not in answer.err and "unexpected" not in answer.err, answer.err
    assert answer.memory < GIB, answer.memory
    if answer.status:
        assert sum(line.startswith("unlayer: ") for line in answer.err.splitlines()) == 1, (
            answer.err
        )


def visible(folder: Path) -> list[str]:
    """Return the names of the visible files in a run's folder; none where there is no folder."""
    return (
        sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        if folder.is_dir()
        else []
    )


def parts(folder: Path) -> list[str]:
    """Return the half-written files in a folder and below it."""
    return sorted(
        str(entry.relative_to(folder)) for entry in folder.rglob("*") if ".part" in entry.name
    )


def layers(folder: Path) -> dict[str, str]:
    """Return a checksum of every layer in a run's folder."""
    return {
        entry.name: hashlib.sha256(entry.read_bytes()).hexdigest()
        for entry in sorted(folder.glob("scene-*"))
    }


def manifest(folder: Path) -> dict[str, Any]:
    """Return a finished run's manifest."""
    whole: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return whole


def film(path: Path, size: tuple[int, int] = (32, 48), /, **options: Any) -> Path:
    """Make a dissolve over frames 4 to 7 of 12, lossless unless ``options`` say otherwise."""
    frames, _ = dissolve(moving(1, 12, size), moving(2, 12, size), 4, 4)
    return media.save(path, frames, **options)


def still(path: Path, frames: int = 6, size: tuple[int, int] = (32, 48), /, **options: Any) -> Path:
    """Make a film without a transition."""
    return media.save(path, np.ascontiguousarray(moving(1, frames, size)), **options)


class Zygote:
    """The process that forks the others; see :mod:`zygote`."""

    def __init__(self) -> None:
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **single},
        )

    def start(
        self, folder: Path, *words: object, faults: tuple[tuple[Any, ...], ...] = (), **limits: int
    ) -> int:
        """Start a run in ``folder`` and return its process's number.

        limits: ``memory`` and ``file_size`` (more bytes), ``user``.
        """
        return int(
            self._ask(
                do="start",
                folder=str(folder),
                words=[str(word) for word in words],
                faults=faults,
                **limits,
            )
        )

    def wait(self, number: int, seconds: float = 60) -> Answer:
        """Wait for its end; kill it after the deadline."""
        return Answer(**self._ask(do="wait", number=number, seconds=seconds))

    def run(self, folder: Path, *words: object, seconds: float = 60, **more: Any) -> Answer:
        """Start a run and wait for its end."""
        return self.wait(self.start(folder, *words, **more), seconds)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()

    def _ask(self, **request: object) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def until(seen: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until another process has done something."""
    end = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def small_plans(patch: pytest.MonkeyPatch) -> None:
    """Make separations short, and keep a checkpoint of every step."""
    from stages.storage.checkpoint import Checkpoints
    from stages.transition import plan

    small = replace(
        plan.PLANS["balanced"],
        levels=((2, 4), (1, 3)),
        turns=1,
        ties=((2, 4),),
        fit_steps=4,
        rounds=1,
    )
    patch.setitem(plan.PLANS, "balanced", small)
    patch.setattr(
        "stages.transition.alternate.MOTION_SUFFICES", 2.0
    )  # the networks always have work
    patch.setattr(Checkpoints.__init__, "__kwdefaults__", {"every": 0.0, "clock": time.monotonic})


def stand_in(patch: pytest.MonkeyPatch) -> None:
    """Return plain colours instead of a separation."""
    patch.setattr("pipeline.tasks.transition.separate.separate_transition", plain_answer)


def at_step(patch: pytest.MonkeyPatch, stage: str, count: int, action: Callable[[], None]) -> None:
    """Do ``action`` when the ``count``-th step of ``stage`` is reported."""
    told = [0]

    def step(self: object, name: str, fraction: float, note: str) -> None:
        told[0] += name == stage
        if name == stage and told[0] == count:
            action()

    patch.setattr("pipeline.runtime.progress.SilentReporter.step", step)


def die() -> None:
    """End the process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_at_step(patch: pytest.MonkeyPatch, stage: str, count: int) -> None:
    """End the process with SIGKILL at the ``count``-th step of ``stage``."""
    at_step(patch, stage, count, die)


def held_at_step(patch: pytest.MonkeyPatch, stage: str, count: int) -> None:
    """At that step, make the file ``held`` and wait until there is a file ``go``."""

    def hold() -> None:
        Path("held").touch()
        until(Path("go").exists)

    at_step(patch, stage, count, hold)


def killed_while_keeping(patch: pytest.MonkeyPatch, count: int, how: str) -> None:
    """End the process with SIGKILL in the ``count``-th checkpoint.

    half: when half of its file is written; otherwise when the whole file does not have its final
    name yet.
    """
    done = [0]
    if how == "half":
        from safetensors.torch import save_file

        def saving(tensors: Any, path: Path, metadata: Any) -> None:
            save_file(tensors, path, metadata)
            done[0] += 1
            if done[0] == count:
                os.truncate(path, path.stat().st_size // 2)
                die()

        patch.setattr("stages.storage.checkpoint.save_file", saving)
    else:
        killed_while_renaming(patch, ".safetensors.part", count)


def killed_while_renaming(patch: pytest.MonkeyPatch, suffix: str, count: int) -> None:
    """End the process with SIGKILL before the ``count``-th file with this suffix gets its name."""
    done, move = [0], Path.replace

    def replacing(self: Path, target: Path) -> Path:
        done[0] += self.name.endswith(suffix)
        if self.name.endswith(suffix) and done[0] == count:
            die()
        return move(self, target)

    patch.setattr(Path, "replace", replacing)


def killed_while_writing(patch: pytest.MonkeyPatch, count: int) -> None:
    """End the process with SIGKILL while the ``count``-th frame of a layer is encoded."""
    from stages.media.layer_sink import TimedFrames

    done, encode = [0], TimedFrames._pass_on

    def encoding(self: TimedFrames, *frame: Any) -> None:
        encode(self, *frame)
        done[0] += 1
        if done[0] == count:
            die()

    patch.setattr(TimedFrames, "_pass_on", encoding)


CALLS = ("replace", "rename", "unlink", "remove", "rmdir", "mkdir", "link", "fsync")
"""The calls that change a folder."""


def killed_at_call(patch: pytest.MonkeyPatch, count: int, done: bool) -> None:
    """End the process with SIGKILL at the ``count``-th of all :data:`CALLS`.

    done: after the call instead of before it.
    """
    left = [count]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def calling(*words: Any, **more: Any) -> Any:
            left[0] -= 1
            if left[0] == 0 and not done:
                die()
            answer = call(*words, **more)
            if left[0] == 0:
                die()
            return answer

        return calling

    for name in CALLS:
        patch.setattr(os, name, counted(getattr(os, name)))


def killed_after(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """End the process with SIGKILL after this time."""
    timer = threading.Timer(seconds, die)
    timer.daemon = True
    timer.start()


def keeps_everything(patch: pytest.MonkeyPatch) -> None:
    """Keep a checkpoint of every result, however quickly it was computed."""
    from stages.storage.checkpoint import Checkpoints

    patch.setattr(Checkpoints.__init__, "__kwdefaults__", {"every": 0.0, "clock": time.monotonic})
