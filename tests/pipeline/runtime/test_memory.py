"""Memory is bounded by a window and a setting, not by how long or how large a clip is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import media
import numpy as np
import pytest
import torch

from pipeline.cli.main import main
from pipeline.runtime import memory
from pipeline.runtime.memory import (
    BASE_BYTES,
    DEFAULT_PLAN_BYTES,
    check_memory,
    format_bytes,
    peak_memory,
    planned_bytes,
    retry_on_oom,
    tight_memory_warning,
)
from pipeline.runtime.system_limits import machine_memory
from pipeline.settings import Settings
from stages.errors import UnlayerError, UsageError
from stages.storage.checkpoint import Checkpoints

GIB = 2**30
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def peak_of(*words: str) -> int:
    """Return the peak memory of a command in a process of its own, in bytes."""
    code = (
        "import sys; from pipeline.cli.main import main; "
        "from pipeline.runtime.memory import peak_memory; status = main(sys.argv[1:]);"
        "print('peak', status, peak_memory())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        cwd=Path.cwd(),
        env=ENVIRONMENT,
    )
    word, status, peak = done.stdout.splitlines()[-1].split()
    assert (word, status) == ("peak", "0"), done.stderr
    return int(peak)


def test_what_is_planned_for() -> None:
    assert planned_bytes(Settings()) == DEFAULT_PLAN_BYTES - BASE_BYTES
    assert planned_bytes(Settings(max_memory=6 * GIB)) == 6 * GIB - BASE_BYTES
    assert planned_bytes(Settings(max_memory=1)) == 0


@pytest.mark.parametrize(
    ("size", "word"), [(GIB, "1G"), (3.2 * GIB, "3.2G"), (800 * 2**20, "800M"), (1, "1M")]
)
def test_amounts_for_people(size: float, word: str) -> None:
    assert format_bytes(size) == word


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "machine_memory", lambda: 16 * GIB)
    assert check_memory(GIB, Settings(), "in.mp4") is None
    assert check_memory(9.5 * GIB, Settings(), "in.mp4") == "in.mp4: needs about 9.99G of memory"
    with pytest.raises(
        UnlayerError, match="in.mp4: needs about 20.5G of memory and this machine has 16G"
    ):
        check_memory(20 * GIB, Settings(), "in.mp4")
    with pytest.raises(
        UsageError, match="--max-memory 5G is too little for in.mp4; it needs about 9.99G"
    ):
        check_memory(9.5 * GIB, Settings(max_memory=5 * GIB), "in.mp4")


def test_a_small_machine_is_said_to_be_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan is the same on every machine, so the layers are too.

    A warning says what to do if memory runs out.
    """
    monkeypatch.setattr(memory, "machine_memory", lambda: 2 * GIB)
    assert tight_memory_warning(GIB, "in.mp4") is None
    assert tight_memory_warning(3 * GIB, "in.mp4") == (
        "in.mp4: the plan needs about 3.49G of memory and this machine has 2G; "
        "if that fails, --max-memory 1.5G plans for less and gives other layers"
    )
    media.save(Path("in.mkv"), media.moving(6))
    words = [
        "run",
        "in.mkv",
        "--task",
        "transition",
        "--transition",
        "2:3",
        "--preset",
        "fast",
        "--no-progress",
        "--out",
    ]
    for have, warned in ((2 * GIB, False), (BASE_BYTES + 2**20, True)):
        monkeypatch.setattr(memory, "machine_memory", lambda have=have: have)
        assert main([*words, f"out-{warned}"]) == 0
        whole = json.loads(Path(f"out-{warned}/manifest.json").read_text())
        text = "frames 2 to 3 of 64x48: the plan needs about"
        assert any(text in warning for warning in whole["warnings"]) is warned
    layers = [Path(f"out-{warned}/scene-001.mp4").read_bytes() for warned in (False, True)]
    assert layers[0] == layers[1]


def test_this_machine_has_memory() -> None:
    have, peak = machine_memory(), peak_memory()
    assert have is not None and GIB < have < 2**50
    assert peak is not None and 50 * 2**20 < peak < have


def test_halving_goes_on_where_it_was(tmp_path: Path) -> None:
    def room() -> Checkpoints:
        return Checkpoints(tmp_path / "keep", "one", every=0.0)

    tried: list[int] = []

    def work(times: int, checkpoints: Any) -> str:
        tried.append(times)
        if times < 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        if len(tried) == 3:
            raise KeyboardInterrupt
        return str(checkpoints.folder.name)

    with pytest.raises(KeyboardInterrupt):
        retry_on_oom(work, room())
    assert retry_on_oom(work, room()) == ("reduced-2", 2)
    assert tried == [0, 1, 2, 2]


def test_the_manifest_says_how_much_memory_it_took() -> None:
    media.save(Path("in.mp4"), media.moving(6))
    assert main(["run", "in.mp4", "--task", "transition", "--out", "out", "--no-progress"]) == 0
    report = json.loads(Path("out/manifest.json").read_text())["report"]
    # Linux counts a process's pages only roughly, a few pages a core. Two readings of one peak may
    # differ by some hundred KiB.
    assert 50 * 2**20 < report["peak_memory"] <= (peak_memory() or 0) + 16 * 2**20


def test_frames_above_a_bound_are_refused_unless_allowed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    media.save(Path("in.mp4"), media.moving(3))
    for verb in (["probe", "in.mp4"], ["run", "in.mp4", "--task", "transition", "--no-progress"]):
        assert main([*verb, "--max-pixels", "3071"]) == 1
        assert (
            "in.mp4" in (err := capsys.readouterr().err)
            and "--max-pixels" in err
            and len(err.splitlines()) == 1
        )
        assert main([*verb, "--max-pixels", "3072"]) == 0
        capsys.readouterr()


def test_a_transition_is_worked_on_smaller_where_memory_is_short(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from clips import dissolve, moving

    media.save(
        Path("in.mkv"), dissolve(moving(1, 12, (72, 128)), moving(2, 12, (72, 128)), 4, 4)[0]
    )
    words = [
        "run",
        "in.mkv",
        "--task",
        "transition",
        "--transition",
        "4:7",
        "--preset",
        "fast",
        "--no-progress",
    ]
    assert main([*words, "--max-memory", "300M", "--out", "none"]) == 2
    assert (
        "--max-memory 300M is too little for in.mkv: frames 4 to 7 of 128x72"
        in capsys.readouterr().err
    )
    assert not Path("none").exists()
    monkeypatch.setattr(memory, "BASE_BYTES", 500 * 2**20 - 10 * 2**20)
    assert main([*words, "--max-memory", "500M", "--out", "small"]) == 0
    (entry,) = json.loads(Path("small/manifest.json").read_text())["report"]["transitions"]
    assert 64 * 36 <= entry["work_height"] * entry["work_width"] < 72 * 128
    assert entry["plan"]["pixels"] < 72 * 128


def long_clip(path: Path, frames: int) -> Path:
    """Make a clip of ``frames`` small frames that move a little.

    Most packets are copies, so this is quick.
    """
    few = [
        av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24")
        for frame in media.moving(16)
    ]
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        packets = [
            packet for frame in few for packet in stream.encode(frame.reformat(format="yuv444p"))
        ] + stream.encode(None)
        data = [(bytes(packet), packet.time_base) for packet in packets]
        for number in range(frames):
            body, base = data[number % len(data)]
            packet = av.Packet(body)
            packet.stream, packet.time_base, packet.is_keyframe = stream, base, True
            packet.pts = packet.dts = round(number / 25 / base)
            packet.duration = round(1 / 25 / base)
            out.mux(packet)
    return path


@pytest.mark.slow
def test_a_longer_clip_is_probed_in_the_same_memory() -> None:
    more, few = long_clip(Path("more.mkv"), 900), long_clip(Path("few.mkv"), 300)
    # The sample of frames that are looked at is read; looking for all things would take a minute.
    words = ("--json", "--task", "transition,dehaze")
    assert peak_of("probe", str(more), *words) - peak_of("probe", str(few), *words) < 40 * 2**20


@pytest.mark.slow
def test_an_hour_is_probed_in_bounded_memory() -> None:
    """90 000 frames take little more than 400: only their times and stamps."""
    hour, few = long_clip(Path("hour.mkv"), 90_000), long_clip(Path("few.mkv"), 400)
    assert (
        peak_of("probe", str(hour), "--json") - peak_of("probe", str(few), "--json") < 150 * 2**20
    )


@pytest.mark.slow
def test_a_large_clip_is_taken_apart_in_bounded_memory() -> None:
    from clips import dissolve, moving

    media.save(
        Path("4k.mp4"), dissolve(moving(1, 20, (2160, 3840)), moving(2, 20, (2160, 3840)), 6, 8)[0]
    )
    words = (
        "run",
        "4k.mp4",
        "--task",
        "transition",
        "--transition",
        "6:13",
        "--preset",
        "fast",
        "--no-progress",
    )
    assert peak_of(*words, "--out", "usual") < DEFAULT_PLAN_BYTES
    assert peak_of(*words, "--out", "small", "--max-memory", "3G") < 3.2 * GIB
