"""Which clips a batch does: found in its folder, each with a folder for its run, and those that arrive while it watches."""

from __future__ import annotations

import fnmatch
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

from pipeline.batch.skipped import Skipped
from pipeline.run.opening import short_name
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_record import MANIFEST, WORK, identity_of, names_of, read_json
from pipeline.settings import Settings
from stages import safe_files
from stages.errors import UnlayerError
from stages.media.sniff import printable

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .ts .mts .m2ts .vob .wmv .asf .flv .f4v .3gp .3g2 .ogv .ogm .mxf .nut .dv .y4m "
    ".h264 .264 .h265 .265 .hevc .ivf .rm .rmvb .gif".split()
)
"""Names that are taken for clips where no pattern is given; what is in them shows when they are opened."""

ARRIVED = 5.0
"""Seconds for which a file must not have changed before ``--watch`` takes it: it may still be on its way."""


@dataclass
class Item:
    """One clip and what came of it. status: ``waiting``, ``running``, ``done``, ``unchanged`` (was finished already) or ``failed``.

    changed: its file is another than the one that was done before.
    """

    path: Path
    out: Path
    status: str = "waiting"
    stage: str = ""
    fraction: float = 0.0
    seconds: float = 0.0
    error: str = ""
    warnings: list[str] = field(default_factory=list)
    changed: bool = False

    def entry(self) -> dict[str, object]:
        """As ``batch.json`` has it."""
        facts = asdict(self) | {
            "path": str(self.path),
            "out": str(self.out),
            "seconds": round(self.seconds, 3),
        }
        return {
            name: value
            for name, value in facts.items()
            if name not in ("stage", "fraction", "changed")
        }


def find_clips(
    folder: Path,
    out: Path,
    settings: Settings,
    closed: Callable[[OSError], None] = lambda error: None,
    skipped: Skipped | None = None,
) -> list[Item]:
    """The folder's clips in the order of their names, each with a folder for its run. Runs' own folders and hidden ones are left out;
    ``closed`` is told of what cannot be read, ``skipped`` of what is left out."""
    found = []
    skipped = skipped or Skipped()
    for path in sorted(walk(folder, out.resolve(), closed, flat=settings.flat, skipped=skipped)):
        fits = (
            path.suffix.lower() in SUFFIXES
            if settings.pattern == "*"
            else fnmatch.fnmatch(path.name, settings.pattern)
        )
        if fits:
            found.append(path)
        elif settings.pattern == "*":
            # With a pattern the user has said what is left out.
            skipped.add_file(path)
    stems = Counter(path.with_suffix("") for path in found)
    items: list[Item] = []
    taken: set[Path] = set()
    for path in found:
        # Two clips that differ by their suffix alone keep it.
        names = (
            [path.stem, path.name] if stems[path.with_suffix("")] == 1 else [path.name, path.stem]
        )
        within = out / path.parent.relative_to(folder)
        usual, other = (within / f"{short_name(name)}-{settings.task}" for name in names)
        # A run stays where it is when its clip gets such a neighbour, or loses it.
        place = (
            other
            if other not in taken
            and path.name in names_of(other)
            and path.name not in names_of(usual)
            else usual
        )
        # Names may still come to the same: cut short, or a.mp4.mov beside a.mp4 and a.mkv.
        number = 2
        while place in taken:
            place, number = within / f"{short_name(names[0])}-{number}-{settings.task}", number + 1
        taken.add(place)
        items.append(Item(path, place))
    return items


def check_place(item: Item, out: Path) -> None:
    """Make the folders between ``out`` and the clip's run. Raises UnlayerError where one of them, or the run's own, is a link."""
    try:
        safe_files.make_folder(item.out.parent, out)
        if os.path.lexists(item.out) and not safe_files.is_folder(item.out):
            raise NotADirectoryError(None, None, str(item.out))
    except NotADirectoryError as error:
        raise UnlayerError(
            f"{printable(Path(error.filename))}: is a link or not a folder; remove it, or choose another --out"
        ) from error


def out_of(settings: Settings) -> Path:
    """The folder of a batch's runs."""
    return settings.out or Path(f"./{settings.inputs[0].resolve().name or 'clips'}-{settings.task}")


def store_of(item: Item, settings: Settings) -> Store | None:
    """Where a clip's run is kept on shared storage, under the name that it has in the batch's own folder."""
    if settings.store is None:
        return None
    return store_at(settings.store).within(
        PurePosixPath(item.out.relative_to(out_of(settings)).as_posix())
    )


def walk(
    folder: Path, out: Path, closed: Callable[[OSError], None], *, flat: bool, skipped: Skipped
) -> Iterator[Path]:
    """The plain files below ``folder``. Links to folders are not followed; ``closed`` is told of what cannot be read, ``skipped`` of
    what is passed over."""
    try:
        for entry in folder.iterdir():
            if entry.name.startswith("."):
                skipped.add_hidden(entry)
                continue
            if entry.is_dir() and entry.is_symlink():
                skipped.links.append(entry)
                continue
            if entry.is_dir():
                manifest = read_json(entry / MANIFEST)
                ours = (
                    (manifest is not None and identity_of(manifest) is not None)
                    or (entry / WORK / "run.json").exists()
                    or entry.resolve() == out
                )
                if flat and not ours:
                    skipped.folders.append(entry)
                elif not ours:
                    yield from walk(entry, out, closed, flat=flat, skipped=skipped)
            elif entry.is_file():
                yield entry
            else:
                # A pipe, or a link that leads nowhere.
                skipped.add_file(entry)
    except OSError as error:
        closed(error)


class Arrivals:
    """Clips that come while a batch watches. A file is taken when it has not changed for :data:`ARRIVED` seconds, and again when it has
    changed since: it may have been on its way still. ``known``: the batch's clips, to which new ones are added by the caller."""

    def __init__(
        self,
        settings: Settings,
        out: Path,
        known: list[Item],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings, self.out, self.items, self.clock = settings, out, known, clock
        self.taken = {item.path: _state(item.path) for item in known}
        self.seen: dict[Path, tuple[tuple[int, int] | None, float]] = {}
        self.looked = -ARRIVED

    def settled(self) -> list[Item]:
        """New clips that are whole by now. Those that were done before and have changed since wait again."""
        now = self.clock()
        if now - self.looked < 1:
            return []
        self.looked = now
        known = {item.path: item for item in self.items}
        ready = []
        for item in find_clips(self.settings.inputs[0], self.out, self.settings):
            before, state = known.get(item.path), _state(item.path)
            if (
                state is None
                or state == self.taken.get(item.path)
                or (before and before.status in ("waiting", "running"))
            ):
                continue
            if self.seen.get(item.path, (None, 0.0))[0] != state:
                self.seen[item.path] = state, now
            elif now - self.seen[item.path][1] >= ARRIVED:
                self.taken[item.path] = state
                if before:
                    # What was made of it before is replaced, once the new run is whole.
                    before.status, before.error, before.warnings, before.changed = (
                        "waiting",
                        "",
                        [],
                        True,
                    )
                else:
                    ready.append(item)
        return ready


def _state(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written; ``None`` where there is none."""
    with suppress(OSError):
        facts = path.stat()
        return facts.st_size, facts.st_mtime_ns
    return None
