"""Collect what a batch leaves out of its folder, to say it once before the first clip begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stages.media.picture_folders import SUFFIXES, counted_files, is_system_file
from stages.media.sniff import printable


@dataclass
class Skipped:
    """The paths that a batch leaves out.

    files: files without a video's suffix.
    hidden: files and folders whose names begin with a dot.
    folders: subfolders, with ``--flat``.
    links: links to folders.
    unreadable: the error of each folder that cannot be read.
    """

    files: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    unreadable: list[OSError] = field(default_factory=list)

    def add_hidden(self, path: Path) -> None:
        """Add a hidden file or folder, unless it is one that file managers create."""
        if not is_system_file(path.name):
            self.hidden.append(path)

    def add_file(self, path: Path) -> None:
        """Add a file without a video's suffix, unless it is one that file managers create."""
        if not is_system_file(path.name):
            self.files.append(path)

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind, for ``batch.json``."""
        return {name: len(getattr(self, name)) for name in ("files", "hidden", "folders", "links")}

    def sentences(self, folder: Path) -> list[str]:
        """Return what of ``folder`` cannot be read, and one sentence about what is left out."""
        sentences = []
        for error in self.unreadable:
            name = printable(Path(error.filename or "a folder"))
            sentences.append(
                f"{name}: cannot be read ({error.strerror}); the clips in it are left out"
            )
        kinds = [
            (self.files, "file without a video's name"),
            (self.hidden, "hidden file"),
            (self.folders, "folder"),
            (self.links, "linked folder"),
        ]
        counted = [counted_files(sorted(paths), what) for paths, what in kinds if paths]
        if counted:
            verb = "is" if sum(self.counts().values()) == 1 else "are"
            sentences.append(
                f"{printable(folder)}: {' and '.join(counted)} {verb} left out{self._advice()}"
            )
        return sentences

    def _advice(self) -> str:
        """Return which option includes the files, as the end of a sentence."""
        pictures = sorted(path for path in self.files if path.suffix.lower() in SUFFIXES)
        if pictures:
            return (
                f"; --pattern '*{pictures[0].suffix}' takes pictures one by one, and run takes a "
                "folder of numbered ones as one clip"
            )
        if self.files:
            return f"; --pattern '*{sorted(self.files)[0].suffix}' takes such files"
        return ""
