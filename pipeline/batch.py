"""``batch``: ``run`` for every clip of a folder, several at once, one process and one folder each. One bad clip stops nothing.

Every clip's process is told ``--resume``: run again, a batch does what is left. What came of each clip stands in ``batch.json``.
"""

from __future__ import annotations

import fnmatch
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import torch

from pipeline.board import Board, board
from pipeline.child import Child
from pipeline.folder import MANIFEST, WORK, claim, identity_of, read_json, write_json
from pipeline.memory import PLANNED
from pipeline.run import pick_device, short_name
from pipeline.settings import Settings, flag, options
from pipeline.store import Store, store_at
from pipeline.tasks import check_options, find_task
from stages.errors import UnlayerError, UsageError
from stages.sniff import printable

RECORD = "batch.json"
SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .ts .mts .m2ts .vob .wmv .asf .flv .f4v .3gp .3g2 .ogv .ogm .mxf .nut .dv .y4m "
    ".h264 .264 .h265 .265 .hevc .ivf .rm .rmvb .gif".split()
)
"""Names that are taken for clips where no pattern is given; what is in them shows when they are opened."""

CORES = 2
"""Threads that a clip is given at least, where there are as many."""

POLL = 0.1
ARRIVED = 5.0
"""Seconds for which a file must not have changed before ``--watch`` takes it: it may still be on its way."""


@dataclass
class Item:
    """One clip and what came of it. status: ``waiting``, ``running``, ``done``, ``unchanged`` (was finished already) or ``failed``."""

    path: Path
    out: Path
    status: str = "waiting"
    stage: str = ""
    fraction: float = 0.0
    seconds: float = 0.0
    error: str = ""
    warnings: list[str] = field(default_factory=list)

    def entry(self) -> dict[str, object]:
        """As ``batch.json`` has it."""
        facts = asdict(self) | {"path": str(self.path), "out": str(self.out), "seconds": round(self.seconds, 3)}
        return {name: value for name, value in facts.items() if name not in ("stage", "fraction")}


def batch(settings: Settings) -> int:
    """Does every clip. Returns 0, or 1 where a clip failed. Raises UnlayerError before anything is begun where it cannot be."""
    check(settings)
    folder = settings.inputs[0]
    out = out_of(settings)
    with claim(out) as room:
        items = find_clips(folder, out, settings)
        if not items and not settings.watch:
            raise no_clip(settings)
        shown = board(json_lines=settings.json, quiet=settings.no_progress)
        work = Batch(settings, room.path, items, shown)
        try:
            if settings.ray:
                from pipeline.cluster import Cluster

                with Cluster(settings.ray, settings, settings.ray_cpus, settings.ray_gpus) as cluster:
                    cluster.run(items, shown, work.over)
            else:
                work.run()
        except KeyboardInterrupt as stop:
            how = "the same command without --overwrite" if settings.overwrite else "the same command"
            stop.args = (f"stopped; {how} goes on with what is left",)
            raise
        finally:
            work.stop()
            shown.close(items)
            work.note()
            with_index(out, work, settings)
    return 1 if any(item.status == "failed" for item in items) else 0


def store_of(item: Item, settings: Settings) -> Store | None:
    """Where a clip's run is kept on shared storage, under the name that it has in the batch's own folder."""
    if settings.store is None:
        return None
    return store_at(settings.store).within(PurePosixPath(item.out.relative_to(out_of(settings)).as_posix()))


def no_clip(settings: Settings) -> UsageError:
    """The error of a folder without a clip."""
    fits = "" if settings.pattern == "*" else f" whose name fits {settings.pattern}"
    return UsageError(f"{printable(settings.inputs[0])}: has no clip{fits}")


def out_of(settings: Settings) -> Path:
    """The folder of a batch's runs."""
    return settings.out or Path(f"./{settings.inputs[0].resolve().name or 'clips'}-{settings.task}")


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
        raise UsageError(f"batch needs one folder of clips, got {', '.join(printable(path) for path in folders)}; use run for single clips")
    task = find_task(settings.task)
    check_options(task, settings)
    if settings.ray and (settings.overwrite or settings.watch):
        raise UsageError("--ray goes on with what is there and ends; leave out --overwrite and --watch, or choose another --out")
    if settings.store:
        store_at(settings.store)
    if settings.jobs == 0:
        raise UsageError("--jobs 0 would do nothing; give 1 or more")
    pick_device(settings.device)


def find_clips(folder: Path, out: Path, settings: Settings) -> list[Item]:
    """The folder's clips in the order of their names, each with a folder for its run. Runs' own folders and hidden ones are left out."""
    found = []
    for path in sorted(walk(folder, out.resolve(), flat=settings.flat)):
        fits = path.suffix.lower() in SUFFIXES if settings.pattern == "*" else fnmatch.fnmatch(path.name, settings.pattern)
        if fits:
            found.append(path)
    stems = Counter(path.with_suffix("") for path in found)
    items: list[Item] = []
    taken: set[Path] = set()
    for path in found:
        # Two clips that differ by their suffix alone keep it.
        name = path.name if stems[path.with_suffix("")] > 1 else path.stem
        within = path.parent.relative_to(folder)
        place = out / within / f"{short_name(name)}-{settings.task}"
        # Names may still come to the same: cut short, or a.mp4.mov beside a.mp4 and a.mkv.
        number = 2
        while place in taken:
            place, number = out / within / f"{short_name(name)}-{number}-{settings.task}", number + 1
        taken.add(place)
        items.append(Item(path, place))
    return items


def walk(folder: Path, out: Path, *, flat: bool) -> Iterator[Path]:
    """The plain files below ``folder``. Links to folders are not followed; what cannot be read is not there."""
    with suppress(OSError):
        for entry in folder.iterdir():
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and not entry.is_symlink():
                manifest = read_json(entry / MANIFEST)
                ours = (
                    (manifest is not None and identity_of(manifest) is not None)
                    or (entry / WORK / "run.json").exists()
                    or entry.resolve() == out
                )
                if not flat and not ours:
                    yield from walk(entry, out, flat=flat)
            elif entry.is_file():
                yield entry


def jobs_at_once(settings: Settings, clips: int) -> int:
    """How many clips are done at once: as told, or as many as cores and free memory allow."""
    if settings.jobs:
        return settings.jobs
    with suppress(ValueError, OSError, AttributeError):
        pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(1, min(clips or 1, cores() // CORES, pages // (settings.max_memory or PLANNED)))
    return max(1, min(clips or 1, cores() // CORES))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Batch:
    """The clips in work: starts a process for each, hears what it says, notes what came of it."""

    def __init__(self, settings: Settings, out: Path, items: list[Item], shown: Board) -> None:
        self.settings, self.out, self.items, self.shown = settings, out, items, shown
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
        self.running.clear()

    def record(self) -> dict[str, object]:
        """``batch.json``."""
        return {
            "schema": 1,
            "task": self.settings.task,
            "folder": str(self.settings.inputs[0]),
            "settings": self.settings.kept(),
            "jobs": self.jobs,
            "clips": [item.entry() for item in self.items],
        }

    def _start(self, slot: int, item: Item) -> None:
        threads = max(1, cores() // self.jobs)
        item.status, item.stage = "running", "start"
        self.shown.began(item)
        try:
            item.out.parent.mkdir(parents=True, exist_ok=True)
            if store := store_of(item, self.settings):
                if self.settings.overwrite:
                    store.forget_kept()
                elif not (item.out / MANIFEST).exists():
                    store.fetch(item.out, layers=True)
            self.running[slot] = item, Child(command(item, self.settings, slot), threads)
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
        """A clip's run, or what it kept before it failed, to the store."""
        try:
            if item.status == "done" or (item.status == "unchanged" and not store.finished()):
                store.publish(item.out)
            elif item.status == "failed":
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


def command(item: Item, settings: Settings, slot: int) -> list[str]:
    """The words that start one clip's process."""
    words = [sys.executable, "-m", "pipeline", "run", "--task", settings.task, "--out", str(item.out), "--json"]
    words.append("--overwrite" if settings.overwrite else "--resume")
    for option in options("run"):
        value = getattr(settings, option.name)
        if option.name in ("task", "out", "config", "json", "overwrite", "resume", "no_progress", "transition") or value == option.default:
            continue
        words += [flag(option)] if value is True else [flag(option), str(value)]
    if settings.device == "auto" and torch.cuda.is_available():
        words += ["--device", f"cuda:{slot % torch.cuda.device_count()}"]
    return [*words, "--", str(item.path)]


class Arrivals:
    """Clips that come while a batch watches. A file is taken when it has not changed for :data:`ARRIVED` seconds."""

    def __init__(self, settings: Settings, out: Path, known: Sequence[Item], clock: Callable[[], float] = time.monotonic) -> None:
        self.settings, self.out, self.clock = settings, out, clock
        self.known = {item.path for item in known}
        self.seen: dict[Path, tuple[tuple[int, int], float]] = {}
        self.looked = -ARRIVED

    def settled(self) -> list[Item]:
        """New clips that are whole by now."""
        now = self.clock()
        if now - self.looked < 1:
            return []
        self.looked = now
        ready = []
        for item in find_clips(self.settings.inputs[0], self.out, self.settings):
            if item.path in self.known:
                continue
            with suppress(OSError):
                facts = item.path.stat()
                state = facts.st_size, facts.st_mtime_ns
                if self.seen.get(item.path, (None, 0.0))[0] != state:
                    self.seen[item.path] = state, now
                elif now - self.seen[item.path][1] >= ARRIVED:
                    self.known.add(item.path)
                    ready.append(item)
        return ready
