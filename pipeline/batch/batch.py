"""``batch``: ``run`` for every clip of a folder, several at once, one process and one folder each. One bad clip stops nothing.

Every clip's process is told ``--resume``: run again, a batch does what is left. What came of each clip stands in ``batch.json``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from pipeline.batch.clips import Arrivals, Item, check_place, find_clips, out_of, store_of
from pipeline.batch.display import BatchDisplay, board
from pipeline.batch.skipped import Skipped
from pipeline.run.opening import pick_device
from pipeline.run.restart import RESTART_WARNINGS
from pipeline.runtime.child_process import Child
from pipeline.runtime.memory import PLANNED
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_folder import claim
from pipeline.runtime.run_record import MANIFEST, WORK, read_json, write_json
from pipeline.runtime.system_limits import cores, free_memory
from pipeline.settings import ONE_CLIP, Settings, flag, options
from pipeline.tasks import check_options, find_task
from stages.errors import UnlayerError, UsageError
from stages.media.sniff import printable

RECORD = "batch.json"

CORES = 2
"""Threads that a clip is given at least, where there are as many."""

POLL = 0.1

NOT_PASSED_ON = (
    "task",
    "out",
    "config",
    "json",
    "overwrite",
    "resume",
    "no_progress",
    *ONE_CLIP,
)
"""Options that a clip's own process is not given as the batch was."""


def batch(settings: Settings) -> int:
    """Does every clip. Returns 0, or 1 where a clip failed. Raises UnlayerError before anything is begun where it cannot be."""
    check(settings)
    folder = settings.inputs[0]
    out = out_of(settings)
    if settings.store:
        store_at(settings.store).check()
    with claim(out) as room:
        closed: list[OSError] = []
        skipped = Skipped()
        items = find_clips(folder, out, settings, closed.append, skipped)
        if not items and not settings.watch:
            raise no_clip(settings, closed, skipped)
        shown = board(json_lines=settings.json, quiet=settings.no_progress)
        for text in left_out(folder, closed, skipped):
            shown.warn(text)
        work = Batch(settings, room.path, items, shown, skipped)
        try:
            if settings.ray:
                from pipeline.batch.ray_cluster import Cluster

                with Cluster(
                    settings.ray, settings, settings.ray_cpus, settings.ray_gpus
                ) as cluster:
                    cluster.run(items, shown, work.over)
            else:
                work.run()
        except KeyboardInterrupt as stop:
            how = (
                "the same command without --overwrite" if settings.overwrite else "the same command"
            )
            stop.args = (f"stopped; {how} goes on with what is left",)
            raise
        finally:
            work.stop()
            shown.close(items)
            work.note()
            with_index(out, work, settings)
    return 1 if any(item.status == "failed" for item in items) else 0


def no_clip(
    settings: Settings, closed: Sequence[OSError] = (), skipped: Skipped | None = None
) -> UsageError:
    """The error of a folder without a clip, with what lies in it instead."""
    folder = settings.inputs[0]
    fits = "" if settings.pattern == "*" else f" whose name fits {settings.pattern}"
    name = f"{printable(folder)}: "
    more = "".join(
        f"; {text.removeprefix(name)}" for text in left_out(folder, closed, skipped or Skipped())
    )
    return UsageError(f"{name}has no clip{fits}{more}")


def left_out(folder: Path, closed: Sequence[OSError], skipped: Skipped) -> list[str]:
    """Sentences about what of the folder cannot be read, and what was passed over."""
    told = skipped.told(folder)
    return [*map(closed_text, closed), *([told] if told else [])]


def with_index(out: Path, work: Batch, settings: Settings) -> None:
    """Writes the page of all runs. The runs are done: what goes wrong with it is said, and no more."""
    from pipeline.report.index import INDEX, write_index

    try:
        write_index(out, work.record())
        if settings.store:
            store_at(settings.store).send(out / INDEX, INDEX)
    except Exception as error:
        print(f"unlayer: warning: the index page could not be made ({error})", file=sys.stderr)


def check(settings: Settings) -> None:
    """Raises UsageError for what is wrong with the settings of the whole batch, before a clip is begun."""
    folders = settings.inputs
    if len(folders) != 1 or not folders[0].is_dir():
        raise UsageError(
            f"batch needs one folder of clips, got {', '.join(printable(path) for path in folders)}; use run for single clips"
        )
    task = find_task(settings.task)
    check_options(task, settings)
    if settings.ray and settings.jobs is not None:
        raise UsageError(
            "--jobs has no meaning with --ray, where the cluster decides; leave it out"
        )
    for option in options("batch"):
        if (
            option.name in ("ray_cpus", "ray_gpus")
            and not settings.ray
            and getattr(settings, option.name) != option.default
        ):
            raise UsageError(
                f"{flag(option)} has no meaning without --ray; leave it out, or give --ray"
            )
    if settings.dry_run and settings.watch:
        raise UsageError("--dry-run ends and --watch does not; give one of them")
    if settings.ray and (settings.overwrite or settings.watch):
        raise UsageError(
            "--ray goes on with what is there and ends; leave out --overwrite and --watch, or choose another --out"
        )
    if settings.store:
        store_at(settings.store)
    if settings.jobs == 0:
        raise UsageError("--jobs 0 would do nothing; give 1 or more")
    pick_device(settings.device)


def closed_text(error: OSError) -> str:
    """The warning about a folder that cannot be read."""
    where = printable(Path(error.filename or "a folder"))
    return f"{where}: cannot be read ({error.strerror}); the clips in it are left out"


def jobs_at_once(settings: Settings, clips: int) -> int:
    """How many clips are done at once: as told, or as many as cores and free memory allow."""
    if settings.jobs:
        return settings.jobs
    bounds, free = [clips or 1, cores() // CORES], free_memory()
    if free is not None:
        bounds.append(free // (settings.max_memory or PLANNED))
    return max(1, min(bounds))


class Batch:
    """The clips in work: starts a process for each, hears what it says, notes what came of it."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        items: list[Item],
        shown: BatchDisplay,
        skipped: Skipped | None = None,
    ) -> None:
        self.settings, self.out, self.items, self.shown = settings, out, items, shown
        self.skipped = skipped or Skipped()
        self.jobs = jobs_at_once(settings, len(items) if not settings.watch else cores())
        self.running: dict[int, tuple[Item, Child]] = {}

    def run(self) -> None:
        """Does all clips; with ``--watch``, and those that arrive, until it is interrupted."""
        arrivals = Arrivals(self.settings, self.out, self.items) if self.settings.watch else None
        while True:
            if arrivals is not None:
                self.items.extend(arrivals.settled())
            waiting = [item for item in self.items if item.status == "waiting"]
            for slot in range(self.jobs):
                if slot not in self.running and waiting:
                    self._start(slot, waiting.pop(0))
            if not self.running and not waiting and arrivals is None:
                return
            for slot, (item, child) in list(self.running.items()):
                self._hear(slot, item, child)
            self.shown.show(self.items)
            time.sleep(POLL)

    def stop(self) -> None:
        """Stops what still runs, as Ctrl-C would: each leaves what ``--resume`` needs."""
        for _, child in self.running.values():
            child.signal(signal.SIGTERM)
        for item, child in self.running.values():
            child.wait()
            item.status, item.stage = "waiting", ""
            if (store := store_of(item, self.settings)) and not (item.out / MANIFEST).exists():
                self._send(store, item)
        self.running.clear()

    def record(self) -> dict[str, object]:
        """``batch.json``."""
        return {
            "schema": 1,
            "task": self.settings.task,
            "folder": str(self.settings.inputs[0]),
            "settings": self.settings.kept(),
            "jobs": self.jobs,
            "with_warnings": sum(bool(item.warnings) for item in self.items),
            "skipped": self.skipped.counts(),
            "clips": [item.entry() for item in self.items],
        }

    def _start(self, slot: int, item: Item) -> None:
        threads = max(1, cores() // self.jobs)
        item.status, item.stage = "running", "start"
        self.shown.began(item)
        try:
            check_place(item, self.out)
            if store := store_of(item, self.settings):
                if self.settings.overwrite:
                    store.forget_kept()
                elif not (item.out / MANIFEST).exists() and store.finished():
                    # Finished elsewhere: what was kept here before that is of no use.
                    if (item.out / WORK).exists():
                        with claim(item.out) as folder:
                            folder.drop_work()
                    store.fetch(item.out, layers=True)
                elif not (item.out / MANIFEST).exists() and not (item.out / WORK).exists():
                    # What an interrupted run has kept here is newer than what it sent.
                    store.fetch(item.out, layers=True)
            self.running[slot] = (
                item,
                Child(command(item, self.settings), threads, one_gpu(self.settings, slot)),
            )
        except (OSError, UnlayerError) as error:
            # One clip's trouble is its own.
            item.status, item.stage, item.error = "failed", "", str(error)
            self.over(item)

    def _hear(self, slot: int, item: Item, child: Child) -> None:
        for event in child.events():
            kind = event.get("event")
            if kind in ("begin", "step"):
                item.stage = str(event.get("stage", ""))
                item.fraction = float(str(event.get("fraction", 0.0)))
            elif kind == "warning":
                item.warnings.append(str(event.get("text", "")))
            elif kind == "done":
                item.status = "unchanged" if event.get("unchanged") else "done"
                if item.status == "unchanged":
                    item.warnings += warnings_of(item.out)
        status = child.status()
        if status is None:
            return
        item.seconds, item.stage = child.seconds(), ""
        if status != 0 or item.status == "running":
            item.status, item.error = "failed", child.complaint(status)
        if store := store_of(item, self.settings):
            self._send(store, item)
        del self.running[slot]
        self.over(item)

    def _send(self, store: Store, item: Item) -> None:
        """A clip's run, or what it kept before it failed or was stopped, to the store."""
        try:
            if RESTART_WARNINGS & set(item.warnings):
                store.forget_kept()
            if item.status == "done" or (item.status == "unchanged" and not store.finished()):
                store.publish(item.out)
            elif item.status in ("failed", "waiting"):
                store.send_kept(item.out)
        except UnlayerError as error:
            item.status, item.error = "failed", item.error or str(error)

    def over(self, item: Item) -> None:
        """Takes note of a clip that is over."""
        self.shown.ended(item)
        self.note()

    def note(self) -> None:
        """Writes ``batch.json``."""
        write_json(self.out / RECORD, self.record())
        if self.settings.store:
            try:
                store_at(self.settings.store).send(self.out / RECORD, RECORD)
            except UnlayerError as error:
                # It is sent again when the next clip is over.
                print(f"unlayer: warning: {error}", file=sys.stderr)


def warnings_of(out: Path) -> list[str]:
    """The warnings of the run that was finished in the folder ``out`` before."""
    found = (read_json(out / MANIFEST) or {}).get("warnings")
    return [str(text) for text in found] if isinstance(found, list) else []


def one_gpu(settings: Settings, slot: int) -> dict[str, str]:
    """The environment in which a clip's process sees one of the GPUs, each slot another one, where there are any.

    Not its ``--device``: a run that is done again in another slot would be another run.
    """
    count = (
        torch.cuda.device_count() if settings.device == "auto" and torch.cuda.is_available() else 0
    )
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = given.split(",") if given else [str(number) for number in range(count)]
    return {"CUDA_VISIBLE_DEVICES": seen[slot % count]} if count else {}


def command(item: Item, settings: Settings) -> list[str]:
    """The words that start one clip's process."""
    words = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "--task",
        settings.task,
        "--out",
        str(item.out),
        "--json",
    ]
    words += ["--overwrite"] if settings.overwrite or item.changed else ["--resume", "--anew"]
    for option in options("run"):
        value = getattr(settings, option.name)
        if option.name in NOT_PASSED_ON or value == option.default:
            continue
        words += [flag(option)] if value is True else [flag(option), str(value)]
    return [*words, "--", str(item.path)]
