"""Do one run in parts, by processes that share nothing but its folder.

One process prepares the run, any process can do a part, and a last one finishes it. The results
of the parts lie in the run's checkpoints; finishing is an ordinary run that finds them there.

Each function also returns the warnings of its work. The caller makes sure that nobody else works
in the folder, as :mod:`pipeline.batch.ray_cluster` does. Where the run is kept on shared storage
(``settings.store``, here the URL of this one run), every call works in a temporary folder: it
fetches what it needs and sends what it made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.run import manifest
from pipeline.run.device import pick_device
from pipeline.run.execute import checkpoints, perform, prepare_folder
from pipeline.run.folder_names import default_folder
from pipeline.run.input_guard import INPUT_STATES, InputGuard, states_of
from pipeline.run.opening import open_checked
from pipeline.run.restart import DAMAGED, RESTARTED, with_restart
from pipeline.runtime.progress import SilentReporter, Stages
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_folder import RunFolder, claim
from pipeline.runtime.run_record import MANIFEST, RECORD, identity_in_record, read_json
from pipeline.runtime.system_limits import cores
from pipeline.settings import Settings
from pipeline.task import Budget, Job
from pipeline.tasks import check_options, find_task
from stages.errors import UnlayerError
from stages.media.sniff import printable
from stages.optim.threads import one_thread_an_operation
from stages.storage import safe_files

Warnings = list[str]


@one_thread_an_operation(cores)
def prepare(settings: Settings) -> tuple[int, Warnings]:
    """Begin or resume the run, and do what all parts need.

    Returns the number of parts, 0 where the run is finished, and warnings.
    """
    task = find_task(settings.task)
    check_options(task, settings)
    clip = open_checked(settings)
    with (
        _working_folder(settings, lambda name: "/" not in name) as (settings, store),
        claim(settings.out or default_folder(settings)) as folder,
    ):
        identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
        # From a store only the manifest of a finished run is fetched here, not its layers.
        elsewhere = store is not None
        if not prepare_folder(folder, identity, settings, task.all_roles, elsewhere=elsewhere):
            return 0, []
        if store and folder.restarted:
            store.forget_kept()
        if store:
            store.send_kept(folder.path)
        job = _job(settings, folder)
        if folder.restarted:
            job.stages.warn(RESTARTED)
        count = 0
        if task.parts:
            count = with_restart(task.parts.count, job, folder.forget, InputGuard(clip.paths))
        if store and DAMAGED in job.stages.warnings:
            store.forget_kept()
            store.send_kept(folder.path)
        return count, job.stages.warnings


@one_thread_an_operation(cores)
def do_part(settings: Settings, number: int) -> Warnings:
    """Do part ``number``, from 0, of a prepared run, unless it is done already."""
    task = find_task(settings.task)
    assert task.parts is not None, "a task without parts has none to do"
    parts = task.parts
    own_folder = parts.room(number)

    def is_needed(name: str) -> bool:
        return "/" not in name or name.startswith(f"{own_folder}/")

    with _working_folder(settings, is_needed) as (settings, _):
        folder = RunFolder(settings.out or default_folder(settings))
        job = _job(settings, folder)
        inputs = InputGuard(job.clip.paths)
        with_restart(
            lambda job: parts.do(job, number),
            job,
            lambda: safe_files.remove(folder.kept / own_folder),
            inputs,
        )
        inputs.check()
        return job.stages.warnings


def finish(settings: Settings) -> tuple[bool, Warnings]:
    """Put the parts together and write the layers.

    Returns whether there was anything left to do, and warnings.
    """
    with _working_folder(settings, lambda name: True) as (settings, store):
        out = settings.out or default_folder(settings)
        if store and (out / MANIFEST).exists():
            store.forget_kept()
            return False, []
        # Never begin again here: that would throw away the parts. A machine with another version
        # raises an error instead.
        _, contents = perform(
            replace(settings, resume=True, anew=False, overwrite=False), SilentReporter()
        )
        if contents is None:
            return False, []
        if store:
            store.publish(out)
        warnings = contents["warnings"]
        assert isinstance(warnings, list)
        return True, warnings


@contextmanager
def _working_folder(
    settings: Settings, is_needed: Callable[[str], bool]
) -> Iterator[tuple[Settings, Store | None]]:
    """Provide a folder that this process can work in.

    is_needed: whether a file of the run is fetched from shared storage, by its name.
    Yields settings with this folder as ``out``, and the storage that results are sent to.
    """
    if settings.store is None:
        yield settings, None
        return
    store = store_at(settings.store)
    with tempfile.TemporaryDirectory(prefix="unlayer-") as scratch:
        out = Path(scratch, "run")
        out.mkdir()
        store.fetch(out, is_needed)
        yield replace(settings, out=out), store


def _job(settings: Settings, folder: RunFolder) -> Job:
    """Return the job of a prepared run.

    Raises UnlayerError where the run is not prepared or its input was replaced.
    """
    record = read_json(folder.work / RECORD)
    if record is None:
        raise UnlayerError(f"{folder.path}: is not prepared for a run in parts; start it again")
    folder.check_work()
    identity = identity_in_record(record)
    clip = open_checked(settings)
    is_same = (
        record.get(INPUT_STATES) == states_of(settings.inputs) and not settings.inputs[0].is_dir()
    )
    if not is_same and manifest.checksums(settings.inputs, clip) != identity["input"]:
        raise UnlayerError(
            f"{printable(settings.inputs[0])}: has changed since the run was prepared; start it "
            "again"
        )
    kept = checkpoints(folder, identity, settings.store)
    # Keep everything, for other processes.
    kept.every = 0.0
    return Job(
        clip=clip,
        settings=settings,
        device=pick_device(settings.device),
        work=folder.work,
        stages=Stages(SilentReporter()),
        budget=Budget(settings.max_seconds),
        checkpoints=kept,
    )
