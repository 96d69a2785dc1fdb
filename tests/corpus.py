"""Small files of every kind that Unlayer reads, made by the other FFmpeg and by hand."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import media
import numpy as np

SMALL = "testsrc2=s=48x32:r=25"
DV = "testsrc2=s=720x576:r=25"
TONE = ["-f", "lavfi", "-i", "sine=r=8000"]
# Options of the other FFmpeg for each file of six frames.
VIDEOS: dict[str, str] = {
    "h264.mp4": "-c:v libx264 -g 3 -movflags +faststart",
    "fragmented.mp4": "-c:v libx264 -g 3 -movflags frag_keyframe+empty_moov",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=none:keyint=3",
    "hdr.mp4": "-c:v libx265 -pix_fmt yuv420p10le -color_trc smpte2084 -color_primaries bt2020 "
    "-colorspace bt2020nc -x265-params "
    "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)"
    "WP(15635,16450)L(10000000,1)",
    "av1.mp4": "-c:v libaom-av1 -cpu-used 8",
    "grain.mkv": "-c:v libaom-av1 -cpu-used 8 -denoise-noise-level 20",
    "mpeg4.mp4": "-c:v mpeg4 -bf 2",
    "vp9.mp4": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "prores.mov": "-c:v prores_ks",
    "alpha.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "rle.mov": "-c:v qtrle",
    "cine.mov": "-c:v cinepak",
    "svq1.mov": "-c:v svq1",
    "rpza.mov": "-c:v rpza",
    "pictures.mov": "-c:v png",
    "dnx.mov": "-c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p -s 256x120",
    "hap.mov": "-c:v hap -s 48x32",
    "cfhd.mov": "-c:v cfhd -s 96x64",
    "j2k.mov": "-c:v jpeg2000",
    "h263.3gp": "-c:v h263 -s 128x96",
    "tone.mp4": "-c:v libx264 -c:a aac -metadata title=T -timecode 01:00:00:00",
    "ffv1.mkv": "-c:v ffv1",
    "h264.mkv": "-c:v libx264 -g 3",
    "huff.mkv": "-c:v huffyuv",
    "utv.mkv": "-c:v utvideo",
    "magic.mkv": "-c:v magicyuv",
    "snow.nut": "-c:v snow -strict -2",
    "dirac.mkv": "-c:v vc2 -strict -2 -b:v 200k",
    "vp8.webm": "-c:v libvpx -deadline realtime -cpu-used 8",
    "vp9a.webm": "-c:v libvpx-vp9 -pix_fmt yuva420p -deadline realtime -cpu-used 8",
    "mjpeg.avi": "-c:v mjpeg",
    "xvid.avi": "-c:v libxvid -bf 2",
    "raw.avi": "-c:v rawvideo -pix_fmt bgr24",
    "rle.avi": "-c:v msrle",
    "ms4.avi": "-c:v msmpeg4v2",
    "zmbv.avi": "-c:v zmbv",
    "asv1.avi": "-c:v asv1",
    "ljpeg.avi": "-c:v ljpeg -pix_fmt bgr0",
    "mpeg2.ts": "-c:v mpeg2video -gop_timecode 00:00:00:00",
    "h264.ts": "-c:v libx264 -g 3",
    "ps.mpg": "-c:v mpeg1video",
    "flv1.flv": "-c:v flv1",
    "h264.flv": "-c:v libx264",
    "screen.flv": "-c:v flashsv",
    "vp8.ivf": "-c:v libvpx -deadline realtime -cpu-used 8",
    "wmv.asf": "-c:v wmv2",
    "theora.ogg": "-c:v libtheora",
    "mpeg2.mxf": "-c:v mpeg2video",
    "nut.nut": "-c:v mpeg4",
    "rv.rm": "-c:v rv20 -s 128x96",
    "wtv.wtv": "-c:v mpeg2video",
    "raw.h264": "-c:v libx264 -g 3",
    "raw.hevc": "-c:v libx265 -x265-params log-level=none",
    "raw.obu": "-c:v libaom-av1 -cpu-used 8",
    "raw.m4v": "-c:v mpeg4",
    "raw.m2v": "-c:v mpeg2video",
    "raw.h261": "-c:v h261 -s 176x144",
    "raw.mjpeg": "-c:v mjpeg",
    "raw.y4m": "",
    "moving.gif": "-f gif",
    "moving.apng": "-f apng",
    "deep.apng": "-f apng -pix_fmt rgb48be",
}
# Options for each file of one picture.
PICTURES: dict[str, str] = {
    "plain.png": "",
    "deep.png": "-pix_fmt rgba64be",
    "palette.png": "-pix_fmt pal8",
    "one.png": "-pix_fmt monob",
    "plain.jpg": "-huffman optimal",
    "plain.bmp": "",
    "lzw.tiff": "-compression_algo lzw",
    "packed.tiff": "-compression_algo deflate",
    "deep.tiff": "-pix_fmt rgb48le",
    "plain.webp": "",
    "plain.ppm": "",
    "deep.pgm": "-pix_fmt gray16be",
    "plain.qoi": "",
    "plain.exr": "-compression zip16",
    "half.exr": "-format half",
    "plain.dpx": "",
    "plain.jp2": "-c:v jpeg2000",
    "plain.jxl": "",
    "plain.avif": "-c:v libaom-av1 -cpu-used 8",
}
FIXED = {"dv.dv": (DV, "-c:v dvvideo -pix_fmt yuv420p", 1)}


def make_corpus(folder: Path, few: int | None = None, seed: int = 0) -> dict[str, bytes]:
    """Return small files of every kind by name, some of them with metadata of all kinds.

    few: how many kinds to make, drawn by ``seed``, beside those that others are made of; all by
    default.
    """
    made = {}
    jobs = [(name, SMALL, options, 6) for name, options in VIDEOS.items()]
    jobs += [(name, SMALL, options, 1) for name, options in PICTURES.items()]
    jobs += [(name, *job) for name, job in FIXED.items()]
    if few is not None:
        drawn = set(
            np.random.default_rng(seed).choice(len(jobs), min(few, len(jobs)), replace=False)
        )
        jobs = [
            job
            for place, job in enumerate(jobs)
            if place in drawn or job[0] in ("plain.png", "raw.h264")
        ]
    for name, source, options, frames in jobs:
        tone = [*TONE, "-shortest"] if name.startswith("tone") else []
        words = [
            media.FFMPEG,
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            source,
            *tone,
            *options.split(),
            "-frames:v",
            str(frames),
        ]
        # With some encoders the other FFmpeg crashes after everything is written.
        subprocess.run([*words, str(folder / name)], check=False, capture_output=True)
        made[name] = (folder / name).read_bytes()
        assert made[name], name
    made["profile.png"] = with_png_chunks(made["plain.png"], seed=1)
    for number in range(4):
        made[f"sei{number}.h264"] = with_sei(made["raw.h264"], number)
    return made


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_png_chunks(data: bytes, seed: int) -> bytes:
    """Return a PNG with descriptive chunks of every kind before its pixels."""
    rng = np.random.default_rng(seed)
    packed = zlib.compress(rng.bytes(300))
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    chunks = [
        (b"iCCP", b"name\0\0" + packed),
        (b"cICP", bytes([9, 16, 0, 1])),
        (b"mDCV", rng.bytes(24)),
        (b"cLLI", rng.bytes(8)),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", rng.bytes(32)),
        (b"sBIT", bytes([8, 8, 8])),
        (b"pHYs", rng.bytes(8) + b"\1"),
        (b"eXIf", exif),
        (b"tEXt", b"Comment\0" + rng.bytes(40)),
        (b"zTXt", b"Raw profile type xmp\0\0" + packed),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        (b"sTER", b"\1"),
        (b"tIME", rng.bytes(7)),
    ]
    return data[:33] + b"".join(png_chunk(*each) for each in chunks) + data[33:]


def with_sei(data: bytes, seed: int, *, turned: bool = True) -> bytes:
    """Return a raw H.264 stream with messages (SEI) of all kinds before its first picture.

    They hold captions, HDR10+, stereo and so on. turned: whether one of them rotates that picture.
    """
    rng = np.random.default_rng(seed)
    caption = b"\xb5\0\x31GA94\x03\xc3\xff" + rng.bytes(9) + b"\xff"
    dynamic = b"\xb5\0\x3c\0\x01\x04\x01" + rng.bytes(60)
    vivid = b"\x26\0\x04\0\x05" + rng.bytes(40)
    shape = b"\xb5\0\x31DTG1\x41\xfa"
    payloads = [
        (4, caption),
        (4, dynamic),
        (4, vivid),
        (4, shape),
        (5, rng.bytes(40)),
        (47, rng.bytes(4) if turned else b"\xc0"),
        (45, rng.bytes(6)),
    ]
    payloads += [
        (137, rng.bytes(24)),
        (144, rng.bytes(4)),
        (148, rng.bytes(8)),
        (147, rng.bytes(1)),
        (1, rng.bytes(3)),
        (19, rng.bytes(5)),
    ]
    nal = (
        b"\x06"
        + b"".join(bytes([kind, len(payload)]) + payload for kind, payload in payloads)
        + b"\x80"
    )
    escaped = bytearray()
    for byte in nal:
        if escaped[-2:] == b"\0\0" and byte <= 3:
            escaped.append(3)
        escaped.append(byte)
    place = max(data.find(b"\0\0\1\x65"), 0)
    return data[:place] + b"\0\0\1" + bytes(escaped) + data[place:]
