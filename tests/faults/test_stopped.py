"""Runs that are killed, stopped or started twice.

What is on disk is whole, and the run goes on from it.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from clips import OWN
from provoke import FILM_RUN, Run, Zygote, film, layers, refused, until, visible

SMALL = (("small_plans",),)


@pytest.fixture(scope="module")
def whole(zygote: Zygote, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the layers of a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    film(folder / "in.mkv")
    assert zygote.run(folder, *FILM_RUN, "--out", "out", faults=SMALL).status == 0
    return layers(folder / "out")


def newest_checkpoint(folder: Path) -> Path:
    return max(folder.rglob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)


def test_killed_in_the_fit_again_and_again(
    zygote: Zygote, tmp_path: Path, whole: dict[str, str]
) -> None:
    """Row 1: a run that is killed at any step of the fit goes on with ``--resume``.

    It makes the layers of an uninterrupted run.
    """
    film(tmp_path / "in.mkv")
    kills = 0
    while True:
        # Some kills come between two checkpoints, some after several.
        fault = ("killed_at_step", "separate", 4 + 2 * kills)
        answer = zygote.run(tmp_path, *FILM_RUN, "--out", "out", "--resume", faults=(*SMALL, fault))
        if answer.status == 0:
            break
        assert answer.status == -signal.SIGKILL and kills < 40, answer
        assert visible(tmp_path / "out") == []
        kills += 1
    assert kills >= 3
    assert layers(tmp_path / "out") == whole and len(whole) == 2
    assert not (tmp_path / "out/.work").exists()


@pytest.mark.parametrize("how", ["half", "whole"])
def test_killed_while_a_checkpoint_is_written(
    zygote: Zygote, tmp_path: Path, whole: dict[str, str], how: str
) -> None:
    """Row 2: after a SIGKILL before the rename of a checkpoint, the one before loads.

    The run goes on from it.
    """
    film(tmp_path / "in.mkv")
    fault = ("killed_while_keeping", 4, how)
    assert (
        zygote.run(tmp_path, *FILM_RUN, "--out", "out", faults=(*SMALL, fault)).status
        == -signal.SIGKILL
    )
    kept = tmp_path / "out/.work/keep/transition-001"
    assert {path.name for path in kept.iterdir()} == {
        "standing.safetensors",
        ".standing.safetensors.part",
    }
    # Five and two results are left to be kept; a run that began again would keep nine.
    fault = ("killed_while_keeping", 8, "whole")
    assert (
        zygote.run(tmp_path, *FILM_RUN, "--out", "out", "--resume", faults=(*SMALL, fault)).status
        == 0
    )
    assert layers(tmp_path / "out") == whole


@pytest.mark.parametrize(
    "fault", [("killed_while_writing", 3), ("killed_while_renaming", "manifest.json", 1)]
)
def test_killed_while_a_layer_is_written(
    zygote: Zygote, tmp_path: Path, whole: dict[str, str], fault: tuple[object, ...]
) -> None:
    """Row 3: after a SIGKILL while a layer is written, no half file has a final name.

    There is no manifest, and the run goes on.
    """
    film(tmp_path / "in.mkv")
    assert (
        zygote.run(tmp_path, *FILM_RUN, "--out", "out", faults=(*SMALL, fault)).status
        == -signal.SIGKILL
    )
    there = layers(tmp_path / "out")
    # Just before the manifest's rename all layers are in place and whole; before that none is.
    assert there == (whole if "manifest.json" in fault else {})
    assert not (tmp_path / "out/manifest.json").exists()
    refused(
        zygote.run(tmp_path, *FILM_RUN, "--out", "out", faults=SMALL),
        2,
        "out",
        "--resume",
        "--overwrite",
    )
    assert zygote.run(tmp_path, *FILM_RUN, "--out", "out", "--resume", faults=SMALL).status == 0
    assert layers(tmp_path / "out") == whole
    assert visible(tmp_path / "out") == sorted(
        [*OWN, "scene-001.mkv", "scene-002.mkv", "sheet.png"]
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(
    zygote: Zygote, tmp_path: Path, whole: dict[str, str], number: int, status: int
) -> None:
    """Row 4: Ctrl-C and SIGTERM leave a checkpoint and say in one line how to go on.

    The status is 130 or 143.
    """
    film(tmp_path / "in.mkv")
    child = zygote.start(
        tmp_path, *FILM_RUN, "--out", "out", faults=(*SMALL, ("held_at_step", "separate", 8))
    )
    until((tmp_path / "held").exists)
    os.kill(child, number)
    refused(zygote.wait(child), status, "stopped", "--resume goes on", "--overwrite")
    assert newest_checkpoint(tmp_path / "out/.work/keep").name == "standing.safetensors"
    assert visible(tmp_path / "out") == []
    assert zygote.run(tmp_path, *FILM_RUN, "--out", "out", "--resume", faults=SMALL).status == 0
    assert layers(tmp_path / "out") == whole


def test_two_runs_into_one_folder(
    zygote: Zygote, run: Run, tmp_path: Path, whole: dict[str, str]
) -> None:
    """Row 20: while one process works in a folder, another is refused at once.

    Its options do not matter. The first is not disturbed.
    """
    film(tmp_path / "in.mkv")
    first = zygote.start(
        tmp_path, *FILM_RUN, "--out", "out", faults=(*SMALL, ("held_at_step", "separate", 2))
    )
    until((tmp_path / "held").exists)
    for option in ((), ("--resume",), ("--overwrite",), ("--seed", "5")):
        began = time.monotonic()
        refused(
            run(*FILM_RUN, "--out", "out", *option),
            1,
            "out: another run is working in this folder",
            "wait for it, or choose another --out",
        )
        assert time.monotonic() - began < 5
    (tmp_path / "go").touch()
    assert zygote.wait(first).status == 0
    assert layers(tmp_path / "out") == whole
