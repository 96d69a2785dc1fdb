"""Inputs that change, disappear or are replaced during a run.

It is said in one line, and there is no half result.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provoke import (
    FILM_RUN,
    Run,
    at_step,
    film,
    layers,
    refused,
    small_plans,
    stand_in,
    still,
    visible,
)

WORDS = (*FILM_RUN, "--out", "out")


def moment(patch: pytest.MonkeyPatch, stage: str, action: Callable[[], None]) -> None:
    """Do ``action`` when a stage begins, or during it."""
    if stage != "checksum":
        at_step(patch, stage, 1, action)
        return
    from pipeline.run import manifest

    sums = manifest.checksums

    def summing(*words: Any) -> list[str]:
        found = sums(*words)
        action()
        return found

    patch.setattr(manifest, "checksums", summing)


def replaced() -> None:
    """Put another film in its place."""
    still(Path("other.mkv"), 12)
    Path("other.mkv").replace("in.mkv")


def changed() -> None:
    """Write other bytes into the same file, with the same length and time."""
    facts = os.stat("in.mkv")
    data = bytearray(Path("in.mkv").read_bytes())
    data[len(data) // 2] ^= 0xFF
    with Path("in.mkv").open("r+b") as file:
        file.write(data)
    os.utime("in.mkv", ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run) -> None:
    small_plans(monkeypatch)
    stand_in(monkeypatch)
    film(tmp_path / "in.mkv")


@pytest.mark.parametrize("stage", ["checksum", "find", "separate", "write"])
@pytest.mark.parametrize("how", [replaced, changed])
def test_said_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, stage: str, how: Callable[[], None]
) -> None:
    """At any moment, the run ends with 1, names the input and leaves nothing.

    The new file can be run at once.
    """
    with monkeypatch.context() as patch:
        moment(patch, stage, how)
        refused(
            run(*WORDS),
            1,
            "in.mkv: was changed or replaced while the run was reading it",
            "when the file no longer changes",
        )
    assert visible(Path("out")) == [] and not Path("out/.work").exists()
    if how is replaced:
        assert run(*WORDS).status == 0


def test_removed_and_back_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a file is gone, as with its disk, the checkpoints stay.

    Once it is back, the run goes on.
    """
    shutil.copyfile("in.mkv", "copy.mkv")
    with monkeypatch.context() as patch:
        moment(patch, "separate", lambda: Path("in.mkv").unlink())
        line = refused(run(*WORDS), 1, "in.mkv")
        assert "was removed while the run was reading it" in line
    assert list(Path("out/.work/keep").glob("find.safetensors"))
    Path("copy.mkv").rename("in.mkv")
    assert run(*WORDS, "--resume").status == 0 and len(layers(Path("out"))) == 2


def test_touched_or_copied_again_is_the_same_file(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file with the same bytes is the same input, whatever its time says."""

    def touch() -> None:
        shutil.copyfile("in.mkv", "copy.mkv")
        Path("copy.mkv").replace("in.mkv")

    moment(monkeypatch, "separate", touch)
    assert run(*WORDS).status == 0 and len(layers(Path("out"))) == 2
