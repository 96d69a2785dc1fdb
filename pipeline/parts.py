"""One run done in parts, by processes that share nothing but its folder: prepared once, each part by whoever has time, then finished.

The parts' results lie in the run's checkpoints; finishing is an ordinary run that finds them there. Who calls these functions sees to it
that nobody else works in the folder (:mod:`pipeline.cluster` does).
"""

from __future__ import annotations

from dataclasses import replace

from pipeline import manifest
from pipeline.folder import MANIFEST, RunFolder, claim, read_json
from pipeline.progress import Silent, Stages
from pipeline.run import checkpoints, default_folder, open_checked, pick_device, run
from pipeline.settings import Settings
from pipeline.tasks import Budget, Job, check_options, find_task
from stages.errors import UnlayerError


def prepare(settings: Settings) -> int:
    """Begins or resumes the run and does what all parts need. Returns how many parts there are; 0 where the run is finished."""
    task = find_task(settings.task)
    check_options(task, settings)
    clip = open_checked(settings)
    with claim(settings.out or default_folder(settings)) as folder:
        identity = manifest.identity(settings, manifest.checksums(settings.inputs, clip))
        if not folder.prepare(identity, resume=settings.resume, overwrite=settings.overwrite, roles=task.roles):
            return 0
        return task.parts.count(_job(settings, folder)) if task.parts else 0


def do(settings: Settings, number: int) -> None:
    """Does part ``number``, from 0, of a run that is prepared; nothing where it is done already."""
    task = find_task(settings.task)
    assert task.parts is not None, "a task without parts has none to do"
    task.parts.do(_job(settings, RunFolder(settings.out or default_folder(settings))), number)


def finish(settings: Settings) -> bool:
    """Puts the run together and writes its layers. Returns whether there was anything left to do."""
    out = settings.out or default_folder(settings)
    before = (out / MANIFEST).exists()
    run(replace(settings, resume=True, overwrite=False, no_progress=True, json=False))
    return not before


def _job(settings: Settings, folder: RunFolder) -> Job:
    record = read_json(folder.work / "run.json")
    if record is None:
        raise UnlayerError(f"{folder.path}: is not prepared for a run in parts; begin it again")
    identity = {name: record.get(name) for name in ("task", "input", "settings")}
    clip = open_checked(settings)
    kept = checkpoints(folder, identity)
    # Everything is kept: other processes are to find it.
    kept.every = 0.0
    budget = Budget(settings.max_seconds)
    return Job(clip, settings, pick_device(settings.device), folder.work, Stages(Silent()), budget, kept)
