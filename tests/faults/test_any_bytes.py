"""Files of any bytes.

Whatever is done to a small file, ``probe`` and ``run`` end by themselves, with an answer or one
line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutate import change_bytes
from provoke import GIB, Zygote, sane, still

KINDS: dict[str, dict[str, Any]] = {
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
    """Return one small file of every kind that the other FFmpeg can make."""
    folder = tmp_path_factory.mktemp("kinds")
    return {
        name: still(folder / name, 6, (16, 24), **options).read_bytes()
        for name, options in KINDS.items()
    }


def spoiled(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the same bytes with one to three errors; see :func:`mutate.change_bytes`."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        if made:
            change_bytes(made, lambda: data, rng)
    return bytes(made)


SEARCH_ALONE = ("--task", "transition")
"""Options of ``probe`` with which it reads all frames, and leaves out the other diagnoses."""


def fuzz(zygote: Zygote, folder: Path, files: dict[str, bytes], numbers: range) -> int:
    """Damage a file for each number and give it to the command line; return how many there were."""
    for number in numbers:
        rng = np.random.default_rng(number)
        name = str(rng.choice(list(files)))
        (folder / name).write_bytes(spoiled(files[name], rng))
        words = [
            ["probe", name, "--json", *SEARCH_ALONE],
            ["run", name, "--task", "transition", "--out", "out", "--overwrite", "--no-progress"],
        ][number % 2]
        salvage = ["--salvage"] if number % 3 == 0 else []
        try:
            sane(zygote.run(folder, *words, *salvage, seconds=30, memory=GIB))
        except AssertionError as error:
            raise AssertionError(f"number {number}, {name}: {error}") from error
    return len(numbers)


def test_whole_files_are_read(
    zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]
) -> None:
    for name, data in small_files.items():
        (tmp_path / name).write_bytes(data)
        answer = zygote.run(
            tmp_path, "probe", name, "--json", *SEARCH_ALONE, seconds=30, memory=GIB
        )
        sane(answer)
        assert answer.status == 0, (name, answer.err)


def test_spoiled_files(zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]) -> None:
    assert fuzz(zygote, tmp_path, small_files, range(40)) == 40


@pytest.mark.slow
def test_many_spoiled_files(zygote: Zygote, tmp_path: Path, small_files: dict[str, bytes]) -> None:
    assert fuzz(zygote, tmp_path, small_files, range(1_000_000, 1_001_000)) == 1000
