"""Small files that unpack to gigabytes, never end or crash the media library.

They are refused in one line, with little memory and time.
"""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import corpus
import mutate
import numpy as np
import pytest
from provoke import GIB, Run, Zygote, refused, still

from stages.errors import UnlayerError
from stages.media import bombs, trial
from stages.media.read import open_clip

pytestmark = pytest.mark.usefixtures("untrusted")


def png(
    width: int = 24, height: int = 16, bits: int = 8, more: bytes = b"", kind: int = 2
) -> bytes:
    """Return a PNG of one colour. more: chunks before its pixels."""
    row = b"\0" + bytes(width * bits // 8 * {2: 3, 6: 4}[kind])
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunk = corpus.png_chunk
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + more
        + chunk(b"IDAT", pixels)
        + chunk(b"IEND", b"")
    )


def packed(mebibytes: int) -> bytes:
    """Return compressed zeros."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)) + packer.flush()


@pytest.fixture(scope="module")
def huge() -> bytes:
    return packed(200)


BOMBS = {
    "profile.png": (b"iCCP", b"name\0\0", 1),
    "text.png": (b"zTXt", b"Comment\0\0", 1),
    "parts.apng": (b"zTXt", b"Comment\0\0", 3),
}


@pytest.mark.parametrize("name", BOMBS)
def test_metadata_that_unpacks_to_gigabytes(
    zygote: Zygote, tmp_path: Path, huge: bytes, name: str
) -> None:
    kind, head, times = BOMBS[name]
    data = huge if times == 1 else packed(40)
    (tmp_path / name).write_bytes(png(more=corpus.png_chunk(kind, head + data) * times))
    answer = zygote.run(tmp_path, "probe", name, "--json", seconds=60)
    assert refused(answer, 1, name, "compressed metadata of more than 64 MiB")
    assert answer.memory < GIB


def test_metadata_that_is_large_but_honest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "in.png"
    path.write_bytes(
        png(
            more=corpus.png_chunk(b"zTXt", b"Raw profile type xmp\0\0" + packed(20))
            + corpus.png_chunk(b"tEXt", b"a\0b") * 500
        )
    )
    assert len(open_clip([path]).frames(0, 0)) == 1


def test_texts_without_end(run: Run, tmp_path: Path) -> None:
    texts = b"".join(corpus.png_chunk(b"tEXt", b"key%06d\0v" % number) for number in range(20_000))
    (tmp_path / "texts.png").write_bytes(png(more=texts))
    assert refused(run("probe", "texts.png"), 1, "texts.png", "more than 4096 texts")


def test_a_bomb_inside_a_film(tmp_path: Path) -> None:
    """Return a film of PNGs, one of which has a profile without end."""
    data = corpus.png_chunk(b"iCCP", b"name\0\0" + packed(70))
    assert bombs.metadata_fault(png(more=data)) is not None and bombs.metadata_fault(png()) is None


def gif(width: int, height: int, frames: int) -> bytes:
    """Return an animation of frames of one pixel each."""
    frame = (
        b"\x21\xf9\x04\0\x01\0\0\0"
        + b"\x2c"
        + struct.pack("<HHHHB", 0, 0, 1, 1, 0)
        + b"\x02\x02\x44\x01\0"
    )
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", width, height, 0x80, 0, 0)
        + bytes(6)
        + frame * frames
        + b"\x3b"
    )


def test_an_animation_without_end(run: Run, tmp_path: Path) -> None:
    (tmp_path / "long.gif").write_bytes(gif(64, 64, 300_000))
    assert refused(
        run("probe", "long.gif"), 1, "long.gif", "more than 262144 frames of 64x64", "--end"
    )
    (tmp_path / "large.gif").write_bytes(gif(8000, 8000, 20_000))
    assert refused(run("probe", "large.gif"), 1, "large.gif", "more than 17179 frames of 8000x8000")
    (tmp_path / "part.gif").write_bytes(gif(64, 64, 300_000))
    assert len(open_clip([tmp_path / "part.gif"], end=Fraction(1)).frames(0, 4)) == 5


def test_an_apng_without_end(tmp_path: Path) -> None:
    one = corpus.png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 24, 16, 0, 0, 1, 10, 0, 0))
    path = tmp_path / "long.apng"
    path.write_bytes(png(more=corpus.png_chunk(b"acTL", struct.pack(">II", 2, 0)) + one * 300_000))
    with pytest.raises(UnlayerError, match="more than 262144 frames of 24x16"):
        bombs.check_animation(path, "apng", 24, 16)


def test_a_deep_picture_within_the_limit(zygote: Zygote, tmp_path: Path) -> None:
    (tmp_path / "deep.png").write_bytes(png(4096, 4096, 16, kind=6))
    answer = zygote.run(tmp_path, "probe", "deep.png", "--json", seconds=60)
    assert answer.status == 0 and answer.memory < GIB, answer


CRASHES = {
    "import os; os.kill(os.getpid(), 11)": "crashes the media library (signal 11)",
    "import os; os.abort()": "crashes the media library (signal 6)",
    "import os; os.kill(os.getpid(), 9)": "or all memory",
    "import sys; sys.exit(3)": ("takes more than 2 GiB of memory to open (the limit grows"),
}


@pytest.mark.parametrize("does", CRASHES)
def test_what_kills_the_child_is_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    still(tmp_path / "in.mp4")
    monkeypatch.setattr(trial, "CHILD", (sys.executable, "-c", does))
    assert refused(run("probe", "in.mp4"), 1, "in.mp4", CRASHES[does], "leave it out")


def test_a_folder_names_the_picture_that_crashes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png())
    monkeypatch.setattr(
        trial, "CHILD", (sys.executable, "-c", "import os; print('first', flush=True); os.abort()")
    )
    with pytest.raises(UnlayerError, match=r"1\.png: crashes"):
        trial.try_files([tmp_path], max_pixels=1 << 26)


def test_a_trial_lets_sound_files_pass_and_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [still(tmp_path / "a.mkv"), tmp_path / "missing.mp4"]
    (tmp_path / "text.mp4").write_text("no film")
    started: list[object] = []
    honest = subprocess.run

    def counted(*words: Any, **more: Any) -> Any:
        started.append(words)
        return honest(*words, **more)

    monkeypatch.setattr(subprocess, "run", counted)
    for _ in range(2):
        trial.try_files([*paths, tmp_path / "text.mp4"], max_pixels=1 << 26)
    assert len(started) == 1


def test_the_memory_of_the_process_that_starts_a_trial_is_not_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux counts it in the child's peak memory."""
    (tmp_path / "text.mp4").write_text("no film")
    monkeypatch.setattr(trial, "MEMORY", 256 << 20)
    ballast = bytearray(b"x") * (192 << 20)
    trial.try_files([tmp_path / "text.mp4"], max_pixels=1 << 20)
    assert len(ballast) > trial.MEMORY // 2


@pytest.mark.parametrize("table", ["stsz", "stts", "trun"])
def test_an_index_of_many_millions_is_refused(zygote: Zygote, tmp_path: Path, table: str) -> None:
    """Return an MP4 of a few kB that counts samples without end.

    They all have one size or one duration.
    """
    options = {"movflags": "frag_keyframe+empty_moov"} if table == "trun" else {}
    data = bytearray(still(tmp_path / "in.mp4", **{"c:v": "mpeg4", **options}).read_bytes())
    place = data.find(table.encode())
    count = place + {"stsz": 12, "stts": 12, "trun": 8}[table]
    data[count : count + 4] = struct.pack(">I", 60_000_000)
    if table == "stsz":
        data[place + 8 : place + 12] = struct.pack(">I", 1)
    (tmp_path / "in.mp4").write_bytes(data)
    answer = zygote.run(tmp_path, "probe", "in.mp4", "--json")
    assert (
        refused(answer, 1, "in.mp4", "samples, far more than it has bytes") and answer.memory < GIB
    )


def test_spoiled_pictures_raise_nothing_else(tmp_path: Path) -> None:
    """The walks over chunks and blocks accept any bytes."""
    ends = set()
    sound = [gif(8, 8, 20), png(more=corpus.png_chunk(b"zTXt", b"a\0\0" + packed(1)))]
    for seed in range(100):
        rng = np.random.default_rng(seed)
        (tmp_path / "in").write_bytes(
            mutate.mutate(sound[seed % 2], lambda: b"GIF89a" * 9, rng) or b"x"
        )
        try:
            bombs.check_metadata(tmp_path / "in")
            bombs.check_animation(tmp_path / "in", ["gif", "apng"][seed % 2], 1 << 20, 1 << 20)
            ends.add("passed")
        except UnlayerError:
            ends.add("refused")
    assert ends <= {"passed", "refused"} and "passed" in ends
