"""Everything a run can be told, in one place: name, default, meaning and check of each setting.

The command line's options and their help are made from the fields below (:mod:`pipeline.cli.main`), and the manifest's ``settings`` are
these fields again, so no default and no wording stands twice.
"""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from stages.errors import UsageError

PRESETS = ("fast", "balanced", "best", "paper")
ALPHAS = ("prores", "vp9", "ffv1", "png")
INTERLACED = ("auto", "keep", "deinterlace")
SPACES = ("auto", "gamma", "linear")
LONGEST = 1e8
"""Seconds of the longest budget, about three years: with more, plans by the clock would overflow."""


def text(word: str) -> str:
    """A word that is not empty. Raises ArgumentTypeError."""
    if not word:
        raise argparse.ArgumentTypeError("is empty; write a value, or leave the option out")
    return word


def path(word: str) -> Path:
    """A file or folder; nothing is not the current folder. Raises ArgumentTypeError."""
    return Path(text(word))


def local_folder(word: str) -> Path:
    """Return the folder that a word names. Raises ArgumentTypeError for an address."""
    if "://" in word:
        raise argparse.ArgumentTypeError(
            "is an address; give a folder of this machine, and the address as --store of batch"
        )
    return path(word)


def time(word: str) -> Fraction:
    """Seconds, exact, from ``12``, ``12.5``, ``mm:ss`` or ``hh:mm:ss.mmm``; and ``1/3``, as :func:`plain` writes it. Raises
    ArgumentTypeError."""
    if re.fullmatch(r"\d{1,24}/[1-9]\d{0,12}", word, re.ASCII):
        return Fraction(word)
    match = re.fullmatch(
        r"(?:(?:(\d{1,6}):)?([0-5]?\d):(?=[0-5]?\d(?:\.|$)))?(\d{1,12}(?:\.\d{0,12})?)",
        word,
        re.ASCII,
    )
    if not match:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a time; write seconds (12.5) or hh:mm:ss.mmm (0:01:12.500)"
        )
    hours, minutes, seconds = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes or 0) + Fraction(seconds)


def span(word: str) -> tuple[int, int]:
    """``(first, last)`` from ``FIRST:LAST``, frames from 0, both inclusive. Raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", word, re.ASCII)
    if not match or int(match[1]) > int(match[2]):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not FIRST:LAST, two frame numbers from 0 with FIRST not after LAST (48:71)"
        )
    return int(match[1]), int(match[2])


def positive(word: str) -> float:
    """A number of seconds above zero and up to :data:`LONGEST`. Raises ArgumentTypeError."""
    try:
        value = float(word)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a number of seconds above 0 and up to {LONGEST:.0f}"
        )
    return value


def share(word: str) -> float:
    """A number from 0 on. Raises ArgumentTypeError."""
    return 0.0 if re.fullmatch(r"0(\.0*)?", word, re.ASCII) else positive(word)


def strength(word: str) -> float:
    """Return a strength from 0 to 2. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[01](\.\d{0,12})?|2(\.0{0,12})?", word, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a strength; write a number from 0 (the input) to 2, with 1 as what was found"
        )
    return float(word)


def natural(word: str) -> int:
    """A whole number from 0 to 2³¹ − 1. Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{1,10}", word, re.ASCII) or int(word) >= 2**31:
        raise argparse.ArgumentTypeError(f"{word!r} is not a whole number from 0 to {2**31 - 1}")
    return int(word)


def memory(word: str) -> int:
    """Bytes from ``3G``, ``1.5GiB`` or ``800M`` (powers of 1024); and as a plain number (``2000000000``, ``2e9``), as :func:`plain`
    writes it, from a mebibyte on. Raises ArgumentTypeError."""
    if (
        re.fullmatch(r"\d{7,16}|[1-9](\.\d+)?e[+]?\d\d?", word, re.ASCII | re.IGNORECASE)
        and 2**20 <= float(word) < 10**16
    ):
        return int(word) if word.isdecimal() else int(float(word))
    match = re.fullmatch(
        r"(\d{1,6}(?:\.\d{1,6})?)\s?([MGT])(?:i?B)?", word, re.ASCII | re.IGNORECASE
    )
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not an amount of memory; write it as 3G or 800M"
        )
    return int(float(match[1]) * 1024 ** {"M": 2, "G": 3, "T": 4}[match[2].upper()])


def counts(word: str) -> tuple[int, ...]:
    """Whole numbers above zero from ``20,60,200`` or ``144p,1080p``. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[1-9]\d{0,4}p?(,[1-9]\d{0,4}p?)*", word, re.ASCII):
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a list of numbers; write them as 20,60 or 144p,360p"
        )
    return tuple(dict.fromkeys(int(part.removesuffix("p")) for part in word.split(",")))


def device(word: str) -> str:
    """The spelling of a device; :func:`pipeline.run.execute.pick_device` says whether this machine has it. Raises ArgumentTypeError."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,3})?", word, re.ASCII):
        near = nearest(word, ("auto", "cpu", "cuda", "mps"))
        raise argparse.ArgumentTypeError(
            f"{word!r} is not a device; choose auto, cpu, cuda, cuda:N or mps{near}"
        )
    return word


@dataclass(frozen=True)
class OneOf:
    """A check that a word is one of ``choices``, with the nearest one in its message. Raises ArgumentTypeError."""

    choices: tuple[str, ...]

    def __call__(self, word: str) -> str:
        if word not in self.choices:
            choices = ", ".join(self.choices)
            raise argparse.ArgumentTypeError(
                f"{word!r} is not known; choose {choices}{nearest(word, self.choices)}"
            )
        return word


def one_of(*choices: str) -> OneOf:
    """A check that a word is one of ``choices``."""
    return OneOf(choices)


def nearest(word: str, choices: Sequence[str]) -> str:
    """``"; did you mean X?"`` where a choice is near, else nothing."""
    near = difflib.get_close_matches(word, choices, 1)
    return f"; did you mean {near[0]}?" if near else ""


def setting(
    default: Any,
    help: str,
    *,
    metavar: str = "",
    parse: Callable[[str], Any] = text,
    group: str = "what to do",
    verbs: Sequence[str] = ("run",),
    repeat: bool = False,
    result: bool = True,
    rare: Sequence[str] = (),
    elsewhere: Mapping[str, str] | None = None,
) -> Any:
    """A dataclass field with what the command line and the manifest need to know of it.

    parse: from the command line's word to the value; a default of ``False`` makes a switch without a word.
    result: whether the value can change the layers. Those that cannot are neither compared nor kept in the manifest.
    rare: the verbs that show it with ``--help-all`` alone. elsewhere: the help of verbs for which ``help`` is not right.
    """
    metadata = dict(
        help=help,
        metavar=metavar,
        parse=parse,
        group=group,
        verbs=tuple(verbs),
        repeat=repeat,
        result=result,
    )
    metadata |= dict(rare=tuple(rare), elsewhere=elsewhere or {})
    return field(default=default, metadata=metadata)


BOTH = ("run", "batch")
ONE_CLIP = ("transition", "anew")
"""Options of ``run`` that a folder of clips has not: frames differ from clip to clip, and a batch begins anew by itself."""

_work = partial(setting, group="how much work", verbs=("run", "bench"))
_read = partial(setting, group="what to read", verbs=("run", "probe"))
_write = partial(setting, group="what to write")
_batch = partial(setting, group="a folder of clips", verbs=("batch",), result=False)
_bench = partial(setting, group="what to measure", verbs=("bench",), result=False)
_print = partial(setting, group="what to print", result=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for. Frames count from 0 in the input as decoded, times are exact seconds."""

    inputs: tuple[Path, ...] = ()
    passing: Path | None = None
    """A folder that goes when the run is over: what lies in it, arrays from Python, is kept by its bare name."""
    task: str = setting(
        "",
        "what the mixture is",
        metavar="TASK",
        verbs=("run", "bench"),
        result=False,
        elsewhere={"bench": "what the mixture is (transition unless told)"},
    )
    out: Path | None = setting(
        None,
        "where the layers go; <stem>-<task> here unless told",
        metavar="DIR",
        parse=local_folder,
        result=False,
        elsewhere={"batch": "for the runs' folders; <folder>-<task> here unless told"},
    )

    config: Path | None = setting(
        None,
        "settings from TOML or a manifest.json; options here win",
        metavar="FILE",
        parse=path,
        result=False,
    )
    dry_run: bool = setting(
        False, "what would be done, how long it takes; write nothing", result=False
    )

    preset: str = _work("balanced", ", ".join(PRESETS), metavar="NAME", parse=one_of(*PRESETS))
    max_seconds: float | None = _work(
        None,
        "a budget: the best that fits in it",
        metavar="S",
        parse=positive,
        elsewhere={
            "batch": "a budget for each clip",
            "bench": "a budget for all rows (600 unless told)",
        },
    )
    device: str = _work(
        "auto", "auto (CUDA, else cpu), cpu, cuda[:N], mps", metavar="NAME", parse=device
    )
    max_memory: int | None = _work(
        None,
        "memory to plan for, as 3G or 800M (4G unless told)",
        metavar="SIZE",
        parse=memory,
        verbs=("run",),
        rare=BOTH,
    )
    seed: int = _work(
        0, "same seed, same layers, on the CPU", metavar="N", parse=natural, rare=BOTH
    )

    stream: int | None = _read(
        None,
        "the video stream's index; the first unless told",
        metavar="N",
        parse=natural,
        rare=BOTH,
    )
    salvage: bool = _read(False, "of a damaged file, take what decodes and say how much", rare=BOTH)
    interlaced: str = _read(
        "auto",
        "fields of two moments in a frame: auto (where they are seen), keep, deinterlace",
        metavar="NAME",
        parse=one_of(*INTERLACED),
        rare=BOTH,
    )
    max_pixels: int = _read(
        8192 * 8192,
        "larger frames are refused",
        metavar="N",
        parse=natural,
        result=False,
        rare=BOTH,
    )
    start: Fraction | None = _read(
        None,
        "leave out what comes before; seconds or hh:mm:ss.mmm",
        metavar="T",
        parse=time,
        rare=("batch",),
    )
    end: Fraction | None = _read(
        None,
        "leave out what comes after; seconds or hh:mm:ss.mmm",
        metavar="T",
        parse=time,
        rare=("batch",),
    )
    transition: tuple[tuple[int, int], ...] = _read(
        (),
        "the mixed frames, not searched for; may be repeated",
        metavar="FIRST:LAST",
        parse=span,
        repeat=True,
        rare=("run",),
    )
    hint: Path | None = _read(
        None,
        "marks, white on black, the watermark or foreground",
        metavar="FILE",
        parse=path,
        verbs=("run",),
        rare=("batch",),
    )

    space: str = _work(
        "auto",
        f"light that adds up: {', '.join(SPACES)}",
        metavar="NAME",
        parse=one_of(*SPACES),
        verbs=("run",),
        rare=BOTH,
    )
    strength: float = _work(
        1.0,
        "how much comes off, 0 to 2; 1 is by evidence",
        metavar="X",
        parse=strength,
        verbs=("run",),
        rare=BOTH,
    )

    lossless: bool = _write(False, "layers as FFV1 in Matroska, not H.264 in MP4")
    alpha: str | None = _write(
        None,
        f"of layers with alpha: {', '.join(ALPHAS)}",
        metavar="NAME",
        parse=one_of(*ALPHAS),
        rare=BOTH,
    )
    resume: bool = _write(
        False,
        "go on with an interrupted run; begin where there is none",
        result=False,
        rare=("batch",),
        elsewhere={"batch": "nothing more: a batch goes on by itself"},
    )
    anew: bool = _write(
        False, "with --resume: begin again what it cannot go on with", result=False, rare=BOTH
    )
    overwrite: bool = _write(False, "replace the run that is there; other files stay", result=False)

    pattern: str = _batch(
        "*", "only names that fit, as *.mkv; all videos unless told", metavar="GLOB"
    )
    flat: bool = _batch(False, "only the folder itself, not the folders in it", rare=BOTH)
    jobs: int | None = _batch(
        None, "clips at once; as cores and memory allow unless told", metavar="N", parse=natural
    )
    watch: bool = _batch(False, "go on and take clips as they arrive, until Ctrl-C")

    store: str | None = _batch(
        None, "keeps runs as well: a URL as s3://bucket/layers", metavar="URL"
    )
    ray: str | None = _batch(
        None, "on the Ray cluster at this address (auto: its own)", metavar="ADDRESS"
    )
    ray_cpus: float = _batch(
        1.0, "cores that a task takes on the cluster", metavar="N", parse=positive, rare=BOTH
    )
    ray_gpus: float = _batch(
        0.0, "the part of a GPU that a task takes, as 0.25", metavar="N", parse=share, rare=BOTH
    )

    sizes: tuple[int, ...] | None = _bench(
        None, "heights, as 144p,360p (144p to 1080p unless told)", metavar="LIST", parse=counts
    )
    frames: tuple[int, ...] | None = _bench(
        None, "lengths of the clips (20,60,200 unless told)", metavar="LIST", parse=counts
    )
    rows: Path | None = _bench(
        None, "keeps rows; what is in it is not done again", metavar="FILE", parse=path
    )
    table: Path | None = _bench(
        None, "writes the table as Markdown too", metavar="FILE", parse=path
    )

    no_progress: bool = _print(False, "no progress bar", verbs=("run", "report"), rare=BOTH)
    json: bool = _print(
        False,
        "machine-readable lines on standard output",
        verbs=("run", "probe", "doctor", "bench"),
        rare=BOTH,
    )
    debug: bool = _print(
        False,
        "show where an error came from",
        verbs=("run", "probe", "doctor", "report", "bench"),
        rare=BOTH,
    )

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise UsageError(
                f"--start {float(self.start):g} is not before --end {float(self.end):g} (seconds); give an earlier start or a later end"
            )
        spans = sorted(self.transition)
        for (_, last), (first, after) in zip(spans, spans[1:], strict=False):
            if first <= last:
                raise UsageError(
                    f"--transition {first}:{after} overlaps the one that ends at frame {last}; give ranges that do not"
                )
        if self.resume and self.overwrite:
            raise UsageError("--resume and --overwrite contradict each other; give one of them")
        if self.anew and not self.resume:
            raise UsageError(
                "--anew says what --resume does with an interrupted run that does not fit; give it with --resume"
            )

    def kept(self) -> dict[str, object]:
        """The settings that can change the layers, as JSON values: what the manifest keeps and what makes two runs the same."""
        kept = {
            item.name: plain(getattr(self, item.name))
            for item in options("run")
            if item.metadata["result"]
        }
        return kept if self.hint is None else {**kept, "hint": self.known_as(self.hint)}

    def known_as(self, path: Path) -> str:
        """What the manifest calls a file that was given."""
        return path.stem if self.passing is not None and path.parent == self.passing else str(path)


def options(verb: str) -> list[Field[Any]]:
    """The fields that are options of ``verb``, in the order of the help."""
    wanted = {verb, "run"} if verb == "batch" else {verb}
    found = [item for item in fields(Settings) if wanted & set(item.metadata.get("verbs", ()))]
    return [item for item in found if verb != "batch" or item.name not in ONE_CLIP]


def flag(item: Field[Any]) -> str:
    """A field's option on the command line: ``max_seconds`` is ``--max-seconds``."""
    return "--" + item.name.replace("_", "-")


def plain(value: object) -> object:
    """``value`` as JSON has it: paths and exact times as text, tuples as lists."""
    if isinstance(value, Path | Fraction):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return value
