"""Find the clips of a batch: those in its folder, and new ones while it watches the folder."""

from __future__ import annotations

import fnmatch
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pipeline.batch.skipped import Skipped
from pipeline.run.folder_names import folder_word, short_name
from pipeline.runtime.remote_store import Store, store_at
from pipeline.runtime.run_record import MANIFEST, RECORD, WORK, identity_of, names_of, read_json
from pipeline.settings import Settings
from stages.errors import UnlayerError
from stages.media.picture_folders import SUFFIXES as PICTURE_SUFFIXES
from stages.media.picture_folders import is_sequence
from stages.media.picture_metadata import stored_size
from stages.media.read import open_clip
from stages.media.sniff import printable
from stages.storage import safe_files

SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .ts .mts .m2ts .vob .wmv .asf .flv .f4v .3gp "
    ".3g2 .ogv .ogm .mxf .nut .dv .y4m .h264 .264 .h265 .265 .hevc .ivf .rm .rmvb .gif".split()
)
"""Suffixes of files that count as clips where no pattern is given."""

DECODED = 20
"""Pictures of a folder that are decoded to compare their sizes."""

QUIET_SECONDS = 5.0
"""Seconds without a change after which ``--watch`` takes a file; before, it may still be copied."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks at a watched folder, at least."""

NOT_IN_RECORD = ("stage", "fraction", "changed")
"""Fields of a clip that ``batch.json`` does not list."""


@dataclass
class BatchClip:
    """One clip of a batch and what became of it.

    path: the clip.
    out: the folder of its run.
    status: ``waiting``, ``running``, ``done``, ``unchanged`` (its run was finished before) or
        ``failed``.
    stage, fraction: what its run does now, and how far that is, 0 to 1.
    seconds: how long it took.
    error: why it failed, in one line.
    changed: whether its file was replaced since its last run.
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
        """Return the clip as ``batch.json`` lists it."""
        values = asdict(self) | {
            "path": str(self.path),
            "out": str(self.out),
            "seconds": round(self.seconds, 3),
        }
        return {name: value for name, value in values.items() if name not in NOT_IN_RECORD}

    def reset(self) -> None:
        """Let the clip wait again, because its file was replaced."""
        self.status = "waiting"
        self.error = ""
        self.warnings = []
        # Its finished run is replaced once the new one is complete.
        self.changed = True


def find_clips(
    folder: Path,
    out: Path,
    settings: Settings,
    skipped: Skipped | None = None,
) -> list[BatchClip]:
    """Return the folder's clips, sorted by name, each with a folder for its run.

    In a folder without videos, every photograph is a clip of its own. Folders of runs and hidden
    folders are left out.

    out: the folder of the batch's runs.
    skipped: collects what is left out.
    """
    if skipped is None:
        skipped = Skipped()
    entries = sorted(files_below(folder, out.resolve(), skipped, flat=settings.flat))
    paths = [path for path in entries if _is_clip(path, settings.pattern)]
    # With a pattern, the user has said what is left out.
    if settings.pattern == "*":
        paths = paths or _photographs(entries)
        for path in sorted(set(entries) - set(paths)):
            skipped.add_file(path)
    stems = Counter(path.with_suffix("") for path in paths)
    clips: list[BatchClip] = []
    taken: set[Path] = set()
    for path in paths:
        run_folder = _run_folder(
            path,
            out / path.parent.relative_to(folder),
            settings.task,
            taken,
            is_only_stem=stems[path.with_suffix("")] == 1,
        )
        taken.add(run_folder)
        clips.append(BatchClip(path, run_folder))
    return clips


def _is_clip(path: Path, pattern: str) -> bool:
    if pattern == "*":
        return path.suffix.lower() in SUFFIXES
    return fnmatch.fnmatch(path.name, pattern)


def _photographs(files: Sequence[Path]) -> list[Path]:
    """Return the pictures among some files, except those that are the frames of one clip."""
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        if path.suffix.lower() in PICTURE_SUFFIXES:
            by_folder.setdefault(path.parent, []).append(path)
    return [
        path
        for pictures in by_folder.values()
        if not (is_sequence(pictures) and have_one_size(pictures))
        for path in pictures
    ]


def have_one_size(pictures: Sequence[Path]) -> bool:
    """Return whether the pictures have the same size, as the frames of a clip have.

    The first :data:`DECODED` are decoded, which also tells whether they lie on their side. Of all
    others, the headers of PNG and JPEG files are compared with the first one's.
    """
    first, others = pictures[:DECODED], pictures[DECODED:]
    usual = stored_size(first[0]) if others else None
    unusual = [path for path in others if stored_size(path) not in (None, usual)]
    decoded = [*first, *unusual[:DECODED]]
    sizes = {_size_of(path, _file_state(path)) for path in decoded}
    return len(sizes - {None}) <= 1


@lru_cache(maxsize=1000)
def _size_of(path: Path, state: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the height and width of a picture; ``None`` where it cannot be read.

    state: its file's size and time of change, so that a file that was replaced is read again.
    """
    with suppress(UnlayerError):
        info = open_clip([path]).info
        return info.height, info.width
    return None


def _run_folder(
    clip: Path, parent: Path, task: str, taken: set[Path], *, is_only_stem: bool
) -> Path:
    """Return the folder for a clip's run.

    taken: folders of other clips.
    is_only_stem: whether no other clip differs from this one by its suffix alone. Clips that do
        keep their suffixes in their folders' names.
    """
    names = [clip.stem, clip.name] if is_only_stem else [clip.name, clip.stem]
    usual, other = (parent / f"{short_name(name)}-{folder_word(task)}" for name in names)
    # A run stays where it is when its clip gets or loses such a neighbour.
    is_in_other = clip.name in names_of(other) and clip.name not in names_of(usual)
    folder = other if other not in taken and is_in_other else usual
    # Names may still coincide: long ones are cut, and a.mp4.mov may lie beside a.mp4 and a.mkv.
    number = 2
    while folder in taken:
        folder = parent / f"{short_name(names[0])}-{number}-{folder_word(task)}"
        number += 1
    return folder


def make_parent_folders(clip: BatchClip, out: Path) -> None:
    """Make the folders between ``out`` and the clip's run.

    Raises UnlayerError where one of them, or the run's own, is a link or not a folder.
    """
    try:
        safe_files.make_folder(clip.out.parent, out)
        if os.path.lexists(clip.out) and not safe_files.is_folder(clip.out):
            raise NotADirectoryError(None, None, str(clip.out))
    except NotADirectoryError as error:
        raise UnlayerError(
            f"{printable(Path(error.filename))}: is a link or not a folder; remove it, or choose "
            "another --out"
        ) from error


def runs_folder(settings: Settings) -> Path:
    """Return the folder in which a batch puts the folders of its runs."""
    return settings.out or Path(
        f"./{settings.inputs[0].resolve().name or 'clips'}-{folder_word(settings.task)}"
    )


def store_of(clip: BatchClip, settings: Settings) -> Store | None:
    """Return where a clip's run lies on shared storage; ``None`` without ``--store``.

    It has the same relative path there as in the batch's own folder.
    """
    if settings.store is None:
        return None
    relative = clip.out.relative_to(runs_folder(settings))
    return store_at(settings.store).within(PurePosixPath(relative.as_posix()))


def files_below(folder: Path, out: Path, skipped: Skipped, *, flat: bool) -> Iterator[Path]:
    """Yield the regular files below ``folder``, without following links to folders.

    out: the folder of the batch's runs, resolved; it is left out.
    skipped: collects what else is left out, and the errors of folders that cannot be read.
    flat: whether subfolders are left out.
    """
    try:
        for entry in folder.iterdir():
            if entry.name.startswith("."):
                skipped.add_hidden(entry)
            elif entry.is_dir() and entry.is_symlink():
                skipped.links.append(entry)
            elif entry.is_dir():
                if _is_run_folder(entry) or entry.resolve() == out:
                    continue
                if flat:
                    skipped.folders.append(entry)
                else:
                    yield from files_below(entry, out, skipped, flat=flat)
            elif entry.is_file():
                yield entry
            else:
                # A pipe, or a link that leads nowhere.
                skipped.add_file(entry)
    except OSError as error:
        skipped.unreadable.append(error)


def _is_run_folder(folder: Path) -> bool:
    """Return whether the folder holds a run, finished or not."""
    manifest = read_json(folder / MANIFEST)
    if manifest is not None and identity_of(manifest) is not None:
        return True
    return (folder / WORK / RECORD).exists()


class Arrivals:
    """The clips that arrive, or are replaced, while a batch watches its folder.

    A file is taken once it has not changed for :data:`QUIET_SECONDS`. It is taken again where it
    changed after that: its upload may only have paused.

    known: the batch's clips; the caller adds new ones to this list.
    clock: returns the time in seconds.
    """

    def __init__(
        self,
        settings: Settings,
        out: Path,
        known: list[BatchClip],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.out = out
        self.clips = known
        self.clock = clock
        self._taken = {clip.path: _file_state(clip.path) for clip in known}
        self._seen: dict[Path, tuple[tuple[int, int] | None, float]] = {}
        self._last_look = -QUIET_SECONDS

    def complete_clips(self) -> list[BatchClip]:
        """Return new clips whose files are complete, and let replaced ones wait again."""
        now = self.clock()
        if now - self._last_look < LOOK_INTERVAL:
            return []
        self._last_look = now
        known = {clip.path: clip for clip in self.clips}
        complete = []
        for clip in find_clips(self.settings.inputs[0], self.out, self.settings):
            earlier, state = known.get(clip.path), _file_state(clip.path)
            if state is None or state == self._taken.get(clip.path):
                continue
            if earlier and earlier.status in ("waiting", "running"):
                continue
            if not self._is_quiet(clip.path, state, now):
                continue
            self._taken[clip.path] = state
            if earlier:
                earlier.reset()
            else:
                complete.append(clip)
        return complete

    def _is_quiet(self, path: Path, state: tuple[int, int], now: float) -> bool:
        """Return whether a file has had the same state for :data:`QUIET_SECONDS`."""
        last_state, since = self._seen.get(path, (None, now))
        if state != last_state:
            self._seen[path] = state, now
            return False
        return now - since >= QUIET_SECONDS


def _file_state(path: Path) -> tuple[int, int] | None:
    """Return a file's size and time of change; ``None`` where there is no file."""
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return None
