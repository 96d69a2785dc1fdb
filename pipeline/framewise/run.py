"""Runs a task that splits every frame into the same layers: survey the whole clip, separate it window by window, write as it goes.

Memory is bounded by one window whatever the clip's length. Windows overlap; their layers are faded into each other there, so that no
seam shows. A task says what its layers are called and brings two functions, see :class:`Recipe`.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.framewise.findings import Findings
from pipeline.framewise.hint import Hint
from pipeline.framewise.layer_files import LayerFiles
from pipeline.framewise.recipe import Output, Recipe, checked
from pipeline.framewise.windows import Overview, look, windows
from pipeline.runtime.memory import (
    check_enough,
    check_room,
    planned,
    retry_on_oom,
    say_halved,
    say_tight,
)
from pipeline.runtime.progress import Step
from pipeline.task import BenchClip, FitRecord, Job, Result, Task
from stages.checkpoint import Checkpoints, CheckpointStore
from stages.context import FitSettings, Note, Separation, SeparationContext
from stages.errors import UnlayerError
from stages.media.clip import Frames
from stages.media.sniff import printable
from stages.optim.loss_curves import Curves, Trace, joined, placed, thinned

__all__ = ["Output", "Recipe", "layered_task", "nearest_folder", "run_layered"]

SPARE = 4 * 2**30
"""Bytes of disk that checkpoints leave free, beside what the layers need."""
_STEPS = 65535
WRITING = 0.15  # part of what is left of a budget that is kept for writing


def layered_task(
    name: str,
    help: str,
    recipe: Recipe,
    uses: frozenset[str] = frozenset(),
    on_cpu: frozenset[str] = frozenset(),
    bench: BenchClip | None = None,
) -> Task:
    """Return the task that does ``recipe``; its roles are the recipe's outputs.

    uses: which of the options that only some tasks have. on_cpu: the presets that leave a GPU
    unused. bench: the clip that ``bench`` measures the task on.
    """
    roles = tuple(output.role for output in recipe.outputs)
    return Task(
        name,
        help,
        roles,
        lambda job: run_layered(job, recipe),
        uses,
        recipe=recipe,
        on_cpu=on_cpu,
        bench=bench,
    )


def run_layered(job: Job, recipe: Recipe) -> Result:
    """Does ``recipe`` on the job's clip; see :class:`pipeline.task.Task`."""
    hint = Hint.of(job)
    unordered = job.clip.info.is_picture and len(job.clip.paths) > 1
    seconds: dict[str, float] = defaultdict(float)
    most = _room(job, recipe, unordered)
    with job.stages.stage("read") as step:
        seen = look(job.clip, min(recipe.sample, max(2, most)), step)
        if hint is not None:
            hint.check(seen.first + len(seen.times))
    with job.stages.stage("survey") as step:
        facts, told = _survey(job, recipe, seen, hint, unordered, step)
    begin = recipe.surveying if told else 0.0
    told = placed(told, 0.0, begin)
    report: dict[str, list[tuple[float, int]]] = defaultdict(list)
    # Pictures that were given one by one belong together: they are one window.
    length, overlap = (len(seen.times), 0) if unordered else recipe.lengths(job.clip.info, most)
    size = 0
    if job.settings.lossless and not job.clip.info.is_picture:
        # Without loss video takes about half of its values.
        values = (
            3 * job.clip.info.height * job.clip.info.width * len(seen.times) * len(recipe.outputs)
        )
        size = values * (2 if job.clip.info.bit_depth > 8 else 1) // 2
        check_room(job.work, size)
    files = LayerFiles(job, recipe, seen, unordered, overlap)
    findings = Findings(seen.first, len(seen.times), pictures=job.clip.info.is_picture)
    with files.open, job.stages.stage("separate", within=lambda: seconds) as step:
        done = 0
        for window in windows(job.clip, length, overlap):
            left = len(seen.times) - done
            share = (
                None
                if job.budget.left() is None
                else (1 - WRITING)
                * (job.budget.left() or 0.0)
                * min(1.0, len(window) / max(1, left))
            )
            marks = hint.frames(range(window.first, window.last + 1)) if hint else None
            span = done / len(seen.times), min(1.0, (done + len(window)) / len(seen.times))
            room = job.keep.within(f"window-{window.first:06d}")
            brief = _brief(job, share, step, marks, unordered, room, span)
            # What is kept leaves the room that the layers still to be written need, so that a resumed run has it too.
            spare = SPARE + size * (len(seen.times) - files.written) // len(seen.times)

            def separate(
                times: int,
                keeper: Checkpoints,
                window: Frames = window,
                brief: SeparationContext = brief,
                spare: int = spare,
            ) -> Separation:
                again = replace(brief, reduced=times, keeper=keeper, trace=Trace())
                return _kept(
                    keeper,
                    lambda: checked(
                        recipe.separate(window.pixels, facts, again), recipe, window.pixels
                    ),
                    window,
                    again,
                    spare,
                )

            separated, reduced = retry_on_oom(separate, room)
            told = joined(told, placed(separated.trace, *(begin + (1 - begin) * at for at in span)))
            if reduced:
                job.stages.warn(say_halved(window.first, window.last, job.device, reduced))
            report["reduced"].append((reduced, len(window)))
            for name, spent in separated.seconds.items():
                seconds[name] += spent
            for name, value in separated.report.items():
                report[name].append((value, len(window)))
            findings.add(window, separated, recipe)
            done = files.add(window, separated, facts)
        done = files.finish()
        if done != len(seen.times):
            raise UnlayerError(
                f"{printable(job.clip.info.path)}: gave {done} frames on the second reading and {len(seen.times)} on the first; "
                "is it still being written?"
            )
        sheet = files.sheet()
    for text in findings.warnings():
        job.stages.warn(text)
    means = {
        name: round(
            sum(value * weight for value, weight in values) / sum(weight for _, weight in values), 4
        )
        for name, values in sorted(report.items())
    }
    trimmed = job.settings.start is not None or job.settings.end is not None
    fits = (
        (FitRecord(job.settings.task, seen.first, seen.first + len(seen.times) - 1, thinned(told)),)
        if told
        else ()
    )
    figures: dict[str, object] = {**means}
    if sentence := recipe.account(means):
        figures["account"] = sentence
    return Result(
        tuple(files.layers),
        None if trimmed else len(seen.times),
        sheets=(sheet,),
        report=figures,
        fits=fits,
    )


def _survey(
    job: Job, recipe: Recipe, seen: Overview, hint: Hint | None, unordered: bool, step: Step
) -> tuple[Any, Curves]:
    """What holds for the whole clip, and the losses on the way to it. The sample is let go afterwards."""
    share = None if job.budget.left() is None else recipe.surveying * (job.budget.left() or 0.0)
    room = job.keep.within("survey")
    brief = _brief(job, share, step, hint.frames(seen.kept) if hint else None, unordered, room)
    sample, seen.sample = seen.sample, torch.empty(0)

    def survey(times: int, keeper: Checkpoints) -> tuple[Any, Curves]:
        again = replace(brief, reduced=times, keeper=keeper, trace=Trace())
        return recipe.survey(sample, again), again.trace.curves()

    # What a budget decides would come out differently the next time.
    keep = (
        job.keep.get_or_compute if job.settings.max_seconds is None else job.keep.compute_and_save
    )
    return keep("survey", lambda: retry_on_oom(survey, room)[0], *recipe.kinds)


def _room(job: Job, recipe: Recipe, unordered: bool) -> int:
    """How many frames a window may have by the memory there is. Raises UnlayerError where it has no room for the fewest."""
    info = job.clip.info
    each = recipe.memory * 3 * info.height * info.width
    least = len(job.clip.paths) if unordered else 1 if info.frames == 1 else 3

    def frames(count: int) -> str:
        return f"{printable(info.path)}: {f'{count} frames' if count > 1 else 'a frame'} of {info.width}x{info.height}"

    most = max(least, int(planned(job.settings) / each))
    window = least if unordered else min(recipe.lengths(info, most)[0], info.frames or most)
    for warning in (
        check_enough(each * least, job.settings, frames(least)),
        say_tight(each * window, frames(window)),
    ):
        if warning:
            job.stages.warn(warning)
    return most


def _brief(
    job: Job,
    share: float | None,
    step: Step,
    hint: Tensor | None,
    unordered: bool,
    keeper: CheckpointStore,
    at: tuple[float, float] = (0, 1),
) -> SeparationContext:
    settings = FitSettings(
        preset=job.settings.preset, seed=job.settings.seed, device=job.device, max_seconds=share
    )
    begin, end = at

    def progress(done: float, note: str) -> None:
        step(begin + (end - begin) * done, note)

    return SeparationContext(
        settings,
        progress,
        hint,
        unordered,
        job.settings.space,
        job.settings.strength,
        keeper=keeper,
    )


def _kept(
    room: Checkpoints,
    separate: Callable[[], Separation],
    window: Frames,
    brief: SeparationContext,
    spare: int,
) -> Separation:
    """A window's layers, from the checkpoint where they are in one; in steps of 1/65535, as which they are kept, in any case.

    Such steps hold values of 8 and 16 bits exactly. Where the disk has no room for more windows and ``spare`` bytes nothing is kept.
    """

    def work() -> Separation:
        made = separate()
        coarse = {
            name: (pixels.clamp(0, 1) * _STEPS).round().to(torch.int32).to(torch.uint16)
            for name, pixels in made.layers.items()
        }
        return Separation(
            coarse,
            made.shared,
            dict(made.report),
            dict(made.seconds),
            brief.trace.curves(),
            made.notes,
        )

    size = 2 * 3 * window.pixels.numel()
    scarce = shutil.disk_usage(nearest_folder(room.folder)).free < spare + 4 * size
    kept = work() if scarce else room.get_or_compute("layers", work, Separation, Note)
    fine = {name: pixels.to(torch.int32).float() / _STEPS for name, pixels in kept.layers.items()}
    return Separation(fine, kept.shared, kept.report, kept.seconds, kept.trace, kept.notes)


def nearest_folder(path: Path) -> Path:
    """``path``, or the nearest folder above it that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
