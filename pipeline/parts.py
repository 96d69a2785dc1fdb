"""One run done in parts, by processes that share nothing but its folder: prepared once, each part by whoever has time, then finished.

The parts' results lie in the run's checkpoints; finishing is an ordinary run that finds them there. Who calls these functions sees to it
that nobody else works in the folder (:mod:`pipeline.cluster` does). Where the run is kept on shared storage (``settings.store``, here the
URL of this very run) every call works in a folder of its own, fetches what it needs and sends what it made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline import manifest
from pipeline.folder import MANIFEST, RunFolder, claim, read_json
from pipeline.progress import Silent, Stages
from pipeline.run import checkpoints, default_folder, open_checked, pick_device, run
from pipeline.settings import Settings
from pipeline.store import Store, store_at
from pipeline.tasks import Budget, Job, check_options, find_task
from stages.errors import UnlayerError


def prepare(settings: Settings) -> int:
    """Begins or resumes the run and does what all parts need. Returns how many parts there are; 0 where the run is finished."""
    task = find_task(settings.task)
    check_options(task, settings)
    clip = open_checked(settings)
    with _here(settings, lambda name: "/" not in name) as (settings, store), claim(settings.out or default_folder(settings)) as folder:
        identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
        if not folder.prepare(identity, resume=settings.resume, overwrite=settings.overwrite, roles=task.roles):
            return 0
        if store:
            store.send_kept(folder.path)
        return task.parts.count(_job(settings, folder)) if task.parts else 0


def do(settings: Settings, number: int) -> None:
    """Does part ``number``, from 0, of a run that is prepared; nothing where it is done already."""
    task = find_task(settings.task)
    assert task.parts is not None, "a task without parts has none to do"
    room = task.parts.room(number) + "/"
    with _here(settings, lambda name: "/" not in name or name.startswith(room)) as (settings, _):
        task.parts.do(_job(settings, RunFolder(settings.out or default_folder(settings))), number)


def finish(settings: Settings) -> bool:
    """Puts the run together and writes its layers. Returns whether there was anything left to do."""
    with _here(settings, lambda name: True) as (settings, store):
        out = settings.out or default_folder(settings)
        if (out / MANIFEST).exists():
            run(replace(settings, resume=True, overwrite=False, no_progress=True, json=False))
            if store:
                store.forget_kept()
            return False
        run(replace(settings, resume=True, overwrite=False, no_progress=True, json=False))
        if store:
            store.publish(out)
        return True


@contextmanager
def _here(settings: Settings, wanted: Callable[[str], bool]) -> Iterator[tuple[Settings, Store | None]]:
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
    identity = {name: record.get(name) for name in ("task", "input", "settings")}
    clip = open_checked(settings)
    kept = checkpoints(folder, identity, settings.store)
    # Everything is kept: other processes are to find it.
    kept.every = 0.0
    budget = Budget(settings.max_seconds)
    return Job(clip, settings, pick_device(settings.device), folder.work, Stages(Silent()), budget, kept)
