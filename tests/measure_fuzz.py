"""Give damaged files to every reader, and record what goes wrong.

    python tests/measure_fuzz.py --count 20000 --seed 100

The readers are those of media (opened and decoded, and through ``probe``), hints, checkpoints,
manifests, ``run.json`` and configurations. One process works through many files. A finding is a
file on which the process dies, takes more than 20 s of processor time or more than 2 GiB, or says
anything but an answer or one line. It is kept in the folder of findings under its number, and the
number alone makes the file again.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import clips
import media
import mutate
import numpy as np
from corpus import make_corpus as make_files

from pipeline.cli.main import main as cli
from pipeline.config import read_config
from pipeline.framewise.hint import HintSource
from pipeline.hint_arguments import HintArgument
from stages.errors import UnlayerError
from stages.media.read import open_clip
from stages.storage.checkpoint import Checkpoints

SECONDS = 20.0
"""Processor time in seconds; if a file takes longer, it counts as a hang."""
MEMORY = 2 << 30
"""Memory in bytes; if a process takes more with a file, it counts as a finding."""
_CEILING = 8 << 30  # bytes that a process may take at most, to protect the machine
_FILES = 150  # how many files one process works through
WAYS = {"decode": 70, "probe": 14, "hint": 3, "checkpoint": 3, "manifest": 4, "run": 2, "config": 4}
"""How often each reader gets a file, in per cent."""


@dataclass(frozen=True)
class Corpus:
    """Undamaged files.

    media: files by name.
    folder: a finished run in ``out``, an interrupted one in ``stopped``, and their input.
    checkpoint, config: what Unlayer writes or reads itself.
    """

    media: dict[str, bytes]
    folder: Path
    checkpoint: bytes
    config: str


def make_corpus(folder: Path, few: int | None = None, seed: int = 0) -> Corpus:
    """Make every undamaged file.

    few: how many kinds, drawn by ``seed``; by default all, and the small files of the footage.
    """
    kinds = folder / "kinds"
    kinds.mkdir()
    files = make_files(kinds, few, seed)
    for place in ("messy", "public") if few is None else ():
        for path in sorted((media.SHARED / place).rglob("*.*")):
            if path.suffix != ".md" and path.stat().st_size < 160_000:
                files[f"{path.parent.name}.{path.name}"] = path.read_bytes()
    frames, _ = clips.dissolve(clips.moving(1, 12, (32, 48)), clips.moving(2, 12, (32, 48)), 4, 4)
    media.save(folder / "film.mp4", frames)
    keep = Checkpoints(folder / "kept", "f")
    keep.save("state", (3, {"a": [1.0, 2, "text"], "b": frames_tensor(frames)}))
    checkpoint = (folder / "kept" / "state.safetensors").read_bytes()
    config = 'task = "transition"\npreset = "fast"\nmax_seconds = 60\nstart = "0:00:00"\n'
    config += 'transition = ["4:7"]\nlossless = true\n'
    return Corpus(files, folder, checkpoint, config)


def frames_tensor(frames: np.ndarray) -> Any:
    """Return two frames as a tensor for a checkpoint."""
    import torch

    return torch.from_numpy(frames[:2].copy())


def case(corpus: Corpus, number: int) -> tuple[str, str, bytes]:
    """Return the reader, the name and the bytes of a case by its number."""
    rng = np.random.default_rng(number)
    way = str(rng.choice(list(WAYS), p=np.array(list(WAYS.values())) / 100))
    if way == "checkpoint":
        data = mutate.mutate(corpus.checkpoint, lambda: corpus.checkpoint[::-1], rng)
        return way, "state.safetensors", data
    if way in ("manifest", "run"):
        name = "manifest.json" if way == "manifest" else "run.json"
        path = (
            corpus.folder / "out" / "manifest.json"
            if way == "manifest"
            else corpus.folder / "stopped" / ".work" / "run.json"
        )
        return way, name, mutate.mutate_text(path.read_text(), rng)
    if way == "config":
        return way, "config.toml", mutate.mutate_text(corpus.config, rng)
    name = str(rng.choice(list(corpus.media)))
    alike = [other for other in corpus.media if other.rpartition(".")[2] == name.rpartition(".")[2]]
    data = mutate.mutate(corpus.media[name], lambda: corpus.media[str(rng.choice(alike))], rng)
    return way, name, data


def drive(corpus: Corpus, room: Path, number: int) -> str:
    """Give a case to its reader, and return the outcome in a word. Raise what is unexpected."""
    way, name, data = case(corpus, number)
    path = room / f"{number % 7}-{name}"
    path.write_bytes(data)
    salvage = number % 3 == 0
    try:
        if way == "decode":
            for block in open_clip([path], salvage=salvage).blocks(size=(16, 16)):
                assert bool(block.pixels.isfinite().all()), "pixels that are no numbers"
            return "decoded"
        if way == "hint":
            HintSource(HintArgument(file=path), "h", True, (1, 1), open_clip([path])).check(
                0, 6, pictures=False
            )
            return "accepted"
        if way == "checkpoint":
            path = path.rename(room / name)
            Checkpoints(room, "f").newest("state")
            return "loaded"
        if way == "config":
            read_config(path)
            return "accepted"
        return _by_command(corpus, room, way, path, salvage)
    except UnlayerError as error:
        text = str(error)
        assert "\n" not in text and text.isprintable(), f"not one line: {text!r}"
        return "refused"
    finally:
        path.unlink(missing_ok=True)


def _by_command(corpus: Corpus, room: Path, way: str, path: Path, salvage: bool) -> str:
    """Give a case to the command line."""
    words = ["probe", str(path), "--json", *(["--salvage"] if salvage else [])]
    folder = room / "folder"
    if way != "probe":
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(corpus.folder / ("out" if way == "manifest" else "stopped"), folder)
        path.replace(folder / ("manifest.json" if way == "manifest" else ".work/run.json"))
        words = ["report", str(folder)]
        if way == "run":
            film = str(corpus.folder / "film.mp4")
            words = ["run", film, *"--task transition --transition 4:7".split()]
            words += ["--out", str(folder), "--resume", "--no-progress"]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), stand_in():
        status = cli(words)
    said = err.getvalue()
    assert status in (0, 1, 2) and "Traceback" not in said and "unexpected" not in said, (
        f"status {status}: {said}"
    )
    if status:
        assert (
            sum(
                line.startswith("unlayer: ") for line in said.splitlines() if "warning:" not in line
            )
            == 1
        ), said
        return "refused"
    return "done"


def stand_in() -> Any:
    """Replace the separation by plain colours."""
    return mock.patch("pipeline.tasks.transition.separate.separate_transition", clips.plain_answer)


def prepare(corpus: Corpus) -> None:
    """Make the finished run and the interrupted one."""
    film = str(corpus.folder / "film.mp4")
    words = ["run", film, "--task", "transition", "--transition", "4:7", "--no-progress", "--out"]
    with stand_in(), contextlib.redirect_stdout(io.StringIO()):
        assert cli([*words, str(corpus.folder / "out")]) == 0
    with (
        mock.patch(
            "pipeline.tasks.transition.separate.separate_transition", side_effect=KeyboardInterrupt
        ),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        cli([*words, str(corpus.folder / "stopped")])
    (corpus.folder / "stopped" / ".work").mkdir(exist_ok=True, parents=True)
    record = corpus.folder / "stopped" / ".work" / "run.json"
    if not record.exists():
        whole = json.loads((corpus.folder / "out" / "manifest.json").read_text())
        record.write_text(
            json.dumps({name: whole.get(name) for name in ("task", "input", "settings", "layers")})
        )


def high_water() -> int:
    """Return the peak of memory in bytes since the last reset, or the process's if unknown."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def work(corpus: Corpus, numbers: list[int], room: Path, tell: int) -> None:
    """Work through cases in a process of its own; write a JSON line before and after each."""
    resource.setrlimit(resource.RLIMIT_AS, (_CEILING, _CEILING))
    sys.setrecursionlimit(1000)
    gc.freeze()
    for number in numbers:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        _tell(tell, {"begin": number})
        began = time.process_time()
        wrong = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                end = drive(corpus, room, number)
        except BaseException as error:
            end, wrong = "unexpected", f"{type(error).__name__}: {error}"[:1500]
        memory = high_water()
        _tell(
            tell,
            {"end": end, "wrong": wrong, "seconds": time.process_time() - began, "memory": memory},
        )
    _tell(tell, {"done": True})


def _tell(tell: int, value: object) -> None:
    os.write(tell, (json.dumps(value) + "\n").encode())


def spent(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Finding:
    """A fault that a case showed. kind: crash, hang, memory or unexpected."""

    number: int
    kind: str
    what: str


class Fuzz:
    """A run over many cases; findings are kept in a folder if there is one."""

    def __init__(self, corpus: Corpus, findings: Path | None = None) -> None:
        self.corpus, self.folder = corpus, findings
        self.findings: list[Finding] = []
        self.ends: Counter[tuple[str, str]] = Counter()
        self.slowest, self.largest = (0.0, -1), (0, -1)

    def run(self, numbers: list[int]) -> None:
        """Work through the cases, many in one process."""
        while numbers:
            numbers = self._in_one_process(numbers[:_FILES]) + numbers[_FILES:]

    def _in_one_process(self, numbers: list[int]) -> list[int]:
        """Work through cases in one process; return those that remain after it died."""
        reader, writer = os.pipe()
        room = Path(tempfile.mkdtemp(prefix="fuzz-", dir=self.corpus.folder))
        pid = os.fork()
        if not pid:
            with contextlib.suppress(BaseException):
                null = os.open(os.devnull, os.O_RDWR)
                for end in (0, 1, 2):
                    os.dup2(null, end)
                os.chdir(room)
                work(self.corpus, numbers, room, writer)
            os._exit(0)
        os.close(writer)
        left, status, hung = self._listen(pid, reader, numbers)
        os.close(reader)
        shutil.rmtree(room, ignore_errors=True)
        if not left:
            return []
        self._find(left[0], "hang" if hung else "crash", f"status {status}")
        return left[1:]

    def _listen(self, pid: int, reader: int, numbers: list[int]) -> tuple[list[int], int, bool]:
        """Read what a process writes until its end.

        Returns the cases that it did not finish, its exit status, and whether it hung.
        """
        left, text, hung, base = list(numbers), b"", False, 0.0
        while True:
            ready, _, _ = select.select([reader], [], [], 1)
            block = os.read(reader, 1 << 16) if ready else b""
            if ready and not block:
                break
            text += block
            *lines, text = text.split(b"\n")
            for line in lines:
                told = json.loads(line)
                if "begin" in told:
                    base = spent(pid)
                elif "end" in told:
                    self._note(left.pop(0), told)
            if not hung and left and spent(pid) - base > SECONDS * 1.5:
                hung = True
                os.kill(pid, signal.SIGKILL)
        return left, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), hung

    def _note(self, number: int, told: dict[str, Any]) -> None:
        way, name, _ = case(self.corpus, number)
        self.ends[way, told["end"]] += 1
        self.slowest = max(self.slowest, (told["seconds"], number))
        self.largest = max(self.largest, (told["memory"], number))
        if told["wrong"] is not None:
            self._find(number, "unexpected", told["wrong"])
        elif told["memory"] > MEMORY:
            self._find(number, "memory", f"{told['memory'] >> 20} MiB")
        elif told["seconds"] > SECONDS:
            self._find(number, "hang", f"{told['seconds']:.1f} s")

    def _find(self, number: int, kind: str, what: str) -> None:
        way, name, data = case(self.corpus, number)
        self.findings.append(Finding(number, kind, f"{way} {name}: {what}"))
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{number}-{kind}-{way}-{name}").write_bytes(data)
            print(f"{number} {kind} {way} {name}: {what}", flush=True)


def main() -> int:
    """Run the cases that the command line asks for, and print the outcomes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument(
        "--findings", type=Path, default=Path(tempfile.gettempdir()) / "fuzz-findings"
    )
    parser.add_argument(
        "--kinds", type=int, help="how many kinds of media files there are; default: all"
    )
    parser.add_argument("--only", type=int, help="drive one case in this process, to look into it")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        corpus = make_corpus(Path(folder), words.kinds, words.seed)
        prepare(corpus)
        print(f"{len(corpus.media)} kinds of media files", flush=True)
        if words.only is not None:
            print(case(corpus, words.only)[:2], drive(corpus, Path(folder), words.only))
            return 0
        fuzz = Fuzz(corpus, words.findings)
        began = time.monotonic()
        first = words.seed * 1_000_000
        for done in range(0, words.count, 1000):
            fuzz.run(list(range(first + done, first + min(done + 1000, words.count))))
            told = f"{len(fuzz.findings)} findings, slowest {fuzz.slowest[0]:.1f} s, "
            told += f"largest {fuzz.largest[0] >> 20} MiB"
            print(
                f"{min(done + 1000, words.count)} files, {time.monotonic() - began:.0f} s: {told}",
                flush=True,
            )
    for (way, end), count in sorted(fuzz.ends.items()):
        print(f"{way:10s} {end:10s} {count}")
    print(
        f"slowest: case {fuzz.slowest[1]}, {fuzz.slowest[0]:.1f} s; "
        f"largest: case {fuzz.largest[1]}, {fuzz.largest[0] >> 20} MiB"
    )
    print(
        "; ".join(
            f"{kind}: {sum(found.kind == kind for found in fuzz.findings)}"
            for kind in ("crash", "hang", "memory", "unexpected")
        )
    )
    return 1 if fuzz.findings else 0


if __name__ == "__main__":
    sys.exit(main())
