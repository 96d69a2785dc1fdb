"""Decide which files of a folder of numbered pictures are the frames of one clip.

The names of a clip's frames differ only in numbers, as in ``0001.png``, ``0002.png`` or
``shot3_take2_0001.png``. A folder is refused where they differ otherwise (two kinds of name, two
kinds of file, a number that occurs twice): any order that we made up could be wrong.
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
"""File name endings of pictures."""

_SAME_KIND = {".jpeg": ".jpg", ".tiff": ".tif"}
_SYSTEM = re.compile(
    r"\.DS_Store|\._.*|\.directory|Thumbs\.db|desktop\.ini|\.nomedia|Icon\r", re.IGNORECASE
)
"""Files that file managers leave in folders. They are ignored silently."""

_CAMERA = re.compile(
    r"((IMG|DSCN|DSCF|_?DSC|_MG|PXL|PICT|CIMG|SAM|GOPR|IMGP)_?E?\d.*|P\d{7})\.jpe?g", re.IGNORECASE
)
"""Names that cameras and phones give to single photographs (DCF, JEITA CP-3461)."""


@dataclass(frozen=True)
class PictureFolder:
    """A folder's frames.

    pictures: the frames in order. warnings: sentences that the user should read.
    """

    pictures: tuple[Path, ...]
    warnings: tuple[str, ...]


@dataclass
class _Contents:
    """The entries of a folder by kind.

    numbered: pictures with a digit in their names. plain: pictures without one.
    """

    numbered: list[Path] = field(default_factory=list)
    plain: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    hidden: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def numbered_pictures(folder: Path) -> tuple[Path, ...]:
    """Return a folder's frames in the order of their numbers: ``2.png`` before ``10.png``.

    Raises as :func:`read_picture_folder` does.
    """
    return read_picture_folder(folder).pictures


def read_picture_folder(folder: Path) -> PictureFolder:
    """Return the frames of a folder, with warnings.

    Raises :class:`UsageError` where the folder has no numbered pictures or they are not one
    sequence, and :class:`UnlayerError` where it cannot be read.
    """
    contents = _contents(folder)
    if not contents.numbered:
        raise UsageError(
            f"{printable(folder)}: has no numbered pictures (such as 0001.png)"
            f"{_other_contents(contents)}; give a folder of pictures, or a file"
        )
    _check_one_sequence(folder, contents)
    pictures = sorted(contents.numbered, key=_natural_key)
    warnings = _left_out_warnings(folder, contents) + _order_warnings(folder, pictures)
    return PictureFolder(tuple(pictures), tuple(warnings))


def is_sequence(pictures: Sequence[Path]) -> bool:
    """Return whether the names of a folder's pictures are those of one clip's frames.

    They differ only in numbers, and are no names that cameras give to single photographs.
    """
    kinds = {_name_pattern(path) for path in pictures}
    has_numbers = all(re.search(r"\d", path.stem) for path in pictures)
    of_camera = any(_CAMERA.fullmatch(path.name) for path in pictures)
    return len(pictures) > 1 and len(kinds) == 1 and has_numbers and not of_camera


def _contents(folder: Path) -> _Contents:
    """Return the entries of a folder. Raises UnlayerError where it cannot be read."""
    contents = _Contents()
    try:
        entries = sorted(folder.iterdir())
        for path in entries:
            if is_system_file(path.name):
                continue
            if path.name.startswith("."):
                contents.hidden.append(path)
            elif path.is_dir():
                contents.folders.append(path)
            elif path.suffix.lower() not in SUFFIXES:
                contents.others.append(path)
            elif re.search(r"\d", path.stem):
                contents.numbered.append(path)
            else:
                contents.plain.append(path)
    except OSError as error:
        raise UnlayerError(
            f"{printable(folder)}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    return contents


def _other_contents(found: _Contents) -> str:
    """Return what a folder without numbered pictures has instead, for the error message."""
    kinds = [
        (found.plain, "picture without a number"),
        (found.others, "other file"),
        (found.folders, "folder"),
    ]
    words = [counted_files(files, what) for files, what in kinds if files]
    return f" but {' and '.join(words)}" if words else ""


def _check_one_sequence(folder: Path, found: _Contents) -> None:
    """Raise UsageError where the names are of several kinds, or a number occurs twice."""
    name = printable(folder)
    groups: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in found.numbered:
        groups[_name_pattern(path)].append(path)
    # One numbered picture beside plain ones is not a sequence: its number means nothing.
    examples = [files[0] for files in groups.values()]
    if len(examples) == 1 and len(found.numbered) == 1 and found.plain:
        examples.append(found.plain[0])
    if len(examples) > 1:
        shown = ", ".join(_name(path) for path in examples[:3])
        more = ", ..." if len(examples) > 3 else ""
        raise UsageError(
            f"{name}: its pictures are not one numbered sequence ({shown}{more}); rename them "
            "(0001.png, 0002.png) or move the others away, or, if they are single pictures, "
            f"{_batch_advice(examples[0])}",
            settings=("pattern",),
        )
    seen: dict[tuple[int, ...], Path] = {}
    for path in found.numbered:
        twin = seen.setdefault(_numbers(path), path)
        if twin is not path:
            raise UsageError(
                f"{name}: {_name(twin)} and {_name(path)} have the same number; keep one of them"
            )


def _batch_advice(picture: Path) -> str:
    """Return what to do with pictures that are single photographs."""
    return f"process them one by one with batch and the pattern '*{picture.suffix}'"


def _left_out_warnings(folder: Path, found: _Contents) -> list[str]:
    """Return a sentence about the entries that are not frames, if there are any."""
    kinds = [
        (found.plain, "picture without a number"),
        (found.others, "file of another kind"),
        (found.folders, "folder"),
        (found.hidden, "hidden file"),
    ]
    words = [counted_files(files, what) for files, what in kinds if files]
    if not words:
        return []
    verb = "is" if sum(len(files) for files, _ in kinds) == 1 else "are"
    return [
        f"{printable(folder)}: {' and '.join(words)} {verb} left out; "
        "only numbered pictures are frames of the clip"
    ]


def counted_files(files: Sequence[Path], what: str) -> str:
    """Return a count with an example, such as ``1 folder (old)`` or ``12 folders (a, ...)``."""
    plural = (
        what.replace("picture", "pictures").replace("file", "files").replace("folder", "folders")
    )
    more = "" if len(files) == 1 else ", ..."
    return f"{len(files)} {what if len(files) == 1 else plural} ({_name(files[0])}{more})"


def is_system_file(name: str) -> bool:
    """Return whether file managers leave files of this name in folders."""
    return _SYSTEM.fullmatch(name) is not None


def _name(path: Path) -> str:
    """Return a file's name without its folder, for a message."""
    return printable(Path(path.name))


def _order_warnings(folder: Path, pictures: Sequence[Path]) -> list[str]:
    """Return sentences about signs that sorted pictures are not the frames of one clip."""
    name = printable(folder)
    warnings: list[str] = []
    places = [_numbers(path) for path in pictures]
    varying = [
        column for column in range(len(places[0])) if len({row[column] for row in places}) > 1
    ]
    if len(varying) > 1:
        warnings.append(
            f"{name}: the names differ in {len(varying)} numbers; the pictures are taken as one "
            "clip, ordered by the first number, then by the next"
        )
    elif varying:
        warnings += _gaps(name, [row[varying[0]] for row in places])
    if len(pictures) > 1 and _CAMERA.fullmatch(pictures[0].name):
        warnings.append(
            f"{name}: {_name(pictures[0])} has a name that cameras give to single photographs, but "
            f"all {len(pictures)} are taken as frames of one clip; if they are not, "
            f"{_batch_advice(pictures[0])}"
        )
    return warnings


def _gaps(name: str, numbers: Sequence[int]) -> list[str]:
    """Return a sentence about missing numbers, if any are missing.

    A sequence may count in steps of two or of ten.
    """
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
        "the pictures on both sides of a gap follow each other in the clip"
    ]


def _name_pattern(path: Path) -> tuple[str, str]:
    """Return what all names of a sequence share: the name without its digits, and the file type."""
    suffix = path.suffix.lower()
    return re.sub(r"\d+", "#", path.stem), _SAME_KIND.get(suffix, suffix)


def _numbers(path: Path) -> tuple[int, ...]:
    """Return the numbers in a file's name."""
    return tuple(int(run) for run in re.findall(r"\d+", path.stem))


def _natural_key(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Return a sort key that takes runs of digits as numbers."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"(\d+)", path.name)
    ], path.name
