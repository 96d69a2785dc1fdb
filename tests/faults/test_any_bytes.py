"""Files of any bytes: whatever is done to a small one, ``probe`` and ``run`` end by themselves, with an answer or one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from provoke import GIB, Zygote, sane, still

KINDS = {
    "a.mp4": {"c:v": "libx264", "g": 3, "movflags": "+faststart"},
    "b.mp4": {"c:v": "mpeg4"},
    "c.mov": {"c:v": "prores_ks"},
    "d.mkv": {"c:v": "ffv1"},
    "e.webm": {"c:v": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8},
    "f.avi": {"c:v": "mjpeg"},
    "g.ts": {"c:v": "mpeg2video"},
    "h.flv": {"c:v": "flv1"},
    "i.gif": {"f": "gif"},
    "j.apng": {"f": "apng"},
    "k.h264": {"c:v": "libx264"},
    "l.ogg": {"c:v": "libtheora"},
    "m.y4m": {"pix_fmt": "yuv420p"},
    "n.png": {"frames:v": 1, "update": 1},
    "o.jpg": {"frames:v": 1, "update": 1},
    "p.bmp": {"frames:v": 1, "update": 1},
    "q.tiff": {"frames:v": 1, "update": 1},
    "r.webp": {"frames:v": 1, "update": 1},
}


@pytest.fixture(scope="module")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One small file of every kind that the other FFmpeg can make."""
    folder = tmp_path_factory.mktemp("kinds")
    return {name: still(folder / name, 6, (16, 24), **options).read_bytes() for name, options in KINDS.items()}


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """The same bytes with something wrong: cut off, bits flipped, a piece of zeros or noise, a piece missing, twice or elsewhere."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if not made:
            break
        first, last = sorted(int(place) for place in rng.integers(0, len(made) + 1, 2))
        # Headers are where one byte matters most.
        head = int(rng.integers(0, min(len(made), 512)))
        match int(rng.integers(7)):
            case 0:
                del made[max(1, last) :]
            case 1:
                for place in rng.integers(0, len(made), int(rng.integers(1, 20))):
                    made[place] ^= 1 << int(rng.integers(8))
            case 2:
                made[head : head + 4] = rng.choice([b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", rng.bytes(4)])
            case 3:
                made[first:last] = bytes(last - first)
            case 4:
                made[first : first + 64] = rng.bytes(64)
            case 5:
                del made[first : first + int(rng.integers(1, 64))]
            case 6:
                made[head:head] = made[first : first + 256]
    return bytes(made)


def fuzz(zygote: Zygote, folder: Path, files: dict[str, bytes], numbers: range) -> int:
    """Spoil a file for each number and show it to the command line; return how many there were."""
    for number in numbers:
        rng = np.random.default_rng(number)
        name = str(rng.choice(list(files)))
        (folder / name).write_bytes(spoiled(files[name], rng))
        words = [["probe", name, "--json"], ["run", name, "--task", "transition", "--out", "out", "--overwrite", "--no-progress"]][
            number % 2
        ]
        salvage = ["--salvage"] if number % 3 == 0 else []
        try:
            sane(zygote.run(folder, *words, *salvage, seconds=30, memory=GIB))
        except AssertionError as error:
            raise AssertionError(f"number {number}, {name}: {error}") from error
    return len(numbers)


def test_whole_files_are_read(zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]) -> None:
    for name, data in small_files.items():
        (tmp_path / name).write_bytes(data)
        answer = zygote.run(tmp_path, "probe", name, "--json", seconds=30, memory=GIB)
        sane(answer)
        assert answer.status == 0, (name, answer.err)


def test_spoiled_files(zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]) -> None:
    assert fuzz(zygote, tmp_path, small_files, range(40)) == 40


@pytest.mark.slow
def test_many_spoiled_files(zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]) -> None:
    assert fuzz(zygote, tmp_path, small_files, range(1_000_000, 1_001_000)) == 1000
