"""Folders of numbered pictures: which files of a folder are the frames of one clip, and what is left out.

The frames of a clip differ by one number alone: ``0001.png``, ``0002.png`` or ``shot3_take2_0001.png``. A folder whose pictures do
not (two kinds of name, two kinds of file, a number given twice) is refused: any order that was made up for it would be a wrong clip.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stages.errors import UnlayerError, UsageError
from stages.media.sniff import printable

SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".bmp",
        ".tif",
        ".tiff",
        ".webp",
        ".ppm",
        ".pgm",
        ".qoi",
        ".exr",
        ".dpx",
        ".jp2",
        ".jxl",
    }
)
"""Names that are taken for pictures."""

_SAME_KIND = {".jpeg": ".jpg", ".tiff": ".tif"}
_SYSTEM = re.compile(
    r"\.DS_Store|\._.*|\.directory|Thumbs\.db|desktop\.ini|\.nomedia|Icon\r", re.IGNORECASE
)
"""Files that file managers leave in a folder: nobody means them."""

_CAMERA = re.compile(
    r"((IMG|DSCN|DSCF|_?DSC|_MG|PXL|PICT|CIMG|SAM|GOPR|IMGP)_?E?\d.*|P\d{7})\.jpe?g", re.IGNORECASE
)
"""How cameras and telephones name single photographs (DCF, JEITA CP-3461: four characters and four digits)."""


@dataclass(frozen=True)
class PictureFolder:
    """The frames that a folder holds, in order, and one sentence for each thing that the user should know of it."""

    pictures: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass
class _Contents:
    """What lies in a folder, sorted by what it is. numbered: pictures with a digit in their names; plain: those without."""

    numbered: list[Path] = field(default_factory=list)
    plain: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def numbered_pictures(folder: Path) -> tuple[Path, ...]:
    """Return a folder's frames in the order of their numbers (``2.png`` before ``10.png``); raises as :func:`look_into` does."""
    return look_into(folder).pictures


def look_into(folder: Path) -> PictureFolder:
    """Return the frames that a folder holds and what to say of it.

    Raises :class:`UsageError` where its pictures are not one sequence, or it has none, and :class:`UnlayerError` where it cannot be read.
    """
    found = _contents(folder)
    if not found.numbered:
        raise UsageError(
            f"{printable(folder)}: holds no numbered pictures (as 0001.png){_instead(found)}; "
            "give a folder of pictures, or a file"
        )
    _check_one_sequence(folder, found)
    pictures = sorted(found.numbered, key=_natural)
    return PictureFolder(tuple(pictures), (*_left_out(folder, found), *_doubts(folder, pictures)))


def _contents(folder: Path) -> _Contents:
    found = _Contents()
    try:
        entries = sorted(folder.iterdir())
        for path in entries:
            if is_system_file(path.name):
                continue
            if path.name.startswith("."):
                found.hidden.append(path)
            elif path.is_dir():
                found.folders.append(path)
            elif path.suffix.lower() not in SUFFIXES:
                found.others.append(path)
            elif re.search(r"\d", path.stem):
                found.numbered.append(path)
            else:
                found.plain.append(path)
    except OSError as error:
        raise UnlayerError(
            f"{printable(folder)}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    return found


def _instead(found: _Contents) -> str:
    """What a folder without numbered pictures holds, for its error."""
    kinds = [
        (found.plain, "picture without a number"),
        (found.others, "other file"),
        (found.folders, "folder"),
    ]
    words = [counted_files(files, what) for files, what in kinds if files]
    return f" but {' and '.join(words)}" if words else ""


def _check_one_sequence(folder: Path, found: _Contents) -> None:
    """Raises UsageError where the numbered pictures are of several kinds of name, or a number is there twice."""
    name, groups = printable(folder), defaultdict(list)
    for path in found.numbered:
        groups[_kind(path)].append(path)
    # One numbered picture beside others is no sequence: the number says nothing then.
    ones = [files[0] for files in groups.values()]
    if len(ones) == 1 and len(found.numbered) == 1 and found.plain:
        ones.append(found.plain[0])
    if len(ones) > 1:
        shown = ", ".join(_name(path) for path in ones[:3]) + (", ..." if len(ones) > 3 else "")
        raise UsageError(
            f"{name}: its pictures are not one numbered sequence ({shown}); name them as one "
            "(0001.png, 0002.png) or move the others away, or, where they are single pictures, "
            f"{_one_by_one(ones[0])}"
        )
    seen: dict[tuple[int, ...], Path] = {}
    for path in found.numbered:
        twin = seen.setdefault(_numbers(path), path)
        if twin is not path:
            raise UsageError(
                f"{name}: {_name(twin)} and {_name(path)} have the same number; keep one"
            )


def _one_by_one(picture: Path) -> str:
    return f"take them one by one with batch --pattern '*{picture.suffix}'"


def _left_out(folder: Path, found: _Contents) -> list[str]:
    """Sentences about what is in the folder and in no frame."""
    name, told = printable(folder), []
    kinds = [
        (found.plain, "picture without a number"),
        (found.others, "file of another kind"),
        (found.folders, "folder"),
        (found.hidden, "hidden file"),
    ]
    words = [counted_files(files, what) for files, what in kinds if files]
    if words:
        count = sum(len(files) for files, _ in kinds)
        told.append(
            f"{name}: {' and '.join(words)} {'is' if count == 1 else 'are'} left out; "
            "only numbered pictures are frames of the clip"
        )
    return told


def counted_files(files: Sequence[Path], what: str) -> str:
    """``1 folder (old)``, ``12 folders (a, ...)``."""
    plural = (
        what.replace("picture", "pictures").replace("file", "files").replace("folder", "folders")
    )
    more = "" if len(files) == 1 else ", ..."
    return f"{len(files)} {what if len(files) == 1 else plural} ({_name(files[0])}{more})"


def is_system_file(name: str) -> bool:
    """Whether file managers leave files of this name in folders, which nobody means."""
    return _SYSTEM.fullmatch(name) is not None


def _name(path: Path) -> str:
    """A file's name without its folder, for a message."""
    return printable(Path(path.name))


def _doubts(folder: Path, pictures: Sequence[Path]) -> list[str]:
    """Sentences about what speaks against pictures, in order, being the frames of one clip."""
    name, told = printable(folder), []
    places = [_numbers(path) for path in pictures]
    varying = [
        column for column in range(len(places[0])) if len({row[column] for row in places}) > 1
    ]
    if len(varying) > 1:
        told.append(
            f"{name}: the names differ in {len(varying)} numbers; "
            "the pictures are taken as one clip, in the order of the first number, then of the next"
        )
    elif varying:
        told += _gaps(name, [row[varying[0]] for row in places])
    if len(pictures) > 1 and _CAMERA.fullmatch(pictures[0].name):
        told.append(
            f"{name}: {_name(pictures[0])} is named as cameras name single photographs, and all "
            f"{len(pictures)} are taken as frames of one clip; if they are not, {_one_by_one(pictures[0])}"
        )
    return told


def _gaps(name: str, numbers: Sequence[int]) -> list[str]:
    """A sentence about missing numbers; a sequence that counts in steps of two or of ten lacks none."""
    steps = Counter(after - before for before, after in zip(numbers, numbers[1:], strict=False))
    usual = min(steps)
    missing = sum((step // usual - 1) * count for step, count in steps.items())
    if not missing:
        return []
    first = next(
        before + usual
        for before, after in zip(numbers, numbers[1:], strict=False)
        if after - before > usual
    )
    count = "1 number is" if missing == 1 else f"{missing} numbers are"
    return [
        f"{name}: {count} missing in the sequence (the first: {first}); "
        "the pictures beside a gap follow each other in the clip"
    ]


def _kind(path: Path) -> tuple[str, str]:
    """What the names of a sequence have in common: the name without its digits, and the kind of file."""
    suffix = path.suffix.lower()
    return re.sub(r"\d+", "#", path.stem), _SAME_KIND.get(suffix, suffix)


def _numbers(path: Path) -> tuple[int, ...]:
    return tuple(int(run) for run in re.findall(r"\d+", path.stem))


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Sort key of a name: its runs of digits count as numbers."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", path.name)
    ], path.name
