"""An input that is replaced, changed or removed while a run reads it: said in one line, and no half result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from provoke import (
    MIXED,
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

WORDS = (
    "run",
    "in.mkv",
    "--task",
    "transition",
    "--no-progress",
    "--lossless",
    *MIXED,
    "--out",
    "out",
)


def moment(patch: pytest.MonkeyPatch, stage: str, action: Callable[[], None]) -> None:
    """Does ``action`` as a stage begins, or in it."""
    if stage != "checksum":
        at_step(patch, stage, 1, action)
        return
    from pipeline.run import manifest

    sums = manifest.checksums

    def summing(*words: object) -> list[str]:
        found = sums(*words)  # type: ignore[arg-type]
        action()
        return found

    patch.setattr(manifest, "checksums", summing)


def replaced() -> None:
    """Another film takes its name."""
    still(Path("other.mkv"), 12)
    Path("other.mkv").replace("in.mkv")


def changed() -> None:
    """Other bytes in the same file, of the same length and with the same time."""
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
    """Whenever it happens: exit 1, the input is named, nothing is left of the run, and the new file can be run at once."""
    with monkeypatch.context() as patch:
        moment(patch, stage, how)
        refused(
            run(*WORDS),
            1,
            "in.mkv: was changed or replaced while the run was reading it",
            "at rest",
        )
    assert visible(Path("out")) == [] and not Path("out/.work").exists()
    if how is replaced:
        assert run(*WORDS).status == 0


def test_removed_and_back_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a file that is gone, as with its disk, what was kept stays: once it is back, the run goes on."""
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
    """What has the same bytes is the same input, whatever its time says."""

    def touch() -> None:
        shutil.copyfile("in.mkv", "copy.mkv")
        Path("copy.mkv").replace("in.mkv")

    moment(monkeypatch, "separate", touch)
    assert run(*WORDS).status == 0 and len(layers(Path("out"))) == 2
