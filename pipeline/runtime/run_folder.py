"""The folder of a run: its lock, what is in it already, and how finished files get into it.

While a run works, it writes everything into the hidden folder ``.work`` inside its folder;
``.work/run.json`` says which run it is. Finished files are moved out of it by renaming, and the
manifest is moved last. A folder with a manifest is therefore a finished run, and a folder with only
``.work`` an interrupted one. A run that is being replaced stays whole until the new one is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.codecs import PICTURE_CODECS
from pipeline.runtime.folder_content import interrupted_content, is_replacing
from pipeline.runtime.folder_decision import DECISIONS, Action, Content, Refusal, Request
from pipeline.runtime.folder_lock import locked_file
from pipeline.runtime.needed_names import files_of_report, files_with_names, picture_folders
from pipeline.runtime.run_record import (
    KEPT,
    MANIFEST,
    RECORD,
    REPORT,
    WORK,
    Identity,
    files_of,
    flat_name,
    identity_in_record,
    identity_of,
    is_same_run,
    read_json,
    report_name,
    write_json,
)
from pipeline.runtime.sequences import remove_sequence, sequences_of
from stages.errors import UnlayerError, UsageError
from stages.storage import safe_files

State = Literal["new", "finished", "interrupted"]


@dataclass
class RunFolder:
    """The folder of one run.

    Between :func:`claim` and its end no other process works in it. restarted: whether
    :meth:`prepare` discarded an interrupted run and began again.
    """

    path: Path
    restarted: bool = False

    @property
    def work(self) -> Path:
        """The folder in which layers and temporary files are written until they are whole."""
        return self.path / WORK

    @property
    def kept(self) -> Path:
        """The folder of the checkpoints."""
        return self.work / KEPT

    def tidy(self) -> None:
        """Clean up after an error.

        Removes half-written files, and the whole work folder if it holds no checkpoint.
        """
        if not safe_files.is_folder(self.work):
            return
        if any(safe_files.files_in(self.kept)):
            self._drop_layers()
        else:
            with suppress(OSError):
                safe_files.remove(self.work)

    def forget(self) -> None:
        """Remove all checkpoints and layers, so that the run starts from the beginning."""
        with suppress(OSError):
            safe_files.remove(self.kept)
        self._drop_layers()

    def _drop_layers(self) -> None:
        """Empty the work folder except for the checkpoints and ``run.json``."""
        for entry in self.work.iterdir():
            if entry not in (self.kept, self.work / RECORD):
                with suppress(OSError):
                    safe_files.remove(entry)

    def check_work(self) -> None:
        """Remove from the work folder what no run puts there: links, pipes, devices.

        Raises UsageError where the work folder itself is a link.
        """
        refuse_link(self.work)
        if safe_files.is_folder(self.work):
            safe_files.sweep(self.work)

    def state(self) -> tuple[State, Identity | None]:
        """Return what kind of run is in the folder, and its identity.

        The identity is ``None`` where there is no run, or where the run left no record of it.
        """
        # The manifest decides. A work folder beside it belongs to a run that was killed while it
        # cleaned up, or while it was replacing this one.
        if os.path.lexists(self.path / MANIFEST):
            return "finished", identity_of(read_json(self.path / MANIFEST) or {})
        if safe_files.is_folder(self.work):
            record = read_json(self.work / RECORD)
            return "interrupted", None if record is None else identity_in_record(record)
        return "new", None

    def content_for(
        self,
        identity: Identity,
        *,
        resume: bool = False,
        versions: object = None,
        elsewhere: bool = False,
    ) -> Content:
        """Return what the folder holds, compared with the run ``identity`` that is to be done.

        resume: where a run was interrupted while it was replacing a finished one, answer for the
            interrupted run instead of the finished one.
        versions: the versions whose checkpoints can be used.
        elsewhere: whether the layers of a finished run may lie in another place than its manifest.
        """
        state, _ = self.state()
        if state == "new":
            return Content.EMPTY
        record = read_json(self.work / RECORD)
        if state == "interrupted":
            return interrupted_content(record, identity, versions)
        finished = self._finished_content(identity, elsewhere=elsewhere)
        if resume and record is not None and is_replacing(record, identity, finished):
            return interrupted_content(record, identity, versions)
        return finished

    def _finished_content(self, identity: Identity, *, elsewhere: bool) -> Content:
        """Return which kind of finished run is in the folder; arguments as :meth:`content_for`."""
        finished = identity_of(read_json(self.path / MANIFEST) or {})
        if finished is None or not is_same_run(finished, identity):
            return Content.FINISHED_OTHER
        is_complete = elsewhere or not self._missing()
        return Content.FINISHED if is_complete else Content.INCOMPLETE

    def decide(
        self,
        identity: Identity,
        request: Request,
        *,
        versions: object = None,
        elsewhere: bool = False,
    ) -> Action:
        """Return what the run ``identity`` does about the folder's content; change nothing.

        versions, elsewhere: as in :meth:`content_for`.
        Raises UsageError, which says what to do, where
        :data:`pipeline.runtime.folder_decision.DECISIONS` refuses the run.
        """
        refuse_link(self.work)
        if request is Request.OVERWRITE:
            self.check_ours()
        resume = request in (Request.RESUME, Request.RESUME_OR_RESTART)
        content = self.content_for(identity, resume=resume, versions=versions, elsewhere=elsewhere)
        decision = DECISIONS[content, request]
        if isinstance(decision, Refusal):
            missing = self._missing() if content is Content.INCOMPLETE else []
            text = decision.text.format(missing=missing[0] if missing else "")
            raise UsageError(f"{self.path}: {text}")
        return decision

    def prepare(
        self,
        identity: Identity,
        request: Request,
        *,
        roles: tuple[str, ...],
        extra: Collection[str] = (),
        about: Mapping[str, object] | None = None,
        elsewhere: bool = False,
    ) -> bool:
        """Make the folder ready for the run ``identity``, as :meth:`decide` says.

        roles: the roles of the layers that will be written.
        extra: names of further files that will be written.
        about: what ``run.json`` records besides the identity, ``versions`` above all.
        elsewhere: as in :meth:`content_for`.

        Returns ``False`` where the run is finished already and stays as it is.
        Raises UsageError where :meth:`decide` does, and where other files have these names.
        """
        record = dict(about or {})
        action = self.decide(
            identity, request, versions=record.get("versions"), elsewhere=elsewhere
        )
        if action == "leave":
            self.drop_work()
            return False
        self.restarted = action == "anew"
        self.refuse_foreign_files(identity, roles, extra)
        # Delete files that an interrupted run had published; they are written again. Where there
        # is a manifest, nothing of the new run was published: those files belong to the finished
        # run and stay.
        if not os.path.lexists(self.path / MANIFEST):
            self.remove(files_of(read_json(self.work / RECORD) or {}))
        if action == "go on":
            self.check_work()
            self._drop_layers()
        else:
            safe_files.remove(self.work)
        safe_files.make_folder(self.work, self.path)
        write_json(self.work / RECORD, {**identity, **record})
        return True

    def _missing(self) -> list[str]:
        """Return the layers that the finished run's manifest names and that are gone."""
        named = files_of({"layers": (read_json(self.path / MANIFEST) or {}).get("layers")})
        return [name for name in named if not os.path.lexists(self.path / name)]

    def check_ours(self) -> None:
        """Raise UsageError where there is a manifest that is not of this program."""
        path = self.path / MANIFEST
        manifest = read_json(path)
        if os.path.lexists(path) and (manifest is None or identity_of(manifest) is None):
            raise UsageError(
                f"{self.path}: its {MANIFEST} is not one of ours, so nothing was replaced; "
                "choose another --out"
            )

    def remove(self, names: Iterable[str]) -> None:
        """Remove files of the run by their names in the folder.

        A name with a slash is of a file in the report's folder, which goes when it is empty.
        """
        report = self.path / REPORT
        sequences = sequences_of(read_json(self.path / MANIFEST) or {})
        removes_of_report = False
        for name in names:
            is_of_report = "/" in name
            # Where the report's folder is a link, what it leads to is not ours.
            if is_of_report and not safe_files.is_folder(report):
                continue
            removes_of_report |= is_of_report
            if not is_of_report and safe_files.is_folder(self.path / name):
                remove_sequence(self.path / name, sequences.get(name))
                continue
            with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                (self.path / name).unlink()
        if removes_of_report:
            with suppress(OSError):
                report.rmdir()

    def drop_work(self) -> None:
        """Remove the work folder if a run of this program made it, or if it is empty."""
        if not safe_files.is_folder(self.work):
            return
        if (self.work / RECORD).exists() or not any(self.work.iterdir()):
            self._clear()

    def _clear(self) -> None:
        """Remove the work folder, and ``run.json`` last.

        So a run that is killed in between is still known as one of this program.
        """
        self.forget()
        safe_files.remove(self.work)

    def publish(
        self, files: list[Path], manifest: Mapping[str, object], identity: Identity
    ) -> None:
        """Move finished files from the work folder into the folder, the manifest last.

        The work folder is removed afterwards.
        """
        names = [file.relative_to(self.work).as_posix() for file in files]
        # Recorded first: if this stops half way, the files that are out already are known as ours.
        record = {
            **(read_json(self.work / RECORD) or {}),
            **identity,
            "files": [name for name in names if flat_name(name)],
            "report_files": [name for name in names if report_name(name)],
        }
        write_json(self.work / RECORD, record)
        # The old run's manifest goes first: without it, the rest no longer counts as finished.
        if (self.path / MANIFEST).exists():
            self.remove([MANIFEST, *files_of(read_json(self.path / MANIFEST) or {})])
        for file, name in zip(files, names, strict=True):
            self.put(file, name)
        write_json(self.work / MANIFEST, manifest)
        (self.work / MANIFEST).replace(self.path / MANIFEST)
        self._clear()

    def put(self, file: Path, name: str) -> None:
        """Move a finished file to its name in the folder.

        Raises OSError where the report's folder is a link.
        """
        target = safe_files.inside(self.path, name)
        safe_files.make_folder(target.parent, self.path)
        file.replace(target)

    def refuse_foreign_files(
        self, identity: Identity, roles: tuple[str, ...], extra: Collection[str] = ()
    ) -> None:
        """Raise UsageError where a file of another origin has a name that this run may need.

        Arguments as of :meth:`prepare`.
        """
        record, manifest = read_json(self.work / RECORD), read_json(self.path / MANIFEST)
        known = {*files_of(record or {}), *files_of(manifest or {})}
        needed = [*files_with_names(self.path, roles, extra), *files_of_report(self.path / REPORT)]
        if _has_picture_folders(identity):
            needed += picture_folders(self.path, roles, manifest or {})
        for entry in needed:
            if entry.relative_to(self.path).as_posix() not in known:
                raise UsageError(
                    f"{entry}: is in the way and not from a run of ours; "
                    "move it, or choose another --out"
                )


def _has_picture_folders(identity: Identity) -> bool:
    """Return whether the layers of a run are folders of pictures."""
    settings = identity.get("settings")
    return isinstance(settings, Mapping) and settings.get("codec") in PICTURE_CODECS


def refuse_link(place: Path) -> None:
    """Raise UsageError where there is a link or a file in the place of a folder of ours."""
    if os.path.lexists(place) and not safe_files.is_folder(place):
        kind = "a link" if place.is_symlink() else "not a folder"
        raise UsageError(
            f"{place}: is {kind}, and no run of this program made it; "
            "remove it, or choose another --out"
        )


@contextmanager
def claim(path: Path) -> Iterator[RunFolder]:
    """Hold the lock of a run's folder, which is made where there is none.

    The lock ends with its process. A folder that this made and that stays empty is removed. Raises
    UnlayerError where the folder cannot be written or another run holds it.
    """
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = locked_file(path / ".lock")
    except OSError as error:
        is_file = path.exists() and not path.is_dir()
        reason = "is a file" if is_file else error.strerror or str(error)
        raise UnlayerError(
            f"{path}: cannot be used as the run's folder ({reason}); choose another --out"
        ) from error
    try:
        yield RunFolder(path)
    finally:
        with suppress(OSError):
            (path / ".lock").unlink()
        lock.close()
        if is_new:
            with suppress(OSError):
                path.rmdir()
