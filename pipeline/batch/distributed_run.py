"""One run done in parts, by processes that share nothing but its folder: prepared once, each part by whoever has time, then finished.

The parts' results lie in the run's checkpoints; finishing is an ordinary run that finds them there. Each function returns its work's
warnings too. Who calls them sees to it that nobody else works in the folder (:mod:`pipeline.batch.ray_cluster` does).
Where the run is kept on shared storage (``settings.store``, here the URL of this very run) every call works in a folder of its own, fetches what it needs and
sends what it made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.run import manifest
from pipeline.run.execute import checkpoints, perform
from pipeline.run.execute import prepare as begin
from pipeline.run.input_guard import INPUT_STATES, InputGuard, states_of
from pipeline.run.opening import default_folder, open_checked, pick_device
from pipeline.run.restart import DAMAGED, RESTARTED, with_restart
from pipeline.runtime.progress import Silent, Stages
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import MANIFEST, bare, read_json
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.task import Budget, Job
from pipeline.tasks import check_options, find_task
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation

Warnings = list[str]


@one_thread_an_operation(cores)
def prepare(settings: Settings) -> tuple[int, Warnings]:
    """Begins or resumes the run and does what all parts need. Returns how many parts there are; 0 where the run is finished."""
    task = find_task(settings.task)
    check_options(task, settings)
    clip = open_checked(settings)
    with (
        _here(settings, lambda name: "/" not in name) as (settings, store),
        claim(settings.out or default_folder(settings)) as folder,
    ):
        identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
        # A store gave the manifest of a finished run, not its layers.
        if not begin(folder, identity, settings, task, elsewhere=store is not None):
            return 0, []
        if store and folder.restarted:
            store.forget_kept()
        if store:
            store.send_kept(folder.path)
        job = _job(settings, folder)
        if folder.restarted:
            job.stages.warn(RESTARTED)
        count = (
            with_restart(task.parts.count, job, folder.forget, InputGuard(clip.paths))
            if task.parts
            else 0
        )
        if store and DAMAGED in job.stages.warnings:
            store.forget_kept()
            store.send_kept(folder.path)
        return count, job.stages.warnings


@one_thread_an_operation(cores)
def do(settings: Settings, number: int) -> Warnings:
    """Does part ``number``, from 0, of a run that is prepared; nothing where it is done already."""
    task = find_task(settings.task)
    assert task.parts is not None, "a task without parts has none to do"
    room = task.parts.room(number) + "/"
    with _here(settings, lambda name: "/" not in name or name.startswith(room)) as (settings, _):
        folder, parts = RunFolder(settings.out or default_folder(settings)), task.parts
        job = _job(settings, folder)
        inputs = InputGuard(job.clip.paths)
        with_restart(
            lambda job: parts.do(job, number),
            job,
            lambda: safe_files.remove(folder.kept / parts.room(number)),
            inputs,
        )
        inputs.check()
        return job.stages.warnings


def finish(settings: Settings) -> tuple[bool, Warnings]:
    """Puts the run together and writes its layers. Returns whether there was anything left to do."""
    with _here(settings, lambda name: True) as (settings, store):
        out = settings.out or default_folder(settings)
        if store and (out / MANIFEST).exists():
            store.forget_kept()
            return False, []
        # What the parts have done is no reason to begin anew: a machine of another version says so.
        _, made = perform(replace(settings, resume=True, anew=False, overwrite=False), Silent())
        if made is None:
            return False, []
        if store:
            store.publish(out)
        warnings = made["warnings"]
        assert isinstance(warnings, list)
        return True, warnings


@contextmanager
def _here(
    settings: Settings, wanted: Callable[[str], bool]
) -> Iterator[tuple[Settings, Store | None]]:
    """The settings with a folder that this process can work in, and the storage that what it makes is sent to, where there is one."""
    if settings.store is None:
        yield settings, None
        return
    store = store_at(settings.store)
    with tempfile.TemporaryDirectory(prefix="unlayer-") as scratch:
        out = Path(scratch, "run")
        out.mkdir()
        store.fetch(out, wanted)
        yield replace(settings, out=out), store


def _job(settings: Settings, folder: RunFolder) -> Job:
    record = read_json(folder.work / "run.json")
    if record is None:
        raise UnlayerError(f"{folder.path}: is not prepared for a run in parts; begin it again")
    folder.check_work()
    identity = bare(record)
    clip = open_checked(settings)
    known = record.get(INPUT_STATES) == states_of(settings.inputs) and not settings.inputs[0].is_dir()
    if not known and manifest.checksums(settings.inputs, clip) != identity["input"]:
        raise UnlayerError(
            f"{printable(settings.inputs[0])}: is another file than when the run was prepared; begin it again"
        )
    kept = checkpoints(folder, identity, settings.store)
    # Everything is kept: other processes are to find it.
    kept.every = 0.0
    budget = Budget(settings.max_seconds)
    return Job(
        clip, settings, pick_device(settings.device), folder.work, Stages(Silent()), budget, kept
    )
