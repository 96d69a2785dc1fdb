"""Keep what a search found in the user's cache, so that no clip is searched twice.

``run`` after ``probe`` takes the result of that search. An entry is known by the checksum of the
input, the settings that the search depends on, and the program itself, so a changed file or a new
version is searched again. A result from the cache gives the same layers, byte for byte.

The folder is ``unlayer/searches`` in the user's cache (``XDG_CACHE_HOME``, or ``~/.cache``), or the
one that the variable ``UNLAYER_CACHE`` names; if that is empty, nothing is kept. Whatever is wrong
with the cache, the clip is searched as if it were not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2

import stages
from pipeline import __version__
from pipeline.run.input_guard import states_of
from pipeline.settings import Settings
from pipeline.tasks.transition.search import SearchResult
from pipeline.values import plain
from stages.diagnosis import Diagnosed, Diagnosis
from stages.errors import CheckpointError, UnlayerError
from stages.media.clip import FrameIndex
from stages.media.read import Clip
from stages.shots import Analysis, ColorGap, Shot, Transition
from stages.storage import safe_files
from stages.storage.checkpoint import SUFFIX, Checkpoints

VARIABLE = "UNLAYER_CACHE"
"""The environment variable that names the folder of the cache; empty for none."""
MAX_BYTES = 256 * 2**20
"""Size of the cache in bytes; the entries that were not used for longest are removed."""
LEFTOVER_SECONDS = 24 * 3600.0
"""Age of a temporary folder from which no process can still be writing it."""
_TEMPORARY = ".new-"
_SETTINGS = ("stream", "interlaced", "start", "end", "transition")
"""The settings that change what is found."""
_KINDS = (SearchResult, Analysis, Shot, Transition, ColorGap, FrameIndex, Diagnosed, Diagnosis)


def cache_folder() -> Path | None:
    """Return the folder of the cache, or ``None`` where nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    base = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME", "")
    if not Path(base).is_absolute():
        try:
            base = str(Path.home() / ".cache")
        except RuntimeError:  # this user has no home
            return None
    return Path(base) / "unlayer" / "searches"


class SearchCache:
    """The place of one clip's search in the cache.

    clip, settings: of the search. sums: the checksums of the input; without any, nothing is kept.
    """

    def __init__(self, clip: Clip, settings: Settings, sums: Sequence[str]) -> None:
        self.clip = clip
        self._states = states_of(settings.inputs)
        self._key = _key(settings, sums)
        usable = not (
            settings.no_cache
            # What decodes of a damaged file is counted while it is decoded.
            or settings.salvage
            or settings.shots is not None
            or settings.temporary is not None
            or clip.info.is_picture
        )
        self._inputs = settings.inputs
        self._folder = cache_folder() if usable and sums else None

    def load(self) -> SearchResult | None:
        """Return what an earlier search found, or ``None`` where there is nothing to take."""
        if self._folder is None:
            return None
        store = Checkpoints(self._folder, self._key)
        path = self._folder / f"{self._key}{SUFFIX}"
        try:
            result = store.newest(self._key, *_KINDS)
        except CheckpointError:
            with suppress(OSError):
                safe_files.remove(path)
            return None
        if not isinstance(result, SearchResult):
            return None
        with suppress(OSError):
            os.utime(path)
        return replace(result, source="cache")

    def save(self, found: SearchResult) -> None:
        """Keep what was found, unless the input has changed; a full disk is no error."""
        if self._folder is None or states_of(self._inputs) != self._states:
            return
        with suppress(OSError, UnlayerError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # Several processes may keep the same entry: each writes its own file and renames it.
            with tempfile.TemporaryDirectory(prefix=_TEMPORARY, dir=self._folder) as name:
                Checkpoints(Path(name), self._key).save(self._key, found)
                entry = f"{self._key}{SUFFIX}"
                Path(name, entry).replace(self._folder / entry)
            prune(self._folder)


def prune(folder: Path, most: int = MAX_BYTES) -> None:
    """Remove the entries of a cache that were not used for longest, until it has ``most`` bytes.

    Also removes what killed processes left behind. Raises OSError.
    """
    entries = []
    for path in folder.iterdir():
        facts = path.lstat()
        if path.name.startswith(_TEMPORARY):
            if time.time() - facts.st_mtime > LEFTOVER_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == SUFFIX:
            entries.append((facts.st_mtime, facts.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most:
            break
        path.unlink(missing_ok=True)
        total -= size


def _key(settings: Settings, sums: Sequence[str]) -> str:
    """Return the name of an entry."""
    wanted = {name: plain(getattr(settings, name)) for name in _SETTINGS}
    text = json.dumps([list(sums), wanted, search_fingerprint()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def search_fingerprint() -> str:
    """Return a checksum of all that a search's result depends on in addition to the clip.

    These are this program's own source and the libraries that decode and measure.
    """
    checksum = hashlib.sha256()
    sources = [Path(__file__).with_name("search.py")]
    for folder in stages.__path__:
        sources += sorted(Path(folder).rglob("*.py"))
    for path in sources:
        checksum.update(path.read_bytes())
    names = ("torch", "numpy", "av")
    about = [__version__, platform.machine(), *(version(name) for name in names), cv2.__version__]
    checksum.update(json.dumps(about).encode())
    return checksum.hexdigest()
