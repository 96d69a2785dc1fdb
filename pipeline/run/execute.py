"""Do one run, from the settings to the finished folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pipeline import __version__
from pipeline.option_names import with_options
from pipeline.program import invocation
from pipeline.report.attach import LOSSES, PAGE, attach
from pipeline.report.watch import RunWatch, SeenFrames
from pipeline.run import manifest
from pipeline.run.chain_folders import clear_chain, interrupted_steps, remove_runs
from pipeline.run.device import pick_device
from pipeline.run.error_lines import explaining_errors
from pipeline.run.folder_names import default_folder, refuse_input_as_folder
from pipeline.run.input_guard import INPUT_STATES, InputChangedError, InputGuard, states_of
from pipeline.run.input_notes import alpha_note, notes_of
from pipeline.run.inputs import device_warning, input_warnings, overrun_warning
from pipeline.run.opening import open_checked
from pipeline.run.restart import RESTARTED, with_restart
from pipeline.runtime.earlier_run import with_earlier_hints
from pipeline.runtime.folder_decision import Request
from pipeline.runtime.progress import Reporter, Stages
from pipeline.runtime.remote_store import store_at
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import HINT, REFINED, REPORT, Identity, write_json
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.task import Budget, Job, Result, Task
from pipeline.tasks import check_options, find_task, shadowed_task_warning
from pipeline.timeline.write import (
    add_timelines,
    check_rate,
    file_names,
    variable_rate_warning,
    write_timelines,
)
from stages.errors import UnlayerError
from stages.media.read import Clip
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation
from stages.storage import safe_files
from stages.storage.checkpoint import Checkpoints

BuildManifest = Callable[[Sequence[str], str | None], dict[str, Any]]
"""Returns the manifest, given the names of the report's files and of the run's thumbnail."""


class PerformedRun(NamedTuple):
    """A finished run.

    folder: its own. manifest: the contents of its manifest; ``None`` where the run was finished
    before.
    """

    folder: Path
    manifest: Mapping[str, object] | None


@dataclass(frozen=True)
class _OpenedRun:
    """What is fixed before a run's task begins.

    guard: notices when a file that the run reads changes. sums: the SHA-256 of each input.
    identity: what tells this run from others in the same folder.
    """

    settings: Settings
    task: Task
    clip: Clip
    device: torch.device
    stages: Stages
    budget: Budget
    guard: InputGuard
    sums: Sequence[str]
    identity: Identity


def perform(settings: Settings, reporting: Reporter) -> PerformedRun:
    """Do the run without printing anything but progress. Raises UnlayerError.

    reporting: shows the progress; it is closed afterwards.
    """
    with one_thread_an_operation(partial(cores, settings.threads)):
        return _perform(settings, reporting)


def _perform(settings: Settings, reporting: Reporter) -> PerformedRun:
    """Do as :func:`perform`; the caller has set the number of threads.

    Opens the input, claims the folder, and does the task unless the folder holds this run already.
    """
    budget = Budget(settings.max_seconds)
    task = find_task(settings.task)
    check_options(task, settings)
    settings, lost_hints = with_earlier_hints(settings)
    device = pick_device(settings.device)
    stages = Stages(reporting)
    for warning in (shadowed_task_warning(task.name), device_warning(settings, task, device)):
        if warning is not None:
            stages.warn(warning)
    out = settings.out or default_folder(settings)
    refuse_input_as_folder(settings, out)
    try:
        clip = _open(settings, stages, lost_hints)
        guard = InputGuard([*clip.paths, *settings.hint_files])
        with claim(out) as folder, explaining_errors(clip, folder, device):
            with stages.stage("checksum"):
                sums = manifest.checksums(settings.inputs, clip)
            guard.remember_checksums(sums if tuple(settings.inputs) == clip.paths else [])
            identity = manifest.identity(settings, sums)
            opened = _OpenedRun(
                settings=settings,
                task=task,
                clip=clip,
                device=device,
                stages=stages,
                budget=budget,
                guard=guard,
                sums=sums,
                identity=identity,
            )
            if prepare_folder(folder, identity, settings, task.all_roles):
                return PerformedRun(out, _do_task(opened, folder))
            if settings.timeline:
                add_timelines(folder, settings.timeline, clip.info)
            return PerformedRun(out, None)
    finally:
        stages.reporter.close()


def _open(settings: Settings, stages: Stages, lost_hints: Sequence[str]) -> Clip:
    """Open the input and warn of what is known of it before any frame is decoded.

    lost_hints: a warning for each hint of an earlier run that is not there any more.
    """
    with stages.stage("open"):
        clip = open_checked(settings)
        check_rate(settings.timeline, clip.info)
        for warning in (*input_warnings(settings), *lost_hints):
            stages.warn(warning)
    return clip


def _do_task(opened: _OpenedRun, folder: RunFolder) -> dict[str, Any]:
    """Do the task in the prepared folder, publish its files, and return the manifest."""
    settings, stages, clip = opened.settings, opened.stages, opened.clip
    if folder.restarted:
        stages.warn(RESTARTED)
    for note in notes_of(clip.info, settings):
        stages.warn(note)
    with tidying_up(folder):
        stages.check = opened.guard.check
        watch = _watch(opened, folder.work)
        job = Job(
            clip=clip,
            settings=settings,
            device=opened.device,
            work=folder.work,
            stages=stages,
            budget=opened.budget,
            checkpoints=checkpoints(folder, opened.identity, settings.store),
            sums=opened.sums,
            watch=watch,
        )
        result = with_restart(opened.task.run, job, folder.forget, opened.guard)
        opened.guard.check()
        _warn_of_results(opened)
        timelines = _timelines(opened, result, folder.work)
        build_manifest = partial(_build_manifest, opened, result, [path.name for path in timelines])
        losses = manifest.describe_fits(result.fits)
        seen = None if watch is None else watch.seen
        contents, names = with_report(build_manifest, job, losses, seen)
        layers = [path for layer in result.layers for path in (layer.path, *layer.sounds)]
        report_files = [folder.work / name for name in names]
        files = [*layers, *result.sheets, *timelines, *report_files]
        # The folder may hold a finished run of several tasks, which this one replaces.
        clear_chain(folder)
        folder.publish(files, contents, opened.identity)
    return contents


def _watch(opened: _OpenedRun, work: Path) -> RunWatch | None:
    """Return what sees the frames for the report; None where a budget limits its previews."""
    if opened.settings.max_seconds is not None:
        return None
    return RunWatch(opened.clip, work, partial(_build_manifest, opened))


def _warn_of_results(opened: _OpenedRun) -> None:
    """Warn of what is known only after the task's work."""
    clip, stages = opened.clip, opened.stages
    for note in alpha_note(clip):
        stages.warn(note)
    if clip.salvaged is not None:
        name = printable(clip.info.path)
        stages.warn(f"{name}: is damaged; {clip.salvaged} frames of it could be decoded")
    late = overrun_warning(opened.settings, opened.budget.spent())
    if late is not None:
        stages.warn(late)


def _timelines(opened: _OpenedRun, result: Result, work: Path) -> list[Path]:
    """Write the timelines that the user asked for, and return their paths.

    The layers are done already, so whatever goes wrong here only becomes a warning.
    """
    formats, info = opened.settings.timeline, opened.clip.info
    if not formats:
        return []
    if result.variable_rate:
        opened.stages.warn(variable_rate_warning(info))
    try:
        return write_timelines(work, formats, _build_manifest(opened, result), info)
    except Exception as error:
        opened.stages.warn(
            f"the layers are done, but no timeline could be made ({type(error).__name__}: "
            f"{error}); the same command tries again"
        )
        return []


def _build_manifest(
    opened: _OpenedRun,
    result: Result,
    timelines: Sequence[str] = (),
    report_files: Sequence[str] = (),
    thumbnail: str | None = None,
) -> dict[str, Any]:
    """Return the contents of the run's manifest.

    timelines, report_files: names of files in the run's folder. thumbnail: the name of the picture
    that stands for the run, where there is one.
    """
    outcome = manifest.RunOutcome(
        device=opened.device,
        seconds=opened.budget.spent(),
        stages=opened.stages.seconds,
        warnings=opened.stages.warnings,
        report_files=report_files,
        thumbnail=thumbnail,
        hint_sha256=opened.identity.get(HINT),
        refined_sha256=opened.identity.get(REFINED),
        timelines=timelines,
    )
    return manifest.build(opened.settings, opened.sums, opened.clip.info, result, outcome)


def version_fingerprint() -> list[str]:
    """Return the versions that can change the layers.

    A run does not use the checkpoints of other versions.
    """
    return [__version__, torch.__version__]


def request_of(settings: Settings) -> Request:
    """Return what the settings ask for where there is a run in the folder already."""
    return Request.of(resume=settings.resume, overwrite=settings.overwrite, anew=settings.anew)


def prepare_folder(
    folder: RunFolder,
    identity: Identity,
    settings: Settings,
    roles: tuple[str, ...],
    *,
    elsewhere: bool = False,
) -> bool:
    """Make the folder ready for a run of one task.

    roles: of the layers that will be written. elsewhere, and what is returned and raised: as in
    :meth:`pipeline.runtime.run_folder.RunFolder.prepare`.
    """
    stale = interrupted_steps(folder.path, settings.task)
    is_to_do = folder.prepare(
        identity,
        request_of(settings),
        roles=roles,
        extra=file_names(settings.timeline),
        about=record_about(settings),
        elsewhere=elsewhere,
    )
    remove_runs(stale)
    return is_to_do


def record_about(settings: Settings) -> dict[str, object]:
    """Return what ``run.json`` records of a run besides its identity."""
    return {
        "versions": version_fingerprint(),
        "names": [path.name for path in settings.inputs],
        INPUT_STATES: states_of(settings.inputs),
    }


def with_report(
    build_manifest: BuildManifest,
    job: Job,
    losses: Mapping[str, object],
    seen: SeenFrames | None,
) -> tuple[dict[str, Any], list[str]]:
    """Make the report in the job's work folder.

    build_manifest: is called twice, because the report shows the manifest and the manifest lists
        the report's files.
    losses: what ``losses.json`` will hold.
    seen: what was kept of the frames while the layers were written.

    Returns the manifest and the names of the report's files. The layers are done already, so
    whatever goes wrong here only becomes a warning.
    """
    work, stages = job.work, job.stages
    try:
        write_json(work / LOSSES, losses)
        with stages.stage("report") as step:
            pending = attach(build_manifest([], None), losses, job, step, seen)
        names = [LOSSES, *pending.files]
        contents = build_manifest(names, pending.contents.thumbnail)
        pending.write(contents)
        return contents, names
    except Exception as error:
        safe_files.remove(work / REPORT)
        safe_files.remove(work / PAGE)
        names = [LOSSES] if (work / LOSSES).exists() else []
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, UnlayerError):
            why = with_options(error)
        stages.warn(
            f"the layers are done, but report.html could not be made ({why}); "
            f"{invocation()} report tries again"
        )
        return build_manifest(names, None), names


def checkpoints(folder: RunFolder, identity: Identity, store: str | None = None) -> Checkpoints:
    """Return the checkpoints of the run ``identity``.

    store: the URL of shared storage to which each checkpoint is sent as soon as it is made.
    """
    owner = json.dumps([identity, *version_fingerprint()], sort_keys=True)
    kept = Checkpoints(folder.kept, hashlib.sha256(owner.encode()).hexdigest())
    if store:
        kept.on_save = partial(store_at(store).send_kept, folder.path)
    return kept


@contextmanager
def tidying_up(folder: RunFolder) -> Iterator[None]:
    """Clean up the folder when a signal or an error stops the run.

    What ``--resume`` needs stays; half-written files do not.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = (
            "stopped; the same command with --resume goes on, with --overwrite it begins anew",
        )
        raise
    except InputChangedError as error:
        if error.replaced:
            folder.forget()
        folder.tidy()
        raise
    except BaseException:
        folder.tidy()
        raise
