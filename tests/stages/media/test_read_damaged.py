"""The reader refuses unusable files in one line, and salvages what decodes of damaged ones."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import cv2
import ffmpeg
import media
import numpy as np
import pytest
import torch
from reading import complaint, refusal

from stages.errors import UnlayerError
from stages.media.read import open_clip


def test_unusable_files_are_refused_in_one_line(
    tmp_path: Path, film: tuple[Path, np.ndarray]
) -> None:
    assert "no such file" in complaint(tmp_path / "missing.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in complaint(tmp_path / "empty.mp4")
    (tmp_path / "notes.mp4").write_text("dear diary\n" * 100)
    assert "text" in complaint(tmp_path / "notes.mp4")
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "noise.mp4" in complaint(tmp_path / "noise.mp4")
    tone = tmp_path / "tone.wav"
    media.run(ffmpeg.output(ffmpeg.input("sine=duration=0.2", f="lavfi"), str(tone)))
    assert "only audio" in complaint(tone)
    (tmp_path / "none").mkdir()
    assert "no numbered pictures" in complaint(tmp_path / "none")
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((4, 4, 3), np.uint8))
    assert "is a folder" in complaint([tmp_path / "one.png", tmp_path / "none"])
    assert "is not a picture" in complaint([tmp_path / "one.png", film[0]])
    assert "stream 7" in complaint(film[0], stream=7)
    assert "is a video" in complaint([film[0], film[0]])
    assert complaint([])
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "is not a regular file" in complaint(tmp_path / "pipe.mp4")
    locked = tmp_path / "locked.mp4"
    locked.write_bytes(b"x")
    locked.chmod(0)
    assert complaint(locked)


def test_playlists_urls_and_scripts_touch_nothing(
    tmp_path: Path, film: tuple[Path, np.ndarray]
) -> None:
    touched = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"

        def listen() -> None:
            try:
                server.accept()[0].close()
                touched.set()
            except TimeoutError:
                pass

        listener = threading.Thread(target=listen)
        listener.start()
        scripts = {
            "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
            "script.mp4": f"ffconcat version 1.0\nfile '{film[0]}'\n",
            "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
            "m=video 5004 RTP/AVP 96\n",
            "show.mpd": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'>"
            f"<Period><BaseURL>{url}</BaseURL></Period></MPD>",
        }
        for name, text in scripts.items():
            (tmp_path / name).write_text(text)
            assert name in complaint(tmp_path / name)
        for name in (url, f"concat:{film[0]}", f"subfile,,start,0,end,0,,:{film[0]}"):
            assert "no such file" in complaint(Path(name))
        listener.join()
    assert not touched.is_set()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_a_picture_bomb_is_refused(tmp_path: Path, suffix: str) -> None:
    cv2.imwrite(str(tmp_path / f"bomb{suffix}"), np.zeros((1500, 1500, 3), np.uint8))
    assert complaint(tmp_path / f"bomb{suffix}", max_pixels=1_000_000)
    media.save(tmp_path / "bomb.mp4", np.zeros((2, 200, 200, 3), np.uint8))
    assert complaint(tmp_path / "bomb.mp4", max_pixels=10_000)


@pytest.mark.parametrize(
    "suffix,options",
    [
        (".mp4", {"movflags": "+faststart"}),
        (".mkv", {}),
        (".avi", {"c:v": "mpeg4", "q:v": 2}),
        (".gif", {"f": "gif"}),
        (".apng", {"f": "apng"}),
    ],
)
def test_a_cut_off_file_is_an_error_and_salvaged_on_request(
    tmp_path: Path, suffix: str, options: dict[str, object]
) -> None:
    options = (
        options if "c:v" in options or "f" in options else {"c:v": "libx264", "g": 10, **options}
    )
    path = media.save(tmp_path / f"film{suffix}", media.moving(40), **options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    error = refusal(path)
    assert error.settings == ("salvage",) and "salvage what can be decoded" in str(error)
    clip = open_clip([path], salvage=True)
    count = sum(len(block) for block in clip.blocks())
    assert 5 < count < 40
    assert clip.salvaged in (count, None)
    short = tmp_path / f"short{suffix}"
    short.write_bytes(data[:40])
    assert complaint(short)
    assert complaint(short, salvage=True)


def test_the_end_of_a_picture_must_be_there(tmp_path: Path) -> None:
    for suffix in (".jpg", ".png"):
        data = cv2.imencode(suffix, media.moving(1)[0])[1].tobytes()
        (tmp_path / f"cut{suffix}").write_bytes(data[: len(data) // 2])
        assert complaint(tmp_path / f"cut{suffix}")


def test_an_mp4_without_its_index_says_so(tmp_path: Path) -> None:
    path = media.save(tmp_path / "film.mp4", media.moving(20))
    path.write_bytes(path.read_bytes()[:-1500])
    assert "index" in complaint(path)


def test_salvage_goes_on_at_the_next_key_frame(tmp_path: Path) -> None:
    path = media.save(
        tmp_path / "film.mp4",
        media.moving(60, 96, 128),
        **{"c:v": "libx264", "g": 10, "bf": 0, "crf": 10},
    )
    undamaged = open_clip([path]).frames(0, 59).pixels
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = bytes(3000)
    path.write_bytes(data)
    assert "damaged at frame" in complaint(path)
    clip = open_clip([path], salvage=True)
    got = torch.cat([block.pixels for block in clip.blocks()])
    assert clip.salvaged == len(got) and 40 <= len(got) < 60
    assert torch.equal(got[:10], undamaged[:10])
    assert torch.equal(got[-10:], undamaged[-10:])


def test_a_header_that_counts_wrong_is_not_believed(tmp_path: Path) -> None:
    path = media.save(tmp_path / "film.avi", media.moving(10), **{"c:v": "mjpeg", "q:v": 2})
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (99).to_bytes(4, "little")
    path.write_bytes(data)
    clip = open_clip([path])
    assert clip.info.frames != 10 and sum(len(block) for block in clip.blocks()) == 10


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bits_end_in_frames_or_one_line(
    tmp_path: Path, film: tuple[Path, np.ndarray], seed: int
) -> None:
    data = bytearray(film[0].read_bytes())
    random = np.random.default_rng(seed)
    for place in random.integers(0, len(data), 8):
        data[place] ^= 1 << int(random.integers(8))
    (tmp_path / "flipped.mp4").write_bytes(data)
    for salvage in (False, True):
        try:
            clip = open_clip([tmp_path / "flipped.mp4"], salvage=salvage)
            if clip.info.width * clip.info.height <= 1 << 16:
                assert sum(len(block) for block in clip.blocks()) <= 400
        except UnlayerError as error:
            assert "\n" not in str(error)
