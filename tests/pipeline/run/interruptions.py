"""Stop runs after a checkpoint, and compare what they and undisturbed runs made."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest
from clips import dissolve, moving

from stages.published import transition as published
from stages.storage import checkpoint
from stages.storage.checkpoint import Checkpoints
from stages.transition import plan

SIZE = (32, 48)
SMALL = replace(
    plan.PLANS["balanced"], levels=((2, 6), (1, 4)), turns=2, ties=((2, 3),), fit_steps=4, rounds=2
)


def use_small_plans(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use short plans, and keep a checkpoint of every step."""
    monkeypatch.setitem(plan.PLANS, "balanced", SMALL)
    monkeypatch.setitem(plan.PLANS, "paper", replace(plan.PLANS["paper"], paper_steps=20))
    fitting = published.fit_transition
    defaults = {**(fitting.__kwdefaults__ or {}), "check": published.PeriodicCheck(8)}
    monkeypatch.setattr(fitting, "__kwdefaults__", defaults)
    monkeypatch.setattr(
        "stages.transition.alternate.MOTION_SUFFICES", 2.0
    )  # the networks always have work
    monkeypatch.setattr(checkpoint, "SAVE_INTERVAL", 0.0)
    monkeypatch.setattr(
        Checkpoints.__init__, "__kwdefaults__", {"every": 0.0, "clock": time.monotonic}
    )
    monkeypatch.chdir(tmp_path)


def clip(path: Path = Path("in.mkv")) -> Path:
    """Return two dissolves between three scenes."""
    a, b, c = (moving(seed, 12, SIZE) for seed in (1, 2, 3))
    first, _ = dissolve(a, b, 4, 4)
    second, _ = dissolve(b, c, 4, 4)
    return media.save(path, np.concatenate([first, second[4:]]))


WORDS = (
    "--task",
    "transition",
    "--transition",
    "4:7",
    "--transition",
    "12:15",
    "--no-progress",
    "--lossless",
)


def layers(folder: str) -> dict[str, str]:
    """Return checksums of the layers and of the losses."""
    found = [*Path(folder).glob("*.mkv"), *Path(folder).glob("losses.json")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def stop_after(monkeypatch: pytest.MonkeyPatch, count: int, how: type[BaseException]) -> None:
    """From now on, raise ``how`` after checkpoint number ``count``."""
    done = [0]
    keep = Checkpoints.save

    def stopping(self: Checkpoints, name: str, value: object) -> None:
        keep(self, name, value)
        done[0] += 1
        if done[0] == count:
            raise how

    monkeypatch.setattr(Checkpoints, "save", stopping)
