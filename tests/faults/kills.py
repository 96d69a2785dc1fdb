"""Kill runs of every task at random moments and at changes of their folders; nothing may be lost.

    python tests/faults/kills.py 200 --seed 1

A chain is a run that is killed again and again and goes on with ``--resume`` in between, a run that
replaces a finished one, or a report that is written again. After every kill, what is visible in the
folder is whole. At the end of the chain, the layers are the same bytes as those of a run that was
never killed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [
    str(Path(__file__).parent),
    str(Path(__file__).parents[1]),
    str(Path(__file__).parents[2]),
]

from provoke import MIXED, Zygote, film, manifest

FAULTS = (("small_plans",), ("keeps_everything",))
TASKS = (
    "transition",
    "transition",
    "transition",
    "dehaze",
    "dehaze",
    "watermark",
    "watermark",
    "segment",
    "transparency",
)
"""Tasks to kill; those that take long are listed less often."""
SECONDS = 90.0
"""Seconds that one attempt may take on a busy machine."""


class Kills:
    """Chains of kills in a folder.

    done: how many processes were killed, by kind of kill and by task.
    """

    def __init__(self, folder: Path, seed: int, tasks: tuple[str, ...] = TASKS) -> None:
        self.folder, self.rng, self.tasks = folder, random.Random(seed), tasks
        self.zygote = Zygote()
        self.whole: dict[tuple[str, int], dict[str, str]] = {}
        self.done: Counter[str] = Counter()
        film(folder / "in.mkv", (16, 24))

    def words(self, task: str, out: str, seed: int) -> list[str]:
        """Return the command line of a run."""
        told = [
            "run",
            "in.mkv",
            "--task",
            task,
            "--no-progress",
            "--lossless",
            "--preset",
            "fast",
            "--seed",
            str(seed),
            "--out",
            out,
        ]
        return told + (list(MIXED) if task == "transition" else [])

    def expected(self, task: str, seed: int) -> dict[str, str]:
        """Return the layers of a run that was never killed."""
        if (task, seed) not in self.whole:
            out = f"whole-{task}-{seed}"
            answer = self.zygote.run(
                self.folder, *self.words(task, out, seed), faults=FAULTS, seconds=SECONDS
            )
            assert answer.status == 0, answer
            self.whole[task, seed] = layers_of(self.folder / out)
        return self.whole[task, seed]

    def chain(self, most: int) -> int:
        """Do one chain of at most ``most`` kills and return how many there were.

        Raises AssertionError where something was lost.
        """
        task, kind = (
            self.rng.choice(self.tasks),
            self.rng.choice(["run", "run", "run", "overwrite", "report"]),
        )
        want, before = self.expected(task, 0), self.expected(task, 1) if kind == "overwrite" else {}
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        if kind != "run":
            shutil.copytree(self.folder / f"whole-{task}-{int(kind == 'overwrite')}", out)
        # A stopped run that replaces another continues with --resume. Without its first record it
        # begins again.
        first = self.words(task, "out", 0)
        kills, slow = 0, self.rng.random() < 0.3
        while True:
            words = (
                ["report", "out", "--no-progress"]
                if kind == "report"
                else [*first, option(out, kind)]
            )
            fault: tuple[object, ...] = (
                "killed_at_call",
                self.rng.randint(1, 25),
                self.rng.random() < 0.5,
            )
            if slow or self.rng.random() < 0.2:
                fault = "killed_after", round(self.rng.uniform(0.02, 1.0), 3)
            faults = (*FAULTS, fault) if kills < most else FAULTS
            answer = self.zygote.run(self.folder, *words, faults=faults, seconds=SECONDS)
            case = f"{kind} of {task} after {kills} kills, {fault}: {answer}"
            assert answer.status in (0, -signal.SIGKILL), case
            self.look(out, (want, before), case)
            if answer.status == 0:
                break
            kills += 1
            self.done[f"{kind}, {task}, {fault[0]}"] += 1
        assert layers_of(out) == want, f"{case}: other layers"
        assert not (out / ".work").exists() and not [
            path for path in out.iterdir() if ".part" in path.name
        ], case
        return kills

    def look(self, out: Path, known: tuple[dict[str, str], dict[str, str]], case: str) -> None:
        """Check that everything visible in a folder is whole.

        Every layer is a known one, and a manifest has all its layers.
        """
        there = layers_of(out)
        for name, checksum in there.items():
            assert checksum in (known[0].get(name), known[1].get(name)), f"{case}: {name} is half"
        if (out / "manifest.json").exists():
            listed = {layer["path"] for layer in manifest(out)["layers"]}
            assert listed <= set(there), f"{case}: the manifest names {listed - set(there)}"

    def close(self) -> None:
        """End the process that forks the others."""
        self.zygote.close()


def option(out: Path, kind: str) -> str:
    """Return ``--overwrite`` while only the finished run of before is there, else ``--resume``."""
    alone = (out / "manifest.json").exists() and not (out / ".work/run.json").exists()
    return (
        "--overwrite"
        if kind == "overwrite" and alone and manifest(out)["settings"]["seed"] == 1
        else "--resume"
    )


def layers_of(folder: Path) -> dict[str, str]:
    """Return a checksum of every layer in a run's folder, by name. A missing folder has none."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    own = [
        path
        for path in files
        if path.suffix in (".mkv", ".png") and not path.name.startswith((".", "sheet"))
    ]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in own}


def main() -> int:
    """Kill as often as asked; return 1 where something was lost."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("count", type=int)
    words.add_argument("--seed", type=int, default=0)
    asked = words.parse_args()
    began, count, lost, chains = time.monotonic(), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        kills = Kills(Path(folder), asked.seed)
        while count < asked.count:
            chains += 1
            try:
                count += kills.chain(min(15, asked.count - count))
            except AssertionError as error:
                lost += 1
                print(f"chain {chains}: {error}", flush=True)
            print(
                f"{count} kills in {chains} chains, {lost} lost, {time.monotonic() - began:.0f} s",
                flush=True,
            )
        kills.close()
    for name, times in sorted(kills.done.items()):
        print(f"{times:4} {name}")
    return int(lost > 0)


if __name__ == "__main__":
    raise SystemExit(main())
