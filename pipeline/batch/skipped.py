"""What a batch leaves out of its folder: kept while the folder is walked, said once before the first clip is begun."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stages.media.picture_folders import SUFFIXES, counted_files, is_system_file
from stages.media.sniff import printable


@dataclass
class Skipped:
    """The paths that a batch passes over.

    files: named like no video. hidden: with a dot before their names. folders: not looked into, with ``--flat``. links: to folders.
    """

    files: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)

    def add_hidden(self, path: Path) -> None:
        """Note a hidden file or folder, unless file managers leave such ones anywhere."""
        if not is_system_file(path.name):
            self.hidden.append(path)

    def add_file(self, path: Path) -> None:
        """Note a file that is not named like a video, unless file managers leave such ones anywhere."""
        if not is_system_file(path.name):
            self.files.append(path)

    def counts(self) -> dict[str, int]:
        """Return how many there are of each, as ``batch.json`` has it."""
        return {name: len(getattr(self, name)) for name in ("files", "hidden", "folders", "links")}

    def told(self, folder: Path) -> str | None:
        """Return one sentence about what lies in ``folder`` and is no clip of the batch; ``None`` where nothing was left out."""
        kinds = [
            (self.files, "file without a video's name"),
            (self.hidden, "hidden file"),
            (self.folders, "folder"),
            (self.links, "linked folder"),
        ]
        words = [counted_files(sorted(paths), what) for paths, what in kinds if paths]
        if not words:
            return None
        advice = ""
        if pictures := sorted(path for path in self.files if path.suffix.lower() in SUFFIXES):
            advice = f"; --pattern '*{pictures[0].suffix}' takes pictures one by one, and run takes a folder of numbered ones as one clip"
        elif self.files:
            advice = f"; --pattern '*{sorted(self.files)[0].suffix}' takes such files"
        verb = "is" if sum(self.counts().values()) == 1 else "are"
        return f"{printable(folder)}: {' and '.join(words)} {verb} left out{advice}"
