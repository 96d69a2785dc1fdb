"""Run a frame-wise task: survey the whole clip, then separate it window by window.

Layers are written as they come, so memory is bounded by one window, whatever the clip's length.
Windows overlap; their layers are cross-faded there, so that no seam shows. A task is described
by a :class:`Recipe`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.framewise.findings import Findings
from pipeline.framewise.hint import Hints
from pipeline.framewise.layer_files import LayerFiles
from pipeline.framewise.limits import check_layers_fit, max_window_frames
from pipeline.framewise.mark_picture import read_mark
from pipeline.framewise.recipe import Output, Recipe, validated
from pipeline.framewise.statistics import ExpectedQualities, RunStatistics, ShownFrames
from pipeline.framewise.things import FoundThings, requested_things
from pipeline.framewise.window_checkpoints import load_or_separate
from pipeline.framewise.windows import Overview, read_overview, windows
from pipeline.runtime.earlier_run import EarlierRun
from pipeline.runtime.memory import halved_warning, retry_on_oom
from pipeline.runtime.progress import Step
from pipeline.task import BenchClip, FitRecord, Job, Result, Task
from stages.context import FitSettings, Separation, SeparationContext
from stages.dark_bars import Border
from stages.errors import UnlayerError
from stages.media.clip import Frames
from stages.media.sniff import printable
from stages.optim.loss_curves import Curves, Trace, joined, placed, thinned
from stages.storage.checkpoint import Checkpoints, CheckpointStore

__all__ = ["Output", "Recipe", "layered_task", "run_layered"]

FREE_DISK_RESERVE = 4 * 2**30
"""Bytes of disk that checkpoints leave free, in addition to what the layers need."""

WRITING_SHARE = 0.15
"""The part of what is left of a time budget that is kept for writing, 0 to 1."""


@dataclass(frozen=True)
class _Survey:
    """What holds for a whole clip.

    facts: what the recipe's ``survey`` returned. curves: its losses. end: the progress of the run,
    0 to 1, at which they end.
    """

    facts: Any
    curves: Curves
    end: float


def layered_task(
    name: str,
    help: str,
    recipe: Recipe,
    uses: frozenset[str] = frozenset(),
    on_cpu: frozenset[str] = frozenset(),
    bench: BenchClip | None = None,
) -> Task:
    """Return the task that runs ``recipe``; its roles are the recipe's outputs.

    name, help: the task's name on the command line and one line about it.
    uses: which task-specific options it supports, see :data:`pipeline.task.TASK_OPTIONS`.
    on_cpu: the presets that leave a GPU unused.
    bench: the clip that ``bench`` measures the task on.
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
        confidence_roles=tuple(output.role for output in recipe.confidence_outputs()),
    )


def run_layered(job: Job, recipe: Recipe) -> Result:
    """Separate the job's clip as ``recipe`` says; see :class:`pipeline.task.Task`.

    Raises UnlayerError where there is too little memory or disk, or the clip gets shorter.
    """
    return _FramewiseRun(job, recipe).run()


class _FramewiseRun:
    """One run of a recipe over a clip.

    hints: the user's, opened. mark: the user's, as a picture. earlier: the run that is refined,
    where there is one. unordered: whether the input is separate pictures. statistics: what the
    windows report. things: the things of a divided foreground, where the user asked for them.
    expected: how good the layers are expected to be. border: the dark bars around the picture,
    which the recipe does not see. shown: the frames that show what is taken out.
    """

    def __init__(self, job: Job, recipe: Recipe) -> None:
        self.job = job
        self.recipe = recipe
        if job.settings.confidence:
            outputs = *recipe.outputs, *recipe.confidence_outputs()
            self.recipe = replace(recipe, outputs=outputs)
        self.earlier: EarlierRun | None = None
        if job.settings.refine is not None:
            self.earlier = EarlierRun.open(job.settings.refine, job.settings.task)
        self.hints = Hints.open(job, self.earlier)
        self.mark = read_mark(job.settings)
        # Pictures that were given one by one belong together: they form one window.
        self.unordered = job.clip.info.is_picture and len(job.clip.paths) > 1
        self.statistics = RunStatistics()
        self.expected = ExpectedQualities()
        self.border = Border()
        self.shown = ShownFrames()
        self.things: FoundThings | None = None
        if recipe.division is not None and requested_things(job.settings) != 1:
            self.things = FoundThings(recipe.division, requested_things(job.settings))

    def run(self) -> Result:
        """Read, survey, separate and write the clip."""
        job, recipe = self.job, self.recipe
        max_frames = max_window_frames(job, recipe, self.unordered)
        with job.stages.stage("read") as step:
            overview = self._read(max_frames, step)
        with job.stages.stage("survey") as step:
            survey = self._survey(overview, step)
        self.statistics.curves = placed(survey.curves, 0.0, survey.end)
        frame_count = len(overview.times)
        whole = frame_count, 0
        length, overlap = whole if self.unordered else recipe.lengths(max_frames)
        layer_bytes = check_layers_fit(job, recipe, frame_count)
        files = LayerFiles(job, recipe, overview, overlap, self.things)
        with (
            files.open_files,
            job.stages.stage("separate", within=lambda: self.statistics.seconds) as step,
        ):
            findings = self._separate_windows(files, survey, length, layer_bytes, step)
            self._check_count(files.finish(), frame_count)
            sheet = files.sheet()
        self._warn(findings)
        return self._result(overview, files, sheet)

    def _separate_windows(
        self,
        files: LayerFiles,
        survey: _Survey,
        length: int,
        layer_bytes: int,
        step: Step,
    ) -> Findings:
        """Separate the clip window by window, write the layers, and return what windows noted.

        length: frames of a window. layer_bytes: what all layers take on disk.
        """
        first, frame_count = files.overview.first, len(files.overview.times)
        findings = Findings(first, frame_count, pictures=self.job.clip.info.is_picture)
        done = 0
        before: dict[str, Tensor] = {}
        for window in windows(self.job.clip, length, files.overlap, frame_count):
            # A resumed run needs the disk space of the layers that are still to be written.
            to_write = layer_bytes * (frame_count - files.written) // frame_count
            span = done / frame_count, min(1.0, (done + len(window)) / frame_count)
            context = self._window_context(step, window, before, span, frame_count - done)
            separated = self._separate(window, survey.facts, context, FREE_DISK_RESERVE + to_write)
            before = _carried(separated, self.recipe, files.overlap)
            self._add_curves(separated, span, survey.end)
            findings.add(window, separated, self.recipe)
            self.expected.add(window.first, separated)
            self.shown.add(window.first, separated)
            if self.things is not None:
                self.things.add(separated)
            done = files.add(window, separated, survey.facts)
        return findings

    def _read(self, max_frames: int, step: Step) -> Overview:
        """Read the clip once, and check the hints and the earlier run against its frames.

        max_frames: how many frames fit into memory.
        """
        job = self.job
        overview = read_overview(job.clip, min(self.recipe.sample, max(2, max_frames)), step)
        self.hints = self.hints.for_frames(overview.first, len(overview.times))
        self.border = self._border(overview.border)
        if self.earlier is not None:
            self.earlier.check_frames(overview.first, len(overview.times), job.clip.info)
        return overview

    def _border(self, found: Border) -> Border:
        """Return the bars that the recipe is not to see, out of those that were found."""
        recipe = self.recipe
        if not found or not recipe.beyond or (self.unordered and not recipe.bars_of_pictures):
            return Border()
        # What the user marks is looked at, and a mark may lie in a bar.
        return Border() if self.mark is not None or self.hints.any_in(found) else found

    def _check_count(self, written: int, frame_count: int) -> None:
        """Raise UnlayerError where the second reading gave another number of frames."""
        if written != frame_count:
            raise UnlayerError(
                f"{printable(self.job.clip.info.path)}: gave {frame_count} frames on the first "
                f"reading and {written} on the second; is it still being written?"
            )

    def _add_curves(
        self, separated: Separation, span: tuple[float, float], survey_end: float
    ) -> None:
        """Append a window's losses to those of the run.

        span: the window's part of all frames. survey_end: the progress, 0 to 1, at which the
        survey's losses end.
        """
        begin, end = (survey_end + (1 - survey_end) * at for at in span)
        curves = placed(separated.trace, begin, end)
        self.statistics.curves = joined(self.statistics.curves, curves)

    def _warn(self, findings: Findings) -> None:
        """Warn of what the windows noted, and of things that were not found."""
        warnings = findings.warnings()
        if self.things is not None:
            warnings += self.things.warnings(self.recipe.outputs[0].role, findings)
        for text in warnings:
            self.job.stages.warn(text)

    def _survey(self, overview: Overview, step: Step) -> _Survey:
        """Return what holds for the whole clip. Frees the sample afterwards."""
        recipe, keep = self.recipe, self.job.checkpoints
        seconds_left = self.job.budget.left()
        checkpoints = keep.namespace("survey")
        context = self._context(
            step,
            max_seconds=None if seconds_left is None else recipe.surveying * seconds_left,
            hint_frames=overview.sample_frames,
            checkpoints=checkpoints,
        )
        context = self.border.cropped_context(context)
        sample = self.border.cropped(overview.sample)
        overview.sample = torch.empty(0)

        def attempt(halvings: int, checkpoints: Checkpoints) -> tuple[Any, Curves]:
            own = replace(context, reduced=halvings, checkpoints=checkpoints, trace=Trace())
            return recipe.survey(sample, own), own.trace.curves()

        # Results under a time budget are not reproducible: always keep them.
        load_or_compute = keep.compute_and_save
        if self.job.settings.max_seconds is None:
            load_or_compute = keep.get_or_compute
        facts, curves = load_or_compute(
            "survey", lambda: retry_on_oom(attempt, checkpoints)[0], *recipe.kinds
        )
        return _Survey(facts, curves, recipe.surveying if curves else 0.0)

    def _separate(
        self,
        window: Frames,
        survey: Any,
        context: SeparationContext,
        disk_reserve: int,
    ) -> Separation:
        """Return the layers of one window, at a reduced working size if memory is short.

        disk_reserve: bytes of disk that the window's checkpoint must leave free.
        """
        recipe, stages, device = self.recipe, self.job.stages, self.job.device
        checkpoints = self._window_checkpoints(window)
        context, pixels = self.border.cropped_context(context), self.border.cropped(window.pixels)

        def attempt(halvings: int, checkpoints: Checkpoints) -> Separation:
            own = replace(context, reduced=halvings, checkpoints=checkpoints, trace=Trace())
            return load_or_separate(
                checkpoints,
                lambda: validated(recipe.separate(pixels, survey, own), recipe, pixels),
                window,
                own,
                disk_reserve,
            )

        separated, halvings = retry_on_oom(attempt, checkpoints)
        if halvings:
            stages.warn(halved_warning(window.first, window.last, device, halvings))
        self.statistics.add(separated, len(window), halvings)
        return self.border.separation_with_border(separated, recipe.in_bars(), window.pixels)

    def _window_checkpoints(self, window: Frames) -> Checkpoints:
        """Return where the results of one window are kept."""
        return self.job.checkpoints.namespace(f"window-{window.first:06d}")

    def _window_context(
        self,
        step: Step,
        window: Frames,
        before: Mapping[str, Tensor],
        span: tuple[float, float],
        frames_left: int,
    ) -> SeparationContext:
        """Return the context of the ``separate`` call for one window.

        before: layers of the window before, for the frames that both share.
        span: the window's part of the stage's progress.
        frames_left: how many frames have no layers yet, those of this window among them.
        """
        frames = range(window.first, window.last + 1)
        context = self._context(
            step,
            max_seconds=self._seconds_for(len(window), frames_left),
            hint_frames=frames,
            checkpoints=self._window_checkpoints(window),
            span=span,
        )
        earlier_matte = None if self.earlier is None else self.earlier.matte(frames)
        return replace(context, before=before, earlier_matte=earlier_matte)

    def _seconds_for(self, frame_count: int, frames_left: int) -> float | None:
        """Return the seconds that a window may take; ``None`` without a budget."""
        seconds_left = self.job.budget.left()
        if seconds_left is None:
            return None
        return (1 - WRITING_SHARE) * seconds_left * min(1.0, frame_count / max(1, frames_left))

    def _context(
        self,
        step: Step,
        *,
        max_seconds: float | None,
        hint_frames: Sequence[int],
        checkpoints: CheckpointStore,
        span: tuple[float, float] = (0, 1),
    ) -> SeparationContext:
        """Return the context of a call of ``survey`` or ``separate``.

        hint_frames: the frames for which the hints are read.
        span: the part of the stage's progress that the call covers.
        """
        settings = self.job.settings
        begin, end = span

        def progress(fraction: float, note: str) -> None:
            step(begin + (end - begin) * fraction, note)

        return SeparationContext(
            settings=FitSettings(settings.preset, settings.seed, self.job.device, max_seconds),
            progress=progress,
            hint=self.hints.foreground_mask(hint_frames),
            unordered=self.unordered,
            space=settings.space,
            strength=settings.strength,
            checkpoints=checkpoints,
            hint_regions=self.hints.regions(hint_frames, clips=self.earlier is not None),
            most_things=requested_things(settings),
            confidence=settings.confidence,
            force=settings.force,
            mark=self.mark,
            known_things=0 if self.things is None else self.things.highest,
        )

    def _result(self, overview: Overview, files: LayerFiles, sheet: Path) -> Result:
        """Return what the run made. sheet: the file of the contact sheet."""
        settings, frame_count = self.job.settings, len(overview.times)
        means = self.statistics.means()
        figures: dict[str, object] = {**means}
        if sentence := self.recipe.account(means):
            figures["account"] = sentence
        if spans := self.shown.spans():
            figures["shown"] = spans
        if self.things is not None:
            figures |= self.things.figures(self.recipe.outputs[0].role)
        fits: tuple[FitRecord, ...] = ()
        if curves := self.statistics.curves:
            last = overview.first + frame_count - 1
            fits = (FitRecord(settings.task, overview.first, last, thinned(curves)),)
        layers = files.layers
        if self.things is None:
            # What is expected is expected of all things together.
            layers = [self.expected.added_to(layer) for layer in layers]
        return Result(
            tuple(layers),
            None if settings.is_trimmed else frame_count,
            sheets=(sheet,),
            report=figures,
            fits=fits,
        )


def _carried(separated: Separation, recipe: Recipe, overlap: int) -> dict[str, Tensor]:
    """Return copies of the carried layers' last ``overlap`` frames; views would keep the window."""
    names = recipe.carried if overlap else ()
    division = recipe.division
    if names and division is not None and division.layer in separated.layers:
        names = (*names, division.layer)
    return {name: separated.layers[name][-overlap:].clone() for name in names}
