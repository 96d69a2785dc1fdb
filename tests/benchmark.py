"""Make every table of ``docs/benchmark.md``, in the page's order.

    python tests/benchmark.py                        # all that need no footage: hours on one core
    python tests/benchmark.py --list                 # the commands, without running them
    python tests/benchmark.py --only peers --only cuts
    python tests/benchmark.py --footage FOLDER       # also those that need footage

FOLDER has the folders ``segment`` (clips with ``frames`` and ``masks``, as in DAVIS) and
``photos``. Each command is printed before its output. What it keeps (``kinds.jsonl``,
``davis.jsonl``) lies in the current folder, and a second call goes on with that. A command that
fails is named at the end, and the status is then 1. ``compare_partners.py`` is left out: it needs
the project's own development footage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOOTAGE = "FOLDER"
"""What stands for the folder of footage in a command."""
SIZES = "--sizes 144p,240p,360p --frames 20,60"


@dataclass(frozen=True)
class BenchmarkTable:
    """One table of the page: its name for ``--only``, and the commands that make it."""

    name: str
    commands: tuple[str, ...]

    @property
    def needs_footage(self) -> bool:
        """Return whether a command reads footage that is not part of the repository."""
        return any(f" {FOOTAGE}" in command for command in self.commands)


TABLES = (
    BenchmarkTable(
        "bench",
        (
            f"-m pipeline bench --task transition --preset fast {SIZES}",
            f"-m pipeline bench --task transition {SIZES}",
        ),
    ),
    BenchmarkTable("tasks", ("tests/compare_tasks.py --seconds 20 --markdown",)),
    BenchmarkTable("paper", ("tests/compare_paper.py",)),
    BenchmarkTable("peers", ("tests/measure_peers.py --seed 1200 --count 3 --stories 0",)),
    BenchmarkTable("cuts", ("tests/measure_peers.py --seed 1801 --count 0 --stories 24",)),
    BenchmarkTable("stories", ("tests/measure_stories.py --count 5000 --seed 100",)),
    BenchmarkTable("kinds", ("tests/measure_kinds.py --seed 1801 --out kinds.jsonl",)),
    BenchmarkTable("davis", ("tests/measure_davis.py FOLDER/segment --out davis.jsonl",)),
    BenchmarkTable("hints", ("tests/measure_hints.py FOLDER/segment --seeds 1103",)),
    BenchmarkTable("movers", ("tests/measure_movers.py --movers 2 --footage FOLDER",)),
    BenchmarkTable("diagnoses", ("tests/measure_diagnoses.py --footage FOLDER",)),
    BenchmarkTable("film", ("tests/measure_film.py --height 720",)),
)
"""All tables, in the order of the page."""


def chosen(only: Sequence[str], footage: Path | None) -> list[BenchmarkTable]:
    """Return the tables that are made.

    only: their names; without any, all that can be made are. footage: the folder, if there is one.
    """
    if only:
        return [table for table in TABLES if table.name in only]
    return [table for table in TABLES if footage is not None or not table.needs_footage]


def run(command: str, footage: Path | None) -> int:
    """Run one command and return its exit status. footage: what stands for ``FOLDER``."""
    print(f"\n$ python {command}", flush=True)
    first, *rest = command.split()
    script = first if first.startswith("-") else str(ROOT / first)
    words = [script, *(word.replace(FOOTAGE, str(footage)) for word in rest)]
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run([sys.executable, *words], env=environment).returncode


def main(words: Sequence[str] | None = None) -> int:
    """Make the tables and return 1 where a command failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [table.name for table in TABLES]
    parser.add_argument("--only", action="append", choices=names, default=[], metavar="TABLE")
    parser.add_argument("--footage", type=Path, metavar="FOLDER")
    parser.add_argument("--list", action="store_true", help="only print the commands")
    asked = parser.parse_args(words)
    if asked.list:
        for table in TABLES:
            print(f"{table.name}:", *map("  python {}".format, table.commands), sep="\n")
        return 0
    tables = chosen(asked.only, asked.footage)
    if asked.footage is None and any(table.needs_footage for table in tables):
        parser.error("that table needs footage; give --footage FOLDER")
    footage = None if asked.footage is None else asked.footage.resolve()
    commands = [command for table in tables for command in table.commands]
    failed = [command for command in commands if run(command, footage)]
    for command in failed:
        print(f"failed: python {command}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
