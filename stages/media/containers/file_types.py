"""The file types that containers share: MP4, MOV, Matroska and WebM."""

from __future__ import annotations

from fractions import Fraction

from stages.media.containers.base import FileType, FinishedFile, SoundTracks, light_lost
from stages.media.headers import (
    MATROSKA_UNIT,
    correct_matroska,
    write_matroska_light,
    write_mov_light,
)

_MILLISECOND = Fraction(1, 1000)
# For Matroska and WebM: the header is corrected after writing, which checksums would not survive.
_NO_CHECKSUMS = {"write_crc32": "0"}
_AAC_RATES = (48000, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 64000, 88200, 96000)
_IN_MP4 = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})


def _correct_mov(file: FinishedFile) -> list[str]:
    """Write HDR metadata into a MOV or MP4 file."""
    done = not file.light or write_mov_light(file.path, file.info.color)
    return [] if done else light_lost(file)


def _correct_matroska(file: FinishedFile) -> list[str]:
    """Write the unit of time, the pixel aspect and HDR metadata into a Matroska or WebM file."""
    info = file.info
    missing = []
    if not correct_matroska(file.path, file.tick, info.width, info.height, info.pixel_aspect):
        missing.append(f"the pixel aspect ratio of {info.pixel_aspect}")
    if file.light and not write_matroska_light(file.path, info.color):
        missing += light_lost(file)
    return missing


MP4 = FileType(
    ".mp4",
    "mp4",
    {"movflags": "+faststart"},
    SoundTracks(_IN_MP4 | {"opus", "libopus"}, "aac", "fltp", _AAC_RATES),
    timecode=True,
    pixel_aspect=True,
)
# Without "faststart" the index comes last, and HDR metadata can be added to it.
MP4_HDR = FileType(
    ".mp4",
    "mp4",
    {},
    MP4.sound,
    timecode=True,
    pixel_aspect=True,
    reserves_name=False,
    correct=_correct_mov,
)
MOV = FileType(
    ".mov",
    "mov",
    {},
    SoundTracks(_IN_MP4 | {"pcm_s16le", "pcm_s16be", "pcm_s24le"}, "aac", "fltp", _AAC_RATES),
    timecode=True,
    pixel_aspect=True,
    reserves_name=False,
    correct=_correct_mov,
)
MATROSKA = FileType(
    ".mkv",
    "matroska",
    _NO_CHECKSUMS,
    SoundTracks(None, "flac", "s16"),
    timecode=True,
    pixel_aspect=True,
    unit=MATROSKA_UNIT,
    declared_unit=_MILLISECOND,
    correct=_correct_matroska,
)
# WebM files should count time in milliseconds.
WEBM = FileType(
    ".webm",
    "webm",
    _NO_CHECKSUMS,
    SoundTracks(frozenset({"opus", "libopus", "vorbis", "libvorbis"}), "libopus", "s16", (48000,)),
    timecode=True,
    unit=_MILLISECOND,
    correct=_correct_matroska,
)
