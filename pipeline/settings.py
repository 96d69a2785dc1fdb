"""All settings of a run, in one place: the name, default, meaning and check of each.

The command line and its help are made from the fields of :class:`Settings`
(:mod:`pipeline.cli.parser`), and so are the manifest's ``settings``. No default and no description
stands anywhere else.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.codecs import ALPHAS, CODECS, LOSSLESS_CODECS, PREMULTIPLIED
from pipeline.hint_arguments import HintArgument, parse_hint
from pipeline.option_fields import setting
from pipeline.setting_checks import check_settings
from pipeline.timeline.formats import format_names
from pipeline.values import (
    ListOf,
    OneOf,
    Span,
    TimeCode,
    parse_budget,
    parse_counts,
    parse_device,
    parse_layers,
    parse_local_folder,
    parse_memory,
    parse_not_negative,
    parse_path,
    parse_positive,
    parse_shot_list,
    parse_span,
    parse_strength,
    parse_threads,
    parse_time,
    parse_whole_number,
    plain,
)
from stages.setting_values import PRESETS

INTERLACED = ("auto", "keep", "deinterlace")
SPACES = ("auto", "gamma", "linear")

AUTO_TASK = "auto"
"""The word of ``--task`` that lets the diagnoses choose the tasks."""
BOTH = ("run", "batch")
"""The commands that take clips apart."""
HINTS = ("hint", "hint_background")
"""The settings that hold hints."""

_work = partial(setting, group="how much work", verbs=("run", "bench"))
_run_work = partial(_work, verbs=("run",))
_read = partial(setting, group="what to read", verbs=("run", "probe"))
_run_read = partial(_read, verbs=("run",))
_time = partial(_read, None, metavar="T", parse=parse_time, rare=("batch",))
_hint = partial(_run_read, metavar="HINT", parse=parse_hint, repeat=True)
_write = partial(setting, group="what to write")
_batch = partial(setting, group="a folder of clips", verbs=("batch",), result=False)
_bench = partial(setting, group="what to measure", verbs=("bench",), result=False)
_print = partial(setting, group="what to print", result=False)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user asked for.

    Frames count from 0 in the input as decoded; times are exact seconds. Raises UsageError for
    settings that contradict each other.
    """

    inputs: tuple[Path, ...] = ()
    temporary: Path | None = None
    """A folder that is removed after the run; files in it are recorded by their bare names."""
    task: str = setting(
        "",
        "what to take out; several as a,b (default: what is found)",
        metavar="TASK",
        verbs=("run", "bench", "probe"),
        result=False,
        elsewhere={"bench": "the task to measure (default: transition)", "probe": "look for this"},
    )
    out: Path | None = setting(
        None,
        "where the layers go (default: <stem>-<task> here)",
        metavar="DIR",
        parse=parse_local_folder,
        result=False,
        elsewhere={"batch": "for the runs' folders (default: <folder>-<task> here)"},
    )
    config: Path | None = setting(
        None,
        "settings from TOML or a manifest.json; options here win",
        metavar="FILE",
        parse=parse_path,
        result=False,
    )
    dry_run: bool = setting(
        False, "say what would be done and its cost; write nothing", result=False
    )

    preset: str = _work("balanced", ", ".join(PRESETS), metavar="NAME", parse=OneOf(PRESETS))
    max_seconds: float | None = _work(
        None,
        "a time budget, as 90, 90s or 1m30s",
        metavar="S",
        parse=parse_budget,
        elsewhere={
            "batch": "a time budget for each clip",
            "bench": "a time budget for all rows (default: 600)",
        },
    )
    device: str = _work(
        "auto", "auto (CUDA, else cpu), cpu, cuda[:N], mps", metavar="NAME", parse=parse_device
    )
    max_memory: int | None = _run_work(
        None,
        "memory to plan for, as 3G or 800M (default: 4G)",
        metavar="SIZE",
        parse=parse_memory,
        rare=BOTH,
    )
    threads: int | None = _run_work(
        None,
        "cores to compute with, at most (default: all)",
        metavar="N",
        parse=parse_threads,
        result=False,
        rare=BOTH,
    )
    seed: int = _work(
        0, "same seed, same layers, on the CPU", metavar="N", parse=parse_whole_number, rare=BOTH
    )

    stream: int | None = _read(
        None,
        "the video stream's index (default: the first)",
        metavar="N",
        parse=parse_whole_number,
        rare=BOTH,
    )
    salvage: bool = _read(False, "of a damaged file, use what decodes and say how much", rare=BOTH)
    interlaced: str = _read(
        "auto",
        "interlaced: auto, keep, deinterlace",
        metavar="NAME",
        parse=OneOf(INTERLACED),
        rare=BOTH,
    )
    max_pixels: int = _read(
        8192 * 8192,
        "refuse larger frames",
        metavar="N",
        parse=parse_whole_number,
        result=False,
        rare=BOTH,
    )
    start: Fraction | TimeCode | None = _time("leave out what comes before; 12.5 or 00:01:12:05")
    end: Fraction | TimeCode | None = _time("leave out what comes after; 12.5 or 00:01:12:05")
    transition: tuple[Span, ...] = _read(
        (),
        "the mixed frames: 48:71, 1s:2s or time codes",
        metavar="FIRST:LAST",
        parse=parse_span,
        repeat=True,
        rare=("run",),
        one_clip=True,
    )
    shots: str | None = _read(
        None,
        "a shot list, as probe --csv writes it; no search",
        metavar="FILE",
        parse=parse_shot_list,
        rare=("run",),
        one_clip=True,
    )
    hint: tuple[HintArgument, ...] = _hint(
        (), "watermark or object: picture, box:X,Y,W,H, point:X,Y", rare=("batch",)
    )
    mark: Path | None = _run_read(
        None,
        "watermark: the mark as a picture, best with alpha",
        metavar="FILE",
        parse=parse_path,
        rare=BOTH,
    )
    hint_background: tuple[HintArgument, ...] = _hint(
        (), "what is surely background, marked in the same way", rare=("run",), one_clip=True
    )
    refine: Path | None = _run_read(
        None,
        "an earlier run's folder; hints correct its matte",
        metavar="RUN",
        parse=parse_path,
        rare=("run",),
        one_clip=True,
    )

    space: str = _run_work(
        "auto",
        f"values that add up: {', '.join(SPACES)}",
        metavar="NAME",
        parse=OneOf(SPACES),
        rare=BOTH,
    )
    strength: float = _run_work(
        1.0, "how much to remove, 0 to 2; 1 as found", metavar="X", parse=parse_strength, rare=BOTH
    )
    force: bool = _run_work(
        False, "separate even if no haze, mark or reflection is found", rare=BOTH
    )

    layers: int | str = _write(
        1, "how many foregrounds at most, or auto", metavar="N", parse=parse_layers, rare=BOTH
    )
    csv: Path | None = _write(
        None,
        "write the shot list here, to edit it; - prints it",
        metavar="FILE",
        parse=parse_path,
        verbs=("probe",),
        result=False,
    )
    confidence: bool = _write(
        False, "also grey layers: how sure each pixel is, white if sure", rare=BOTH
    )
    lossless: bool = _write(False, "layers as FFV1 in Matroska, not H.264 in MP4")
    codec: str | None = _write(
        None,
        "of the layers, as h265, prores422, exr; see docs",
        metavar="NAME",
        parse=OneOf(CODECS),
        rare=BOTH,
    )
    alpha: str | None = _write(
        None,
        f"with alpha: prores, vp9, ffv1, png (in MOV), {PREMULTIPLIED}",
        metavar="NAME",
        parse=OneOf(ALPHAS),
        rare=BOTH,
    )
    timeline: tuple[str, ...] = _write(
        (),
        f"also timelines for editors: {', '.join(format_names())}",
        metavar="LIST",
        parse=ListOf(format_names()),
        verbs=("run", "probe"),
        result=False,
        rare=BOTH,
    )
    resume: bool = _write(
        False,
        "continue an interrupted run; begin where there is none",
        result=False,
        rare=("batch",),
        elsewhere={"batch": "no effect: a batch always resumes"},
    )
    anew: bool = _write(
        False,
        "with --resume: begin again what it cannot continue",
        result=False,
        rare=BOTH,
        one_clip=True,
    )
    overwrite: bool = _write(False, "replace the run that is there; other files stay", result=False)

    pattern: str = _batch("*", "only names that match, as *.mkv (default: videos)", metavar="GLOB")
    flat: bool = _batch(False, "only the folder itself, not the folders in it", rare=BOTH)
    jobs: int | None = _batch(
        None, "clips at once (default: by cores and memory)", metavar="N", parse=parse_whole_number
    )
    watch: bool = _batch(False, "wait for more clips and do them too, until Ctrl-C")

    store: str | None = _batch(
        None, "also keep the runs at this URL, as s3://bucket/layers", metavar="URL"
    )
    ray: str | None = _batch(
        None, "run on the Ray cluster at this address (auto: its own)", metavar="ADDRESS"
    )
    ray_cpus: float = _batch(
        1.0, "cores for each task on the cluster", metavar="N", parse=parse_positive, rare=BOTH
    )
    ray_gpus: float = _batch(
        0.0,
        "part of a GPU for each task, as 0.25",
        metavar="N",
        parse=parse_not_negative,
        rare=BOTH,
    )

    sizes: tuple[int, ...] | None = _bench(
        None, "heights, as 144p,360p (default: 144p to 1080p)", metavar="LIST", parse=parse_counts
    )
    frames: tuple[int, ...] | None = _bench(
        None, "lengths of the clips (default: 20,60,200)", metavar="LIST", parse=parse_counts
    )
    rows: Path | None = _bench(
        None, "keeps rows; those in it are not measured again", metavar="FILE", parse=parse_path
    )
    table: Path | None = _bench(
        None, "also write the table as Markdown", metavar="FILE", parse=parse_path
    )
    no_cache: bool = _read(False, "search again what was searched before", result=False, rare=BOTH)
    no_progress: bool = _print(False, "no progress bar", verbs=("run", "report"), rare=BOTH)
    quiet: bool = _print(
        False, "print warnings and errors alone", verbs=("run", "probe", "report"), rare=BOTH
    )
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
        # Spaces beside the commas do not make another run.
        names = ",".join(name.strip() for name in self.task.split(","))
        object.__setattr__(self, "task", names)
        check_settings(self)

    @property
    def hides_progress(self) -> bool:
        """Whether no progress is to be shown."""
        return self.no_progress or self.quiet

    @property
    def loses_nothing(self) -> bool:
        """Whether layers are written without loss."""
        return self.lossless or self.codec in LOSSLESS_CODECS

    @property
    def is_trimmed(self) -> bool:
        """Whether only a part of the input is read."""
        return self.start is not None or self.end is not None

    @property
    def names_transitions(self) -> bool:
        """Whether the user says where the transitions are."""
        return self.shots is not None or bool(self.transition)

    def given(self, verb: str = "run") -> list[Field[Any]]:
        """Return the options of the command ``verb`` that have another value than their default."""
        return [item for item in options(verb) if getattr(self, item.name) != item.default]

    def kept(self) -> dict[str, object]:
        """Return the settings that can change the layers, as JSON values.

        The manifest keeps them, and two runs are the same if they agree in them.
        """
        wanted = [item.name for item in options("run") if item.metadata["result"]]
        kept = {name: plain(getattr(self, name)) for name in wanted}
        for name in HINTS:
            # One hint is a word, as it was when there could be only one.
            words = [self.hint_known_as(hint) for hint in getattr(self, name)]
            kept[name] = words if len(words) > 1 else next(iter(words), None)
        if self.mark is not None:
            kept["mark"] = self.known_as(self.mark)
        return kept

    @property
    def hint_files(self) -> tuple[Path, ...]:
        """The files of all hints and of the mark, each once."""
        files = [*(hint.file for hint in (*self.hint, *self.hint_background)), self.mark]
        return tuple(dict.fromkeys(file for file in files if file is not None))

    def hint_known_as(self, hint: HintArgument) -> str:
        """Return what the manifest and messages call a hint."""
        return hint.named("" if hint.file is None else self.known_as(hint.file))

    def known_as(self, path: Path) -> str:
        """Return what the manifest calls a file that was given."""
        is_temporary = self.temporary is not None and path.parent == self.temporary
        return path.stem if is_temporary else str(path)


def options(verb: str) -> list[Field[Any]]:
    """Return the fields that are options of the command ``verb``, in the order of the help."""
    wanted = {verb, "run"} if verb == "batch" else {verb}
    of_verb = [item for item in fields(Settings) if wanted & set(item.metadata.get("verbs", ()))]
    return [item for item in of_verb if verb != "batch" or not item.metadata["one_clip"]]


ONE_CLIP = tuple(item.name for item in options("run") if item.metadata["one_clip"])
"""Options of ``run`` that ``batch`` does not have: frames differ from clip to clip, and a batch
begins again by itself."""
