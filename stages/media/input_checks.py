"""Check what a clip is opened from: the trim, whole files, several pictures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

from stages.errors import UnlayerError, UsageError
from stages.media import sniff
from stages.media.clip import ClipInfo
from stages.media.sniff import printable


def check_trim(start: Fraction | None, end: Fraction | None) -> None:
    """Raise UsageError where there is no time between ``start`` and ``end``, in seconds from 0."""
    if (start is not None and start < 0) or (end is not None and end <= (start or 0)):
        raise UsageError(
            f"there is no time between start {start or 0} and end {end}; the end must be after the "
            "start, both in seconds from 0",
            settings=("start", "end"),
        )


def check_complete(
    path: Path, container: InputContainer, video: VideoStream, *, salvage: bool
) -> bool:
    """Return whether the file ends before its data does, which only ``salvage`` allows.

    Raises UnlayerError for such a file otherwise.
    """
    problem = sniff.cut_short(path, container.format.name, video.index_entries)
    if problem and not salvage:
        raise UnlayerError(
            f"{printable(path)}: {problem}; get the whole file, or salvage what can be decoded",
            settings=("salvage",),
        )
    return problem is not None


def check_pictures(paths: Sequence[Path], info: ClipInfo, max_pixels: int) -> None:
    """Raise UsageError where one of several files is not a picture. info: of the first file."""
    if not info.is_picture:
        raise UsageError(
            f"{printable(paths[0])}: is a video; give one video, or several pictures of one size"
        )
    for path in paths[1:]:
        if sniff.check_file(path, max_pixels) not in sniff.PICTURES:
            raise UsageError(
                f"{printable(path)}: is not a picture; "
                "give one video, or several pictures of one size"
            )


def frame_size_error(index: int, size: tuple[int, int], info: ClipInfo) -> UnlayerError:
    """Return the error about frame ``index`` of a video, whose ``size`` (H, W) is another one."""
    return UnlayerError(
        f"{printable(info.path)}: changes its size at frame {index} from "
        f"{info.width}x{info.height} to {size[1]}x{size[0]}; convert it to one size, or read it "
        "only up to there",
        settings=("end",),
    )


def picture_size_error(
    path: Path, size: tuple[int, int], first: Path, info: ClipInfo
) -> UnlayerError:
    """Return the error about a picture whose ``size`` (H, W) is not that of the first picture.

    first, info: the first picture.
    """
    return UnlayerError(
        f"{printable(path)}: is {size[1]}x{size[0]}, but {printable(first)} is "
        f"{info.width}x{info.height}; give pictures of one size, or a folder of them to batch"
    )
