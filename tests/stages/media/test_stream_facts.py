"""Facts in containers and bitstreams are found; damaged bytes are ignored and do no harm."""

from __future__ import annotations

import struct
from pathlib import Path

import ffmpeg
import media
import numpy as np
import pytest

from stages.media.bitstream import HdrMessages, scan_packet
from stages.media.read import open_clip
from stages.media.stream_facts import StoredTrack, StreamFacts, read_facts

PLUS = bytes.fromhex("b5003c000104") + bytes(20)


def sei(payload: int, content: bytes) -> bytes:
    """Return an SEI message with its end mark."""
    return bytes([payload, len(content)]) + content + b"\x80"


def unit(kind: int, body: bytes) -> bytes:
    """Return a NAL unit of HEVC."""
    return bytes([kind << 1, 1]) + body


@pytest.mark.parametrize("lengths", [True, False])
def test_messages_of_hevc(lengths: bool) -> None:
    mastering = struct.pack(
        ">8HII", 13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50
    )
    units = [
        unit(39, sei(137, mastering)),
        unit(39, sei(144, struct.pack(">HH", 1000, 400))),
        unit(39, sei(4, PLUS)),
        unit(62, b"rpu data"),
    ]
    packet = b"".join(
        struct.pack(">I", len(each)) + each if lengths else b"\0\0\0\1" + each for each in units
    )
    found = scan_packet(packet, "hevc")
    assert (
        found.light == (1000, 400)
        and found.dynamic
        and found.dolby_vision
        and found.mastering is not None
    )
    assert scan_packet(packet, "vp9") == HdrMessages()


def test_hdr_metadata_of_av1_are_read(tmp_path: Path) -> None:
    words = (
        "mastering-display=G(0.265,0.69)B(0.15,0.06)R(0.68,0.32)WP(0.3127,0.329)L(1000,0.005)"
        ":content-light=1000,400"
    )
    settings = {"c:v": "libsvtav1", "preset": 12, "svtav1-params": words}
    source = ffmpeg.input("testsrc2=s=128x96:r=25:d=0.2", format="lavfi").filter(
        "format", "yuv420p10le"
    )
    source = source.filter(
        "setparams", color_primaries="bt2020", color_trc="smpte2084", colorspace="bt2020nc"
    )
    for suffix in (".mkv", ".mp4"):
        media.run(ffmpeg.output(source, str(tmp_path / f"clip{suffix}"), **settings))
        color = open_clip([tmp_path / f"clip{suffix}"]).info.color
        assert color.light == (1000, 400) and color.mastering is not None and color.is_hdr
        assert color.peak == 1000


@pytest.mark.parametrize(
    ("mode", "words"), [("left_right", "side by side"), ("top_bottom", "top and bottom")]
)
def test_stereo_layouts_are_read(tmp_path: Path, mode: str, words: str) -> None:
    path = tmp_path / "clip.mkv"
    source = ffmpeg.input("testsrc2=s=64x48:r=25:d=0.2", format="lavfi")
    media.run(
        ffmpeg.output(
            source, str(path), **{"c:v": "libx264", "metadata:s:v:0": f"stereo_mode={mode}"}
        )
    )
    assert open_clip([path]).info.facts.stereo == words


def nested(*kinds: bytes, inside: bytes) -> bytes:
    """Return MP4 boxes of these kinds inside each other."""
    for kind in reversed(kinds):
        inside = struct.pack(">I4s", 8 + len(inside), kind) + inside
    return inside


def test_boxes_of_mp4(tmp_path: Path) -> None:
    extra = nested(b"dvcC", inside=bytes([1, 0, 5 << 1, 0])) + nested(
        b"st3d", inside=bytes([0, 0, 0, 0, 2])
    )
    extra += nested(b"sv3d", inside=b"") + nested(b"clli", inside=struct.pack(">HH", 700, 90))
    entry = nested(b"hvc1", inside=bytes(78) + extra)
    described = nested(b"mdia", b"minf", b"stbl", b"stsd", inside=bytes(8) + entry)
    head = nested(b"tkhd", inside=bytes(12) + struct.pack(">I", 7) + bytes(68))
    path = tmp_path / "in.mp4"
    path.write_bytes(nested(b"moov", b"trak", inside=head + described))
    found = read_facts(path, StoredTrack("mov,mp4", 7, "hevc", (48, 64)), [])
    assert found == StreamFacts(
        light=(700, 90), dolby_vision=5, stereo="side by side", spherical=True
    )
    assert read_facts(path, StoredTrack("mov,mp4", 8, "hevc", (48, 64)), []) == StreamFacts()


@pytest.mark.parametrize("seed", range(50))
def test_random_bytes_do_no_harm(tmp_path: Path, seed: int) -> None:
    draw = np.random.default_rng(seed)
    heads = [
        b"",
        b"\x1a\x45\xdf\xa3",
        b"\0\0\0\1\x4e\1\x89",
        nested(b"moov", inside=b"\0\0\0\1trak"),
        b"\x12\0\x2a",
    ]
    data = (
        heads[seed % 5]
        + draw.integers(0, 256, int(draw.integers(0, 400)), dtype=np.uint8).tobytes()
    )
    path = tmp_path / "in"
    path.write_bytes(data)
    for container in ("mov,mp4", "matroska,webm"):
        for codec in ("hevc", "h264", "av1"):
            found = read_facts(path, StoredTrack(container, 1, codec, (48, 64)), [data])
            assert isinstance(found, StreamFacts)
