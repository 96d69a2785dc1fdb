"""How code values become light: ITU-T H.273's numbers and HDR's static metadata.

The separation works on encoded values. These tags travel beside them, so that an output says what
its values mean.
"""

from __future__ import annotations

from dataclasses import dataclass

# ITU-T H.273 (07/2021): colour primaries (table 2), transfer (table 3), matrix (table 4).
UNSPECIFIED = 2
BT709 = 1
BT601 = 6
BT2020 = 9
PQ, HLG, LINEAR, SRGB = 16, 18, 8, 13
RGB_MATRIX = 0
PRIMARIES = {
    1: "BT.709",
    4: "BT.470 M",
    5: "BT.601 (625)",
    6: "BT.601 (525)",
    7: "SMPTE 240M",
    8: "film",
    9: "BT.2020",
    10: "XYZ",
    11: "DCI-P3",
    12: "Display P3",
    22: "EBU 3213",
}
TRANSFERS = {
    1: "BT.709",
    4: "gamma 2.2",
    5: "gamma 2.8",
    6: "BT.601",
    7: "SMPTE 240M",
    8: "linear",
    9: "log 100:1",
    10: "log 316:1",
    11: "xvYCC",
    12: "BT.1361",
    13: "sRGB",
    14: "BT.2020 (10 bit)",
    15: "BT.2020 (12 bit)",
    16: "PQ",
    17: "SMPTE 428",
    18: "HLG",
}
WIDE = frozenset({8, 9, 10, 11, 12})
"""Primaries with colours that BT.709 cannot show."""
HDR_WHITE = 203
"""HDR reference white in cd/m2 (BT.2408-7, table 1)."""
MASTERING_BYTES = 24
"""Bytes of an ``mdcv`` payload: eight coordinates of 2 bytes, two luminances of 4."""
CHROMATICITY_STEPS, LUMINANCE_STEPS = 50_000, 10_000
"""The steps in which that payload counts: of a chromaticity from 0 to 1, and of one cd/m2."""
_NOMINAL_PEAK = 1000.0  # cd/m2: HLG's nominal peak (BT.2100) and a usual mastering display
PQ_PEAK = 10_000
"""The most light in cd/m2 that PQ can encode (SMPTE ST 2084)."""


@dataclass(frozen=True)
class ColorTags:
    """A stream's statements about its colours.

    primaries, transfer, matrix: H.273's numbers; 2 where nothing is stated.
    mastering: the colour volume of the display that HDR was graded on, as the 24 bytes of an MP4's
        ``mdcv`` box and of the codecs' SEI messages.
    light: the brightest pixel and the brightest mean of a frame in cd/m2 (MaxCLL, MaxFALL).
    """

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    mastering: bytes | None = None
    light: tuple[int, int] | None = None

    @property
    def is_hdr(self) -> bool:
        """Whether the values have a high dynamic range (PQ or HLG)."""
        return self.transfer in (PQ, HLG)

    @property
    def is_wide(self) -> bool:
        """Whether the primaries are wider than those of BT.709."""
        return self.primaries in WIDE

    @property
    def needs_conversion(self) -> bool:
        """Whether a player that only knows BT.709 would show wrong colours."""
        return self.is_hdr or self.is_wide or self.transfer == LINEAR

    def describe(self) -> str:
        """Return the tags in words, such as ``HDR (PQ, BT.2020)``; empty if nothing is stated."""
        names = [TRANSFERS.get(self.transfer, ""), PRIMARIES.get(self.primaries, "")]
        known = ", ".join(dict.fromkeys(filter(None, names)))
        if not known:
            return ""
        return f"HDR ({known})" if self.is_hdr else f"SDR ({known})"

    @property
    def peak(self) -> float:
        """The brightest light in cd/m2 that the values stand for; 1000 where it is not known.

        HLG is shown at its nominal peak of 1000 cd/m2 (BT.2100). A PQ film is graded for its
        mastering display.
        """
        if self.transfer == HLG:
            return _NOMINAL_PEAK
        brightest = self.light[0] if self.light else 0
        if not brightest and self.mastering is not None:
            brightest = int.from_bytes(self.mastering[16:20], "big") // LUMINANCE_STEPS
        if not brightest:
            return _NOMINAL_PEAK
        return float(min(PQ_PEAK, max(HDR_WHITE, brightest)))


def mastering_values(data: bytes) -> dict[str, list[float] | float]:
    """Return an ``mdcv`` payload of 24 bytes as numbers: chromaticities, and luminances in cd/m2.

    The payload has x and y of green, blue, red and white, then the largest and the least luminance
    (SMPTE ST 2086, ISO/IEC 23008-2 D.3.28).
    """
    names = ("green", "blue", "red", "white")
    points: dict[str, list[float] | float] = {}
    for number, name in enumerate(names):
        at = 4 * number
        points[name] = [
            int.from_bytes(data[at + 2 * axis : at + 2 * axis + 2], "big") / CHROMATICITY_STEPS
            for axis in (0, 1)
        ]
    points["max_luminance"] = int.from_bytes(data[16:20], "big") / LUMINANCE_STEPS
    points["min_luminance"] = int.from_bytes(data[20:24], "big") / LUMINANCE_STEPS
    return points
