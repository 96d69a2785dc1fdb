"""Turn a clip's time codes into frame numbers, and back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from stages.media.clip import ClipInfo
from stages.media.timecode import is_timecode, label_of, number_of


@dataclass(frozen=True)
class ListClock:
    """How a clip's time codes count: its rate, the number of frame 0, and the separator."""

    rate: Fraction
    start: int
    separator: str

    def frame(self, label: str) -> int | None:
        """Return the frame with a time code, or ``None`` where it is none of this clip."""
        if not is_timecode(label, self.rate):
            return None
        frame = number_of(label, self.rate) - self.start
        if frame < 0:
            # Time codes begin again at midnight.
            frame += number_of(f"23:59:59{label[8]}{round(self.rate) - 1:02d}", self.rate) + 1
        return frame

    def label(self, frame: int) -> str:
        """Return the time code of a frame."""
        return label_of(self.start + frame, self.rate, self.separator)


def time_code_of(info: ClipInfo) -> tuple[int, str]:
    """Return the number of frame 0 in time code, and the character before the frames."""
    if not info.timecode:
        return 0, ":"
    separator = ":" if info.timecode[8] == ":" else ";"
    return number_of(info.timecode, info.rate), separator
