"""A run's folder: its lock, what is in it already, and putting finished files into it.

While a run works, everything it writes lies in the hidden folder ``.work`` inside; ``.work/run.json`` says whose it is. Finished files
move out of it by renaming, the manifest last, so a folder with a manifest is a finished run and a folder with ``.work`` alone an
interrupted one. A run that is being replaced stays whole until the new one is.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from stages import safe_files
from stages.errors import UnlayerError, UsageError

MANIFEST = "manifest.json"
WORK = ".work"
HINT = "hint_sha256"
"""What a manifest and ``run.json`` call the checksum of what ``--hint`` named, where it was given."""
REPORT = "report"
"""The folder in the run's folder that holds the report's pictures and previews."""
OWN = (".mp4", ".jpg", ".json")
"""How the names of the files in it end."""
State = Literal["new", "finished", "interrupted"]
Doing = Literal["new", "go on", "leave", "again", "anew", "replace"]
"""What a run does about its folder: begin, go on, leave the finished run, make it again as layers of it are gone, begin an interrupted one
again that cannot be gone on with, or replace what is there."""
Identity = Mapping[str, object]
"""What makes two runs the same: task, the checksums of inputs and hint, and the settings that can change the layers; JSON values."""


@dataclass
class RunFolder:
    """The folder of one run, claimed: no other process has it until the claim ends."""

    path: Path
    restarted: bool = False

    @property
    def work(self) -> Path:
        """Where layers and temporaries are written until they are whole."""
        return self.path / WORK

    @property
    def kept(self) -> Path:
        """Where a run keeps what a resumed one goes on from."""
        return self.work / "keep"

    def tidy(self) -> None:
        """After an error: removes half-written files, and the work folder where nothing in it was kept."""
        if not safe_files.is_folder(self.work):
            return
        if any(safe_files.files_in(self.kept)):
            self._drop_layers()
        else:
            with suppress(OSError):
                safe_files.remove(self.work)

    def forget(self) -> None:
        """Remove all that was kept and every layer: the run begins from the beginning."""
        with suppress(OSError):
            safe_files.remove(self.kept)
        self._drop_layers()

    def _drop_layers(self) -> None:
        """Empty the work folder but for what was kept and whose it is."""
        for entry in self.work.iterdir():
            if entry not in (self.kept, self.work / "run.json"):
                with suppress(OSError):
                    safe_files.remove(entry)

    def check_work(self) -> None:
        """Raise UsageError where the work folder is a link; remove from it what no run puts there: links, pipes, devices."""
        self._refuse_link()
        if safe_files.is_folder(self.work):
            safe_files.sweep(self.work)

    def _refuse_link(self) -> None:
        if os.path.lexists(self.work) and not safe_files.is_folder(self.work):
            what = "a link, and what it leads to" if self.work.is_symlink() else "no folder, and"
            raise UsageError(
                f"{self.work}: is {what} is not ours; remove it, or choose another --out"
            )

    def state(self) -> tuple[State, Identity | None]:
        """What is in the folder, and which run that is or was; ``None`` where an interrupted run left no trace of it."""
        # The manifest decides: a work folder beside it is what a run left that was killed while tidying up or while replacing this one.
        if os.path.lexists(self.path / MANIFEST):
            return "finished", identity_of(read_json(self.path / MANIFEST) or {})
        if safe_files.is_folder(self.work):
            record = read_json(self.work / "run.json")
            return "interrupted", None if record is None else bare(record)
        return "new", None

    def decide(
        self,
        identity: Identity,
        *,
        resume: bool,
        overwrite: bool,
        anew: bool = False,
        versions: object = None,
        elsewhere: bool = False,
    ) -> Doing:
        """What the run ``identity`` does about what is in the folder; nothing is changed.

        anew: an interrupted run that ``resume`` cannot go on with is begun again. versions: one that others kept cannot be gone on with.
        elsewhere: a finished run's layers need not lie here beside its manifest.
        Raises UsageError, naming what to do, where something else is in the folder.
        """
        self._refuse_link()
        state, there = self.state()
        if overwrite:
            self.check_ours()
            return "new" if state == "new" else "replace"
        same = there is not None and alike(there, identity)
        lost = self._lost() if state == "finished" and same and not elsewhere else []
        record = read_json(self.work / "run.json")
        # Put out whole already, where it was stopped while it tidied up.
        over = (
            record is not None and "files" in record and state == "finished" and same and not lost
        )
        if resume and record is not None and not over and bare(record) == identity:
            # It was stopped while it worked; a finished run that it was to replace is still there, and stays until it is.
            state, same = "interrupted", True
        stale = record is not None and not (same and record.get("versions") == versions)
        if state == "finished" and same and not lost:
            return "leave"
        if state == "finished" and same and resume:
            return "again"
        if state == "finished" and same:
            raise UsageError(
                f"{self.path}: this run is finished, but its {lost[0]} is missing; make it again with --resume or --overwrite"
            )
        if state == "interrupted" and resume and stale and anew:
            return "anew"
        if state == "finished" or (state == "interrupted" and resume and stale):
            what = (
                "a finished run"
                if state == "finished"
                else "an interrupted run of another version,"
            )
            raise UsageError(
                f"{self.path}: holds {what} of another input or with other options, which --resume cannot go on with; "
                "replace it with --overwrite, or choose another --out"
            )
        if state == "interrupted" and not resume:
            raise UsageError(
                f"{self.path}: holds an interrupted run; go on with it with --resume, or replace it with --overwrite"
            )
        # One that left no trace of what it was is begun anew.
        return "go on" if state == "interrupted" and same else "new"

    def prepare(
        self,
        identity: Identity,
        *,
        resume: bool,
        overwrite: bool,
        roles: tuple[str, ...],
        anew: bool = False,
        about: Mapping[str, object] | None = None,
        elsewhere: bool = False,
    ) -> bool:
        """Makes the folder ready for the run ``identity``, as :meth:`decide` has it; ``False`` where that is finished and stays as it is.

        about: what else ``run.json`` says of it, ``versions`` above all. :attr:`restarted` says whether an interrupted run was begun again.
        Raises UsageError also where files that are no run's have the layers' names.
        """
        versions = dict(about or {}).get("versions")
        doing = self.decide(
            identity,
            resume=resume,
            overwrite=overwrite,
            anew=anew,
            versions=versions,
            elsewhere=elsewhere,
        )
        if doing == "leave":
            self.drop_work()
            return False
        self.restarted = doing == "anew"
        self.refuse_strangers(roles)
        # What a run had put out when it was stopped comes again.
        # While a manifest is there nothing of a newer run is out: what has those names is the finished run's and stays.
        out = not os.path.lexists(self.path / MANIFEST)
        self.remove(files_of(read_json(self.work / "run.json") or {}) if out else [])
        if doing == "go on":
            self.check_work()
            self._drop_layers()
        else:
            safe_files.remove(self.work)
        safe_files.make_folder(self.work, self.path)
        write_json(self.work / "run.json", {**identity, **(about or {})})
        return True

    def _lost(self) -> list[str]:
        """Layers that the finished run's manifest names and that are not there any more."""
        named = files_of({"layers": (read_json(self.path / MANIFEST) or {}).get("layers")})
        return [name for name in named if not os.path.lexists(self.path / name)]

    def check_ours(self) -> None:
        """Raises UsageError where the manifest is not one of ours. What it lists stays until the new run is published."""
        manifest = read_json(self.path / MANIFEST)
        if os.path.lexists(self.path / MANIFEST) and (
            manifest is None or identity_of(manifest) is None
        ):
            raise UsageError(
                f"{self.path}: its {MANIFEST} is not one of ours, so nothing was replaced; choose another --out"
            )

    def remove(self, names: Iterable[str]) -> None:
        """Removes files of ours by their names in the folder."""
        inside, within = self.path / REPORT, False
        for name in names:
            # What a link of that name leads to is not ours.
            if "/" in name and not safe_files.is_folder(inside):
                continue
            within = within or "/" in name
            with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                (self.path / name).unlink()
        if within:
            with suppress(OSError):
                inside.rmdir()

    def drop_work(self) -> None:
        """Remove a work folder of ours."""
        if safe_files.is_folder(self.work) and (
            (self.work / "run.json").exists() or not any(self.work.iterdir())
        ):
            self._clear()

    def _clear(self) -> None:
        """Removes the work folder, what says that it is ours last: killed in between, it is still known as ours."""
        self.forget()
        safe_files.remove(self.work)

    def publish(
        self, files: list[Path], manifest: Mapping[str, object], identity: Identity
    ) -> None:
        """Moves finished files from the work folder into the folder, the manifest last, and removes the work folder."""
        # Should this stop half way, the files that are out already are known as ours.
        names = [file.relative_to(self.work).as_posix() for file in files]
        record = read_json(self.work / "run.json") or {}
        write_json(
            self.work / "run.json",
            {
                **record,
                **identity,
                "files": [name for name in names if flat_name(name)],
                "report_files": [name for name in names if ours(name)],
            },
        )
        # The run that this one replaces: its manifest goes first, without it the rest is no finished run any more.
        self.remove(
            [MANIFEST, *files_of(read_json(self.path / MANIFEST) or {})]
            if (self.path / MANIFEST).exists()
            else []
        )
        for file, name in zip(files, names, strict=True):
            self.put(file, name)
        write_json(self.work / MANIFEST, manifest)
        (self.work / MANIFEST).replace(self.path / MANIFEST)
        self._clear()

    def put(self, file: Path, name: str) -> None:
        """Move a finished file to its name in the folder. Raises OSError where the folder of a report is a link."""
        target = safe_files.inside(self.path, name)
        safe_files.make_folder(target.parent, self.path)
        file.replace(target)

    def refuse_strangers(self, roles: tuple[str, ...]) -> None:
        """Raises UsageError where a file that no run of ours is known to have written has a name that a layer may need."""
        taken = re.compile(rf"(?:{'|'.join(roles)}|sheet)(?:-\d+)*\.\w+|report\.html|losses\.json")
        known = {
            *files_of(read_json(self.work / "run.json") or {}),
            *files_of(read_json(self.path / MANIFEST) or {}),
        }
        inside = self.path / REPORT
        strangers = [
            entry
            for entry in sorted(self.path.iterdir())
            if entry != self.work and taken.fullmatch(entry.name)
        ]
        if safe_files.is_folder(inside):
            strangers += sorted(entry for entry in inside.iterdir() if entry.suffix in OWN)
        elif os.path.lexists(inside):
            strangers.append(inside)
        for entry in strangers:
            if entry.relative_to(self.path).as_posix() not in known:
                raise UsageError(
                    f"{entry}: is in the way and not from a run of ours; move it, or choose another --out"
                )


@contextmanager
def claim(path: Path) -> Iterator[RunFolder]:
    """Makes the folder where there is none and holds its lock; the lock dies with the process.

    Raises UnlayerError where it cannot be written or another run holds it. A folder that this made and that stays empty is removed.
    """
    made = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path / ".lock")
    except OSError as error:
        reason = (
            "is a file" if path.exists() and not path.is_dir() else error.strerror or str(error)
        )
        raise UnlayerError(
            f"{path}: cannot be used as the run's folder ({reason}); choose another --out"
        ) from error
    try:
        yield RunFolder(path)
    finally:
        with suppress(OSError):
            (path / ".lock").unlink()
        lock.close()
        if made:
            with suppress(OSError):
                path.rmdir()


def _lock(path: Path) -> IO[bytes]:
    """The open, locked file. Raises UnlayerError where another process has it, OSError where it cannot be made or is a link."""
    while True:
        file = safe_files.open_lock(path)
        try:
            if sys.platform == "win32":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who had it may have removed the file between our opening and our locking it.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.lstat(path)):
                    return file
        except BlockingIOError as error:
            file.close()
            raise UnlayerError(
                f"{path.parent}: another run is working in this folder; wait for it, or choose another --out"
            ) from error
        file.close()


def identity_of(manifest: Mapping[str, object]) -> Identity | None:
    """The identity of the run that wrote ``manifest``; ``None`` where it is no manifest of ours."""
    inputs = manifest.get("input")
    if (
        manifest.get("schema") != 1
        or not isinstance(inputs, list)
        or not all(isinstance(item, dict) for item in inputs)
    ):
        return None
    return bare({**manifest, "input": [item.get("sha256") for item in inputs]})


def bare(record: Mapping[str, object]) -> Identity:
    """The identity in a ``run.json``, without what else it says."""
    hint = {HINT: record[HINT]} if HINT in record else {}
    return {name: record.get(name) for name in ("task", "input", "settings")} | hint


def alike(there: Identity, identity: Identity) -> bool:
    """Whether the run that is ``there`` is the same as ``identity``. Runs once did not say what their hint looked like."""
    return there == (
        identity
        if HINT in there
        else {name: value for name, value in identity.items() if name != HINT}
    )


def names_of(place: Path) -> list[str]:
    """The names of the files that the run in ``place``, finished or not, was made of; none where there is no run of ours."""
    manifest, record = read_json(place / MANIFEST), read_json(place / WORK / "run.json") or {}
    inputs = (
        manifest.get("input")
        if manifest is not None and identity_of(manifest) is not None
        else record.get("names")
    )
    paths = (
        [item.get("path") if isinstance(item, dict) else item for item in inputs]
        if isinstance(inputs, list)
        else []
    )
    return [Path(path).name for path in paths if isinstance(path, str)]


def files_of(record: Mapping[str, object]) -> list[str]:
    """The names of files that a manifest or ``run.json`` says are the run's. Names that lead out of the folder are left out."""
    names: list[object] = []
    for key in ("files", "sheets"):
        listed = record.get(key)
        names += listed if isinstance(listed, list) else []
    layers = record.get("layers")
    names += (
        [layer.get("path") for layer in layers if isinstance(layer, dict)]
        if isinstance(layers, list)
        else []
    )
    plain = [name for name in names if isinstance(name, str) and flat_name(name)]
    listed = record.get("report_files")
    return (
        plain + [name for name in listed if isinstance(name, str) and ours(name)]
        if isinstance(listed, list)
        else plain
    )


def flat_name(name: str) -> bool:
    """Whether ``name`` is that of a file in the folder itself."""
    return name not in ("", ".", "..") and Path(name).name == name and "\0" not in name


def ours(name: str) -> bool:
    """Whether ``name`` may be that of a report's file: in the folder itself or in :data:`REPORT`."""
    folder, slash, file = name.rpartition("/")
    return flat_name(file) and (not slash or folder == REPORT)


def read_json(path: Path) -> dict[str, object] | None:
    """The JSON object in a regular file, or ``None`` where there is none. A link is not followed, a pipe not waited for."""
    try:
        with safe_files.open_regular(path) as file:
            value = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: Mapping[str, object]) -> None:
    """Write ``value`` so that ``path`` always holds a whole file: the old one or the new one. Raises OSError."""
    safe_files.write_whole(path, (json.dumps(value, indent=2) + "\n").encode("utf-8"))
