"""What layers are encoded with: one table from what was asked for to containers, codecs and pixel formats, and Matroska's header."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from stages.media.clip import ClipInfo
from stages.media.color_tags import BT709, BT2020, RGB_MATRIX, UNSPECIFIED, ColorTags

# Matroska counts in units that its header names; FFmpeg's muxer knows only milliseconds. It is told units of 10 microseconds under that
# name, and the header is corrected afterwards: a frame is then at most 5 microseconds off its time, where it would be 500.
MATROSKA_UNIT = Fraction(1, 100_000)
# The header's checksums would not survive its correction.
_MATROSKA = {"write_crc32": "0"}
_SCALE = bytes.fromhex("2ad7b183")
_VOID = bytes.fromhex("ec01000000000000020000")
_UNKNOWN_DISPLAY = bytes.fromhex("54b28104")
# Bits that the lossless formats know; an input of another depth gets the next larger one.
_DEPTHS = (8, 10, 12, 14, 16)


@dataclass(frozen=True)
class Encoding:
    """How a layer is encoded: the file's suffix and muxer, the codec, the pixels it gets and their source's depth in bits."""

    suffix: str
    muxer: str
    codec: str
    pixels: str
    bits: int = 8
    options: Mapping[str, str] = field(default_factory=dict)
    muxer_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def yuv(self) -> bool:
        """Whether the pixels are luma and chroma (BT.709, limited range) and not full-range RGB."""
        return self.pixels.startswith("yuv")


PREVIEW = Encoding(
    ".mp4",
    "mp4",
    "libx264",
    "yuv420p",
    8,
    # A key frame every half second or so: a preview is there to be scrubbed.
    {"crf": "24", "preset": "veryfast", "bf": "0", "g": "12", "mbtree": "0"},
    {"movflags": "+faststart"},
)
"""What the report's own videos are encoded with: quickly, and so that every browser plays them."""


def encoding_for(
    info: ClipInfo, lossless: bool, alpha: str | None, bit_depth: int, pictures: bool
) -> Encoding:
    """The encoding of a layer; see :class:`stages.media.write.LayerWriter`. Raises :class:`ValueError` for an unknown ``alpha``."""
    bits = next((depth for depth in _DEPTHS if depth >= bit_depth), 16)
    if alpha not in (None, "prores", "vp9", "ffv1", "png"):
        raise ValueError(f"alpha must be prores, vp9, ffv1, png or None, got {alpha!r}")
    if pictures or alpha == "png":
        pixels = (
            ("rgba" if alpha else "rgb24") if bits == 8 else ("rgba64be" if alpha else "rgb48be")
        )
        return Encoding(
            ".png" if pictures else ".mov",
            "" if pictures else "mov",
            "png",
            pixels,
            8 if bits == 8 else 16,
        )
    if alpha == "prores":
        return Encoding(
            ".mov",
            "mov",
            "prores_ks",
            "yuva444p10le",
            10,
            {"profile": "4444", "alpha_bits": "16", "qscale": "2"},
        )
    if alpha == "vp9":
        # Alternative reference frames cannot be shared between the picture and its alpha.
        options = {"crf": "16", "b": "0", "auto-alt-ref": "0", "deadline": "good", "cpu-used": "4"}
        return Encoding(".webm", "webm", "libvpx-vp9", "yuva420p", 8, options, _MATROSKA)
    if lossless or alpha == "ffv1":
        pixels = (
            ("bgra" if alpha else "bgr0")
            if bits == 8
            else f"{'gbrap' if alpha else 'gbrp'}{bits}le"
        )
        # Slices let it use several threads, and do not depend on how many there are.
        slices = {"slices": "4"} if info.width >= 64 and info.height >= 64 else {}
        # No slice is narrower than two pixels; its first version has none.
        options = {"level": "3", "slicecrc": "1", **slices} if info.width > 1 else {"level": "1"}
        return Encoding(".mkv", "matroska", "ffv1", pixels, bits, options, _MATROSKA)
    # Half-size chroma cannot have odd sizes, nor can cropping in the stream bring them back.
    pixels = "yuv444p" if info.width % 2 or info.height % 2 else "yuv420p"
    # Without B frames decoding and display order are one, and durations of variable length stay exact. x264's macroblock tree reads
    # memory that was never set: with it, equal frames give files that differ from run to run.
    options = {"crf": "15", "preset": "medium", "bf": "0", "mbtree": "0"}
    return Encoding(".mp4", "mp4", "libx264", pixels, 8, options, {"movflags": "+faststart"})


_SDR_TRANSFERS = (1, 4, 5, 6, 7, 13)  # H.273: curves that a screen of BT.709 shows as they are
_NARROW = (1, 4, 5, 6, 7)  # primaries as wide as BT.709's


@dataclass(frozen=True)
class OutputColors:
    """What an output's values mean. tags: primaries, transfer and matrix by H.273's numbers. converted: from the input's to BT.709."""

    tags: tuple[int, int, int]
    converted: bool = False


def colors_for(encoding: Encoding, color: ColorTags, data: bool) -> OutputColors:
    """Return how a layer's colours are written and tagged.

    H.264, for every player, is converted to BT.709 where the input is HDR or of a wide gamut. Everything else keeps the
    input's values and says what they are; what the input does not say is BT.709. data: a layer that is no picture.
    """
    if data:
        return OutputColors((BT709, BT709, BT709 if encoding.yuv else RGB_MATRIX))
    primaries = BT709 if color.primaries == UNSPECIFIED else color.primaries
    transfer = BT709 if color.transfer == UNSPECIFIED else color.transfer
    if encoding.codec == "libx264":
        if color.needs_conversion:
            return OutputColors((BT709, BT709, BT709), converted=True)
        known = primaries in _NARROW and transfer in _SDR_TRANSFERS
        return OutputColors((primaries, transfer, BT709) if known else (BT709, BT709, BT709))
    matrix = (BT2020 if primaries == BT2020 else BT709) if encoding.yuv else RGB_MATRIX
    return OutputColors((primaries, transfer, matrix))


def correct_matroska(
    path: Path, unit: Fraction, width: int, height: int, pixel_aspect: Fraction
) -> bool:
    """Write into a Matroska file's header what FFmpeg's muxer cannot be told through PyAV, leaving every other byte in its place.

    unit: seconds that its times are counted in. pixel_aspect goes in as a display size with exactly its ratio; it takes the room of a gap
    that the muxer leaves. Returns whether all of it found a place.
    """
    with path.open("rb+") as file:
        head = bytearray(file.read(4096))
        place = head.index(_SCALE) + len(_SCALE)
        head[place : place + 3] = int(unit * 10**9).to_bytes(3, "big")
        done = pixel_aspect == 1 or _insert_display(head, pixel_aspect * width / height, height)
        file.seek(0)
        file.write(head)
    return done


def _insert_display(head: bytearray, ratio: Fraction, height: int) -> bool:
    """Put a display size of this ratio into the first video track of a header. False where it has no room as expected."""
    video = re.search(rb"\xe0([\x80-\xfe])\xb0[\x81-\x84]", head)
    if video is None:
        return False
    begin = video.start() + 2
    end = begin + video[1][0] - 0x80
    gap = head.find(_VOID, end)
    body = bytes(head[begin:end])
    ratio = ratio.limit_denominator(min(0xFFFF, int(0xFFFF / max(ratio, Fraction(1)))))
    if gap < 0 or _UNKNOWN_DISPLAY not in body or not ratio:
        return False
    times = max(1, round(height / ratio.denominator))
    sides = [(times * side).to_bytes(2, "big") for side in (ratio.numerator, ratio.denominator)]
    shown = b"\x54\xb0\x82" + sides[0] + b"\x54\xba\x82" + sides[1]
    body = body.replace(_UNKNOWN_DISPLAY, b"") + shown
    more = len(body) - (end - begin)
    rest = len(_VOID) - more
    void = bytes([0xEC, 0x80 + rest - 2]) + bytes(rest - 2)
    head[begin - 1 : gap + len(_VOID)] = (
        bytes([0x80 + len(body)]) + body + bytes(head[end:gap]) + void
    )
    return True
