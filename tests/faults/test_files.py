"""Files that are cut off, damaged, disguised or not clips.

One line names the file and says what is wrong and what to do.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import ffmpeg
import media
import numpy as np
import pytest
from clips import moving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from provoke import GIB, ROOT, Run, Zygote, layers, manifest, refused, sane, still, visible

from pipeline.batch.batch import RECORD

TASK = ("--task", "transition", "--no-progress")
H264 = {"c:v": "libx264", "g": 5, "bf": 0, "pix_fmt": "yuv444p"}


def check_both_refuse(run: Run, path: Path | str, status: int, *says: str) -> None:
    """Check that ``run`` and ``probe`` refuse a file in the same words and make no folder."""
    lines = {
        refused(run("run", *TASK, "--out", "out", "--", path), status, *says),
        refused(run("probe", "--", path), status, *says),
    }
    assert len(lines) == 1 and not Path("out").exists()


def cut(path: Path, share: float) -> Path:
    """Cut off the end of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


@pytest.mark.slow
def test_cut_before_the_index(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row 7: a file cut off before its index is one clear line.

    ``batch`` goes on with the others.
    """
    (tmp_path / "clips").mkdir()
    bad = cut(still(tmp_path / "clips/a.mp4", 20), 0.8)
    check_both_refuse(run, bad, 1, "a.mp4", "index is missing", "get the whole file")
    still(tmp_path / "clips/b.mkv")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert run("batch", "clips", *TASK, "--out", "all").status == 1
    first, second = json.loads((tmp_path / "all" / RECORD).read_text())["clips"]
    assert (first["status"], second["status"]) == ("failed", "done")
    assert (
        "a.mp4" in first["error"]
        and "index is missing" in first["error"]
        and "\n" not in first["error"]
    )
    assert (tmp_path / "all/b-transition/manifest.json").exists()


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_cut_in_the_middle(run: Run, tmp_path: Path, suffix: str) -> None:
    """Row 8: a file cut off in the middle is an error that names ``--salvage``.

    With it, what decodes is used, and the run says how much that was.
    """
    path = cut(
        still(
            tmp_path / f"film{suffix}",
            40,
            **H264,
            **({"movflags": "+faststart"} if suffix == ".mp4" else {}),
        ),
        0.6,
    )
    check_both_refuse(run, path, 1, f"film{suffix}", "cut off", "get the whole file", "--salvage")
    answer = run("run", path, *TASK, "--salvage", "--lossless", "--out", "out")
    assert answer.status == 0
    count = manifest(tmp_path / "out")["input"][0]["frames"]
    assert 5 < count < 40
    assert f"film{suffix}: is damaged; {count} frames of it could be decoded" in answer.err
    assert manifest(tmp_path / "out")["layers"][0]["last_frame"] == count - 1


@pytest.fixture(scope="module")
def sound_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Make small files of several kinds, by suffix."""
    folder = tmp_path_factory.mktemp("sound")
    kinds: dict[str, dict[str, Any]] = {
        ".mp4": H264,
        ".mkv": {"c:v": "ffv1"},
        ".avi": {"c:v": "mjpeg"},
        ".gif": {"f": "gif"},
        ".png": {"frames:v": 1, "update": 1},
    }
    return {
        suffix: still(folder / f"film{suffix}", 6, (16, 24), **options).read_bytes()
        for suffix, options in kinds.items()
    }


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    suffix=st.sampled_from([".mp4", ".mkv", ".avi", ".gif", ".png"]),
    places=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=12
    ),
    salvage=st.booleans(),
)
def test_flipped_bits(
    zygote: Zygote,
    sound_files: dict[str, bytes],
    tmp_path: Path,
    suffix: str,
    places: list[tuple[float, int]],
    salvage: bool,
) -> None:
    """Row 9: a file with flipped bits gives frames or one line.

    There is no crash, no hang and no traceback.
    """
    data = bytearray(sound_files[suffix])
    for place, bit in places:
        data[int(place * len(data))] ^= 1 << bit
    (tmp_path / f"film{suffix}").write_bytes(data)
    answer = zygote.run(
        tmp_path,
        "probe",
        f"film{suffix}",
        "--task",
        "transition",
        *(["--salvage"] if salvage else []),
        seconds=30,
        memory=GIB,
    )
    sane(answer)
    assert answer.status == 0 or f"film{suffix}" in answer.err


def test_no_video_in_it(run: Run, tmp_path: Path) -> None:
    """Row 10: an empty file, a text and a file with only sound are each one clear line."""
    (tmp_path / "empty.mp4").touch()
    check_both_refuse(run, "empty.mp4", 1, "empty.mp4", "is empty (0 bytes)", "get the file again")
    (tmp_path / "text.mp4").write_text("dear diary\n" * 300)
    check_both_refuse(run, "text.mp4", 1, "text.mp4", "it is text", "give the video itself")
    for name in ("tone.wav", "tone.m4a", "tone.mkv"):
        media.run(ffmpeg.output(ffmpeg.input("sine=duration=0.2", f="lavfi"), str(tmp_path / name)))
        check_both_refuse(run, name, 1, name, "only audio", "give a video or a picture")


def test_size_changes_in_mid_stream(run: Run, tmp_path: Path) -> None:
    """Row 14: a clip whose size changes is one line that names the frame and both sizes.

    The part before it can be used.
    """
    raw = {"c:v": "libx264", "pix_fmt": "yuv420p", "bf": 0}
    first, second = (
        still(tmp_path / "a.h264", 5, **raw),
        still(tmp_path / "b.h264", 5, (48, 64), **raw),
    )
    (tmp_path / "both.h264").write_bytes(first.read_bytes() + second.read_bytes())
    check_both_refuse(
        run,
        "both.h264",
        1,
        "both.h264",
        "changes its size at frame 5 from 48x32 to 64x48",
        "convert it to one size",
        "--end",
    )
    assert run("run", "both.h264", *TASK, "--end", "0.2", "--out", "out").status == 0
    assert manifest(tmp_path / "out")["layers"][0]["last_frame"] == 4


def test_decompression_bomb(zygote: Zygote, tmp_path: Path) -> None:
    """Row 15: a PNG of few kilobytes and 12000 by 12000 pixels is refused before it is decoded."""
    width = height = 12_000

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    lines = zlib.compress(bytes(height * (1 + width // 8)), 9)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    )
    assert (tmp_path / "bomb.png").stat().st_size < 150_000
    still(tmp_path / "plain.png", 1, **{"frames:v": 1, "update": 1})
    usual = zygote.run(tmp_path, "probe", "plain.png")
    assert usual.status == 0
    for words in (("probe", "bomb.png"), ("run", "bomb.png", *TASK)):
        answer = zygote.run(tmp_path, *words)
        refused(answer, 1, "bomb.png", "is 12000x12000, more than the", "scale it down")
        # Decoded it would be at least 144 million bytes.
        assert answer.memory < usual.memory + 50_000_000
    assert visible(tmp_path) == ["bomb.png", "plain.png"]


@pytest.mark.parametrize("claimed", [3, 99])
def test_wrong_frame_count_in_the_header(run: Run, tmp_path: Path, claimed: int) -> None:
    """Row 16: where the header's count is wrong, ``probe`` and ``run`` use the decoded count."""
    data = bytearray(still(tmp_path / "film.avi", 10, **{"c:v": "mjpeg", "q:v": 2}).read_bytes())
    for tag, offset in ((b"strh", 8 + 32 - 4 + 4), (b"avih", 8 + 16 - 4 + 4)):
        place = data.index(tag) + offset
        assert int.from_bytes(data[place : place + 4], "little") == 10, tag
        data[place : place + 4] = claimed.to_bytes(4, "little")
    (tmp_path / "film.avi").write_bytes(data)
    answer = run("probe", "film.avi", "--json")
    assert answer.status == 0 and json.loads(answer.out)["frames"] == 10
    assert run("run", "film.avi", *TASK, "--out", "out").status == 0
    whole = manifest(tmp_path / "out")
    assert whole["input"][0]["frames"] == 10 and whole["layers"][0]["last_frame"] == 9


class Watched:
    """Return a host on the loopback and a file, and whether either was touched.

    The file is a pipe, so that opening it is noticed.
    """

    def __init__(self, folder: Path) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}/x.ts"
        self.file = folder / "secret.ts"
        os.mkfifo(self.file)
        self.touched: list[str] = []
        self.over = threading.Event()
        self.watcher = threading.Thread(target=self.watch)

    def watch(self) -> None:
        while not self.over.is_set():
            try:
                self.server.accept()[0].close()
                self.touched.append(self.url)
            except TimeoutError:
                pass
            try:
                # It can be written only while somebody has it open for reading.
                os.close(os.open(self.file, os.O_WRONLY | os.O_NONBLOCK))
                self.touched.append(str(self.file))
            except OSError:
                pass

    def __enter__(self) -> Watched:
        self.watcher.start()
        return self

    def __exit__(self, *error: object) -> None:
        time.sleep(0.1)
        self.over.set()
        self.watcher.join()
        self.server.close()


def scripts_to(target: str) -> dict[str, str]:
    """Return playlists and scripts that lead to ``target``, by the names they pretend to have."""
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n"
    mpd = "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>"
    return {
        "list.m3u8": playlist,
        "list.mp4": playlist,
        "script.mp4": f"ffconcat version 1.0\nfile '{target}'\n",
        "show.mpd": f"{mpd}<BaseURL>{target}</BaseURL></MPD>",
        "session.sdp": (
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 5004 RTP/AVP 96\n"
        ),
        "vector.png": f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{target}'/></svg>",
    }


def test_playlists_urls_and_disguised_scripts(run: Run, tmp_path: Path) -> None:
    """Row 24: playlists, URLs and scripts that claim to be clips are refused.

    No other file and no host is touched.
    """
    with Watched(tmp_path) as watched:
        for number, target in enumerate(
            (watched.url, f"file://{watched.file}", str(watched.file), watched.file.name)
        ):
            for name, text in scripts_to(target).items():
                name = f"{number}-{name}"
                (tmp_path / name).write_text(text)
                check_both_refuse(run, name, 1, name, "scripts or playlists are not followed")
        check_both_refuse(run, watched.url, 2, "is an address", "download it first")
        for name in (
            f"concat:{watched.file}|{watched.file}",
            f"subfile,,start,0,end,0,,:{watched.file}",
            "file:secret.ts",
            "pipe:0",
        ):
            check_both_refuse(run, name, 1, "there is no such file", "check the name")
        check_both_refuse(run, watched.file, 1, "secret.ts", "is not a regular file")
    assert watched.touched == []
    # The watch works: it notices an access.
    (tmp_path / "again").mkdir()
    with Watched(tmp_path / "again") as watched:
        socket.create_connection(watched.server.getsockname()).close()
        threading.Thread(target=lambda: watched.file.open("rb").close()).start()
    assert set(watched.touched) == {watched.url, str(watched.file)}


def test_a_good_file_is_none_of_these(run: Run, tmp_path: Path) -> None:
    still(tmp_path / "film.mkv")
    assert run("run", "film.mkv", *TASK, "--lossless", "--out", "out").status == 0
    assert len(layers(tmp_path / "out")) == 1
    assert np.array_equal(
        media.load(tmp_path / "out/scene-001.mkv", 32, 48), moving(1, 6, (32, 48))
    )
