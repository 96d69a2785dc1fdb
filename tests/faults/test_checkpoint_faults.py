"""Checkpoints that are not what they should be.

They are refused in one line, and nothing in them is executed.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from provoke import FILM_RUN, Run, at_step, film, layers, refused, small_plans, still, visible
from safetensors.torch import save_file


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    small_plans(monkeypatch)
    film(tmp_path / "in.mkv")


def interrupted(run: Run, monkeypatch: pytest.MonkeyPatch, out: str, *more: str) -> Path:
    """Stop a run in the middle of its fit, and return its newest checkpoint."""

    def stop() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        at_step(patch, "separate", 8, stop)
        assert run(*FILM_RUN, *more, "--out", out).status == 130
    return Path(out, ".work/keep/transition-001/standing.safetensors")


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["pickle", "torch", "in the text", "class"])
def test_a_pickle_in_a_checkpoint(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Row 21: a checkpoint with a pickle in it is refused in one line that names it.

    Nothing is executed.
    """
    kept, trap = interrupted(run, monkeypatch, "out"), tmp_path / "trap"
    if kind == "pickle":
        kept.write_bytes(pickle.dumps(Bomb(trap)))
    elif kind == "torch":
        torch.save({"a": Bomb(trap)}, kept)
    else:
        own = json.loads(
            kept.read_bytes()[8 : 8 + int.from_bytes(kept.read_bytes()[:8], "little")]
        )["__metadata__"]["fingerprint"]
        value = (
            pickle.dumps(Bomb(trap), 0).decode()
            if kind == "in the text"
            else json.dumps({"Bomb": {"path": str(trap)}})
        )
        save_file({"0": torch.zeros(1)}, kept, metadata={"fingerprint": own, "value": value})
    refused(
        run(*FILM_RUN, "--out", "out", "--resume"),
        1,
        str(kept),
        "is not one of our checkpoints, or is damaged",
        "--overwrite",
    )
    assert not trap.exists() and visible(Path("out")) == []


@pytest.mark.usually(1)
@pytest.mark.parametrize("change", ["input", "settings"])
def test_a_checkpoint_of_another_run(
    run: Run, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Row 22: a checkpoint of another input or of other settings is refused.

    The folder's record and the checkpoint's own fingerprint both show it.
    """
    kept, more = interrupted(run, monkeypatch, "out"), []
    if change == "input":
        film(Path("in.mkv"), **{"c:v": "ffv1"})
        still(Path("in.mkv"), 12)
    else:
        more = ["--seed", "5"]
    refused(
        run(*FILM_RUN, *more, "--out", "out", "--resume"),
        2,
        "out",
        "another input or with other options",
        "--overwrite",
    )
    # Copied there by hand, it is recognised by its fingerprint.
    other = interrupted(run, monkeypatch, "other", *more)
    shutil.copyfile(kept, other)
    refused(
        run(*FILM_RUN, *more, "--out", "other", "--resume"),
        1,
        str(other),
        "for another input or other settings",
        "--overwrite",
    )
    assert run(*FILM_RUN, *more, "--out", "other", "--overwrite").status == 0


def test_its_own_checkpoint_is_taken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(run, monkeypatch, "out")
    assert run(*FILM_RUN, "--out", "out", "--resume").status == 0
    assert run(*FILM_RUN, "--out", "whole").status == 0
    assert layers(Path("out")) == layers(Path("whole"))
