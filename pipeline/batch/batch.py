"""Run every clip of a folder, several at once, each in its own process and its own folder.

One bad clip stops nothing. Each clip's process gets ``--resume``, so a batch that is started again
does what is left. ``batch.json`` lists what became of each clip.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch

from pipeline.batch.clips import (
    Arrivals,
    BatchClip,
    find_clips,
    make_parent_folders,
    runs_folder,
    store_of,
)
from pipeline.batch.display import BatchDisplay, display_for
from pipeline.batch.skipped import Skipped
from pipeline.option_fields import flag, words_of
from pipeline.report.index import INDEX, write_index
from pipeline.run.chain_plan import check_task_options
from pipeline.run.device import pick_device
from pipeline.run.restart import RESTART_WARNINGS
from pipeline.runtime.child_process import PROGRAM, Child
from pipeline.runtime.console_lines import print_warning
from pipeline.runtime.memory import DEFAULT_PLAN_BYTES
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_folder import claim
from pipeline.runtime.run_record import MANIFEST, WORK, list_of, read_json, write_json
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import ONE_CLIP, Settings, options
from stages.errors import UnlayerError, UsageError
from stages.media.sniff import printable

RECORD = "batch.json"
"""The file in the batch's folder that lists what became of each clip."""

THREADS_PER_CLIP = 2
"""Processor cores for each clip where ``--jobs`` does not say how many clips run at once."""

POLL_SECONDS = 0.1
"""Seconds between two looks at the clips' processes."""

NOT_PASSED_ON = (
    "task",
    "out",
    "config",
    "json",
    "overwrite",
    "resume",
    "no_progress",
    "quiet",
    *ONE_CLIP,
)
"""Options of the batch that a clip's own process does not get in the same form."""


def batch(settings: Settings) -> int:
    """Run every clip. Return the exit status: 0, or 1 where a clip failed.

    Raises UnlayerError before any clip begins where the batch cannot run.
    """
    check_batch_settings(settings)
    folder, out = settings.inputs[0], runs_folder(settings)
    if settings.store:
        store_at(settings.store).check()
    with claim(out) as claimed:
        skipped = Skipped()
        clips = find_clips(folder, out, settings, skipped)
        if not clips and not settings.watch:
            raise no_clip_error(settings, skipped)
        display = display_for(json_lines=settings.json, quiet=settings.hides_progress)
        for text in skipped.sentences(folder):
            display.warn(text)
        batch_run = Batch(settings, claimed.path, clips, display, skipped)
        try:
            if settings.ray:
                _run_on_ray(batch_run)
            else:
                batch_run.run()
        except KeyboardInterrupt as stop:
            what_to_type = "the same command"
            if settings.overwrite:
                what_to_type += " without --overwrite"
            stop.args = (f"stopped; {what_to_type} goes on with what is left",)
            raise
        finally:
            batch_run.stop()
            display.close(clips)
            batch_run.save_record()
            write_index_page(out, batch_run, settings)
    return 1 if any(clip.status == "failed" for clip in clips) else 0


def _run_on_ray(batch_run: Batch) -> None:
    """Run a batch's clips on its Ray cluster."""
    # Ray is an optional extra: imported only where it is needed.
    from pipeline.batch.ray_cluster import RayCluster

    with RayCluster(batch_run.settings) as cluster:
        cluster.run(batch_run.clips, batch_run.display, batch_run.finish_clip)


def no_clip_error(settings: Settings, skipped: Skipped) -> UsageError:
    """Return the error for a folder without clips; it says what lies in it instead."""
    folder = settings.inputs[0]
    fitting = "" if settings.pattern == "*" else f" whose name fits {settings.pattern}"
    name = f"{printable(folder)}: "
    more = "".join(f"; {text.removeprefix(name)}" for text in skipped.sentences(folder))
    return UsageError(f"{name}has no clip{fitting}{more}")


def write_index_page(out: Path, batch_run: Batch, settings: Settings) -> None:
    """Write the page that lists all runs. The runs are done, so an error is only a warning."""
    try:
        write_index(out, batch_run.record())
        if settings.store:
            store_at(settings.store).send(out / INDEX, INDEX)
    except Exception as error:
        print_warning(f"the index page could not be made ({error})")


def check_batch_settings(settings: Settings) -> None:
    """Raise UsageError for settings that cannot work, before any clip begins."""
    folders = settings.inputs
    if len(folders) != 1 or not folders[0].is_dir():
        raise UsageError(
            f"batch needs one folder of clips, got {', '.join(map(printable, folders))}; use run "
            "for single clips"
        )
    check_task_options(settings)
    _check_combinations(settings)
    if settings.store:
        store_at(settings.store)
    if settings.jobs == 0:
        raise UsageError("--jobs 0 would do nothing; give 1 or more")
    pick_device(settings.device)


def _check_combinations(settings: Settings) -> None:
    """Raise UsageError for options that exclude each other."""
    if settings.ray and settings.jobs is not None:
        raise UsageError(
            "--jobs has no meaning with --ray, where the cluster decides; leave it out"
        )
    for option in settings.given("batch"):
        if option.name in ("ray_cpus", "ray_gpus") and not settings.ray:
            raise UsageError(
                f"{flag(option)} has no meaning without --ray; leave it out, or give --ray"
            )
    if settings.dry_run and settings.watch:
        raise UsageError("--dry-run ends and --watch does not; give one of them")
    if settings.ray and (settings.overwrite or settings.watch):
        raise UsageError(
            "--ray goes on with what is there and ends; leave out --overwrite and --watch, or "
            "choose another --out"
        )


def jobs_at_once(settings: Settings, clip_count: int) -> int:
    """Return how many clips run at once: ``--jobs``, or what cores and free memory allow."""
    if settings.jobs:
        return settings.jobs
    bounds = [clip_count or 1, cores() // THREADS_PER_CLIP]
    free = free_memory()
    if free is not None:
        bounds.append(free // (settings.max_memory or DEFAULT_PLAN_BYTES))
    return max(1, min(bounds))


class Batch:
    """A batch while it runs: a process for each clip, and what becomes of the clips.

    out: the folder of the batch's runs.
    clips: the clips; with ``--watch`` new ones are added.
    jobs: how many run at once.
    running: the clips that run now, by slot.
    """

    def __init__(
        self,
        settings: Settings,
        out: Path,
        clips: list[BatchClip],
        display: BatchDisplay,
        skipped: Skipped | None = None,
    ) -> None:
        self.settings = settings
        self.out = out
        self.clips = clips
        self.display = display
        self.skipped = skipped or Skipped()
        self.jobs = jobs_at_once(settings, cores() if settings.watch else len(clips))
        self.running: dict[int, tuple[BatchClip, Child]] = {}

    def run(self) -> None:
        """Run all clips; with ``--watch`` also those that arrive, until it is interrupted."""
        arrivals = None
        if self.settings.watch:
            arrivals = Arrivals(self.settings, self.out, self.clips)
        while True:
            if arrivals is not None:
                self.clips.extend(arrivals.complete_clips())
            waiting = [clip for clip in self.clips if clip.status == "waiting"]
            for slot in range(self.jobs):
                if slot not in self.running and waiting:
                    self._start(slot, waiting.pop(0))
            if not self.running and not waiting and arrivals is None:
                return
            for slot, (clip, child) in list(self.running.items()):
                self._poll(slot, clip, child)
            self.display.show(self.clips)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Stop the clips that still run, as Ctrl-C would: each keeps what ``--resume`` needs."""
        for _, child in self.running.values():
            child.signal(signal.SIGTERM)
        for clip, child in self.running.values():
            child.wait()
            clip.status = "waiting"
            clip.stage = ""
            store = store_of(clip, self.settings)
            if store and not (clip.out / MANIFEST).exists():
                self._send(store, clip)
        self.running.clear()

    def record(self) -> dict[str, object]:
        """Return the content of ``batch.json``."""
        return {
            "schema": 1,
            "task": self.settings.task,
            "folder": str(self.settings.inputs[0]),
            "settings": self.settings.kept(),
            "jobs": self.jobs,
            "with_warnings": sum(bool(clip.warnings) for clip in self.clips),
            "skipped": self.skipped.counts(),
            "clips": [clip.entry() for clip in self.clips],
        }

    def _start(self, slot: int, clip: BatchClip) -> None:
        """Start the process of a clip."""
        threads = max(1, cores() // self.jobs)
        clip.status = "running"
        clip.stage = "start"
        self.display.began(clip)
        try:
            make_parent_folders(clip, self.out)
            if store := store_of(clip, self.settings):
                self._prepare_from_store(store, clip)
            child = Child(
                command(clip, self.settings), threads, gpu_environment(self.settings, slot)
            )
            self.running[slot] = clip, child
        except (OSError, UnlayerError) as error:
            # The other clips go on.
            clip.status = "failed"
            clip.stage = ""
            clip.error = str(error)
            self.finish_clip(clip)

    def _prepare_from_store(self, store: Store, clip: BatchClip) -> None:
        """Fetch what shared storage has of a clip's run, or drop it with ``--overwrite``."""
        if self.settings.overwrite:
            store.forget_kept()
            return
        if (clip.out / MANIFEST).exists():
            return
        is_begun_here = (clip.out / WORK).exists()
        if is_begun_here and not store.finished():
            # This machine's files are newer than what the store has.
            return
        if is_begun_here:
            # The run was finished elsewhere: what this machine kept of it is of no use.
            with claim(clip.out) as folder:
                folder.drop_work()
        store.fetch(clip.out, layers=True)

    def _poll(self, slot: int, clip: BatchClip, child: Child) -> None:
        """Read what a clip's process says and whether it has ended."""
        for event in child.events():
            self._take_event(clip, event)
        status = child.status()
        if status is None:
            return
        clip.seconds = child.seconds()
        clip.stage = ""
        if status != 0 or clip.status == "running":
            clip.status = "failed"
            clip.error = child.failure_reason(status)
        if store := store_of(clip, self.settings):
            self._send(store, clip)
        del self.running[slot]
        self.finish_clip(clip)

    def _take_event(self, clip: BatchClip, event: dict[str, object]) -> None:
        """Take note of one JSON line of a clip's process."""
        kind = event.get("event")
        if kind in ("begin", "step"):
            clip.stage = str(event.get("stage", ""))
            clip.fraction = float(str(event.get("fraction", 0.0)))
        elif kind == "warning":
            clip.warnings.append(str(event.get("text", "")))
        elif kind == "done" and event.get("unchanged"):
            clip.status = "unchanged"
            clip.warnings += manifest_warnings(clip.out)
        elif kind == "done":
            clip.status = "done"

    def _send(self, store: Store, clip: BatchClip) -> None:
        """Send a clip's run to the store, or what it kept before it failed or was stopped."""
        try:
            if RESTART_WARNINGS & set(clip.warnings):
                store.forget_kept()
            is_new = clip.status == "unchanged" and not store.finished()
            if clip.status == "done" or is_new:
                store.publish(clip.out)
            elif clip.status in ("failed", "waiting"):
                store.send_kept(clip.out)
        except UnlayerError as error:
            clip.status = "failed"
            clip.error = clip.error or str(error)

    def finish_clip(self, clip: BatchClip) -> None:
        """Show and record a clip that has ended."""
        self.display.ended(clip)
        self.save_record()

    def save_record(self) -> None:
        """Write ``batch.json``."""
        write_json(self.out / RECORD, self.record())
        if self.settings.store:
            try:
                store_at(self.settings.store).send(self.out / RECORD, RECORD)
            except UnlayerError as error:
                # The next clip that ends sends it again.
                print_warning(str(error))


def manifest_warnings(out: Path) -> list[str]:
    """Return the warnings of the finished run in the folder ``out``."""
    return [str(text) for text in list_of(read_json(out / MANIFEST) or {}, "warnings")]


def gpu_environment(settings: Settings, slot: int) -> dict[str, str]:
    """Return environment variables that give each slot one of the GPUs; empty without any.

    ``--device`` is part of a run's identity, so CUDA_VISIBLE_DEVICES is set instead.
    """
    count = 0
    if settings.device == "auto" and torch.cuda.is_available():
        count = torch.cuda.device_count()
    if not count:
        return {}
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = allowed.split(",") if allowed else [str(number) for number in range(count)]
    return {"CUDA_VISIBLE_DEVICES": visible[slot % count]}


def command(clip: BatchClip, settings: Settings) -> list[str]:
    """Return the command line of one clip's process."""
    words = [*PROGRAM, "run", "--task", settings.task]
    words += ["--out", str(clip.out), "--json"]
    if settings.overwrite or clip.changed:
        words += ["--overwrite"]
    else:
        words += ["--resume", "--anew"]
    for option in options("run"):
        if option.name not in NOT_PASSED_ON:
            words += words_of(option, getattr(settings, option.name))
    return [*words, "--", str(clip.path)]
