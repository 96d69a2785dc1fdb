"""Show where the seconds of whole runs go, by stage and by operator.

    python tests/profile_main.py [--clip FILE]...

Each clip is separated twice, as in a run, on one thread: once for the seconds of its stages, as in
its manifest, and once with a clock around every PyTorch operator and OpenCV's optical flow. All
times are CPU time, so that other programs hardly count. Without ``--clip`` two clips are mixed from
the development footage, where that lies beside the project.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from compare_partners import SHARED, bench
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline import separate
from stages.motion import flow

CASES = ("bunny_x_street", "stream_x_geese_540p")
"""Cases of the development footage."""

ROWS = 12
"""Operators in the table."""


class Clocked(TorchDispatchMode):
    """Measures CPU seconds and calls of every operator, by its name."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.time(func.overloadpacket.__name__, func, *args, **(kwargs or {}))

    def time(self, name: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Do the work and add its time to that of the name."""
        began = time.thread_time()
        out = work(*args, **kwargs)
        self.seconds[name] += time.thread_time() - began
        self.calls[name] += 1
        return out


def mixed(name: str, folder: Path) -> Path:
    """Return the input of a case, made by the scoring script."""
    score = bench()
    case = next(
        case
        for case in json.loads((SHARED / "bench" / "cases.json").read_text())
        if case["name"] == name
    )
    path = folder / f"{name}.{'mp4' if case['codec'] == 'h264' else 'mkv'}"
    score.write_video(path, score.build_transition(case, SHARED / "data")[0], codec=case["codec"])
    return path


def by_stage(clip: Path, preset: str) -> str:
    """Return the CPU seconds of each stage of a run, as a table."""
    with (
        mock.patch("time.monotonic", time.process_time),
        separate(clip, "transition", preset=preset) as made,
    ):
        seconds: dict[str, float] = made.manifest["report"]["stages"]
    total = sum(seconds.values())
    lines = [
        f"| {name} | {spent:.1f} | {100 * spent / total:.0f} % |"
        for name, spent in seconds.items()
        if spent >= 0.01 * total
    ]
    return "\n".join(
        ["| stage | CPU seconds | of all |", "|---|---|---|", *lines, f"| all | {total:.1f} | |"]
    )


def by_operator(clip: Path, preset: str) -> str:
    """Return the CPU seconds of the operators that take most of a run, as a table.

    The rest of a run is Python, reading and writing.
    """
    clocks = Clocked()
    found = flow._dis
    with (
        clocks,
        mock.patch.object(
            flow, "_dis", lambda *pictures: clocks.time("OpenCV's optical flow", found, *pictures)
        ),
    ):
        began = time.process_time()
        separate(clip, "transition", preset=preset).close()
        whole = time.process_time() - began
    total = sum(clocks.seconds.values())
    most = sorted(clocks.seconds.items(), key=lambda item: item[1], reverse=True)[:ROWS]
    lines = [
        f"| `{name}` | {clocks.calls[name]} | {spent:.2f} | {100 * spent / total:.1f} % |"
        for name, spent in most
    ]
    rest = f"| all operators | {clocks.calls.total()} | {total:.2f} | |"
    return "\n".join(
        [
            "| operator | calls | CPU seconds | of all |",
            "|---|---|---|---|",
            *lines,
            rest,
            f"(the process: {whole:.1f})",
        ]
    )


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--clip", type=Path, action="append", help="a clip with a transition; may be repeated"
    )
    parser.add_argument("--case", choices=CASES, action="append", help="one of the two")
    parser.add_argument("--preset", default="balanced")
    options = parser.parse_args(words)
    torch.set_num_threads(1)
    if not options.clip and not SHARED.exists():
        print(
            f"skipped: the development footage is not at {SHARED}; --clip FILE takes any other clip"
        )
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for clip in options.clip or [mixed(name, Path(folder)) for name in options.case or CASES]:
            print(
                f"{clip.stem}, --preset {options.preset}\n\n{by_stage(clip, options.preset)}\n",
                flush=True,
            )
            print(f"{by_operator(clip, options.preset)}\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
