"""How long a run will take on this machine, and how much memory: measured on a small piece in a few seconds, and scaled up.

An estimate, no more: clips differ in what moves, and machines in what else they do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from pipeline.framewise.recipe import Recipe
from pipeline.runtime.memory import BASE, planned
from pipeline.runtime.progress import Silent, Stages
from pipeline.runtime.scratch import save_frames
from pipeline.tasks import Budget, Job, Result, Task, blaming
from pipeline.tasks.transition.separate import window_of
from stages.checkpoint import Checkpoints
from stages.context import FitSettings
from stages.errors import UnlayerError
from stages.media.clip import Frames
from stages.media.read import Clip, open_clip
from stages.media.write import LayerWriter
from stages.optim.timing import seconds_of
from stages.shots import Analysis
from stages.transition.plan import LARGEST, Costs, Plan, bytes_of, plans_for, within_memory
from stages.transition.separate import open_mixture

MEASURE = 5.0
"""Seconds that a piece may take before its end is guessed from how far it has come."""

NOT_APART = ("read", "survey", "write")
"""Stages in which nothing is taken apart."""

SMALL = 64 * 36
"""Pixels of the smallest piece; where that is soon done, one of four times as many follows."""

GROWTH = 0.6
"""The power of the pixels with which seconds grow where only one piece was measured: much of the work is done at a size of its own."""


@dataclass(frozen=True)
class Estimate:
    """seconds: by stage. more: seconds that may come on top, where the networks are needed. memory: the largest, in bytes.
    plans: the work on each transition. layers: name, role and suffix, where they were seen. notes: what makes it less sure."""

    seconds: dict[str, float]
    memory: int
    more: float = 0.0
    plans: tuple[dict[str, object], ...] = ()
    layers: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """Seconds in all, the middle of what may be."""
        return sum(self.seconds.values()) + self.more / 2


def of_transitions(job: Job, analysis: Analysis) -> Estimate:
    """For the task ``transition``: a step of each kind is measured, and counted as often as the plans have it."""
    mixed = [item for item in analysis.transitions if item.separable]
    full = job.clip.info.width * job.clip.info.height
    seconds, more = {}, 0.0
    plans: list[Plan] = []
    taken: list[int] = []
    if mixed:
        mixture = open_mixture(window_of(job, analysis, mixed[0]), mixed[0], LARGEST)
        settings = FitSettings(
            job.settings.preset, job.settings.seed, job.device, job.settings.max_seconds
        )
        paper = settings.preset == "paper"
        costs = Costs(mixture, settings, paper=paper)
        plans = plans_for(mixture, [len(item) for item in mixed], settings, costs)
        windows = [window_of(job, analysis, item) for item in mixed]
        counts = [
            (len(item), window.last - window.first + 1 - len(item))
            for item, window in zip(mixed, windows, strict=True)
        ]
        plans = [
            within_memory(plan, planned(job.settings), *count, full)
            for plan, count in zip(plans, counts, strict=True)
        ]
        taken = [
            bytes_of(plan.pixels, *count, full) for plan, count in zip(plans, counts, strict=True)
        ]
        if paper:
            seconds["networks"] = sum(plan.paper_steps * costs.paper for plan in plans)
        else:
            seconds["separate"] = sum(
                costs.of(replace(plan, fit_steps=0), len(item))
                for plan, item in zip(plans, mixed, strict=True)
            )
            more = sum(plan.fit_steps * costs.fit for plan in plans)
    decode, encode = _files(job)
    covered = [analysis.covered(shot) for shot in range(len(analysis.shots))]
    seconds["write"] = (
        analysis.frames * decode + sum(last - first + 1 for first, last in covered) * encode
    )
    return Estimate(
        seconds, BASE + max(taken, default=0), more, tuple(asdict(plan) for plan in plans)
    )


def _files(job: Job) -> tuple[float, float]:
    """Seconds to decode a frame, and to encode one of a layer, in full."""
    blocks = job.clip.blocks(length=8)
    began = time.monotonic()
    block = next(blocks)
    decode = (time.monotonic() - began) / len(block)
    lossless = job.settings.lossless
    writer = LayerWriter(
        job.work / "piece", job.clip.info, lossless=lossless, pictures=job.clip.info.is_picture
    )
    frames = Frames(block.pixels[:1], block.times[:1]) if job.clip.info.is_picture else block

    def encode() -> None:
        with writer:
            writer.write(frames)

    return decode, seconds_of(encode) / len(frames)


class _EnoughError(UnlayerError):
    """The time for measuring is over."""


class _Watch(Silent):
    """Ends a run that takes too long; knows how far it has come, and what each part of taking apart took, by its note."""

    def __init__(self, until: float) -> None:
        self.until, self.stage, self.fraction, self.note = until, "", 0.0, ""
        self.at, self.since = time.monotonic(), (0.0, 0.0)
        self.spent: dict[str, float] = {}
        self.stopped = ""

    def begin(self, stage: str) -> None:
        self._count(0.0, "")
        self.stage = stage

    def step(self, stage: str, fraction: float, note: str) -> None:
        self._count(fraction, note)
        if self.at > self.until:
            self.stopped = stage
            raise _EnoughError

    def end(self, stage: str, seconds: float) -> None:
        if not self.stopped:
            self._count(0.0, "")
        self.stage = ""

    def _count(self, fraction: float, note: str) -> None:
        before, self.at = self.at, time.monotonic()
        if self.stage not in ("", *NOT_APART):
            # A note is told when its part begins.
            self.spent[self.note] = self.spent.get(self.note, 0.0) + self.at - before
        if note != self.note:
            self.since = self.at, fraction
        self.fraction, self.note = fraction, note

    def guess(self) -> None:
        """Counts what is left of taking apart as going on as its last part did, or where that is not seen, as all of it did."""
        began, fraction = self.since
        gone, seconds = self.fraction - fraction, self.at - began
        if gone < 0.02:
            gone, seconds = max(0.01, self.fraction), sum(self.spent.values())
        self.spent[self.note] = (
            self.spent.get(self.note, 0.0) + (1 - self.fraction) * seconds / gone
        )

    def warn(self, text: str) -> None:
        pass


@dataclass
class _Piece:
    """What a piece took: seconds to look at it first, and to take it apart, by its notes; ``whole``: to its end, not guessed."""

    pixels: int
    survey: float = 0.0
    separate: Mapping[str, float] = field(default_factory=dict)
    whole: bool = True
    result: Result | None = field(default=None, repr=False)


def of_frames(
    job: Job, task: Task, frames: int, clock: Callable[[], float] = time.monotonic
) -> Estimate:
    """For a task that splits every frame alike, ``frames`` of them: the task itself takes a window of them apart, made small."""
    info, full = job.clip.info, job.clip.info.width * job.clip.info.height
    unordered = info.is_picture
    recipe = task.recipe if isinstance(task.recipe, Recipe) else None
    bytes_each = (recipe.memory if recipe else Recipe.memory) * 3 * full
    room = max(3, int(planned(job.settings) / bytes_each))
    window = frames if unordered else max(3, min(recipe.window if recipe else Recipe.window, room))
    shared = 0 if unordered else min(recipe.overlap if recipe else Recipe.overlap, window // 3)
    windows = max(1, math.ceil((frames - shared) / max(1, window - shared)))
    count = min(frames, window)
    limits = recipe.limits if recipe else {}
    # As large as what never grows: that is seen as it is then.
    small = max(SMALL, min(limits.values(), default=SMALL))
    began = clock()
    pieces = [_take_apart(job, task, count, min(full, small), began + MEASURE)]
    if pieces[0].whole and pieces[0].pixels < full and clock() - began < MEASURE / 2:
        larger = _take_apart(job, task, count, min(full, 4 * small), clock() + MEASURE)
        pieces += [larger] if larger.whole else []
    last = pieces[-1]
    growth = _growth(pieces)
    # What is done at a size of its own grows no further.
    sizes = {
        note: (min(full, limits.get(note, full)), min(last.pixels, limits.get(note, full)))
        for note in last.separate
    }
    separate = sum(
        spent * (sizes[note][0] / sizes[note][1]) ** growth for note, spent in last.separate.items()
    )
    decode, encode = _files(job)
    layers = len({layer.role for layer in last.result.layers}) if last.result else len(task.roles)
    seconds = {
        "survey": (full / last.pixels) ** growth * last.survey,
        "separate": separate * (frames + shared * (windows - 1)) / count,
        "files": frames * (2 * decode + layers * encode),
    }
    notes = (
        ()
        if last.whole
        else (
            "even a small piece was not done in time; these seconds may be wrong by several times",
        )
    )
    memory = BASE + bytes_each * count
    named = (
        tuple((layer.name, layer.role, layer.path.suffix) for layer in last.result.layers)
        if last.result
        else ()
    )
    return Estimate(seconds, int(memory), layers=named, notes=notes)


def _growth(pieces: Sequence[_Piece]) -> float:
    """The power of the pixels with which the seconds grow, from two sizes where there are."""
    before, after = (
        piece.survey + sum(piece.separate.values()) for piece in (pieces[0], pieces[-1])
    )
    if len(pieces) < 2 or min(before, after) <= 0:
        return GROWTH
    seen = math.log(after / before) / math.log(pieces[-1].pixels / pieces[0].pixels)
    # In small pictures what is paid once for each operation hides what grows.
    return (min(1.1, max(GROWTH, seen)) + 1) / 2


def _take_apart(job: Job, task: Task, count: int, pixels: int, until: float) -> _Piece:
    """Runs the task on the first ``count`` frames that the trim leaves, with about ``pixels`` each."""
    info = job.clip.info
    share = math.sqrt(min(1.0, pixels / (info.width * info.height)))
    size = max(1, round(info.height * share)), max(1, round(info.width * share))
    room = job.work / f"{size[0]}-{count}"
    (room / "work").mkdir(parents=True)
    first = next(job.clip.blocks(size=(1, 1), length=1)).first
    clip = _shrunk(job.clip, room, first, count, size)
    hint = (
        None
        if job.settings.hint is None
        else _shrunk_hint(job.settings.hint, room, first, count, size)
    )
    settings = replace(job.settings, hint=hint, max_seconds=None, start=None, end=None)
    watch = _Watch(until)
    stages = Stages(watch)
    piece = _Piece(size[0] * size[1])
    small = Job(
        clip,
        settings,
        job.device,
        room / "work",
        stages,
        Budget(None),
        Checkpoints(room / "keep", "measured"),
    )
    try:
        with blaming(task.name):
            piece.result = task.run(small)
    except _EnoughError:
        piece.whole = False
    piece.survey = stages.seconds.get("survey", 0.0)
    if watch.stopped in ("read", "survey"):
        piece.survey /= max(0.01, watch.fraction) if watch.stopped == "survey" else 1.0
        # Where it did not come so far, as long again is the best guess there is.
        watch.spent = {"": piece.survey}
    elif not piece.whole:
        watch.guess()
    piece.separate = watch.spent
    return piece


def _shrunk(clip: Clip, room: Path, first: int, count: int, size: tuple[int, int]) -> Clip:
    """A few frames of a clip as a clip of their own."""
    frames = clip.frames(first, first + count - 1, size)
    if clip.info.is_picture:
        paths = [
            save_frames(room / f"{index:03d}", one[None], 8, Fraction(25), picture=True)
            for index, one in enumerate(frames.pixels)
        ]
        return open_clip(paths)
    return open_clip(
        [save_frames(room / "piece", frames.pixels, 8, clip.info.rate)], interlaced="keep"
    )


def _shrunk_hint(path: Path, room: Path, first: int, count: int, size: tuple[int, int]) -> Path:
    hint = open_clip([path], interlaced="keep")
    picture = hint.info.is_picture
    frames = hint.frames(0, 0, size) if picture else hint.frames(first, first + count - 1, size)
    return save_frames(room / "hint", frames.pixels, 8, Fraction(25), picture=picture)
