"""What a clip is, once it is decoded: facts about it, and blocks of frames that travel with their times."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch

from stages.media.color_tags import ColorTags
from stages.media.stream_facts import StreamFacts


@dataclass(frozen=True)
class Scan:
    """How a clip was scanned. kind: ``progressive``, ``interlaced`` or ``telecined`` (film with pulldown: some frames are combed).

    parity: ``tff`` or ``bff``, the field that comes first; ``auto`` where each frame says it. flagged: what the stream
    says, ``interlaced``, ``progressive`` or nothing. deinterlaced: whether the reader makes the frames progressive.
    """

    kind: str = "progressive"
    parity: str = ""
    flagged: str = ""
    deinterlaced: bool = False


@dataclass(frozen=True)
class ClipInfo:
    """Facts about one clip, as it is decoded: upright, one video stream, before any trim.

    ``frames`` is what the container says and may be wrong or ``None``; only a whole decode knows.
    So may ``seconds``, how long it says that it lasts.
    ``rate`` is the average rate in frames per second. ``pixel_aspect`` is the sample aspect ratio of the upright picture.
    ``color``: what its code values mean. ``crop``: what the clean aperture leaves off, before any rotation: left, top,
    right, bottom. ``timecode``: the label of its first frame. ``facts``: what else its file says. ``icc``: a picture's
    profile; ``foreign_profile``: it has one that is not of RGB. ``told``: which of title, date and location it has.
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
    scan: Scan = Scan()
    crop: tuple[int, int, int, int] | None = None
    timecode: str = ""
    facts: StreamFacts = StreamFacts()
    icc: bytes | None = None
    foreign_profile: bool = False
    told: tuple[str, ...] = ()
    chapters: int = 0


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of a clip with their presentation times.

    pixels: ``(T, 3, H, W)`` float32, RGB in [0, 1].
    times: ``T`` presentation times in seconds, exact, rising.
    first: index of the first frame in the clip as decoded (from 0, before any trim).
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
class SoundSpan:
    """The sound of ``path`` from ``start`` until ``end``, in seconds on the clip's own clock (as :attr:`Frames.times`)."""

    path: Path
    start: Fraction
    end: Fraction


@dataclass
class FrameIndex:
    """What earlier passes learnt about each frame, in order from frame 0: its time, its stamp and a print of its pixels."""

    times: list[Fraction] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)
    prints: list[int] = field(default_factory=list)
    rising: bool = True

    def add(self, index: int, time: Fraction, stamp: int | None, crc: int) -> None:
        """Takes note of frame number ``index`` where it is new."""
        if index < len(self.times):
            return
        last = self.stamps[-1] if self.stamps else None
        self.rising = (
            self.rising
            and stamp is not None
            and (not self.stamps or (last is not None and stamp > last))
        )
        self.times.append(time)
        self.stamps.append(stamp)
        self.prints.append(crc)
