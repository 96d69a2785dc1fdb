"""Separate one transition of a clip and keep its layers on disk until all are written."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.run.manifest import SPACE_NAMES
from pipeline.runtime.memory import (
    check_memory,
    halved_warning,
    planned_bytes,
    retry_on_oom,
    tight_memory_warning,
)
from pipeline.runtime.progress import Step
from pipeline.task import Job
from pipeline.tasks.transition.describe import (
    MIXED,
    describe_transition,
    numbered,
    scene_name,
)
from pipeline.tasks.transition.frame_spool import FrameSpool, spooled_frames
from pipeline.tasks.transition.transition_warnings import (
    lost_detail_warning,
)
from stages.context import FitSettings
from stages.kinds import TRANSITION_KINDS, kind_of_filter
from stages.media.color_tags import ColorTags
from stages.media.frame_cache import FrameCache
from stages.media.sheet import chosen_frames, draw_sheet, write_sheet
from stages.media.sniff import printable
from stages.media.tone import to_display
from stages.optim.loss_curves import Curves
from stages.shots import Analysis, Transition
from stages.storage import safe_files
from stages.storage.checkpoint import Checkpoints
from stages.transition.alternate import STATE_CHECKPOINT
from stages.transition.plan import LEAST_WORK_PIXELS, Plan, bytes_of, within_memory
from stages.transition.separate import TransitionResult, separate_transition
from stages.transition.window import Window

SHEET = "sheet.png"
"""Name of a transition's contact sheet in its checkpoint folder."""

CLEAN_FRAMES = 12
"""Clean frames that the fit gets at each side of a transition, where there are as many."""

CACHE_BYTES = 2**30
"""Bytes of decoded frames that wait on disk, at most: 172 frames of 1920x1080 with 8 bits."""

CACHE_SHARE = 0.25
"""Part of the free disk that they may take; the rest is for the layers."""


@dataclass
class SeparatedTransition:
    """One transition whose separated frames wait on disk, see :class:`FrameSpool`.

    entry: the transition as the manifest describes it.
    sheet: file name of its contact sheet.
    seconds: by step. report: figures for the manifest. plan: the work that was done.
    sides: names of the layers on disk.
    sums: SHA-256 of these layers' files and of the sheet, by file name.
    reduced: how often the working size was halved because memory was short.
    fresh: whether this process separated it, rather than one before it.
    folder: where the files lie.
    trace: losses of the fit.
    """

    transition: Transition
    entry: dict[str, object]
    sheet: str
    seconds: dict[str, float]
    report: dict[str, float]
    plan: dict[str, object]
    sides: tuple[str, ...]
    sums: dict[str, str]
    reduced: int = 0
    fresh: bool = False
    folder: Path | None = None
    trace: Curves = field(default_factory=dict)

    def frames(self, side: str, first: int, last: int) -> torch.Tensor:
        """Read frames of one layer as ``(T, C, H, W)`` float32 in [0, 1].

        side: ``outgoing``, ``incoming`` or ``matte``.
        first, last: frames of the clip, inclusive.
        """
        assert self.folder is not None and side in self.sides
        begin = self.transition.first_frame
        return spooled_frames(self.folder, side, first - begin, last - begin)


def checkpoint_folder(number: int) -> str:
    """Return the folder of transition ``number``, from 0, within the checkpoints."""
    return f"transition-{number + 1:03d}"


def window_of(job: Job, analysis: Analysis, transition: Transition) -> Window:
    """Return the frames for the fit: the mixed ones and up to :data:`CLEAN_FRAMES` at each side."""
    first, last = transition.first_frame, transition.last_frame
    if transition.outgoing is not None:
        shot = analysis.shots[transition.outgoing]
        first = min(first, max(shot.first_frame, first - CLEAN_FRAMES))
    if transition.incoming is not None:
        shot = analysis.shots[transition.incoming]
        last = max(last, min(shot.last_frame, last + CLEAN_FRAMES))
    info = job.clip.info
    # A window shrinks or finishes one frame at a time: shorter blocks only save memory.
    blocks = partial(job.clip.blocks, length=1)
    return Window(blocks, first, last, (info.height, info.width), printable(info.path))


@dataclass(frozen=True)
class TransitionWork:
    """One transition that a run separates.

    number: its place among the ``count`` transitions that the run separates, from 0.
    plan: the work to do.
    """

    job: Job
    analysis: Analysis
    transition: Transition
    number: int
    count: int
    plan: Plan

    @property
    def checkpoints(self) -> Checkpoints:
        """The checkpoints of this transition."""
        return self.job.checkpoints.namespace(checkpoint_folder(self.number))

    @property
    def window(self) -> Window:
        """The frames for the fit."""
        return window_of(self.job, self.analysis, self.transition)

    def name_of(self, what: str) -> str:
        """Return the name of the transition's ``matte``, ``mixed`` frames or ``sheet``."""
        return numbered(what, self.number, self.count)


@dataclass(frozen=True)
class _Fitted:
    """A fitted transition. spool: holds its layers. halvings: of the working size."""

    separated: TransitionResult
    spool: FrameSpool
    halvings: int


def separate(work: TransitionWork, step: Step) -> SeparatedTransition:
    """Separate a transition, or take it from its checkpoint.

    step: gets the progress of all transitions of the run together.

    The layers and the contact sheet are on disk afterwards; the sheet is in the work folder too.
    Raises CheckpointError where a file in the checkpoint was changed.
    """
    job, transition, checkpoints = work.job, work.transition, work.checkpoints

    def progress(fraction: float, note: str) -> None:
        counted = note if work.count == 1 else f"{note} ({work.number + 1} of {work.count})"
        step((work.number + fraction) / work.count, counted)

    def compute() -> SeparatedTransition:
        return _finished(work, _fit(work, progress))

    types = (SeparatedTransition, Transition)
    is_known = checkpoints.newest("parts", *types) is not None
    result = checkpoints.compute_and_save("parts", compute, *types)
    result.fresh = not is_known
    if is_known:
        _verify_files(checkpoints, result, (transition, f"{work.name_of('sheet')}.png"))
    checkpoints.delete(STATE_CHECKPOINT)
    _warn(job, transition, result)
    result.folder = checkpoints.folder
    safe_files.copy(checkpoints.folder / SHEET, job.work / result.sheet)
    return result


def _finished(work: TransitionWork, fitted: _Fitted) -> SeparatedTransition:
    """Draw the contact sheet of a fitted transition, and return all that is kept of it."""
    separated, spool = fitted.separated, fitted.spool
    described = work.transition
    if (name := separated.filter) is not None:
        described = replace(described, kind=kind_of_filter(name), effect=name)
    sheet = work.checkpoints.folder / SHEET
    write_sheet(sheet, _draw_sheet(described, separated, spool, work.job.clip.info.color))
    entry = describe_transition(
        described,
        mix=separated.mix,
        space=separated.space,
        matte=work.name_of("matte") if separated.has_matte else None,
        mixed=work.name_of(MIXED) if work.transition.is_held else None,
        expected_psnr=separated.confidence,
    )
    return SeparatedTransition(
        transition=work.transition,
        entry=entry,
        sheet=f"{work.name_of('sheet')}.png",
        seconds=separated.seconds,
        report=separated.report,
        plan=separated.plan,
        sides=spool.sides,
        sums={**spool.checksums(), SHEET: safe_files.checksum(sheet)},
        reduced=fitted.halvings,
        trace=separated.trace,
    )


def _verify_files(
    checkpoints: Checkpoints, result: SeparatedTransition, expected: tuple[Transition, str]
) -> None:
    """Check that the files of a kept transition are those that its fit wrote.

    expected: the transition and the sheet's name that the kept result must have.
    Raises CheckpointError where a file was changed, or where the result is of another transition.
    """
    is_same = (result.transition, result.sheet) == expected
    for name in (*(f"{side}.npy" for side in result.sides), SHEET):
        checkpoints.verify(name, result.sums.get(name) if is_same else None)


def _warn(job: Job, transition: Transition, result: SeparatedTransition) -> None:
    """Warn of detail that the transition took away, and of a working size that was halved."""
    if TRANSITION_KINDS[str(result.entry["kind"])].filters:
        job.stages.warn(lost_detail_warning(transition, str(result.entry.get("effect"))))
    if result.reduced:
        first, last = transition.first_frame, transition.last_frame
        job.stages.warn(halved_warning(first, last, job.device, result.reduced))


def _fit(work: TransitionWork, progress: Step) -> _Fitted:
    """Fit one transition and write its layers to disk.

    The working size is halved where the GPU's memory is too small.
    """
    job, transition, checkpoints = work.job, work.transition, work.checkpoints
    frames = f"frames {transition.first_frame} to {transition.last_frame}"
    progress(0.0, frames)
    window, plan = work.window, work.plan
    if not transition.is_held:
        plan = _within_memory(job, plan, window, len(transition), frames)
    settings = FitSettings(job.settings.preset, job.settings.seed, job.device)
    cache = FrameCache(job.clip, window.first, window.last, job.work, _cache_limit(job))
    # Scenes that are held or move as a whole need each frame once, and few of the clean ones.
    if TRANSITION_KINDS[transition.kind].undo not in ("hold", "placement"):
        window = replace(window, blocks=cache.blocks)

    def attempt(halvings: int, own: Checkpoints) -> tuple[TransitionResult, FrameSpool]:
        with _new_spool(work) as spool:
            separated = separate_transition(
                window,
                transition,
                settings=settings,
                progress=progress,
                put=spool,
                plan=_halved(plan, window, halvings),
                checkpoints=own,
            )
        return separated, spool

    with closing(cache):
        (separated, spool), halvings = retry_on_oom(attempt, checkpoints)
    return _Fitted(separated, spool, halvings)


def _new_spool(work: TransitionWork) -> FrameSpool:
    """Return an empty spool for a transition's layers."""
    return FrameSpool(
        work.checkpoints.folder,
        work.transition,
        deep=work.job.clip.info.bit_depth > 8,
        sheet_places=chosen_frames(len(work.transition)),
    )


def _halved(plan: Plan, window: Window, halvings: int) -> Plan:
    """Return the plan with its working size, at most that of the window, halved so many times."""
    if not halvings:
        return plan
    return replace(plan, pixels=min(plan.pixels, window.size[0] * window.size[1]) >> halvings)


def _cache_limit(job: Job) -> int:
    """Return how many bytes of disk the decoded frames of a window may take."""
    return min(CACHE_BYTES, int(CACHE_SHARE * shutil.disk_usage(job.work).free))


def _within_memory(job: Job, plan: Plan, window: Window, mixed_count: int, frames: str) -> Plan:
    """Return the plan with a working size that fits into memory; warn where memory is tight.

    mixed_count: how many frames of the window are mixed.
    frames: what messages call them.
    Raises UnlayerError where even the smallest working size needs too much.
    """
    height, width = window.size
    clean_count = window.last - window.first + 1 - mixed_count
    name = f"{window.name}: {frames} of {width}x{height}"
    least = bytes_of(LEAST_WORK_PIXELS, mixed_count, clean_count, height * width)
    warning = check_memory(least, job.settings, name)
    available = max(least, planned_bytes(job.settings))
    bounded = within_memory(plan, available, mixed_count, clean_count, height * width)
    used = bytes_of(bounded.pixels, mixed_count, clean_count, height * width)
    for text in filter(None, (warning, tight_memory_warning(used, name))):
        job.stages.warn(text)
    return bounded


def _draw_sheet(
    transition: Transition, separated: TransitionResult, spool: FrameSpool, color: ColorTags
) -> NDArray[np.uint8]:
    """Return the contact sheet of one transition."""
    shots = {"outgoing": transition.outgoing, "incoming": transition.incoming}
    rows = {}
    for name, pictures in spool.rows.items():
        row = torch.stack(pictures)
        shot = shots.get(name)
        label = name if shot is None else scene_name(shot)
        rows[label] = row if name == "matte" else to_display(row, color)
    first, last = transition.first_frame, transition.last_frame
    numbers = [first + place for place in chosen_frames(len(transition))]
    title = f"{transition.kind}, frames {first} to {last}"
    if transition.is_held:
        return draw_sheet(rows, numbers, title=f"{title}, not taken apart")
    title = f"{title}, mixed in {SPACE_NAMES[separated.space]}"
    return draw_sheet(rows, numbers, separated.mix, first, title=title)
