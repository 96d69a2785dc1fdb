"""A decoded clip: facts about it, and blocks of frames that travel with their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch

from stages.media.color_tags import ColorTags
from stages.media.orientation import Crop
from stages.media.stream_facts import StreamFacts


@dataclass(frozen=True)
class ScanType:
    """How a clip was scanned.

    kind: ``progressive``, ``interlaced`` or ``telecined`` (film with pulldown, where some frames
        are combed).
    parity: the field that comes first, ``tff`` (top) or ``bff`` (bottom); ``auto`` where each frame
        says it; empty for progressive frames of unknown parity.
    flagged: what the stream claims: ``interlaced``, ``progressive`` or nothing.
    deinterlaced: whether the reader makes the frames progressive.
    """

    kind: str = "progressive"
    parity: str = ""
    flagged: str = ""
    deinterlaced: bool = False


@dataclass(frozen=True)
class ClipInfo:
    """Facts about one video stream as it is decoded: upright, before any trim.

    width, height: of the upright picture, in pixels.
    frames: the number of frames that the container claims. It may be wrong or ``None``; only
        decoding the whole clip gives the true number.
    rate: the average rate in frames per second. time_base: the stream's unit of time in seconds.
    pixel_aspect: the sample aspect ratio of the upright picture.
    rotation: clockwise rotation in degrees that makes a stored frame upright.
    bit_depth: 8, or an even number up to 16.
    codec, pixel_format, color_space: names; ``color_space`` is the matrix of the stored values.
    stream: the stream's index in the file.
    seconds: the duration that the container claims; it may be wrong or ``None``.
    color: the meaning of the code values.
    crop: what the clean aperture cuts off before any rotation.
    timecode: the label of the first frame. facts: what else the file says.
    icc: a picture's RGB profile. foreign_profile: whether it has a profile that is not of RGB.
    exif: a picture's EXIF block, upright and without thumbnail, see :mod:`stages.media.exif`.
    dpi: a picture's pixels per inch, across and down.
    tags: names of the file's tags, such as ``title``, see :mod:`stages.media.labels`.
    """

    path: Path
    width: int
    height: int
    frames: int | None
    rate: Fraction
    time_base: Fraction
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    bit_depth: int = 8
    codec: str = ""
    pixel_format: str = ""
    color_space: str = "bt601"
    full_range: bool = False
    stream: int = 0
    audio_streams: int = 0
    subtitle_streams: int = 0
    has_alpha: bool = False
    seconds: Fraction | None = None
    is_picture: bool = False
    color: ColorTags = ColorTags()
    scan: ScanType = ScanType()
    crop: Crop | None = None
    timecode: str = ""
    facts: StreamFacts = StreamFacts()
    icc: bytes | None = None
    foreign_profile: bool = False
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    tags: tuple[str, ...] = ()
    chapters: int = 0


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of a clip with their presentation times.

    pixels: ``(T, 3, H, W)`` float32, RGB in [0, 1].
    times: ``T`` presentation times in seconds, exact, rising.
    first: index of the first frame in the clip as decoded (from 0, before any trim).

    Raises ValueError where the shapes do not match.
    """

    pixels: torch.Tensor
    times: tuple[Fraction, ...]
    first: int = 0

    def __post_init__(self) -> None:
        shape = tuple(self.pixels.shape)
        if self.pixels.ndim != 4 or shape[1] != 3 or self.pixels.dtype != torch.float32:
            raise ValueError(
                f"frames must be (T, 3, H, W) float32, got {shape} {self.pixels.dtype}"
            )
        if len(self.times) != shape[0]:
            raise ValueError(f"{shape[0]} frames need as many times, got {len(self.times)}")

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def last(self) -> int:
        """Index of the last frame, inclusive."""
        return self.first + len(self) - 1


@dataclass(frozen=True)
class SourceSpan:
    """The part of a file that goes with a layer, from ``start`` until ``end``.

    start, end: in seconds on the clip's own clock, which is the one of :attr:`Frames.times`.
    audio, subtitles: whether the file's tracks of that kind go with the layer.
    labels: whether its tags and chapters do.
    stream: index of the video stream whose tags go with the layer's picture.
    """

    path: Path
    start: Fraction
    end: Fraction
    audio: bool = True
    subtitles: bool = False
    labels: bool = False
    stream: int = 0


@dataclass
class FrameIndex:
    """Facts about each frame that earlier passes decoded, in order from frame 0.

    times: presentation times in seconds. timestamps: the same in the stream's time base, as stored
    (``None`` where missing). checksums: of each frame's pixels, see
    :func:`stages.media.frame_pixels.frame_checksum`. rising: whether all timestamps exist and
        rise, so that a seek can find a frame by its timestamp.
    """

    times: list[Fraction] = field(default_factory=list)
    timestamps: list[int | None] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)
    rising: bool = True

    def has(self, index: int, timestamp: int | None, checksum: int) -> bool:
        """Return whether frame number ``index``, which is known, has this timestamp and pixels."""
        return (timestamp, checksum) == (self.timestamps[index], self.checksums[index])

    def copy(self) -> FrameIndex:
        """Return a copy. Another thread may be adding frames meanwhile."""
        # What is added last says how many frames are complete.
        count = len(self.checksums)
        return FrameIndex(
            self.times[:count], self.timestamps[:count], self.checksums[:count], self.rising
        )

    def add(self, index: int, time: Fraction, timestamp: int | None, checksum: int) -> None:
        """Add frame number ``index`` if it is new.

        time: in seconds. timestamp: in the stream's time base. checksum: of its pixels.
        """
        if index < len(self.times):
            return
        if timestamp is None:
            self.rising = False
        elif self.timestamps:
            last = self.timestamps[-1]
            self.rising = self.rising and last is not None and timestamp > last
        self.times.append(time)
        self.timestamps.append(timestamp)
        self.checksums.append(checksum)
