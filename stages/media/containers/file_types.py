"""The file types that containers share: MP4, MOV, Matroska and WebM."""

from __future__ import annotations

from fractions import Fraction

from stages.media.containers.base import (
    AudioSupport,
    FileType,
    FinishedFile,
    SubtitleSupport,
    report_missing_hdr,
)
from stages.media.video_headers import (
    MATROSKA_TIME_BASE,
    fix_matroska,
    write_matroska_hdr,
    write_mov_hdr,
)

_MILLISECOND = Fraction(1, 1000)
# For Matroska and WebM: the header is changed after writing, and checksums would then be wrong.
_NO_CHECKSUMS = {"write_crc32": "0"}
_AAC_RATES = (48000, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 64000, 88200, 96000)
_IN_MP4 = frozenset({"aac", "mp3", "mp3float", "ac3", "eac3", "alac"})

_MOV_TEXT = SubtitleSupport(frozenset({"mov_text"}), "mov_text", one_at_a_time=True)
_IN_MATROSKA = frozenset(
    {"subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
)


def _fix_mov(file: FinishedFile) -> list[str]:
    """Write HDR metadata into a MOV or MP4 file."""
    done = not file.has_hdr_metadata or write_mov_hdr(file.path, file.info.color)
    return [] if done else report_missing_hdr(file)


def _fix_matroska(file: FinishedFile) -> list[str]:
    """Write the time base, the pixel aspect and HDR metadata into a Matroska or WebM file."""
    info = file.info
    missing = []
    if not fix_matroska(file.path, file.time_base, info.width, info.height, info.pixel_aspect):
        missing.append(f"the pixel aspect ratio of {info.pixel_aspect}")
    if file.has_hdr_metadata and not write_matroska_hdr(file.path, info.color):
        missing += report_missing_hdr(file)
    return missing


MP4 = FileType(
    ".mp4",
    "mp4",
    {"movflags": "+faststart"},
    AudioSupport(_IN_MP4 | {"opus", "libopus"}, "aac", "fltp", _AAC_RATES),
    subtitles=_MOV_TEXT,
    timecode=True,
    pixel_aspect=True,
)
# Without "faststart" the index comes last, and HDR metadata can be added to it.
MP4_HDR = FileType(
    ".mp4",
    "mp4",
    {},
    MP4.audio,
    subtitles=_MOV_TEXT,
    timecode=True,
    pixel_aspect=True,
    reserves_name=False,
    fix_header=_fix_mov,
)
MOV = FileType(
    ".mov",
    "mov",
    {},
    AudioSupport(_IN_MP4 | {"pcm_s16le", "pcm_s16be", "pcm_s24le"}, "aac", "fltp", _AAC_RATES),
    subtitles=_MOV_TEXT,
    timecode=True,
    pixel_aspect=True,
    reserves_name=False,
    fix_header=_fix_mov,
)
MATROSKA = FileType(
    ".mkv",
    "matroska",
    _NO_CHECKSUMS,
    AudioSupport(None, "flac", "s16"),
    subtitles=SubtitleSupport(_IN_MATROSKA, "subrip"),
    timecode=True,
    pixel_aspect=True,
    time_base=MATROSKA_TIME_BASE,
    muxer_time_base=_MILLISECOND,
    fix_header=_fix_matroska,
)
# WebM files should count time in milliseconds.
WEBM = FileType(
    ".webm",
    "webm",
    _NO_CHECKSUMS,
    AudioSupport(frozenset({"opus", "libopus", "vorbis", "libvorbis"}), "libopus", "s16", (48000,)),
    subtitles=SubtitleSupport(frozenset({"webvtt"}), "webvtt"),
    timecode=True,
    time_base=_MILLISECOND,
    fix_header=_fix_matroska,
)
