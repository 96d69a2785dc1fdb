"""Small files of every kind that is read, and what can be wrong with them: mutations that know how the files are built, drawn by seed."""

from __future__ import annotations

import copy
import json
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import media
import numpy as np

SMALL = "testsrc2=s=48x32:r=25"
DV = "testsrc2=s=720x576:r=25"
TONE = ["-f", "lavfi", "-i", "sine=r=8000"]
# Name: options of the other FFmpeg. A name with several dots ends in what the file is called.
VIDEOS: dict[str, str] = {
    "h264.mp4": "-c:v libx264 -g 3 -movflags +faststart",
    "fragmented.mp4": "-c:v libx264 -g 3 -movflags frag_keyframe+empty_moov",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=none:keyint=3",
    "hdr.mp4": "-c:v libx265 -pix_fmt yuv420p10le -color_trc smpte2084 -color_primaries bt2020 -colorspace bt2020nc -x265-params "
    "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)",
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
# One picture each.
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
    """Return a small file of every kind by its name, as the other FFmpeg makes it, and some with metadata of all kinds.

    few: only so many kinds, drawn by ``seed``, beside those that the others are made of.
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
        # The other FFmpeg dies of some encoders when all is written.
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
    """Return a PNG with chunks of every kind that describes it, in front of its pixels."""
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
    """Return a raw H.264 stream with messages (SEI) of all kinds before its first picture: captions, HDR10+, stereo and so on.

    turned: one of them turns the picture, which holds for that one alone.
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


@dataclass(frozen=True)
class Piece:
    """A box, chunk, element or segment: where it begins, where its length stands and in how many bytes, its content and its end."""

    begin: int
    field: int
    width: int
    order: str
    content: int
    end: int


BOXES = {
    b"moov",
    b"trak",
    b"mdia",
    b"minf",
    b"stbl",
    b"moof",
    b"traf",
    b"edts",
    b"udta",
    b"mvex",
    b"dinf",
    b"iprp",
    b"ipco",
    b"jp2h",
}
ELEMENTS = {
    b"\x18\x53\x80\x67",
    b"\x16\x54\xae\x6b",
    b"\xae",
    b"\xe0",
    b"\x1f\x43\xb6\x75",
    b"\xa0",
    b"\x1c\x53\xbb\x6b",
    b"\xbb",
    b"\xb7",
}


def pieces_of(data: bytes) -> list[Piece]:
    """Return the parts that a file is built of, nested ones too; none where its kind is not known."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return list(_chunks(data, 8, len(data), ">", 4))
    if data[:4] == b"RIFF":
        return list(_chunks(data, 12, len(data), "<", 0))
    if data[:2] == b"\xff\xd8":
        return list(_segments(data))
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return list(_elements(data, 0, len(data)))
    if data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"jP  "):
        return list(_boxes(data, 0, len(data)))
    return []


def _chunks(data: bytes, place: int, end: int, order: str, tail: int) -> Iterator[Piece]:
    while place + 8 <= end:
        size = int.from_bytes(
            data[place + (0 if tail else 4) :][:4], "big" if order == ">" else "little"
        )
        after = place + 8 + size + (tail or size % 2)
        if after > end:
            return
        yield Piece(place, place + (0 if tail else 4), 4, order, place + 8, after)
        if data[place : place + 4] == b"LIST":
            yield from _chunks(data, place + 12, after, order, tail)
        place = after


def _segments(data: bytes) -> Iterator[Piece]:
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        after = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        yield Piece(place, place + 2, 2, ">", place + 4, min(after, len(data)))
        place = after


def _boxes(data: bytes, place: int, end: int) -> Iterator[Piece]:
    while place + 8 <= end:
        size = int.from_bytes(data[place : place + 4], "big")
        if size < 8 or place + size > end:
            return
        yield Piece(place, place, 4, ">", place + 8, place + size)
        kind = data[place + 4 : place + 8]
        if kind in BOXES or kind in (b"meta", b"stsd", b"dref"):
            yield from _boxes(
                data, place + 8 + {b"meta": 4, b"stsd": 8, b"dref": 8}.get(kind, 0), place + size
            )
        place += size


def _elements(data: bytes, place: int, end: int) -> Iterator[Piece]:
    while place + 2 <= end and data[place]:
        name = data[place : place + 9 - data[place].bit_length()]
        field = place + len(name)
        if field >= end or not data[field]:
            return
        width = 9 - data[field].bit_length()
        size = int.from_bytes(data[field : field + width], "big") & ((1 << 7 * width) - 1)
        after = field + width + size
        if size == (1 << 7 * width) - 1 or after > end:
            after = end
        yield Piece(place, field, width, ">", field + width, after)
        if name in ELEMENTS:
            yield from _elements(data, field + width, after)
        place = after


def mutate(data: bytes, others: Callable[[], bytes], rng: np.random.Generator) -> bytes:
    """Return the bytes with one to four things wrong. others: gives another file, of the same kind where there is one."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(made) < 8:
            break
        pieces = pieces_of(bytes(made)) if rng.random() < 0.6 else []
        if pieces:
            _change_piece(made, pieces, rng)
        else:
            change_bytes(made, others, rng)
    if made[:4] == b"\x89PNG" and rng.random() < 0.8:
        made = _with_sums(made)
    return bytes(made)


def _number(rng: np.random.Generator, width: int, near: int) -> int:
    """A value at the edge of what a field of ``width`` bytes holds, near what was there, or any."""
    top = 256**width
    edges = [
        0,
        1,
        2,
        7,
        top - 1,
        top - 2,
        top // 2,
        top // 2 - 1,
        near + 1,
        near - 1,
        near * 2,
        near + 8,
        near - 8,
        top // 256,
    ]
    return (
        int(rng.choice(edges) if rng.random() < 0.8 else int(rng.integers(0, min(top, 2**62))))
        % top
    )


def _change_piece(made: bytearray, pieces: list[Piece], rng: np.random.Generator) -> None:
    piece = pieces[int(rng.integers(len(pieces)))]
    other = pieces[int(rng.integers(len(pieces)))]
    whole = bytes(made[piece.begin : piece.end])
    big = "big" if piece.order == ">" else "little"
    match int(rng.integers(8)):
        case 0:
            near = int.from_bytes(made[piece.field : piece.field + piece.width], big)
            made[piece.field : piece.field + piece.width] = _number(
                rng, piece.width, near
            ).to_bytes(piece.width, big)
        case 1:
            del made[piece.begin : piece.end]
        case 2:
            made[other.end : other.end] = whole * int(rng.choice([1, 1, 1, 2, 50]))
        case 3:
            made[piece.begin : piece.end] = made[other.begin : other.end]
        case 4 | 5 | 6 if piece.end > piece.content:
            # Counts, sizes and kinds are numbers near the beginning of the content.
            place = piece.content + int(rng.integers(0, min(64, piece.end - piece.content)))
            width = int(rng.choice([1, 2, 4, 4, 8]))
            near = int.from_bytes(made[place : place + width], big)
            made[place : place + width] = _number(rng, width, near).to_bytes(width, big)[
                : len(made) - place
            ]
        case _:
            del made[(piece.content + piece.end) // 2 : piece.end]


def change_bytes(made: bytearray, others: Callable[[], bytes], rng: np.random.Generator) -> None:
    """Make one change to bytes, of which there are some: cut off, bits flipped, a number of the header, a piece of zeros or noise, a piece
    missing, twice, or of another file."""
    first, last = sorted(int(place) for place in rng.integers(0, len(made) + 1, 2))
    head = int(rng.integers(0, min(len(made), 512)))
    match int(rng.integers(9)):
        case 0:
            del made[max(1, last) :]
        case 1 | 2:
            for place in rng.integers(0, len(made), int(rng.integers(1, 20))):
                made[place] ^= 1 << int(rng.integers(8))
        case 3:
            width = int(rng.choice([1, 2, 4]))
            order = str(rng.choice(["big", "little"]))
            made[head : head + width] = _number(
                rng, width, int.from_bytes(made[head : head + width], order)
            ).to_bytes(width, order)
        case 4:
            made[first:last] = bytes(last - first)
        case 5:
            made[first : first + 64] = rng.bytes(64)
        case 6:
            del made[first : first + int(rng.integers(1, 64))]
        case 7:
            made[head:head] = made[first : first + 256]
        case _:
            made[first:] = others()[first:]


def _with_sums(made: bytearray) -> bytearray:
    """The PNG with its chunks' checksums right again: a wrong one would hide what stands in a chunk."""
    for piece in pieces_of(bytes(made)):
        made[piece.end - 4 : piece.end] = struct.pack(
            ">I", zlib.crc32(made[piece.begin + 4 : piece.end - 4])
        )
    return made


def mutate_text(text: str, rng: np.random.Generator) -> bytes:
    """Return JSON or TOML with something wrong: a value of another kind, a key gone, or bytes changed."""
    data = text.encode()
    if rng.random() < 0.6:
        try:
            whole = json.loads(text)
        except ValueError:
            whole = None
        if isinstance(whole, dict):
            for _ in range(int(rng.integers(1, 4))):
                _change_value(whole, rng)
            return json.dumps(whole).encode()
    lines = text.splitlines()
    if rng.random() < 0.5 and len(lines) > 2 and " = " in lines[0]:
        place = int(rng.integers(len(lines)))
        value = json.dumps(STRANGE[int(rng.integers(len(STRANGE)))])
        lines[place] = f"{lines[place].partition(' = ')[0]} = {value}"
        return "\n".join(lines).encode()
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if len(made) > 8:
            change_bytes(made, lambda: data[::-1], rng)
    return bytes(made)


STRANGE = [
    None,
    True,
    -1,
    0,
    2**63,
    2**64,
    1e308,
    "",
    "../../x",
    "/etc/passwd",
    "a\0b",
    [],
    {},
    [[]],
    {"a": {}},
    "\ud800",
    "1/0",
    0.5,
]


def _change_value(value: object, rng: np.random.Generator) -> None:
    """Go down a random way and replace or remove what is there."""
    while True:
        keys = (
            list(value)
            if isinstance(value, dict)
            else list(range(len(value)))
            if isinstance(value, list)
            else []
        )
        if not keys:
            return
        key = keys[int(rng.integers(len(keys)))]
        inside = value[key]  # type: ignore[index]
        if not isinstance(inside, dict | list) or not inside or rng.random() < 0.2:
            if rng.random() < 0.15:
                del value[key]  # type: ignore[attr-defined]
            else:
                value[key] = copy.deepcopy(STRANGE[int(rng.integers(len(STRANGE)))])  # type: ignore[index]
            return
        value = inside
