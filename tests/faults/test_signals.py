"""Ctrl-C, SIGTERM and SIGHUP, once and many times, at any moment.

Children whose parent is killed stop too.
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from provoke import FILM_RUN, MIXED, ROOT, Run, Zygote, film, refused, until

from pipeline.cli import main
from pipeline.runtime.child_process import Child
from pipeline.runtime.signals import STATUS, Stopped, Stopping, status_of, stopping

WORDS = (*FILM_RUN, "--out", "out")
SMALL = (("small_plans",),)
SEED = int(os.environ.get("UNLAYER_SEED", "0"))


def test_sighup_ends_like_sigterm(zygote: Zygote, tmp_path: Path) -> None:
    """SIGHUP ends a run as SIGTERM does: cleaned up, with one line and status 129."""
    film(tmp_path / "in.mkv")
    child = zygote.start(tmp_path, *WORDS, faults=(*SMALL, ("held_at_step", "separate", 4)))
    until((tmp_path / "held").exists)
    os.kill(child, signal.SIGHUP)
    refused(zygote.wait(child), 129, "stopped", "--resume goes on")
    assert not (tmp_path / "out/.lock").exists() and list(
        (tmp_path / "out/.work/keep").rglob("*.safetensors")
    )


@pytest.mark.parametrize("case", range(int(os.environ.get("UNLAYER_DRAWS", "4"))))
def test_many_signals_in_a_row(zygote: Zygote, tmp_path: Path, case: int) -> None:
    """After several signals the status is the first one's.

    There is no traceback, and the run can be resumed.
    """
    rng = random.Random(SEED + case)
    film(tmp_path / "in.mkv")
    step = rng.randint(1, 12)
    child = zygote.start(tmp_path, *WORDS, faults=(*SMALL, ("held_at_step", "separate", step)))
    until((tmp_path / "held").exists)
    first = rng.choice([signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    for number in (first, *rng.choices([signal.SIGINT, first], k=rng.randint(4, 8))):
        time.sleep(rng.choice([0, 0, 0.0005, 0.002, 0.01]))
        os.kill(child, number)
    answer = zygote.wait(child)
    # Two signals that arrive together are noticed in the order of their numbers.
    assert answer.status in (130, 128 + first), answer
    assert (
        "Traceback" not in answer.err
        and "Exception ignored" not in answer.err
        and "unexpected" not in answer.err
    ), answer.err
    assert answer.err.splitlines() and all(
        line.startswith("unlayer: ") for line in answer.err.splitlines()
    )
    assert zygote.run(tmp_path, *WORDS, "--resume", faults=SMALL).status == 0


@pytest.mark.parametrize("case", range(int(os.environ.get("UNLAYER_DRAWS", "2"))))
def test_ctrl_c_from_start_to_end(tmp_path: Path, case: int) -> None:
    """Ctrl-C may be pressed again and again, from the first import to the final shutdown."""
    film(tmp_path / "in.mkv")
    rng = random.Random(SEED + case)
    # The interpreter's own start, before the program's first line, is not covered.
    words = [
        sys.executable,
        "-c",
        f"print(1, flush=True); import sys; sys.argv[1:] = {list(WORDS)}\n{PROGRAM}",
    ]
    child = subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert child.stdout is not None and child.stderr is not None
    assert child.stdout.readline() == "1\n" and child.stdout.readline() == "2\n"
    time.sleep(rng.choice([0, 0.05, 0.3, 1.0]))
    ends = time.monotonic() + 60
    while child.poll() is None and time.monotonic() < ends:
        child.send_signal(signal.SIGINT)
        time.sleep(rng.choice([0.001, 0.02, 0.1]))
    said = child.stderr.read()
    child.stdout.close()
    child.stderr.close()
    assert child.wait(10) == 130, said
    assert said and all(line.startswith("unlayer: stopped") for line in said.splitlines()), said


PROGRAM = """
from pipeline.runtime.signals import guard_start
guard_start()
print(2, flush=True)
from pipeline.__main__ import program
sys.exit(program())
"""


def environment() -> dict[str, str]:
    """Return the environment of a process that finds the project."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_a_signal_that_was_swallowed_comes_again() -> None:
    """A Ctrl-C whose exception a destructor swallows still stops the work, a moment later."""

    class Swallows:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    with stopping() as stop, pytest.raises(KeyboardInterrupt) as caught:
        Swallows()
        time.sleep(5)
    assert status_of(caught.value) == 130 and stop.seen == [signal.SIGINT]


def test_signals_that_are_ignored_stay_ignored() -> None:
    """An ignored signal stays ignored, as nohup needs it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping():
            signal.raise_signal(signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert STATUS[signal.SIGHUP] == 129 and Stopped(signal.SIGHUP).status == 129


def test_a_second_signal_while_the_first_is_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The user is told once that the work stopped, wherever a second signal comes."""

    first = [False]

    def stops(words: list[str]) -> int:
        first[0] = True
        signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr(main, "dispatch", stops)
    for line in range(1, 100):
        left, first[0] = [line], False

        def at_line(frame: FrameType, event: str, _: object, left: list[int] = left) -> Any:
            if first[0] and frame.f_code.co_filename == main.__file__ and event == "line":
                left[0] -= 1
                if left[0] == 0:
                    signal.raise_signal(signal.SIGINT)
            return at_line

        tracer = sys.gettrace()
        sys.settrace(at_line)
        try:
            status = main.main(["probe"])
        finally:
            sys.settrace(tracer)
        assert (status, capsys.readouterr().err) == (130, "unlayer: stopped\n"), line
        if left[0] > 0:
            break
    assert 10 < line < 99


def test_a_signal_during_an_import_ends_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An exception there may cross C++ code, as in PyTorch's import, which would abort."""
    (tmp_path / "interrupted.py").write_text(
        "import signal; signal.raise_signal(signal.SIGINT)", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    ended: list[int] = []
    monkeypatch.setattr("pipeline.runtime.signals.end_at_once", ended.append)
    with stopping(), pytest.raises(Stopped):
        importlib.import_module("interrupted")
    assert ended == [signal.SIGINT]
    with stopping(), pytest.raises(Stopped):
        signal.raise_signal(signal.SIGINT)
    assert ended == [signal.SIGINT]


def test_after_the_end_signals_are_only_counted() -> None:
    stop = Stopping()
    stop.over = True
    for _ in range(5):
        stop(signal.SIGINT)
    assert len(stop.seen) == 5


CHILD_OF = """
import sys, time
from pipeline.cli import main
from pipeline.runtime.child_process import Child
child = Child([sys.executable, "-m", "pipeline", *sys.argv[1:]], 1)
print(child.process.pid, flush=True)
time.sleep(600)
"""


def gone(number: int) -> bool:
    """Return whether a process has ended."""
    try:
        state = (
            Path(f"/proc/{number}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[0]
        )
    except FileNotFoundError:
        return True
    return state in "ZX"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    """A child stops when its parent is killed, in the middle of its work or while it starts."""
    film(tmp_path / "in.mkv", (96, 144))
    words = [
        "run",
        "in.mkv",
        "--task",
        "transition",
        "--preset",
        "best",
        *MIXED,
        "--json",
        "--out",
        "out",
    ]
    parent = subprocess.Popen(
        [sys.executable, "-c", CHILD_OF, *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        until((tmp_path / "out/.work/run.json").exists)
        assert not gone(child)
        parent.kill()
        until(lambda: gone(child), 40)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        if not gone(child):
            os.kill(child, signal.SIGKILL)
    assert not (tmp_path / "out/.lock").exists(), "it tidied up"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")
def test_the_decoding_child_ends_with_its_parent(tmp_path: Path) -> None:
    script = ROOT / "stages/media/thumbnails_child.py"
    code = (
        "import os, subprocess, sys, time\n"
        f"words = [sys.executable, '-P', {str(script)!r}, str(os.getpid())]\n"
        "child = subprocess.Popen(words, stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    keep = (
        os.open(f"/proc/{child}/fd/0", os.O_RDWR | os.O_NONBLOCK)
        if Path(f"/proc/{child}/fd/0").exists()
        else None
    )
    holder.kill()
    holder.wait()
    holder.stdout.close()
    try:
        # Its input does not end, as another process holds it open.
        until(lambda: gone(child), 20)
    finally:
        if keep is not None:
            os.close(keep)
    assert gone(child)


def test_a_child_that_is_done_is_not_stopped(tmp_path: Path, run: Run) -> None:
    """Its standard input is closed only after its end, so its status is its own."""
    child = Child([sys.executable, "-m", "pipeline", "--version"], 1)
    until(lambda: not list(child.events()) and child.status() is not None, 30)
    assert child.wait() == 0 and child.process.stdin is not None and child.process.stdin.closed
